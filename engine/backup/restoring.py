"""Puts a backup back. What stood there before is moved aside, never deleted.

What waited to be sent when the backup was taken may have been sent since, so it is called
off and kept in the inbox: a person sends it again, the engine does not (channels.md §11).
Slots that came since are treated as after any other outage, by the misfire policy of their job.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from engine.backup.manifest import CONFIG, DATABASE, STATE, Manifest
from engine.backup.reading import unpacked
from engine.config.paths import Paths
from engine.messages.kept import RESTORED
from engine.store import audit, outbox
from jobs.errors import Conflict
from jobs.store.db import Database, Tx

_BESIDE: Final = ("state.db-wal", "state.db-shm")  # of the database that is moved aside


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was done. ``aside`` holds what stood there before; None: nothing did."""

    manifest: Manifest
    aside: Path | None
    called_off: tuple[str, ...]  # keys of messages that waited to be sent

    def to_json(self) -> dict[str, Any]:
        """Return it as commands print it."""
        return {
            "createdAt": self.manifest.created_at.isoformat(),
            "engine": self.manifest.engine,
            "files": len(self.manifest.entries),
            "bytes": self.manifest.size,
            "leftOut": dict(self.manifest.left_out),
            "aside": None if self.aside is None else str(self.aside),
            "calledOff": list(self.called_off),
        }


def in_the_way(paths: Paths, manifest: Manifest) -> list[Path]:
    """Return what a restore would move aside."""
    return [found for found, _ in _moves(paths, manifest) if found.exists() or found.is_symlink()]


async def restore(
    archive: Path,
    paths: Paths,
    *,
    now: datetime,
    force: bool = False,
    told: Callable[[str, int], None] = lambda _name, _size: None,
) -> Restored:
    """Unpack beside the home, prove it whole, and only then change places.

    The caller holds the gateway's lock. Raises what `unpacked` raises, and `Conflict` when
    something stands in the way and ``force`` is not given; nothing has changed then.
    """
    stamp = f"{now:%Y%m%dT%H%M%SZ}"
    staging = paths.state / f".restoring-{stamp}"
    staging.mkdir(mode=0o700)
    try:
        manifest = unpacked(archive, staging, told)
        occupied = in_the_way(paths, manifest)
        if occupied and not force:
            raise Conflict(
                "nothing was restored",
                why=f"{occupied[0]} is there already ({len(occupied)} in all)",
                fix="add --force: what is there is moved into a folder beside it, not deleted",
            )
        called_off = await _settled(staging / DATABASE, now, manifest)
        aside = paths.state / f"replaced-{stamp}" if occupied else None
        _change_places(paths, manifest, staging, aside)
    finally:
        shutil.rmtree(staging)
    return Restored(manifest=manifest, aside=aside, called_off=tuple(called_off))


async def _settled(database: Path, now: datetime, manifest: Manifest) -> list[str]:
    """Bring a restored database up to date; return the messages it will not send."""
    if manifest.schema is None:
        return []

    def work(tx: Tx) -> list[str]:
        called_off = outbox.call_off(tx, now, reason=RESTORED)
        detail = {"backup": manifest.created_at.isoformat(), "calledOff": len(called_off)}
        audit.note(tx, now=now, actor="operator", action="backup.restore", detail=detail)
        return called_off

    store = await Database.open(database)
    try:
        return await store.write(work)
    finally:
        await store.close()


def _moves(paths: Paths, manifest: Manifest) -> list[tuple[Path, str]]:
    """Where each thing goes, and its name in the archive; the log files go with their database."""
    moves = [(paths.state / top, f"{STATE}/{top}") for top in manifest.tops]
    if manifest.schema is not None:
        moves += [(paths.state / name, f"{STATE}/{name}") for name in _BESIDE]
    if any(entry.name.startswith(f"{CONFIG}/") for entry in manifest.entries):
        name = next(e.name for e in manifest.entries if e.name.startswith(f"{CONFIG}/"))
        moves.append((paths.config, name))
    return moves


def _change_places(paths: Paths, manifest: Manifest, staging: Path, aside: Path | None) -> None:
    for place, name in _moves(paths, manifest):
        if aside is not None and (place.exists() or place.is_symlink()):
            aside.mkdir(mode=0o700, exist_ok=True)
            shutil.move(place, aside / place.name)
        if (staging / name).exists():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.move(staging / name, place)
