"""Ids of runs and events: unique, and sorted by the time they were made."""

from __future__ import annotations

import secrets
from datetime import datetime


def first_id(since: datetime) -> str:
    """Return what no id made at or after an instant is less than."""
    return f"{int(since.timestamp() * 1000):012x}"


def new_id(now: datetime) -> str:
    """Return 24 hex digits: 48 bits of UTC milliseconds, then 48 random bits.

    Rows made later sort later, so that the index of a growing ledger stays compact.
    """
    return f"{int(now.timestamp() * 1000):012x}{secrets.token_bytes(6).hex()}"
