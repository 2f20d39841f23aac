"""`engine outbox`: messages on their way, and what became of them (channels.md §11).

Reading works with the gateway down.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

import click

from engine.cli import at_rest
from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.kept import instant
from engine.cli.named import channel_of
from engine.cli.render import facts, one_line, plain, show_table, stamp
from engine.clock import SystemClock
from engine.messages.fault import remedy
from jobs.wallclock import zone

STATES: Final = (
    "queued", "sending", "held", "delivered", "failed", "expired", "cancelled", "unknown", "all"
)  # fmt: skip
_TEXT: Final = 40  # characters of it in a list


@click.group(cls=Group, name="outbox", epilog="Example: engine outbox list --state failed")
def group() -> None:
    """Messages on their way, and what became of them."""


@group.command("list", epilog="Example: engine outbox list --state failed --since 24h")
@click.option("--state", type=click.Choice(STATES), help="Only these.")
@click.option("--agent", "agent_id", metavar="ID", help="One agent's.")
@click.option("--channel", metavar="NAME", help="By one channel.")
@click.option("--since", metavar="WHEN", help="A duration back (24h) or an instant.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@gateway_options()
def listing(
    line: Line,
    state: str | None,
    agent_id: str | None,
    channel: str | None,
    since: str | None,
    limit: int,
) -> None:
    """Messages, newest first."""
    params: dict[str, Any] = {"limit": limit}
    named = channel and channel_of(line, channel)
    given = {"state": state, "agentId": agent_id, "channel": named}
    params |= {key: value for key, value in given.items() if value}
    if since is not None:
        params["sinceMs"] = instant(since, "--since", line, ahead=False)
    with at_rest.reading(line) as asked:
        answer = asked.call("outbox.list", params, timeout=line.timeout)
    if line.as_json:
        line.show(answer, str)
        return
    entries = answer.get("entries") or ()
    if not entries:
        click.echo("No messages.")
        return
    where, now = zone(line.place.zone), SystemClock().now()
    rows = [_row(one, where, now) for one in entries]
    heads = ("WHEN", "STATE", "KIND", "TO", "KEY", "TEXT", "ACCOUNT")
    show_table(heads, rows, keep=5, spare=("ACCOUNT",))
    total = int(answer.get("total") or len(entries))
    if total > len(entries):
        click.echo(f"({len(entries)} of {total}; more with --limit)")


def _row(one: Mapping[str, Any], where: ZoneInfo, now: datetime) -> tuple[str, ...]:
    reason = one.get("reason")
    return (
        stamp(one.get("createdAtMs"), where, now),
        str(one["state"]) + (f" ({reason})" if reason else ""),
        str(one["kind"]),
        str(one["to"]),
        str(one["key"]),
        one_line(one.get("text"), _TEXT),
        str(one.get("accountId") or "-"),
    )


@group.command(epilog="Example: engine outbox show heartbeat:0198c2:0")
@click.argument("key")
@gateway_options()
def show(line: Line, key: str) -> None:
    """One message whole: its words, its parts, and its receipt."""
    with at_rest.reading(line) as asked:
        answer = asked.call("outbox.show", {"key": key}, timeout=line.timeout)
    line.show(answer, lambda told: _shown(told, zone(line.place.zone)))


def _shown(one: Mapping[str, Any], where: ZoneInfo) -> str:
    now = SystemClock().now()
    receipt = one.get("receipt") or {}
    rows: dict[str, object] = {
        "Message": f"{one['key']} ({one['kind']})",
        "State": str(one["state"]) + (f", {one['reason']}" if one.get("reason") else ""),
        "To": _whom(one),
        "Accepted": stamp(one.get("createdAtMs"), where, now),
        "Worth sending until": stamp(one.get("expiresAtMs"), where, now),
        "Attempts": receipt.get("attempts"),
    }
    told = [str(receipt[key]) for key in ("class", "code", "detail") if receipt.get(key)]
    if told:
        rows["Answer"] = " ".join(dict.fromkeys(told))
        channel, account = str(one["to"]).partition(":")[0], str(one.get("accountId") or "")
        fix = remedy(str(receipt.get("class") or one.get("reason")), channel, account)
        if fix and not fix.startswith("nothing"):
            rows["Fix"] = fix
    if receipt.get("messageIds"):
        rows["Receipt"] = ", ".join(map(str, receipt["messageIds"]))
    if one.get("seenAtMs"):
        rows["Seen"] = stamp(one["seenAtMs"], where, now)
    if receipt.get("nextAttemptAt"):
        rows["Next try"] = stamp(receipt["nextAttemptAt"], where, now)
    if receipt.get("mayRepeat"):
        rows["Note"] = "its words may have arrived before"
    return f"{facts(rows)}\n\n{plain(one.get('text') or '')}"


def _whom(one: Mapping[str, Any]) -> str:
    """The recipient, its topic, and which of several bots speaks."""
    account, topic = one.get("accountId"), (one.get("receipt") or {}).get("threadId")
    by = f", by account {account}" if account not in (None, "", "default") else ""
    return f"{one['to']}{f', topic {topic}' if topic else ''}{by}"


@group.command(epilog="Example: engine outbox retry heartbeat:0198c2:0")
@click.argument("key")
@gateway_options()
def retry(line: Line, key: str) -> None:
    """Try it now; one that has ended goes out once more, under a key of its own."""
    answer = line.call("outbox.retry", {"key": key, "idempotencyKey": str(uuid4())})
    line.show(answer, _retried)


def _retried(told: Mapping[str, Any]) -> str:
    if told.get("fresh"):
        return f"Once more as {told['key']}. Next: engine outbox show '{told['key']}'"
    return f"{told['key']} is {told['state']}. Next: engine outbox show '{told['key']}'"


@group.command(epilog="Example: engine outbox cancel heartbeat:0198c2:0")
@click.argument("key")
@gateway_options()
def cancel(line: Line, key: str) -> None:
    """Do not send one that has not left yet; its words go to `engine inbox list`."""
    answer = line.call("outbox.cancel", {"key": key, "idempotencyKey": str(uuid4())})
    line.show(answer, lambda told: f"{told['key']} is {told['state']}.")


@group.command(epilog="Example: engine outbox purge --older-than 7d")
@click.option("--older-than", metavar="SPAN", help="30d otherwise.")
@click.option("--state", type=click.Choice(STATES), help="Only these; every ended one otherwise.")
@gateway_options()
def purge(line: Line, older_than: str | None, state: str | None) -> None:
    """Delete messages that have ended; what is on its way is never deleted."""
    params: dict[str, Any] = {"idempotencyKey": str(uuid4())}
    if older_than:
        params["beforeMs"] = instant(older_than, "--older-than", line, ahead=False)
    if state:
        params["state"] = state
    line.show(line.call("outbox.purge", params), lambda told: f"Removed: {told['removed']}.")
