"""`engine reset`: begin anew, and lose nothing: it is moved aside (operations.md §1.1)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from engine.cli.app import here
from engine.cli.ending import dumped
from engine.cli.holding import hold
from engine.cli.place import Place, shown
from engine.clock import SystemClock
from jobs.errors import UsageError

# What belongs to whom. The workspace and the backups are a person's own and stay, always.
_STORE: Final = ("state.db", "state.db-wal", "state.db-shm", "media")
_SECRETS: Final = ("gateway.token", "device.key", "last-exit.json", "restart-sentinel.json")


@click.command(epilog="Example: engine reset --scope state --dry-run")
@click.option(
    "--scope",
    type=click.Choice(["config", "state", "full"]),
    required=True,
    help="The config file; jobs, runs and conversations; or both, and the tokens.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be moved, and move nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, scope: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Begin anew: config, state or both are moved into a folder of the home; the workspace stays.

    Refused while a gateway runs on this home.
    """
    place = here(ctx)
    now = SystemClock().now()
    goes = _named(place, scope)
    aside = place.paths.state / f"reset-{now:%Y%m%d-%H%M%S}"
    told = {"ok": True, "moved": [str(path) for path in goes], "to": str(aside), "dryRun": dry_run}
    if not dry_run and goes:
        if not yes and not sys.stdin.isatty():
            raise UsageError("nothing was reset", fix=f"engine reset --scope {scope} --yes")
        if not yes:
            names = ", ".join(path.name for path in goes)
            click.confirm(f"Move {names} to {shown(aside, place.paths)}?", abort=True, err=True)
        with hold(place, now):
            aside.mkdir(mode=0o700)
            for path in goes:
                path.rename(aside / path.name)
    if as_json:
        click.echo(dumped(told))
    elif not goes:
        click.echo("There is nothing to reset.")
    else:
        verb = "Would move" if dry_run else "Moved"
        names = ", ".join(path.name for path in goes)
        click.echo(f"{verb} {names} to {shown(aside, place.paths)}. Next: {place.program} setup")


def _named(place: Place, scope: str) -> list[Path]:
    state, config = place.paths.state, place.paths.config
    found: list[Path] = []
    if scope in ("config", "full"):
        found.append(config)
    if scope in ("state", "full"):
        found += [state / name for name in _STORE]
    if scope == "full":
        found += [state / name for name in _SECRETS]
    return [path for path in found if path.exists()]
