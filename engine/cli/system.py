"""`engine system`: wake an agent and hear what came of it; who is around (operations.md §16 L9)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from threading import Event as Pause
from typing import Any, Final
from uuid import uuid4

import click

from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.heartbeat import commands as heartbeat
from engine.cli.record import record_sentence
from engine.cli.render import relative, show_table
from engine.clock import SystemClock
from gateway.client import Client
from jobs.errors import TimedOut, UsageError
from jobs.wallclock import at, zone

WAIT_MS: Final = 120_000
_ON_ITS_WAY: Final = frozenset({"queued", "sending"})
_DELIVERY: Final = timedelta(seconds=5)  # how long a delivery is waited for after its beat
_LOOK: Final = timedelta(milliseconds=100)
_GRACE: Final = timedelta(seconds=10)  # the answer's own way on top of the wait


@click.group(cls=Group, name="system", epilog='Example: engine system event --text "look again"')
def group() -> None:
    """Wake an agent, see who is around."""


@group.command(epilog='Example: engine system event --mode now --text "the build is red"')
@click.argument("text", required=False)
@click.option("--text", "flag_text", metavar="TEXT", help="The same as the argument.")
@click.option(
    "--mode",
    type=click.Choice(["now", "next-heartbeat"]),
    default="next-heartbeat",
    show_default=True,
    help="Wake the agent at once, or let its next turn see the event.",
)
@click.option("--agent", "agent_id", metavar="ID", help="Another agent than the default one.")
@click.option("--session", "session_key", metavar="KEY", help="Another session than its main one.")
@click.option(
    "--target", metavar="TARGET", help="With --mode now: where its words go, telegram:42."
)
@click.option("--about", metavar="KEY", help="What it is about, for --replace.")
@click.option("--replace", is_flag=True, help="Take the place of what waits --about the same.")
@click.option("--dedupe-key", metavar="KEY", help="One that waits with this key is the same.")
@click.option("--expires-in", metavar="SPAN", help="Not seen by then, it is told to nobody: 2h.")
@click.option("--expect-reply", is_flag=True, help="It is answered in words, even if all is well.")
@click.option("--wait/--no-wait", default=True, help="With --mode now: wait for the outcome.")
@gateway_options(timeout_ms=WAIT_MS)
def event(
    line: Line,
    text: str | None,
    flag_text: str | None,
    mode: str,
    agent_id: str | None,
    session_key: str | None,
    target: str | None,
    about: str | None,
    replace: bool,
    dedupe_key: str | None,
    expires_in: str | None,
    expect_reply: bool,
    wait: bool,
) -> int:
    """Queue words for an agent; with --mode now wait, and say what it did with them.

    Exit status 0 once the event is accepted, 5 when the wait ran out.
    """
    words = _words(text, flag_text)
    wait = wait and mode == "now"
    params: dict[str, Any] = {"text": words, "mode": mode, "idempotencyKey": str(uuid4())}
    if replace and not about:
        raise UsageError("--replace needs --about KEY", fix="say what it is about")
    named = {"agentId": agent_id, "sessionKey": session_key, "target": target}
    named |= {"contextKey": about, "expiresIn": expires_in, "dedupeKey": dedupe_key}
    params |= {name: value for name, value in named.items() if value}
    params |= {"replace": True} if replace else {}
    params |= {"expectReply": True} if expect_reply else {}
    if wait:
        params |= {"wait": True, "timeoutMs": line.timeout // timedelta(milliseconds=1)}
    with line.open() as client:
        answer = client.call("wake", params, timeout=line.timeout + _GRACE)
        if wait and isinstance(answer.get("outcome"), Mapping):
            answer = {**answer, "outcome": _settled(client, answer["outcome"])}
    if wait and answer.get("outcome") is None:
        raise TimedOut(
            "the event is queued, its outcome is not known yet",
            why=f"no beat ended within {line.timeout.total_seconds():g} s",
            fix=f"{line.place.program} heartbeat last",
            eventId=answer.get("eventId"),
        )
    line.show(answer, lambda told: _told(told, line, mode))
    return 0


def _settled(client: Client, outcome: Mapping[str, Any]) -> Mapping[str, Any]:
    """The outcome once its words have left, if they do so soon: the beat ends before they do."""
    clock = SystemClock()
    end = clock.monotonic() + _DELIVERY
    while (outcome.get("delivery") or {}).get("state") in _ON_ITS_WAY and clock.monotonic() < end:
        Pause().wait(_LOOK.total_seconds())
        newer = client.call("last-heartbeat", {"agentId": outcome["agentId"]})
        if not isinstance(newer, Mapping) or newer.get("runId") != outcome.get("runId"):
            break
        outcome = newer
    return outcome


def _words(text: str | None, flag_text: str | None) -> str:
    if text and flag_text:
        raise UsageError("the text was given twice", fix="give it as --text or as an argument")
    words = (text or flag_text or "").strip()
    if words == "-":
        words = sys.stdin.read().strip()
    if not words:
        raise UsageError(
            "there is no event without a text", fix='engine system event --text "look again"'
        )
    return words


def _told(answer: Mapping[str, Any], line: Line, mode: str) -> str:
    outcome = answer.get("outcome")
    if isinstance(outcome, Mapping):
        return record_sentence(outcome, zone=zone(line.place.zone), now=SystemClock().now())
    after = (
        f"The agent is being woken: {line.place.program} heartbeat last"
        if mode == "now"
        else _next(answer, line)
    )
    ident = answer.get("eventId", "no id")
    if answer.get("waitedAlready"):  # its words are those of the first: the new ones are not kept
        return f"The same event waits already ({ident}), with its words of then. {after}"
    return f"Queued ({ident}). {after}"


def _next(answer: Mapping[str, Any], line: Line) -> str:
    """When it is taken up, of an event that waits."""
    runs_at = answer.get("runsAt", 0)
    if runs_at is None:
        return "A message to the agent takes it up: it has no beat to come."
    local = at(runs_at).astimezone(zone(line.place.zone))
    beat = f"The beat of {local:%a %H:%M:%S}" if runs_at else "The next beat"
    return f"{beat} takes it up, or a message to the agent before that."


@group.command(epilog="Example: engine system presence")
@gateway_options()
def presence(line: Line) -> None:
    """Who is connected to the gateway."""
    entries = line.call("system-presence")
    if line.as_json:
        line.show(entries, str)
        return
    now = SystemClock().now()
    rows = [
        (
            entry.get("host") or entry.get("instanceId") or "-",
            entry.get("mode") or "-",
            entry.get("version") or "-",
            entry.get("reason") or "-",
            relative(entry.get("ts"), now),
        )
        for entry in entries
    ]
    show_table(("HOST", "MODE", "VERSION", "REASON", "SEEN"), rows)


@group.group("heartbeat", cls=Group, epilog="Example: engine system heartbeat last")
def beats() -> None:
    """The same as `engine heartbeat`, under its older name."""


for _command in (heartbeat.last, heartbeat.enable, heartbeat.disable):
    beats.add_command(_command)
