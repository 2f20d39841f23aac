"""What `health` tells beside the counts: the process, its config, its timer, its disk.

operations.md §9.7. Everything here is at hand or one look at the disk; nothing asks a platform.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from engine import __version__
from engine.config.paths import Paths
from jobs.duration import format_duration
from jobs.wallclock import MILLISECOND, ms

_LAST: Final = ("status", "reason", "skipReason", "ts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the process knows of itself; handed in by whoever built it."""

    paths: Paths
    boot_id: str
    began: datetime
    uptime_ms: Callable[[], int]
    armed_for: Callable[[], datetime | None]
    lag: Callable[[], timedelta]
    refused: Callable[[], bool]  # whether what the file says now is not in force
    pending: Callable[[], Sequence[str]]  # changed keys that wait for a restart
    degraded: Callable[[], bool]  # whether secrets of before hold, because fresh ones failed

    def told(
        self, cron: Mapping[str, Any], beats: Sequence[Mapping[str, Any]], degraded: bool
    ) -> dict[str, Any]:
        """Return the parts of `health`; looks at the disk."""
        armed = self.armed_for()
        return {
            "gateway": {
                "version": __version__,
                "bootId": self.boot_id,
                "uptimeMs": self.uptime_ms(),
            },
            "config": {
                "valid": not self.refused(),
                "restored": bool(set_aside(self.paths.config, self.began)),
                "pendingRestart": list(self.pending()),
            },
            "scheduler": {
                "enabled": bool(cron.get("enabled", True)),
                "armed": armed is not None,
                "nextWakeAt": cron.get("nextWakeAtMs"),
                "lagMs": self.lag() // MILLISECOND,
                "jobs": cron.get("jobs", 0),
                "missed24h": cron.get("missed24h", 0),
            },
            "heartbeats": [_beat(one) for one in beats],
            "secrets": {"degraded": degraded},
            "disk": disk(self.paths),
        }


def _beat(one: Mapping[str, Any]) -> dict[str, Any]:
    last, every = one.get("last"), one.get("everyMs")
    return {
        "agentId": one.get("agentId"),
        "enabled": one.get("enabled"),
        "every": None if every is None else format_duration(int(every) * MILLISECOND),
        "nextDueAt": one.get("nextDueAtMs"),
        "last": {k: last[k] for k in _LAST if k in last} if isinstance(last, Mapping) else None,
    }


def disk(paths: Paths) -> dict[str, int | None]:
    """Return how much room there is where the home lies, and how much the store takes."""
    try:
        free: int | None = shutil.disk_usage(paths.state).free
    except OSError:
        free = None
    files = (paths.database.with_name(paths.database.name + tail) for tail in ("", "-wal"))
    return {"freeBytes": free, "dbBytes": sum(_size(file) for file in files)}


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def set_aside(config: Path, since: datetime | None = None) -> list[Path]:
    """Return the files a recovery put aside beside the config, newest first (§4.2)."""
    found = [(_changed(one), one) for one in config.parent.glob(f"{config.name}.clobbered.*")]
    least = 0 if since is None else ms(since)
    return [one for at, one in sorted(found, reverse=True) if at >= least]


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0
