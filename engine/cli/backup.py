"""`engine backup`: the home in one file. Safe while the gateway runs (engine/backup)."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from engine import __version__
from engine.cli.app import Group, here
from engine.cli.ending import dumped
from engine.cli.place import Place, shown
from engine.cli.progress import Progress
from engine.cli.render import size, stamp
from engine.clock import SystemClock
from engine.config import fast
from jobs.wallclock import ms, zone

if TYPE_CHECKING:
    from engine.backup.manifest import Manifest

_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=Group, name="backup", epilog="Example: engine backup create --keep 7")
def group() -> None:
    """Pack this home into one file, and put it back."""


@group.command(epilog="Example: engine backup create --keep 7")
@click.argument("path", type=_FILE, required=False)
@click.option("--only-config", is_flag=True, help="The config, .env and the token; no state.")
@click.option("--no-workspace", is_flag=True, help="Leave the agents' workspaces out.")
@click.option("--keep", type=click.IntRange(1), help="Of those in the usual place keep so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def create(
    ctx: click.Context,
    /,
    path: Path | None,
    only_config: bool,
    no_workspace: bool,
    keep: int | None,
    as_json: bool,
) -> None:
    """Pack config, state, token and workspaces. It holds secrets: only you may read it."""
    from engine.backup import packing

    at, now = here(ctx), SystemClock().now()
    target = (path or packing.usual_target(at.paths, now)).absolute()
    wish = packing.Wish(
        paths=at.paths,
        target=target,
        now=now,
        engine=__version__,
        only_config=only_config,
        workspaces=not no_workspace,
        elsewhere=_elsewhere(at),
    )
    with _told("packing", _bytes_of(at)) as told:
        manifest = packing.pack(wish, told)
    gone = packing.kept(at.paths)[keep:] if keep else []
    for old in gone:
        old.unlink()
    if as_json:
        extra = {"deleted": [str(old) for old in gone]}
        click.echo(dumped({**_facts(target, manifest), **extra}))
        return
    click.echo(f"{_sentence(manifest, at)} → {shown(target, at.paths)}")
    for place, why in manifest.left_out.items():
        click.echo(f"not in it: {place} ({why})", err=True)
    for old in gone:
        click.echo(f"deleted {shown(old, at.paths)} (--keep {keep})")


@group.command("list", epilog="Example: engine backup list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def listing(ctx: click.Context, /, as_json: bool) -> None:
    """The backups of this home in their usual place, newest first."""
    from engine.backup import packing

    at = here(ctx)
    found = [(path, path.stat()) for path in packing.kept(at.paths)]
    if as_json:
        rows = [
            {"path": str(p), "bytes": s.st_size, "atMs": round(s.st_mtime * 1000)} for p, s in found
        ]
        click.echo(dumped({"backups": rows}))
        return
    where, now = zone(at.zone), SystemClock().now()
    for path, facts in found:
        when = stamp(round(facts.st_mtime * 1000), where, now)
        click.echo(f"{when}  {size(facts.st_size):>9}  {shown(path, at.paths)}")
    if not found:
        click.echo(f"No backup yet. Make one: {at.program} backup create")


@group.command(epilog="Example: engine backup verify ~/.engine/backups/engine-default-….tar.gz")
@click.argument("path", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(ctx: click.Context, /, path: Path, as_json: bool) -> None:
    """Whether every byte of a backup is there and its database is whole."""
    from engine.backup.reading import described, unpacked

    total = described(path).size
    with tempfile.TemporaryDirectory() as scratch, _told("verifying", total) as told:
        manifest = unpacked(path, Path(scratch), told)
    if as_json:
        click.echo(dumped({"ok": True, **_facts(path.absolute(), manifest)}))
    else:
        click.echo(f"whole: {_sentence(manifest, here(ctx))}")


@group.command(epilog="Example: engine backup restore BACKUP.tar.gz --force")
@click.argument("path", type=_FILE)
@click.option("--force", is_flag=True, help="Move aside what is there.")
@click.option("--dry-run", is_flag=True, help="Check the backup and say what would be replaced.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def restore(ctx: click.Context, /, path: Path, force: bool, dry_run: bool, as_json: bool) -> None:
    """Put a backup back; the gateway must be down. What is there is moved aside, not deleted."""
    from engine.backup.reading import described, unpacked
    from engine.backup.restoring import in_the_way, restore as put_back
    from engine.cli.holding import hold

    at, now = here(ctx), SystemClock().now()
    total = described(path).size
    if dry_run:
        with tempfile.TemporaryDirectory() as scratch, _told("verifying", total) as told:
            manifest = unpacked(path, Path(scratch), told)
        would = in_the_way(at.paths, manifest)
        if as_json:
            click.echo(dumped({**_facts(path, manifest), "wouldReplace": [str(p) for p in would]}))
            return
        click.echo(f"would restore {_sentence(manifest, at)}")
        for each in would:
            click.echo(f"would move aside {shown(each, at.paths)}")
        return
    with hold(at, now), _told("restoring", total) as told:
        done = asyncio.run(put_back(path, at.paths, now=now, force=force, told=told))
    if as_json:
        click.echo(dumped(done.to_json()))
        return
    click.echo(f"restored {_sentence(done.manifest, at)}")
    if done.aside is not None:
        click.echo(f"what was there before is in {shown(done.aside, at.paths)}")
    if done.called_off:
        n = len(done.called_off)
        click.echo(
            f"{n} message{'' if n == 1 else 's'} waited to be sent when it was made and may have"
            f" been sent since: look at {at.program} heartbeat inbox"
        )
    click.echo(f"Next: {at.program} gateway  (slots since then follow their jobs' misfire policy)")


def _elsewhere(at: Place) -> str | None:
    """The kind of server the state is in, if it is in one: its address may hold a password."""
    url = fast.get(at.values, "store.url")
    scheme = urlsplit(url).scheme.partition("+")[0] if isinstance(url, str) else ""
    return scheme if scheme not in ("", "sqlite") else None


def _bytes_of(at: Place) -> int:
    """About how much there is to pack: a bar needs no more."""
    total = 0
    for folder, _, names in os.walk(at.paths.state):
        for name in names:
            with suppress(FileNotFoundError):  # it went while we looked
                total += (Path(folder) / name).lstat().st_size
    return total


@contextmanager
def _told(what: str, total: int) -> Iterator[Callable[[str, int], None]]:
    with Progress(what, total=total) as progress:
        yield lambda _name, done: progress.advance(done)


def _facts(path: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "path": str(path),
        "createdAtMs": ms(manifest.created_at),
        "engine": manifest.engine,
        "profile": manifest.profile,
        "schema": manifest.schema,
        "onlyConfig": manifest.only_config,
        "files": len(manifest.entries),
        "bytes": manifest.size,
        "leftOut": dict(manifest.left_out),
    }


def _sentence(manifest: Manifest, at: Place) -> str:
    when = stamp(ms(manifest.created_at), zone(at.zone), SystemClock().now())
    what = (
        "config only"
        if manifest.only_config
        else (
            "with the state" if manifest.schema is not None else "without a state: there was none"
        )
    )
    n = len(manifest.entries)
    files = f"{n} file{'' if n == 1 else 's'}"
    return f"profile {manifest.profile} of {when}: {files}, {size(manifest.size)}, {what}"
