"""Ids of runs and events: unique, and sorted by the time they were made."""

from __future__ import annotations

import secrets
from datetime import datetime

from jobs.wallclock import at


def first_id(since: datetime) -> str:
    """Return what no id made at or after an instant is less than."""
    return f"{int(since.timestamp() * 1000):012x}"


def made_at(some_id: str) -> datetime | None:
    """Return when an id was made; None for one that was made elsewhere."""
    try:
        return at(int(some_id[:12], 16)) if len(some_id) == 24 else None
    except (ValueError, OverflowError):
        return None


def new_id(now: datetime) -> str:
    """Return 24 hex digits: 48 bits of UTC milliseconds, then 48 random bits.

    Rows made later sort later, so that the index of a growing ledger stays compact.
    """
    return f"{int(now.timestamp() * 1000):012x}{secrets.token_bytes(6).hex()}"
