"""Notices when what is due is not served, whatever the reason, and has it served (§19, §25 row 17).

A chore beside the loop, not part of it: a timer that was lost, a driver that died, a wake-up that
never came leave a slot in the past and nobody at work. The loop is woken; if that does not help,
a person is told, once, and once when it works again (heartbeat.md §19 "timer death").
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from engine.alerts.alerting import Alerting
from engine.clock import Clock
from engine.decisions.heartbeat import job_id
from engine.vitals import Vitals
from jobs.duration import format_duration
from jobs.model import Job
from jobs.store import jobs as job_rows
from jobs.store.db import Database, Tx

log = logging.getLogger(__name__)

NAME: Final = "watchdog"
PATIENCE: Final = timedelta(seconds=60)  # behind by less is load
STUCK: Final = timedelta(minutes=5)  # a tick at work for so long does not come to its end


class StoodStill(Exception):
    """Slots are due, and nobody serves them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look found: what is due since when, and whether a tick is at work on it."""

    due: datetime | None
    at_work_for: timedelta | None  # a tick; None: none is
    now: datetime


def stalled(seen: Seen) -> timedelta | None:
    """Return for how long nobody has served what is due; None while all is well. Pure."""
    works = seen.at_work_for is not None and seen.at_work_for < STUCK
    if seen.due is None or works:
        return None
    late = seen.now - seen.due
    return late if late > PATIENCE else None


class Watchdog:
    """Looks whether the loop lives."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        vitals: Vitals,
        alerting: Alerting,
        at_work_for: Callable[[], timedelta | None],
        wake: Callable[[], None],
        default_agent: Callable[[], str],
        suspended: Callable[[datetime], bool] = lambda _now: False,
    ) -> None:
        self._suspended = suspended
        self._database = database
        self._clock = clock
        self._vitals = vitals
        self._alerting = alerting
        self._at_work_for = at_work_for
        self._wake = wake
        self._default_agent = default_agent
        self._told: Job | None = None
        self._looks = 0  # in a row that found it standing still
        self.stalls = 0  # since the start

    async def look(self) -> None:
        """One look; wakes the loop if it stands still, and tells if that was in vain."""
        now = self._clock.now()
        if self._suspended(now):  # nothing is served on purpose
            return
        due = await self._database.read(job_rows.next_due)
        late = stalled(Seen(due, self._at_work_for(), now))
        if late is None:
            await self._well(now)
            return
        self._looks += 1
        self.stalls += self._looks == 1
        words = f"what was due {format_duration(timedelta(seconds=int(late.total_seconds())))} ago"
        self._vitals.hurt("loop", StoodStill(f"nobody has served {words}"))
        log.error("the loop stood still and is woken", extra={"late_seconds": late.total_seconds()})
        self._wake()
        if self._looks > 1 and self._told is None:
            await self._tell(words, now)

    async def _tell(self, words: str, now: datetime) -> None:
        self._told = await self._database.read(lambda tx: self._concerned(tx, now))
        if self._told is None:
            return
        text = f"The engine stands still: nobody has served {words}\nSee: engine why"
        key = f"alarm:still:{now:%Y%m%d%H%M%S}"
        await self._alerting.tell(self._told, text, key, now, also=_nothing)

    def _concerned(self, tx: Tx, now: datetime) -> Job | None:
        """Whose ways out are taken: the default agent's, else those of what is due."""
        beat = job_rows.readable(tx, job_id(self._default_agent()))
        waiting = job_rows.due(tx, now, 1) if beat is None else []
        found = beat or next((job_rows.readable(tx, one.id) for one in waiting), None)
        return found.job if found is not None else None

    async def _well(self, now: datetime) -> None:
        if self._looks:
            self._vitals.well("loop")
        self._looks = 0
        if (told := self._told) is not None:
            self._told = None
            text = "The engine goes on: what was due is served"
            key = f"alarm:goes-on:{now:%Y%m%d%H%M%S}"
            await self._alerting.tell(told, text, key, now, also=_nothing)


def _nothing(_: Tx) -> None:
    """What it tells of is in memory only."""
