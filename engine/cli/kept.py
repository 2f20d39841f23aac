"""Words that reached nobody, for people: listed, shown, sent again, put off, muted, purged.

heartbeat.md §20 (`heartbeat inbox`, `ack`, `snooze`), §25 rows 11 and 13. Reading works with
the gateway down.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

import click

from engine.cli import at_rest
from engine.cli.ask import Line, gateway_options
from engine.cli.render import facts, one_line, plain, show_table, stamp
from engine.clock import SystemClock
from jobs.duration import parse_duration
from jobs.errors import InvalidSchedule, UsageError
from jobs.wallclock import ms, zone
from jobs.written import parse_at

STATES: Final = ("unread", "snoozed", "muted", "resent", "read", "noted", "all")
_TEXT: Final = 60  # characters of it in a list


def join(group: click.Group) -> None:
    """Put the commands about kept words into a group."""
    for command in (listing, show, resend, ack, snooze, mute, unmute, purge):
        group.add_command(command)


def instant(text: str, name: str, line: Line, *, ahead: bool) -> int:
    """A duration from now (back, or ahead), or an instant, as milliseconds."""
    now = SystemClock().now()
    try:
        if text[:1].isdigit() and text[-1:].isalpha() and "T" not in text.upper():
            span = parse_duration(text)
            return ms(now + span if ahead else now - span)
        return ms(parse_at(text, now=now, tz=line.place.zone))
    except InvalidSchedule as error:
        way = "from" if ahead else "back from"
        raise UsageError(
            f"{name} {text} cannot be read",
            why=f"it is a duration {way} now, or an instant",
            fix=f"{name} 2h, or {name} 2026-03-28T09:00",
        ) from error


@click.command("list", epilog="Example: engine inbox list --reason duplicate --since 24h")
@click.option("--agent", "agent_id", metavar="ID", help="One agent's.")
@click.option("--state", type=click.Choice(STATES), help="Unread and snoozed otherwise.")
@click.option("--reason", metavar="WORD", help="For example duplicate, no-route, failed, dropped.")
@click.option("--since", metavar="WHEN", help="A duration back (24h) or an instant.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@gateway_options()
def listing(
    line: Line,
    agent_id: str | None,
    state: str | None,
    reason: str | None,
    since: str | None,
    limit: int,
) -> None:
    """What was said and not delivered, newest first, each with its reason."""
    params: dict[str, Any] = {"limit": limit}
    if reason and not state:
        state = "all"  # whoever names a reason wants to see them all
    given = {"agentId": agent_id, "state": state, "reason": reason}
    params |= {key: value for key, value in given.items() if value}
    if since is not None:
        params["sinceMs"] = instant(since, "--since", line, ahead=False)
    with at_rest.reading(line) as asked:
        answer = asked.call("heartbeat.inbox", params, timeout=line.timeout)
    if line.as_json:
        line.show(answer, str)
        return
    entries = answer.get("entries") or ()
    if not entries:
        click.echo(
            "Nothing that was said failed to arrive." if not params.get("state") else "None."
        )
        return
    where, now = zone(line.place.zone), SystemClock().now()
    rows = [_row(one, where, now) for one in entries]
    show_table(("NO", "WHEN", "AGENT", "STATE", "REASON", "TEXT"), rows, keep=5)
    total = int(answer.get("total") or len(entries))
    if total > len(entries):
        click.echo(f"({len(entries)} of {total}; more with --limit)")


def _row(one: Mapping[str, Any], where: ZoneInfo, now: datetime) -> tuple[str, ...]:
    times = int(one.get("times") or 1)
    return (
        str(one["number"]),
        stamp(one.get("atMs"), where, now),
        str(one.get("agentId") or "-"),
        _state(one, where, now),
        str(one["reason"]) + (f" ×{times}" if times > 1 else ""),
        one_line(one.get("text"), _TEXT),
    )


def _state(one: Mapping[str, Any], where: ZoneInfo, now: datetime) -> str:
    snoozed = one["state"] == "snoozed"
    return f"until {stamp(one.get('untilMs'), where, now)}" if snoozed else str(one["state"])


@click.command(epilog="Example: engine inbox show 12")
@click.argument("ref", metavar="NO")
@gateway_options()
def show(line: Line, ref: str) -> None:
    """One of them whole: the words, why they did not arrive, and what became of them since.

    NO is the number of the list, or the id of the run the words come from.
    """
    with at_rest.reading(line) as asked:
        answer = asked.call("heartbeat.inbox.show", {"id": ref}, timeout=line.timeout)
    line.show(answer, lambda told: _shown(told, zone(line.place.zone)))


def _shown(one: Mapping[str, Any], where: ZoneInfo) -> str:
    now = SystemClock().now()
    times = int(one.get("times") or 1)
    since = f" ({times} times since {stamp(one.get('firstAtMs'), where, now)})" if times > 1 else ""
    rows: dict[str, object] = {
        "Inbox": f"{one['number']}, {_state(one, where, now)}",
        "When": f"{stamp(one.get('atMs'), where, now)}{since}",
        "Reason": one["reason"] + (f": {one['because']}" if one.get("because") else ""),
        "Agent": one.get("agentId") or "-",
        "Run": one.get("runId") or "-",
    }
    if one.get("to"):
        rows["Meant for"] = one["to"]
    if one.get("deliveryKey"):
        rows["Message"] = one["deliveryKey"]
    if one.get("snoozes"):
        rows["Snoozed"] = f"{one['snoozes']} times"
    if one.get("resentKey"):
        state = (one.get("resent") or {}).get("status") or "sent again"
        rows["Sent again"] = f"{one['resentKey']} ({state})"
    return f"{facts(rows)}\n\n{plain(one.get('text') or '')}"


@click.command(epilog="Example: engine inbox resend 12 --to telegram:123456")
@click.argument("ref", metavar="NO")
@click.option("--to", metavar="TARGET", help="channel:recipient; where it was meant otherwise.")
@click.option("--account", metavar="ID", help="Account that sends.")
@gateway_options()
def resend(line: Line, ref: str, to: str | None, account: str | None) -> None:
    """Send it once more, through the outbox; asked twice, it still goes out once."""
    params: dict[str, Any] = {"id": ref, "idempotencyKey": str(uuid4())}
    if to:
        params["to"] = to
    if account:
        params["accountId"] = account
    line.show(line.call("heartbeat.inbox.resend", params), _resent)


def _resent(told: Mapping[str, Any]) -> str:
    status = (told.get("receipt") or {}).get("status")
    if told.get("resent"):
        return f"On its way to {told.get('to')}. Next: engine outbox show '{told.get('key')}'"
    return f"It was sent again before, to {told.get('to')} ({status}); nothing was sent now."


@click.command(epilog="Example: engine inbox ack 12")
@click.argument("ref", metavar="[NO]", required=False)
@click.option("--all", "everything", is_flag=True, help="Everything that is unread.")
@gateway_options()
def ack(line: Line, ref: str | None, everything: bool) -> None:
    """Say that you know: it asks no more."""
    if (ref is None) == (not everything):
        raise UsageError("name one of them, or --all", fix="engine inbox ack --all")
    given: dict[str, Any] = {"all": True} if everything else {"id": ref}
    answer = line.call("heartbeat.inbox.ack", {**given, "idempotencyKey": str(uuid4())})
    line.show(answer, lambda told: f"Acknowledged: {told.get('acked')}.")


@click.command(epilog="Example: engine inbox snooze 12 --for 2h")
@click.argument("ref", metavar="NO")
@click.argument("span", metavar="[SPAN]", required=False)
@click.option("--for", "lasting", metavar="SPAN", help="For so long, such as 2h.")
@click.option("--until", metavar="WHEN", help="Until an instant, such as 2026-03-28T09:00.")
@gateway_options()
def snooze(line: Line, ref: str, span: str | None, lasting: str | None, until: str | None) -> None:
    """Put it off: neither unread nor sent again before. The third time it is muted.

    NO may also be the id of a run whose alert did arrive.
    """
    given = [one for one in (span, lasting, until) if one]
    if len(given) != 1:
        raise UsageError("say how long, once", fix=f"engine inbox snooze {ref} --for 2h")
    name = "--until" if until else "--for"
    if not until and not _is_span(given[0]):
        raise UsageError(
            f"--for {given[0]} is no duration", fix=f"engine inbox snooze {ref} --for 2h"
        )
    at = instant(given[0], name, line, ahead=True)
    params = {"id": ref, "untilMs": at, "idempotencyKey": str(uuid4())}
    answer = line.call("heartbeat.inbox.snooze", params)
    line.show(answer, lambda told: _snoozed(told, zone(line.place.zone)))


def _is_span(text: str) -> bool:
    return text[:1].isdigit() and text[-1:].isalpha() and "T" not in text


def _snoozed(told: Mapping[str, Any], where: ZoneInfo) -> str:
    number = told.get("number")
    if told.get("state") == "muted":
        return (
            f"Snoozed {told.get('snoozes')} times, so it is muted: these words are not sent any"
            f" more, each time is on record. To hear them again: engine inbox unmute {number}"
        )
    return f"Inbox {number} is quiet until {stamp(told.get('untilMs'), where)}."


@click.command(epilog="Example: engine inbox mute 12")
@click.argument("ref", metavar="NO")
@gateway_options()
def mute(line: Line, ref: str) -> None:
    """Send these words no more; what differs only in figures, times and links counts as them."""
    _mute(line, ref, on=True)


@click.command(epilog="Example: engine inbox unmute 12")
@click.argument("ref", metavar="NO")
@gateway_options()
def unmute(line: Line, ref: str) -> None:
    """Send these words again; a snooze ends too."""
    _mute(line, ref, on=False)


def _mute(line: Line, ref: str, *, on: bool) -> None:
    params = {"id": ref, "on": on, "idempotencyKey": str(uuid4())}
    answer = line.call("heartbeat.inbox.mute", params)
    word = "muted: each time is on record" if on else "sent again when it is said again"
    line.show(answer, lambda told: f"Inbox {told.get('number')} is {word}.")


@click.command(epilog="Example: engine heartbeat feedback 0198c2a0f3 noise")
@click.argument("ref", metavar="RUN")
@click.argument("verdict", type=click.Choice(["useful", "noise"]))
@gateway_options()
def feedback(line: Line, ref: str, verdict: str) -> None:
    """Say what an alert was worth; in a chat: `/hb useful` or `/hb noise`.

    It is counted in `engine heartbeat history --summary`. Nothing is muted because of it:
    when words are only ever noise, muting them is suggested.
    """
    params = {"runId": ref, "verdict": verdict, "idempotencyKey": str(uuid4())}
    line.show(line.call("heartbeat.feedback", params), _judged)


def _judged(told: Mapping[str, Any]) -> str:
    counted = f"{told.get('useful')} times useful, {told.get('noise')} times noise"
    return f"Noted: {told.get('verdict')} ({counted}). {told.get('suggestion') or ''}".strip()


@click.command(epilog="Example: engine inbox purge --older-than 30d")
@click.option("--older-than", metavar="SPAN", help="Only what is older, such as 30d.")
@click.option("--agent", "agent_id", metavar="ID", help="One agent's.")
@click.option(
    "--state", type=click.Choice(STATES), help="Read, resent and noted otherwise; `all` is all."
)
@click.option("--reason", metavar="WORD", help="Only these.")
@gateway_options()
def purge(
    line: Line,
    older_than: str | None,
    agent_id: str | None,
    state: str | None,
    reason: str | None,
) -> None:
    """Delete for good what nobody waits for any more. Old ones go by themselves."""
    given = {"agentId": agent_id, "state": state, "reason": reason}
    params: dict[str, Any] = {key: value for key, value in given.items() if value}
    if older_than:
        params["beforeMs"] = instant(older_than, "--older-than", line, ahead=False)
    answer = line.call("heartbeat.inbox.purge", {**params, "idempotencyKey": str(uuid4())})
    line.show(answer, lambda told: f"Removed: {told.get('removed')}.")
