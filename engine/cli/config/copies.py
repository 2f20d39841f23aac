"""`engine config diff`, `restore`, `history`: what the file was, and when it changed (§3)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from engine import __version__
from engine.cli.app import here
from engine.cli.config.difference import difference
from engine.cli.config.effect import effect
from engine.cli.config.file import check, text_of
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.clock import SystemClock
from jobs.errors import NotFound


def join(group: click.Group) -> None:
    """Put the commands about copies of the file into a group."""
    for command in (diff, restore, history):
        group.add_command(command)


@click.command(epilog="Example: engine config diff --against last-good")
@click.option(
    "--against", default="bak", show_default=True, metavar="COPY",
    help="bak, bak.1 … bak.4, last-good, clobbered.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def diff(ctx: click.Context, /, against: str, as_json: bool) -> int:
    """What is different in a copy of the file; secrets are hidden."""
    at = here(ctx)
    copy = _copy(at, against)
    lines = difference(
        text_of(copy), text_of(at.paths.config), at.paths.config.name, other=copy.name
    )
    if as_json:
        click.echo(dumped({"against": str(copy), "same": not lines, "diff": lines}))
    else:
        click.echo("\n".join(lines) if lines else f"the same as {copy.name}")
    return 0


@click.command(epilog="Example: engine config restore last-good")
@click.argument("copy_name", metavar="COPY")
@click.option("--dry-run", is_flag=True, help="Show what would change and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def restore(ctx: click.Context, /, copy_name: str, dry_run: bool, as_json: bool) -> int:
    """Put a copy of the file back: bak, bak.1 … bak.4, last-good, clobbered.N.

    It is validated and written as any change is; what stands there now becomes the newest bak.
    """
    from engine.config import writing

    at = here(ctx)
    copy = _copy(at, copy_name)
    path, text = at.paths.config, text_of(copy)
    if dry_run:
        check(at, {path: text.encode()})
        lines = difference(text_of(path), text, path.name)
        click.echo(dumped({"ok": True, "diff": lines}) if as_json else "\n".join(lines))
        return 0
    written = writing.write(
        path,
        lambda _: text,
        validate=lambda raw: check(at, {path: raw}),
        now=SystemClock().now(),
        version=__version__,
        replace=True,
    )
    sys.stderr.write(f"{written.line}\n")
    if written.changed:
        sys.stderr.write(f"{effect(at, ['gateway'])}\n")
    if as_json:
        told = {"ok": True, "restored": str(copy), "changed": written.changed}
        click.echo(dumped({**told, "hash": written.new_hash}))
    return 0


def _copy(at: Place, name: str) -> Path:
    from engine.config.keeping import copies

    found = copies.named(at.paths.config, name)
    if found is None:
        path = at.paths.config
        there = [one.name.removeprefix(f"{path.name}.") for one in copies.every(path)]
        raise NotFound(
            f"there is no copy called {name}",
            why=f"there is {', '.join(there)}" if there else "none was made yet",
            fix=f"engine config restore {there[0]}" if there else "engine config validate",
        )
    return found


@click.command(epilog="Example: engine config history --limit 5")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def history(ctx: click.Context, /, limit: int, as_json: bool) -> int:
    """Which changes the gateway took over, when and whose they were; newest first."""
    at = here(ctx)
    rows = _rows(at, limit)
    if as_json:
        click.echo(dumped({"entries": rows}))
        return 0
    if not rows:
        click.echo("no change was taken over yet", err=True)
        return 0
    from engine.cli.render import show_table

    head = ("WHEN", "BY", "WHAT", "CLASS", "CHANGED", "HASH")
    show_table(head, [_row(at, row) for row in rows])
    return 0


def _row(at: Place, row: Mapping[str, Any]) -> list[str]:
    from engine.cli.render import stamp
    from jobs.wallclock import zone

    detail = row["detail"]
    paths = [str(one) for one in detail.get("paths") or ()]
    shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    hashes = f"{str(detail.get('oldHash') or '')[:8]} -> {str(detail.get('newHash') or '')[:8]}"
    action = str(row["action"]).removeprefix("config.")
    return [
        stamp(row["at"], zone(at.zone)), str(row["actor"]), action,
        str(detail.get("class") or ""), shown, hashes,
    ]  # fmt: skip


def _rows(at: Place, limit: int) -> list[dict[str, Any]]:
    from engine.config.keeping.records import ACTIONS
    from engine.store import audit
    from jobs.store.db import Database

    where = audits(at)
    if isinstance(where, Path) and not where.is_file():
        return []

    async def ask() -> list[dict[str, Any]]:
        database = await Database.open(where, read_only=True)
        try:
            return await database.read(lambda tx: audit.latest(tx, ACTIONS, limit))
        finally:
            await database.close()

    return asyncio.run(ask())


def audits(at: Place) -> Path | str:
    """Where the audit lies: the file of the store, or the address of its server."""
    from engine.cli import at_rest, offline

    file = offline.database(at.paths)
    if file is not None:
        return file
    url = at_rest.loaded(at).config.store.url
    return url.reveal() if url is not None else at.paths.database
