"""How often a connection had to be made anew lately: one that keeps breaking is no good one. Pure.

channels.md §12: `degraded` is connected, and not to be relied upon.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Final

LATELY: Final = timedelta(minutes=10)
TOO_OFTEN: Final = 4  # the first one is the start


class Ups:
    """The moments at which an account came up."""

    def __init__(self) -> None:
        self._at: deque[datetime] = deque(maxlen=TOO_OFTEN)

    def add(self, now: datetime) -> None:
        """It stands again."""
        self._at.append(now)

    def shown(self, runtime: str, now: datetime) -> str:
        """Return a state as people see it: connected, but for how long?"""
        shaky = len(self._at) == TOO_OFTEN and now - self._at[0] <= LATELY
        return "degraded" if runtime == "connected" and shaky else runtime
