"""How late the event loop is: a beat a second, and how much later than planned each came.

`/readyz` tells of it (operations.md §6.3): a loop that is late answers nobody on time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from typing import Any, Final

from engine.clock import Clock
from jobs.wallclock import MILLISECOND

EVERY: Final = timedelta(seconds=1)
REMEMBERED: Final = 120  # beats
DEGRADED: Final = timedelta(milliseconds=250)


def p99(late: deque[timedelta]) -> timedelta:
    """Return by how much all but one of a hundred beats were less late."""
    if not late:
        return timedelta()
    ordered = sorted(late)
    return ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]


class Pulse:
    """Measured from `start` to `stop`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._late: deque[timedelta] = deque(maxlen=REMEMBERED)
        self._due: timedelta | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._due = self._clock.monotonic() + EVERY
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(EVERY.total_seconds(), self._beat)

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def told(self) -> dict[str, Any]:
        """``{delayP99Ms, degraded}``."""
        late = p99(self._late)
        return {"delayP99Ms": late // MILLISECOND, "degraded": late > DEGRADED}

    def _beat(self) -> None:
        if self._due is not None:
            self._late.append(max(self._clock.monotonic() - self._due, timedelta()))
        self.start()
