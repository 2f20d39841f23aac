"""The state directory and its database, read-only (operations.md §10, `state.*`).

A database that is locked, foreign or newer is looked at as far as it lets itself be.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.cli import at_rest, offline
from engine.cli.doctor.facts import AgentFacts, ScheduleFacts, StateFacts
from engine.cli.doctor.look.live import Told
from engine.cli.place import Place, shown
from engine.config import fast
from engine.config.paths import is_zone
from gateway import lock
from jobs.errors import EngineError, StoreTooNew, StoreUnavailable
from jobs.wallclock import at

if TYPE_CHECKING:
    from engine.config.load import Loaded
    from jobs.store.db import Tx

_OTHERS: Final = 0o077
_SYNCED: Final[Mapping[str, str]] = {
    "Dropbox": "Dropbox",
    "OneDrive": "OneDrive",
    "Google Drive": "Google Drive",
    "Mobile Documents": "iCloud",
    "CloudDocs": "iCloud",
    "Nextcloud": "Nextcloud",
}
_TWENTY: Final = 20


def state(place: Place) -> StateFacts:
    """Return the facts of the home."""
    paths, file = place.paths, offline_file(place)
    if not paths.state.is_dir():
        return StateFacts(path=shown(paths.state, paths), exists=False)
    there = paths.state.stat()
    owner = lock.left(paths.state) if place.owner is None else None
    schema, head, damaged, newest, orphans = (None, None, None, None, 0)
    if file is not None and file.is_file():
        seen = offline.condition(file)
        damaged, newest = seen.damaged, at(seen.newest_ms) if seen.newest_ms else None
        schema, head = seen.schema, _head()
        orphans = seen.open_runs if place.owner is None else 0
    return StateFacts(
        path=str(paths.state),
        open_to_others=bool(there.st_mode & _OTHERS),
        foreign_owner=None if there.st_uid in (os.geteuid(), 0) else str(there.st_uid),
        synced_by=_synced(paths.state.resolve()),
        sd_card=_on_sd_card(paths.state),
        others=_other_homes(place),
        damaged=damaged,
        schema=schema,
        head=head,
        free_bytes=shutil.disk_usage(paths.state).free,
        dead_owner=None if owner is None else owner.pid,
        orphans=orphans,
        newest_row=newest,
        legacy_jobs=_legacy(paths.state),
    )


def offline_file(place: Place) -> Path | None:
    """The database of this home, if it is a file."""
    return offline.database(place.paths)


def _head() -> str:
    from jobs.store.migrate import OURS

    return OURS.head


def _synced(path: Path) -> str | None:
    return next((told for name, told in _SYNCED.items() if name in str(path)), None)


def _on_sd_card(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether the file system of a path lies on an mmc block device (Linux)."""
    try:
        lines = [line.split() for line in mounts.read_text("utf-8").splitlines()]
    except OSError:
        return False
    held = [(fields[1], fields[0]) for fields in lines if path.is_relative_to(fields[1])]
    return bool(held) and "mmcblk" in max(held, key=lambda one: len(one[0]))[1]


def _other_homes(place: Place) -> tuple[str, ...]:
    """The usual home of the profile, if it holds a config and this one is another."""
    paths = place.paths
    name = ".engine" if paths.profile == "default" else f".engine-{paths.profile}"
    usual = paths.os_home / name
    if usual == paths.state or not (usual / "engine.json").is_file():
        return ()
    return (shown(usual, paths),)


def _legacy(home: Path) -> str | None:
    file = home / "cron" / "jobs.json"
    return str(file) if file.is_file() else None


# -- what stands in the store --------------------------------------------------------------------


def schedule(place: Place, loaded: Loaded | None, told: Told) -> ScheduleFacts:
    """Return the facts of jobs, from the gateway or else from the store."""
    zone = place.environ.get("TZ", "").strip().removeprefix(":")
    enabled = fast.get(place.values, "cron.enabled") is not False
    bad = zone if zone and not zone.startswith("/") and not is_zone(zone) else None
    unreadable = [
        (str(one.get("jobId")), str(one.get("reason")))
        for one in (told.cron or {}).get("quarantined") or ()
    ]
    if told.cron is None and loaded is not None and place.paths.database.is_file():
        try:
            unreadable = at_rest.read(place, lambda tx, _: _quarantined(tx))
        except (StoreUnavailable, StoreTooNew, EngineError):
            unreadable = []
    never = tuple(
        (str(job["id"]), str(job.get("name") or job["id"]))
        for job in told.jobs
        if _never_fires(job)
    )
    return ScheduleFacts(
        cron_enabled=enabled, unreadable=tuple(unreadable), never_fire=never, bad_zone=bad
    )


def _quarantined(tx: Tx) -> list[tuple[str, str]]:
    from jobs.store import jobs as job_rows

    return list(job_rows.quarantined(tx))


def _never_fires(job: Mapping[str, Any]) -> bool:
    """Whether a timed job that is on, and has not come to its end, has no next run."""
    held = (job.get("state") or {}).get("paused") or not job.get("enabled", True)
    timed = (job.get("schedule") or {}).get("kind") in ("every", "cron")
    ended = job.get("maxRuns") is not None or job.get("until") is not None
    due = (job.get("state") or {}).get("nextRunAtMs")
    return timed and not held and not ended and due is None


def with_outcomes(
    place: Place, agents: tuple[AgentFacts, ...] | None
) -> tuple[AgentFacts, ...] | None:
    """Say of each agent whether its last twenty beats all had nothing to report."""
    file = offline_file(place)
    if agents is None or file is None or not file.is_file():
        return agents
    try:
        return tuple(
            replace(one, always_ok=offline.all_acknowledged(file, one.id, _TWENTY))
            for one in agents
        )
    except EngineError:
        return agents
