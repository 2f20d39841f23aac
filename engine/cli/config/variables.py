"""`engine env`: every variable the engine looks at, whether it is set, and by whom (§2.5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from engine.cli.app import here
from engine.cli.config.file import tree
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.config.paths import VARIABLES


@click.command(epilog="Example: engine env --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, /, as_json: bool) -> None:
    """Which variables are set, and where; what they hold is not told."""
    rows = [*_rows(here(ctx))]
    if as_json:
        told = [{"name": name, "set": there, "source": source} for name, there, source in rows]
        click.echo(dumped({"variables": told}))
        return
    from engine.cli.render import show_table

    head = ("VARIABLE", "STATE", "SOURCE")
    show_table(head, [[name, "set" if there else "unset", src or "-"] for name, there, src in rows])


def _rows(at: Place) -> Iterator[tuple[str, bool, str | None]]:
    from engine.config import json5, shell_env
    from engine.config.load import variables

    root = (tree(at) if at.paths.config.exists() else None) or json5.parse("{}").root
    env, origins = variables(root, at.environ, state=at.paths.state, cwd=Path.cwd())
    names = (*VARIABLES, *shell_env.PROVIDERS, *shell_env.expected(root))
    for name in dict.fromkeys(names):
        there = bool(env.get(name))
        yield name, there, origins.get(name) if there else None
