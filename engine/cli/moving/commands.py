"""`engine import`: another engine's home becomes this one (operations.md §1.2, cron.md §22-11)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final

import click

from engine.cli.app import Group, here
from engine.cli.ending import dumped
from engine.cli.place import Place, shown
from engine.clock import SystemClock
from jobs.errors import Conflict, UsageError

if TYPE_CHECKING:
    from engine.cli.moving.move import How, Told

_USUAL: Final = ("~/.openclaw", "~/.clawdbot", "~/.moltbot")
_LOST: Final = 1  # exit status: something was not brought over as it was


@click.group(cls=Group, name="import", epilog="Example: engine import openclaw --dry-run")
def group() -> None:
    """Take over the home of another engine."""


@group.command(epilog="Example: engine import openclaw ~/.openclaw --dry-run")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--merge", is_flag=True, help="Into a home in use: what is there stays.")
@click.option("--force", is_flag=True, help="Into a home in use: theirs takes its place.")
@click.option("--link", is_flag=True, help="Leave workspaces where they are and work in them.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def openclaw(
    ctx: click.Context,
    /,
    path: Path | None,
    merge: bool,
    force: bool,
    link: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Take over a home of OpenClaw: config, jobs and their past, people, routes, workspaces.

    Nothing in it is changed. All of it is put in place in one go, or nothing is; doing it again
    with --merge changes nothing. Status 1: something needs your eye; it is told.
    """
    from engine.cli.moving.move import How

    at = here(ctx)
    if merge and force:
        raise UsageError(
            "nothing was imported", why="--merge and --force contradict", fix="give one of them"
        )
    how = How(merge=merge, force=force, link=link, dry_run=dry_run)
    found = _home(at, path)
    told = _moved(at, found, how)
    if as_json:
        click.echo(dumped(_report(at, found, how, told)))
    else:
        _show(at, found, how, told)
    return _LOST if told.lost else 0


def _home(at: Place, path: Path | None) -> Path:
    if path is not None:
        found = at.paths.os_home / str(path)[2:] if str(path).startswith("~/") else path.absolute()
    else:
        named = at.environ.get("OPENCLAW_STATE_DIR", "").strip()
        usual = [at.paths.expand(one) for one in ((named,) if named else _USUAL)]
        found = next((one for one in usual if one.is_dir()), usual[0])
    if not found.is_dir():
        raise UsageError(
            "nothing was imported",
            why=f"{found} is no folder",
            fix="name the other home: engine import openclaw PATH",
        )
    if found.resolve() == at.paths.state.resolve():
        raise UsageError(
            "nothing was imported", why="it is this very home", fix="name the other one"
        )
    return found


def _moved(at: Place, path: Path, how: How) -> Told:
    from engine.cli.holding import hold
    from engine.cli.moving import move

    if at.owner is not None and not how.dry_run:
        raise Conflict(
            "nothing was imported",
            why=f"a gateway runs on this home (pid {at.owner.pid})",
            fix=f"{at.program} gateway stop",
        )
    if not how.dry_run or how.merge or how.force:
        move.refuse_occupied(at, how)
    with ExitStack() as stack:
        if not how.dry_run:
            stack.enter_context(hold(at, SystemClock().now()))
        folder = stack.enter_context(_folder(None if how.dry_run else at.paths.state))
        told = move.move(at, path, how, folder)
    if not how.dry_run:
        from engine.cli.setup import furnish

        furnish(at, lambda _: None)
    return told


@contextmanager
def _folder(inside: Path | None) -> Iterator[Path]:
    """A folder that is gone on leaving; on the disk of the home, so that entries can be renamed."""
    folder = Path(mkdtemp(prefix=".import-", dir=inside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -- words ---------------------------------------------------------------------------------------


def _report(at: Place, path: Path, how: How, told: Told) -> dict[str, Any]:
    return {
        "ok": True,
        "dryRun": how.dry_run,
        "source": str(path),
        "home": str(at.paths.state),
        "changed": told.changed,
        "taken": told.taken,
        "aside": None if told.aside is None else str(told.aside),
        "missingVariables": list(told.missing),
        "remarks": [one.to_json() for one in told.notes.all],
        "next": _next(at, how, told),
    }


def _show(at: Place, path: Path, how: How, told: Told) -> None:
    head = "Dry run: would take" if how.dry_run else "Took"
    if not told.changed and not how.dry_run:
        head = "Nothing is new. Here already:"
    click.echo(f"{head} {shown(path, at.paths)} -> {shown(at.paths.state, at.paths)}")
    width = max(map(len, told.taken), default=0)
    for what, much in told.taken.items():
        click.echo(f"  {what.ljust(width)}  {much}")
    for one in told.notes.all:
        fix = f". Fix: {one.fix}" if one.fix else ""
        click.echo(f"{one.weight}: {one.where}: {one.why}{fix}", err=True)
    if told.aside is not None:
        click.echo(f"What stood here lies in {shown(told.aside, at.paths)}", err=True)
    for step in _next(at, how, told):
        click.echo(f"Next: {step}")


def _next(at: Place, how: How, told: Told) -> list[str]:
    if how.dry_run:
        return []
    found = [f"put {name}=… into {shown(at.paths.env_file, at.paths)}" for name in told.missing]
    return [*found, "stop the other gateway: two of them would answer the same bot",
            f"{at.program} gateway", f"{at.program} why"]  # fmt: skip
