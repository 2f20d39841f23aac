"""Ids of runs and events: unique, and sorted by the time they were made."""

from __future__ import annotations

import secrets
from datetime import datetime


def new_id(now: datetime) -> str:
    """Return 24 hex digits: 48 bits of UTC milliseconds, then 48 random bits.

    Rows made later sort later, so that the index of a growing ledger stays compact.
    """
    return f"{int(now.timestamp() * 1000):012x}{secrets.token_bytes(6).hex()}"
