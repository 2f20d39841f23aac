"""`engine channels`: what is configured and what is connected (operations.md §16 L1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import click

from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.channel_notes import notes
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.cli.render import one_line, relative, show_table
from engine.clock import SystemClock
from engine.config import fast
from engine.fault import remedy
from jobs.errors import GatewayDown

DOWN: Final = "configured (gateway down)"


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
        params["channel"] = channel
    try:
        answer = line.call("channels.status", params)
    except GatewayDown as down:
        if not line.as_json:
            _show_configured(line.place)
        raise down from down.__cause__
    if line.as_json:
        click.echo(dumped(answer))
    else:
        show(answer)
    return 1 if any(one.get("ok") is False for one in _probes(answer)) else 0


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
                one_line(account.get("lastError") or account.get("warning") or "-"),
                *([notes(account, now, default=chosen)] if noted else []),
                *([one_line((account.get("probe") or {}).get("detail") or "-")] if probed else []),
            ]


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


def configured(place: Place) -> list[list[str]]:
    """Channels the config file names; nothing is claimed about them."""
    found = fast.get(place.values, "channels")
    named = {str(k): v for k, v in found.items()} if isinstance(found, dict) else {}
    rows = [["local", "-", DOWN]] if "local" not in named else []
    for name, section in named.items():
        accounts = section.get("accounts") if isinstance(section, dict) else None
        rows += [[name, str(one), DOWN] for one in (accounts or ["-"])]
    return rows


def _show_configured(place: Place) -> None:
    show_table(("CHANNEL", "ACCOUNT", "STATE"), configured(place), keep=2)
