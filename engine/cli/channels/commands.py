"""`engine channels`: what is configured and what is connected (operations.md §16 L1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from engine.cli import at_rest
from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.channels import down as channels_down
from engine.cli.channels.notes import notes
from engine.cli.ending import dumped, error_json, sentence
from engine.cli.named import channel_of
from engine.cli.render import one_line, relative, show_table
from engine.clock import SystemClock
from engine.messages.fault import remedy
from jobs.errors import GatewayDown


@click.group(cls=Group, name="channels", epilog="Example: engine channels status")
def group() -> None:
    """Chat channels and their accounts."""


@group.command(epilog="Example: engine channels status --probe")
@click.option("--probe", is_flag=True, help="Ask every platform now.")
@click.option("--channel", metavar="NAME", help="One channel.")
@gateway_options()
def status(line: Line, probe: bool, channel: str | None) -> int:
    """Every channel and account. With the gateway down: what is configured; exit status 3.

    With --probe the exit status is 1 if an account that is switched on does not work.
    """
    params: dict[str, Any] = {"probe": probe} if probe else {}
    if channel:
        params["channel"] = channel_of(line, channel)
    try:
        answer = line.call("channels.status", params)
    except GatewayDown as down:
        if line.as_json:
            click.echo(dumped(error_json(down) | channels_down.listing(line.place)))
            click.echo(f"{sentence(down)}\nFix: {down.fix}", err=True)
            return down.exit_status
        click.echo(channels_down.FIRST)
        found = channels_down.accounts(line.place)
        rows = [(name, ident, f"{word} {channels_down.DOWN}") for name, ident, word in found]
        show_table(("CHANNEL", "ACCOUNT", "STATE"), rows, keep=2)
        for warning in channels_down.warnings(line.place):
            click.echo(f"warning: {one_line(warning)}")
        raise down from down.__cause__
    if line.as_json:
        click.echo(dumped(answer))
    elif channel and not any((answer.get("channelAccounts") or {}).values()):
        click.echo(f"No account of {params['channel']} is configured.")
    else:
        show(answer)
    return 1 if any(one.get("ok") is False for one in _probes(answer)) else 0


@group.command(epilog="Example: engine channels routes --agent main")
@click.option("--agent", "agent_id", metavar="ID", help="One agent's.")
@click.option("--channel", metavar="NAME", help="One channel's.")
@gateway_options()
def routes(line: Line, agent_id: str | None, channel: str | None) -> None:
    """Where conversations came from: age, how it was learnt, usable or why not.

    The one marked * is where `last` leads. Works with the gateway down.
    """
    given = {"agentId": agent_id, "channel": channel and channel_of(line, channel)}
    params = {key: value for key, value in given.items() if value}
    with at_rest.reading(line) as asked:
        answer = asked.call("channels.routes", params, timeout=line.timeout)
    if line.as_json:
        click.echo(dumped(answer))
        return
    now = SystemClock().now()
    rows = [_route_row(one, now) for one in answer.get("routes") or ()]
    if rows:
        show_table(("AGENT", "ROUTE", "WHO", "AGE", "LEARNT FROM", "STATE"), rows, keep=2)
    for agent, found in sorted((answer.get("last") or {}).items()):
        if found.get("because"):
            click.echo(f"{agent}: last leads nowhere ({found['reason']}): {found['because']}")
    if not rows and not answer.get("last"):
        click.echo("No routes.")


def _route_row(one: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    thread = f":topic:{one['threadId']}" if one.get("threadId") else ""
    mark = " *" if one.get("last") else ""
    since = f", {relative(one['sinceMs'], now)}" if one.get("sinceMs") else ""
    state = "usable"
    if not one.get("usable"):
        state = f"{one.get('reason')}{since}: {one.get('because')}. Fix: {one.get('fix')}"
    return (
        str(one["agentId"]),
        f"{one['channel']}/{one['accountId']} -> {one['to']}{thread}{mark}",
        str(one.get("peerLabel") or "-"),
        relative(one.get("setAtMs"), now),
        f"message {one['setBy']} ({one['chatType']})",
        state,
    )


@group.command("send-test", epilog="Example: engine channels send-test --to telegram:123456")
@click.option("--channel", metavar="NAME", help="By this channel; else the one --to names.")
@click.option("--to", metavar="PEER", help="Who gets it; else where an alert would go.")
@click.option("--account", "account_id", metavar="ID", help="Account that sends.")
@click.option("--thread", "--thread-id", "thread_id", metavar="ID", help="Topic of the recipient.")
@click.option("--agent", "agent_id", metavar="ID", help="On whose behalf.")
@click.option("--dry-run", is_flag=True, help="Say where it would go, and send nothing.")
@gateway_options()
def send_test(line: Line, dry_run: bool, **given: str | None) -> int:
    """Send a marked message through the outbox to a person, and wait for its receipt.

    Exit 1 if it goes nowhere or did not arrive, 5 if its outcome is not known in time.
    """
    from engine.cli.heartbeat.commands import tested

    names = {"account_id": "accountId", "thread_id": "threadId", "agent_id": "agentId"}
    asked = {names.get(key, key): value for key, value in given.items() if value}
    return tested(line, {**asked, "dryRun": dry_run})


def _probes(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for accounts in (answer.get("channelAccounts") or {}).values():
        for account in accounts:
            if account.get("probe") is not None:
                yield account["probe"]


def show(answer: Mapping[str, Any]) -> None:
    """Print the accounts as a table."""
    now = SystemClock().now()
    probed = any(_probes(answer))
    rows = [*account_rows(answer, now, probed=probed, noted=True)]
    heads = ("CHANNEL", "ACCOUNT", "STATE", "LAST IN", "LAST OUT", "ERROR", "NOTES")
    if rows:
        show_table((*heads, "PROBE") if probed else heads, rows, keep=2, spare=("NOTES",))
    else:
        click.echo("No channels.")
    for warning in answer.get("warnings") or ():
        click.echo(f"warning: {one_line(warning)}")


def account_rows(
    answer: Mapping[str, Any], now: datetime, *, probed: bool = False, noted: bool = False
) -> Iterator[list[str]]:
    """One row per account; a channel without accounts is one row itself."""
    channels = answer.get("channels") or {}
    accounts = answer.get("channelAccounts") or {}
    by_default = answer.get("channelDefaultAccountId") or {}
    for name in answer.get("channelOrder") or [*channels]:
        whole = channels.get(name) or {}
        if not accounts.get(name) and whole.get("configured") is False:
            continue
        several = len(accounts.get(name) or ()) > 1
        for account in accounts.get(name) or [{**whole, "accountId": "-"}]:
            chosen = several and account.get("accountId") == by_default.get(name)
            yield [
                str(name),
                str(account.get("accountId") or "-"),
                state_word(account),
                relative(account.get("lastInboundAt"), now),
                relative(account.get("lastOutboundAt"), now),
                one_line(account.get("lastError") or account.get("warning") or _failure(account)),
                *([notes(account, now, default=chosen)] if noted else []),
                *([one_line((account.get("probe") or {}).get("detail") or "-")] if probed else []),
            ]


def _failure(account: Mapping[str, Any]) -> str:
    """Why the newest message of an account reached nobody, where that is so."""
    last = account.get("lastFailure") or {}
    said = f": {last['detail']}" if last.get("detail") else ""
    return f"{last['reason']}{said}" if last else "-"


def state_word(account: Mapping[str, Any]) -> str:
    """One word for an account; `connected` only when it is."""
    if account.get("enabled") is False:
        return "disabled"
    if account.get("configured") is False:
        return "not-configured"
    if account.get("connected"):
        return str(account.get("runtime") or "connected")
    if account.get("runtime"):
        return str(account["runtime"])
    if account.get("running"):
        return "running" if account.get("connected") is None else "connecting"
    return "configured" if account.get("running") is None else "stopped"


def broken(answer: Mapping[str, Any]) -> dict[str, str]:
    """Accounts that are switched on and do not work, each with the reason and the way out."""
    found = {}
    for name, accounts in (answer.get("channelAccounts") or {}).items():
        for account in accounts:
            on = account.get("enabled") is not False and account.get("configured") is not False
            if on and not account.get("connected") and (why := account.get("lastError")):
                ident = str(account.get("accountId"))
                found[f"{name}/{ident}"] = f"{why}. Fix: {_way_out(str(why), name, ident)}"
    return found


def _way_out(why: str, channel: str, account: str) -> str:
    return remedy(why.partition(":")[0], channel, account) or "engine channels status --probe"
