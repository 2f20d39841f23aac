"""The clockwork: winds the loop and the chores with APScheduler, and nothing else.

User jobs are never put in here. One date trigger wakes the loop at the earliest due slot,
at most 30 s ahead (drift, suspend and clock steps are noticed then), and interval triggers
wake the chores. A tick that hangs and a process that stood still are noticed and told. Each
trigger has an explicit grace: the default of one second drops work silently.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from engine.clock import LONGEST_NAP, Clock
from engine.vitals import Vitals, keep

# Ticks closer together than this are one tick: at 1000 slots a second each serves several.
SHORTEST_NAP = timedelta(milliseconds=4)
# A nap too short for a step of the wall clock to matter needs no job: under a steady load
# adding one each tick costs more than the tick.
SHORT_NAP = timedelta(seconds=1)
BEHIND = timedelta(milliseconds=500)
# A tick at work for so long, or a timer so late, is no load any more (cron.md §6, §22 row 20).
STUCK = timedelta(seconds=60)
_NEVER_TOO_LATE = None  # misfire_grace_time: a late wake-up is still a wake-up
_PLANNER = "planner"


log = logging.getLogger(__name__)


class Ticking(Protocol):
    """What the clockwork winds."""

    async def tick(self) -> datetime | None:
        """Serve what is due; return the earliest instant at which something will be."""


class Stuck(Exception):
    """A tick does not come to its end."""


class Clockwork:
    """Owns the one timer of the engine."""

    def __init__(
        self,
        loop: Ticking,
        *,
        clock: Clock,
        vitals: Vitals | None = None,
        longest_nap: timedelta = LONGEST_NAP,
        stuck: timedelta = STUCK,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._vitals = vitals or Vitals()
        self._longest_nap = longest_nap
        self._stuck = stuck
        self._back_by: timedelta | None = None  # monotonic; the timer was set for then
        self._lag = timedelta()
        self._chores: dict[str, timedelta] = {}  # scheduler's id → every
        self._seen: tuple[datetime, timedelta] | None = None
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._wanted = asyncio.Event()
        self._armed_for: datetime | None = None
        self._began: timedelta | None = None  # monotonic; a tick is at work since
        self._driver: asyncio.Task[None] | None = None
        self._nap: asyncio.TimerHandle | None = None

    @property
    def at_work_for(self) -> timedelta | None:
        """Since when a tick has been at work; None if none is."""
        return None if self._began is None else self._clock.monotonic() - self._began

    @property
    def lag(self) -> timedelta:
        """By how much the last tick began later than it was planned (operations.md §9.1)."""
        return self._lag

    @property
    def armed_for(self) -> datetime | None:
        """When the next tick is planned."""
        return self._armed_for

    def chore(self, name: str, work: Callable[[], Awaitable[None]], *, every: timedelta) -> None:
        """Run ``work`` every so often for as long as the clockwork runs, never twice at once."""

        async def watched() -> None:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - shown in health; its next turn comes
                self._vitals.hurt(name, error)
            else:
                self._vitals.well(name)

        self._chores[f"chore:{name}"] = every
        self._scheduler.add_job(
            watched,
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
        driving = keep("clockwork", self._drive, clock=self._clock, vitals=self._vitals)
        self._driver = asyncio.create_task(driving, name="clockwork")

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
        self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._notice_standstill()
            tick = asyncio.ensure_future(self._loop.tick())
            self._began = self._clock.monotonic()
            try:
                due = await self._watched(tick)
            except asyncio.CancelledError:
                await asyncio.gather(tick, return_exceptions=True)
                raise
            finally:
                self._began = None
            self._notice_step()
            self._arm(due)
            self._vitals.well("clockwork")

    async def _watched(self, tick: asyncio.Future[datetime | None]) -> datetime | None:
        """Wait for a tick; one that hangs stands in `health` until it is through."""
        while not tick.done():
            # Waited for, not awaited: a stop must not cut the tick in half.
            await asyncio.wait((tick,), timeout=self._stuck.total_seconds())
            if not tick.done():
                self._vitals.hurt(
                    "clockwork", Stuck(f"a tick is at work for {self._stuck} or more")
                )
        return tick.result()

    def _notice_standstill(self) -> None:
        """Tell that the process got no turn for long; missed slots are the loop's to deal with."""
        late = self._clock.monotonic() - (self._back_by or self._clock.monotonic())
        self._lag = max(late, timedelta())
        if late > self._stuck:
            log.warning("the engine stood still", extra={"for_seconds": late.total_seconds()})

    def _notice_step(self) -> None:
        """After the clock was set back the scheduler would leave the chores until it caught up."""
        now, ran = self._clock.now(), self._clock.monotonic()
        before, self._seen = self._seen, (now, ran)
        if before is None or now - before[0] >= ran - before[1] - SHORT_NAP:
            return
        for chore, every in self._chores.items():
            self._scheduler.modify_job(chore, next_run_time=now + every)

    def _arm(self, due: datetime | None) -> None:
        now = self._clock.now()
        latest = now + self._longest_nap
        at = latest if due is None else min(due, latest)
        at = max(at, now + SHORTEST_NAP)
        self._armed_for = at
        self._back_by = self._clock.monotonic() + (at - now)
        if self._nap is not None:
            self._nap.cancel()
            self._nap = None
        # The scheduler sleeps by the wall clock: set back, it would oversleep by as much. So a
        # plain timer stands behind each of its naps; short ones need nothing else.
        behind = timedelta() if at - now < SHORT_NAP else BEHIND
        delay = (at - now + behind).total_seconds()
        self._nap = asyncio.get_running_loop().call_later(delay, self.poke)
        if not behind:
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
