"""The clockwork: winds the loop and the chores with APScheduler, and nothing else.

User jobs are never put in here. One date trigger wakes the loop at the earliest due slot,
at most 30 s ahead (drift, suspend and clock steps are noticed then), and interval triggers
wake the chores. Each has an explicit grace: the default of one second drops work silently.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from engine.clock import LONGEST_NAP, Clock

log = logging.getLogger(__name__)

# Ticks closer together than this are one tick: at 1000 slots a second each serves several.
SHORTEST_NAP = timedelta(milliseconds=4)
# A nap too short for a step of the wall clock to matter needs no job: under a steady load
# adding one each tick costs more than the tick.
SHORT_NAP = timedelta(seconds=1)
_NEVER_TOO_LATE = None  # misfire_grace_time: a late wake-up is still a wake-up
_PLANNER = "planner"


class Ticking(Protocol):
    """What the clockwork winds."""

    async def tick(self) -> datetime | None:
        """Serve what is due; return the earliest instant at which something will be."""


class Clockwork:
    """Owns the one timer of the engine."""

    def __init__(self, loop: Ticking, *, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._wanted = asyncio.Event()
        self._armed_for: datetime | None = None
        self._driver: asyncio.Task[None] | None = None
        self._nap: asyncio.TimerHandle | None = None

    @property
    def armed_for(self) -> datetime | None:
        """When the next tick is planned."""
        return self._armed_for

    def chore(self, name: str, work: Callable[[], Awaitable[None]], *, every: timedelta) -> None:
        """Run ``work`` every so often for as long as the clockwork runs, never twice at once."""
        self._scheduler.add_job(
            work,
            "interval",
            seconds=every.total_seconds(),
            id=f"chore:{name}",
            name=name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=_NEVER_TOO_LATE,
        )

    def start(self) -> None:
        """Begin to tick; the first tick comes at once."""
        self._scheduler.start()
        self._driver = asyncio.create_task(self._drive(), name="clockwork")
        self._wanted.set()

    async def stop(self) -> None:
        """Stop arming timers; a tick that runs is finished first."""
        if self._nap is not None:
            self._nap.cancel()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        if self._driver is not None:
            driver, self._driver = self._driver, None
            driver.cancel()
            await asyncio.gather(driver, return_exceptions=True)

    def poke(self) -> None:
        """Something changed: look again now."""
        self._wanted.set()

    async def _drive(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            # Shielded: a stop waits for the tick instead of cutting it in half.
            tick = asyncio.ensure_future(self._loop.tick())
            try:
                due = await asyncio.shield(tick)
            except asyncio.CancelledError:
                await asyncio.gather(tick, return_exceptions=True)
                raise
            self._arm(due)

    def _arm(self, due: datetime | None) -> None:
        now = self._clock.now()
        at = now + LONGEST_NAP if due is None else min(due, now + LONGEST_NAP)
        at = max(at, now + SHORTEST_NAP)
        self._armed_for = at
        if self._nap is not None:
            self._nap.cancel()
            self._nap = None
        if at - now < SHORT_NAP:
            delay = (at - now).total_seconds()
            self._nap = asyncio.get_running_loop().call_later(delay, self.poke)
            return
        self._scheduler.add_job(
            self.poke,
            "date",
            run_date=at,
            id=_PLANNER,
            replace_existing=True,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=_NEVER_TOO_LATE,
        )
