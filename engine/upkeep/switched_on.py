"""Jobs that were switched off all together (`cron.enabled`) and are on again (cron.md §12).

The slots of meanwhile are on record, each a skip with its reason. When jobs are switched on
again, by a reload or before a start, each makes up for them as its misfire policy says: by runs
that stand for a slot, so that the skip stays as well. A one-shot that came meanwhile is not lost.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from engine.cron.look import Look
from engine.decisions.claiming import Pass, Planned, made_up
from engine.running import Running
from engine.store import meta
from jobs.due import served_of
from jobs.ledger import SCHEDULER_OFF
from jobs.model import StoredJob
from jobs.schedule import At
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import DueJob
from jobs.store.db import Database, Tx
from jobs.wallclock import EPOCH, MILLISECOND, ms

log = logging.getLogger(__name__)

Begin = Callable[[Sequence[Planned]], Awaitable[None]]

OFF_SINCE: Final = "cron.offSince"  # ms, in meta


@dataclass(frozen=True, slots=True)
class _Behind:
    """A job and the slots of it that came while jobs were off, oldest first."""

    stored: StoredJob
    slots: tuple[datetime, ...]


class SwitchedOn:
    """Remembers since when jobs are off, and sees to what they missed once they are on."""

    def __init__(
        self,
        *,
        database: Database,
        running: Running,
        begin: Callable[[Sequence[Planned]], Awaitable[None]],
    ) -> None:
        self._database = database
        self._running = running
        self._begin = begin
        self._off: int | None = None
        self._asked = False  # what an earlier process left

    async def look(self, one: Pass, look: Look) -> None:
        """Note that jobs are off; or, if they are on again, make up for what they missed."""
        if not self._asked:
            found = await self._database.read(lambda tx: meta.get(tx, OFF_SINCE))
            self._off, self._asked = None if found is None else int(found), True
        if one.settings.cron_enabled is (self._off is None):
            return
        if self._off is None:
            since = ms(one.now)
            await self._database.write(lambda tx: meta.put(tx, OFF_SINCE, str(since)))
            self._off = since
            return
        await self._make_up(one, look, EPOCH + self._off * MILLISECOND)
        self._off = None

    async def _make_up(self, one: Pass, look: Look, since: datetime) -> None:
        behind = await self._database.read(lambda tx: _behind(tx, since))
        await look.read([mine.stored.job for mine in behind])
        plans, over = [], []
        for number, mine in enumerate(behind):
            job = mine.stored.job
            slots = served_of(mine.slots, one.now, job.misfire)
            standing = self._running.standing(job.id)
            plan = made_up(
                job, _row(mine.stored), slots, one, look.known(job), standing, before=number
            )
            look.granted(plan)
            plans.append(plan)
            if isinstance(job.schedule, At) and not plan.to_run:
                over.append(job.id)
        await self._database.write(lambda tx: _write(tx, plans, over, one.now))
        await self._begin(plans)
        if behind:
            begun = sum(bool(plan.to_run) for plan in plans)
            log.info("jobs are on again", extra={"behind": len(behind), "make_up": begun})


def _behind(tx: Tx, since: datetime) -> list[_Behind]:
    """Return the jobs that are on, with their newest slots that were skipped as all were off."""
    found = []
    for job_id, skipped in run_rows.skipped_for(tx, SCHEDULER_OFF, since).items():
        stored = job_rows.readable(tx, job_id)
        if stored is None or not stored.job.enabled or stored.state.paused is not None:
            continue
        counts = stored.state.schedule_activated_at or since
        slots = tuple(slot for slot, at in skipped if at >= counts)
        if slots and not _served(stored, slots[-1]):
            found.append(_Behind(stored, slots))
    return sorted(found, key=lambda mine: mine.slots[-1])


def _served(stored: StoredJob, slot: datetime) -> bool:
    """Whether somebody ran a job by hand since, or a one-shot has another instant."""
    state = stored.state
    if isinstance(stored.job.schedule, At):
        return state.next_run_at is not None
    return state.last_run_at is not None and state.last_run_at >= slot


def _row(stored: StoredJob) -> DueJob:
    state = stored.state
    return DueJob(
        id=stored.job.id,
        kind="cron",
        definition="",
        revision=stored.revision,
        next_run_at=state.next_run_at or EPOCH,
        retry_at=state.retry_at,
        consecutive_errors=state.consecutive_errors,
    )


def _write(tx: Tx, plans: Sequence[Planned], over: list[str], now: datetime) -> None:
    rows = [row for plan in plans for row in plan.claim.rows]
    if rows:
        run_rows.insert(tx, rows)
        run_rows.count_skipped(tx, [row.job_id for row in rows if row.status.final])
    for job_id in over:
        job_rows.switch_off(tx, job_id, now)
    meta.drop(tx, OFF_SINCE)
