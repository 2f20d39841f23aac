"""Time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count


class ManualClock:
    """Keeps the promises of `engine.clock.Clock`; ``advance`` moves it.

    Sleepers wake in the order of their instants, each at its own instant.
    """

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            msg = "start must be aware, for example datetime(2026, 3, 28, tzinfo=UTC)"
            raise ValueError(msg)
        self._now = start.astimezone(UTC)
        self._ran = timedelta()
        self._order = count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self.sleeps = 0  # how often somebody went to sleep so far

    def now(self) -> datetime:
        """Wall-clock time."""
        return self._now

    def monotonic(self) -> timedelta:
        """Time that passed; `step` does not change it."""
        return self._ran

    async def sleep_until(self, instant: datetime) -> None:
        """Return when the clock has been moved to ``instant``."""
        if instant <= self._now:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (instant, next(self._order), woken))
        self.sleeps += 1
        await woken

    def next_sleeper(self) -> datetime | None:
        """The earliest instant somebody sleeps until."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    @property
    def sleepers(self) -> int:
        """How many sleep now."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    def move_to(self, instant: datetime) -> None:
        """Set the time, wake everybody who slept until then, and return at once."""
        if instant > self._now:
            self._ran += instant - self._now
            self._now = instant
        while (due := self.next_sleeper()) is not None and due <= self._now:
            heapq.heappop(self._sleepers)[2].set_result(None)

    def step(self, by: timedelta) -> None:
        """Move the wall clock only, as an operator or NTP does; back lengthens no wait."""
        self._now += by
        if by < timedelta():
            self._sleepers = [(at + by, order, woken) for at, order, woken in self._sleepers]

    async def advance(self, by: timedelta, *, settle: int = 20) -> None:
        """Move time forward, stopping at every sleeper on the way."""
        goal = self._now + by
        await _settle(settle)
        while (due := self.next_sleeper()) is not None and due <= goal:
            self.move_to(due)
            await _settle(settle)
        self.move_to(goal)
        await _settle(settle)


async def _settle(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
