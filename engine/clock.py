"""The one place that reads time. Everything else is handed an instant or a `Clock`."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

LONGEST_NAP = timedelta(seconds=30)


class Clock(Protocol):
    """Wall time for schedules, monotonic time for steps and timeouts."""

    def now(self) -> datetime:
        """Wall-clock time, always aware, always UTC."""

    def monotonic(self) -> timedelta:
        """Time since some start; runs on through steps of the wall clock."""

    async def sleep_until(self, instant: datetime) -> None:
        """Return at ``instant``, or at once if it has passed.

        A clock that is set back lengthens no wait: after as much time as lay before the
        instant this returns, and who must not be early looks again.
        """


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> timedelta:
        """Monotonic time."""
        return timedelta(seconds=time.monotonic())

    async def sleep_until(self, instant: datetime) -> None:
        """Sleep in short naps: a stepped wall clock or a resumed laptop is noticed within 30 s."""
        import asyncio  # the quick commands ask this clock too and must not pay for it

        latest = self.monotonic() + (instant - self.now())
        while (left := min(instant - self.now(), latest - self.monotonic())) > timedelta():
            await asyncio.sleep(min(left, LONGEST_NAP).total_seconds())
