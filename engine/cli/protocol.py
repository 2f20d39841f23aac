"""`engine protocol`: the wire contract as JSON Schema, without a gateway (protocol.md §14)."""

from __future__ import annotations

from difflib import get_close_matches

import click

from engine.cli.app import Group
from engine.cli.ending import dumped
from jobs.errors import NotFound


@click.group(cls=Group, name="protocol", epilog="Example: engine protocol schema cron.add")
def group() -> None:
    """What clients and the gateway say to each other."""


@group.command(epilog="Example: engine protocol schema cron.add")
@click.argument("method", required=False)
@click.option("--json", "_as_json", is_flag=True, help="It is JSON with or without.")
def schema(method: str | None, _as_json: bool) -> None:
    """Print JSON Schema of all frames and methods, or of one method's params."""
    from gateway.protocol import schema as schemas
    from gateway.protocol.methods import METHODS

    if method is not None and method not in METHODS:
        near = get_close_matches(method, METHODS, 1, 0.5)
        raise NotFound(
            f"unknown method: {method}",
            why=f"did you mean {near[0]}?" if near else "",
            fix=f"engine protocol schema {near[0]}" if near else "engine protocol schema",
        )
    click.echo(dumped(schemas.whole() if method is None else schemas.of_method(method)))
