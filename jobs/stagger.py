"""A stable shift per job, so that jobs of one expression do not all fire at once (cron.md §2.1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

DEFAULT: Final = timedelta(minutes=5)
_MS: Final = timedelta(milliseconds=1)
_SECOND: Final = timedelta(seconds=1)


@lru_cache(maxsize=65_536)
def offset(job_id: str, window: timedelta) -> timedelta:
    """Return the job's place in its window; the same after any restart."""
    size = window // _MS
    if size <= 1:
        return timedelta()
    import hashlib  # here: 3 ms that commands without staggered jobs need not pay

    digest = hashlib.sha256(job_id.encode()).digest()
    return timedelta(milliseconds=int.from_bytes(digest[:4], "big") % size)


def default_window(expr: str) -> timedelta:
    """Return the window an expression gets if none is asked for: recurring top-of-hour only."""
    words = expr.split()
    if len(words) == 6 and words[0] == "0":
        words = words[1:]
    if len(words) != 5 or words[0] != "0":
        return timedelta()
    parts = words[1].split(",")
    well_formed = all(part and part[0] in "*?0123456789" and _formed(part) for part in parts)
    recurring = any(part.startswith(("*", "?")) for part in parts)
    return DEFAULT if well_formed and recurring else timedelta()


def _formed(part: str) -> bool:
    base, slash, step = part.partition("/")
    if slash and not step.isdecimal():
        return False
    return base in ("*", "?") or all(piece.isdecimal() for piece in base.split("-"))


def jitter(job_id: str, slot: datetime, window: timedelta, following: datetime | None) -> timedelta:
    """Return how late a slot starts: by chance, the same after any restart (cron.md §22 row 6).

    It never reaches the next slot.
    """
    if following is not None:
        window = min(window, following - slot - _SECOND)
    return offset(f"{job_id}@{slot.timestamp():.3f}", window)
