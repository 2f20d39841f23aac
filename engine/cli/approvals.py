"""`engine approvals`: commands that agents may not run without a person (operations.md §13.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import click

from engine.cli.app import Group, here
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.render import one_line, plain, relative, show_table
from engine.clock import SystemClock
from jobs.errors import NotFound


@click.group(cls=Group, name="approvals", epilog="Example: engine approvals list")
def group() -> None:
    """Commands agents may only run if you say so."""


@group.command("list", epilog="Example: engine approvals list --all")
@click.option("--all", "every", is_flag=True, help="Those decided in the last days, too.")
@gateway_options()
def listing(line: Line, every: bool) -> None:
    """What waits for your answer."""
    answer = line.call("exec.approval.list", {"all": every})
    if line.as_json:
        line.show(answer, str)
        return
    found = answer["approvals"]
    if not found:
        click.echo("No command waits for you.")
        return
    now = SystemClock().now()
    rows = [
        (one["id"], one["agentId"], one["name"], _state(one), relative(one["askedAtMs"], now))
        for one in found
    ]
    show_table(("ID", "AGENT", "COMMAND", "STATE", "ASKED"), rows, keep=2)
    waiting = [one for one in found if one["state"] == "waits"]
    for one in waiting:  # nobody allows what they have not read whole
        if one["whole"] != one["name"]:
            where = f" in {one_line(one['workdir'])}" if one["workdir"] else ""
            click.echo(f"{one['id']} would run{where}:")
            click.echo("\n".join(f"    {line}" for line in plain(one["whole"]).splitlines()))
    if waiting:
        click.echo(f"Allow with: {line.place.program} approvals approve {waiting[0]['id']}")


@group.command("get", epilog="Example: engine approvals get --json")
@click.option("--node", metavar="ID", help="Refused: nodes run nothing here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def policy(ctx: click.Context, node: str | None, as_json: bool) -> None:
    """What agents may run, and when a person is asked; from the config."""
    if node is not None:
        raise NotFound(f"there is no node {node}", fix="engine approvals get")
    from engine.cli.edges.sandbox import exec_policy

    told = exec_policy(here(ctx))
    if as_json:
        click.echo(dumped(told))
        return
    click.echo(f"Commands: {told['says']}")
    if told["safeBins"]:
        click.echo(f"Allowed: {', '.join(told['safeBins'])}")


@group.command(epilog="Example: engine approvals approve 3f9a2c")
@click.argument("ident", metavar="ID")
@gateway_options()
def approve(line: Line, ident: str) -> None:
    """Let a command run, once. It runs now, and its agent is told how it ended."""
    line.show(_resolved(line, ident, "allow-once"), lambda one: f"Allowed: {_name(one)}. It runs.")


@group.command(epilog="Example: engine approvals deny 3f9a2c")
@click.argument("ident", metavar="ID")
@gateway_options()
def deny(line: Line, ident: str) -> None:
    """Refuse a command. Its agent is told."""
    line.show(_resolved(line, ident, "deny"), lambda one: f"Denied: {_name(one)}.")


def _resolved(line: Line, ident: str, decision: str) -> Mapping[str, Any]:
    params = {"id": ident, "decision": decision, "idempotencyKey": str(uuid4())}
    answer: Mapping[str, Any] = line.call("exec.approval.resolve", params)
    return answer


def _state(one: Mapping[str, Any]) -> str:
    return f"{one['state']} by {one['by']}" if one.get("by") else str(one["state"])


def _name(one: Mapping[str, Any]) -> str:
    return f"{one['name']} ({one['id']})"
