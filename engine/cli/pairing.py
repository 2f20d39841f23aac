"""`engine pairing`: strangers who ask to be let in (channels.md §3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import click

from engine.cli import at_rest
from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.render import relative, show_table
from engine.clock import SystemClock

_OWNERS: Final = "commands.ownerAllowFrom"


@click.group(cls=Group, name="pairing", epilog="Example: engine pairing list")
def group() -> None:
    """Strangers who wrote to a bot, and whom you let in."""


@group.command("list", epilog="Example: engine pairing list telegram")
@click.argument("channel", required=False)
@click.option("--channel", "named", metavar="NAME", help="The same as the argument.")
@click.option("--account", metavar="ID", help="One account.")
@gateway_options()
def listing(line: Line, channel: str | None, named: str | None, account: str | None) -> None:
    """Who waits to be let in, and who was. Works with the gateway down."""
    given = {"channel": channel or named, "accountId": account}
    params = {key: value for key, value in given.items() if value}
    with at_rest.reading(line) as asked:
        answer = asked.call("pairing.list", params, timeout=line.timeout)
    if line.as_json:
        line.show(answer, str)
        return
    now = SystemClock().now()
    waiting, known = answer.get("requests") or (), answer.get("approved") or ()
    if waiting:
        pending = [
            (*_who(one), str(one["code"]), relative(one.get("expiresAtMs"), now)) for one in waiting
        ]
        show_table(("CHANNEL", "ACCOUNT", "WHO", "CODE", "EXPIRES"), pending, keep=4)
        click.echo(f"Let in with: engine pairing approve {waiting[0]['channel']} CODE")
    else:
        click.echo("Nobody waits to be let in.")
    if known:
        rows = [(*_who(one), relative(one.get("approvedAtMs"), now)) for one in known]
        show_table(("CHANNEL", "ACCOUNT", "LET IN", "WHEN"), rows, keep=3)


@group.command(epilog="Example: engine pairing approve telegram ABCD2345")
@click.argument("channel")
@click.argument("code")
@gateway_options()
def approve(line: Line, channel: str, code: str) -> None:
    """Let in whoever was told this code. The first one ever becomes the owner."""
    answer = line.call("pairing.approve", _params(channel, code))
    line.show(answer, _let_in)


def _let_in(told: Mapping[str, Any]) -> str:
    who = f"{_label(told)} on {told['channel']}/{told['accountId']}"
    if told["alreadyApproved"]:
        return f"already approved: {who}"
    owner = ""
    if told.get("madeOwner"):
        owner = f" The first one is the owner: {told['owner']} is in {_OWNERS} now."
    # What they wrote before was not kept: `last` leads to them from their next message on.
    return f"Let in: {who}; what they write from now on is heard.{owner}"


@group.command(epilog="Example: engine pairing reject telegram ABCD2345")
@click.argument("channel")
@click.argument("code")
@gateway_options()
def reject(line: Line, channel: str, code: str) -> None:
    """Forget a request; whoever was let in by the code is out again."""
    answer = line.call("pairing.reject", _params(channel, code))
    line.show(answer, lambda told: f"Rejected: {_label(told)} on {told['channel']}.")


def _params(channel: str, code: str) -> dict[str, Any]:
    return {"channel": channel, "code": code, "idempotencyKey": str(uuid4())}


def _who(one: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(one["channel"]), str(one["accountId"]), _label(one)


def _label(one: Mapping[str, Any]) -> str:
    return f"{one['label']} ({one['peer']})" if one.get("label") else str(one["peer"])
