"""The one timer's work: what is due is claimed, then handed to whoever performs it.

One pass (`tick`) reads the due jobs, decides which slots are owed (`jobs.due`), claims them
in one transaction that also advances the jobs, and starts the granted runs. Nothing runs
without its row (style rule 4). The clockwork calls `tick` again at the instant it returns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from engine.alerts.alarms import Exceeded, PassedOver
from engine.clock import Clock
from engine.cron.look import Look
from engine.decisions.claiming import LoopSettings, Pass, Planned, planned
from engine.decisions.held import noted
from engine.decisions.lags import Lags
from engine.record import Recorder
from engine.running import Running
from engine.suspension import Suspension
from engine.upkeep.set_back import put_right
from engine.upkeep.strikes import Strikes, of_schedule
from engine.upkeep.switched_on import SwitchedOn
from engine.vitals import Vitals
from jobs import codec
from jobs.crash import crash_point
from jobs.errors import InvalidJob
from jobs.model import Job
from jobs.policies import LONGEST_GAP
from jobs.store import jobs as job_rows, runs as run_rows, set_back
from jobs.store.base import DueJob, Finish
from jobs.store.db import Database
from jobs.store.spendings import Spendings
from jobs.values import changed

log = logging.getLogger(__name__)

BATCH: Final = 1000
FLIGHTS: Final = 2  # batches written while another is decided
CLOCK_JUMP: Final = timedelta(seconds=60)


class Loop:
    """Claims what is due and sees to it that every claim is performed."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        recorder: Recorder,
        running: Running,
        settings: Callable[[], LoopSettings],
        boot_id: str,
        vitals: Vitals | None = None,
        look_after: Callable[[datetime], Awaitable[datetime | None]] | None = None,
        overspent: Callable[[Sequence[Exceeded], datetime], Awaitable[None]] | None = None,
        passed_over: Callable[[Sequence[PassedOver]], Awaitable[None]] | None = None,
        strikes: Strikes | None = None,
        replan: Callable[[], Awaitable[object]] | None = None,
        suspension: Suspension | None = None,
    ) -> None:
        self._suspension = suspension or Suspension()
        self.lags = Lags()  # of what was claimed on schedule
        self._strikes = strikes or Strikes(database)
        self._vitals = vitals or Vitals()
        self._database = database
        self._clock = clock
        self._recorder = recorder
        self._running = running
        self._settings = settings
        self._boot_id = boot_id
        self._seen: tuple[datetime, timedelta] | None = None
        self._look_after = look_after  # jobs that want a look between their slots
        self._overspent = overspent  # tells of budgets that are used up
        self._passed_over = passed_over  # tells of slots that did not run, where that is wanted
        self._replan = replan  # beats, after the clock was set back
        self._spendings = Spendings()
        self._stopping = False
        self._started_at: datetime | None = None
        self._switch = SwitchedOn(database=database, running=running, begin=self._begin_all)
        self._made_up = 0  # jobs that make up for what they missed before the start

    # -- the tick ------------------------------------------------------------------------

    async def tick(self) -> datetime | None:
        """One pass; returns the earliest instant at which something will be due.

        A pass that fails is logged and the timer armed again; the jobs it could not claim
        stand where they stood.
        """
        try:
            due = await self._pass()
        except Exception as error:
            self._vitals.hurt("scheduler", error)
            return None
        self._vitals.well("scheduler")
        return due

    async def _pass(self) -> datetime | None:
        if self._stopping or self._suspension.held:
            return None  # what comes due meanwhile is decided when it goes on
        now = self._clock.now()
        jump = self._notice_jump(now)
        if jump < -CLOCK_JUMP:
            self._running.forget_ends()  # told by the wrong time
            await put_right(self._database, now, -jump)
            self._spendings = Spendings()  # some of it was of days to come
            if self._replan is not None:
                await self._replan()
        self._running.forget_ends(now - LONGEST_GAP)
        wanted = None if self._look_after is None else await self._look_after(now)
        self._started_at = self._started_at or now
        one = Pass(now, self._settings(), self._boot_id, self._started_at, self._made_up)
        look = Look(self._database, self._spendings, one.settings, now)
        await self._switch.look(one, look)
        rows, later = await self._due(now)
        if len(rows) < BATCH:
            plans = await self._decide(rows, one, look) if rows else []
            known = await self._perform(plans) if plans else ()
        else:
            await self._burst(rows, one, look)
            known = None
        if self._overspent is not None and look.exceeded:
            await self._overspent(look.exceeded, now)
        if known is None:
            known = [await self._database.read(job_rows.next_due)]
            later = None
        coming = (later, wanted, self._strikes.again_at(now), *known)
        return min((at for at in coming if at is not None), default=None)

    async def _burst(self, rows: list[DueJob], one: Pass, look: Look) -> None:
        """Serve more than one batch: the next is read and decided while the last is written."""
        flights: list[asyncio.Task[Any]] = []
        try:
            while rows:
                plans = await self._decide(rows, one, look)
                if len(flights) >= FLIGHTS:
                    await asyncio.wait((flights[-FLIGHTS],))
                flights.append(asyncio.create_task(self._perform(plans), name="burst"))
                rows, _ = await self._due(one.now, behind=rows[-1])
        finally:
            # Whatever happened here: what was claimed must begin, and its failure be heard.
            landed = await asyncio.gather(*flights, return_exceptions=True)
        for error in landed:
            if isinstance(error, BaseException):
                raise error

    async def _due(
        self, now: datetime, behind: DueJob | None = None
    ) -> tuple[list[DueJob], datetime | None]:
        return await self._database.read(
            lambda tx: job_rows.due_and_next(tx, now, BATCH, behind=behind)
        )

    async def _decide(self, rows: list[DueJob], one: Pass, look: Look) -> list[Planned]:
        """Plan each job; one that cannot be read is set aside and holds up nobody."""
        plans = []
        read: list[tuple[Job, DueJob]] = []
        for row in rows:
            if self._strikes.waits(row.id, one.now):
                continue
            try:
                if row.fault:
                    raise InvalidJob(
                        f"job {row.id} cannot be read", why=row.fault, fix="engine cron status"
                    )
                read.append((codec.job_from_text(row.definition), row))
            except Exception as error:
                if of_schedule(error):
                    await self._strikes.strike(row, error, one.now)
                else:
                    await self._set_aside(row, error)
        await look.read([job for job, _ in read])
        for job, row in read:
            standing = self._running.standing(job.id)
            try:
                plan = planned(job, row, one, look.known(job), standing)
                plan = noted(plan, self._suspension.last)
                if plan.makes_up:
                    self._made_up += 1
                    one = changed(one, made_up=self._made_up)
                look.granted(plan)
                plans.append(plan)
            except Exception as error:
                await self._strikes.strike(row, error, one.now)
        await self._strikes.passed(plan.job.id for plan in plans)
        return plans

    async def _perform(self, plans: list[Planned]) -> Sequence[datetime | None] | None:
        """Claim and begin; returns when these jobs are due next, if nobody else had a say."""
        granted = await self._database.write(
            lambda tx: run_rows.claim(tx, [plan.claim for plan in plans])
        )
        crash_point("after-claim")
        ends, passed = [], []
        for plan in plans:
            if (ran := granted.get(plan.claim.job_id)) is not None:
                if len(plan.claim.rows) > len(plan.to_run):
                    passed.append(plan)
                ends.extend(self._begin(plan, ran))
        if ends:
            await self._recorder.all_ended(ends)
        if passed:
            await self._tell(passed)
        if len(granted) < len(plans) or any(end.job_columns for end in ends):
            return None
        return [plan.claim.next_run_at for plan in plans]

    async def _tell(self, plans: Sequence[Planned]) -> None:
        """Tell of slots that were passed over: who listens, and whom it is an alarm to."""
        for plan in plans:
            self._recorder.passed(plan.claim.rows, plan.claim.next_run_at)
        if self._passed_over is not None:
            await self._passed_over([(plan.job, plan.claim.rows) for plan in plans])

    async def _set_aside(self, row: DueJob, error: Exception) -> None:
        """A definition that cannot be read: out of the schedule, kept, and said so."""
        log.error("job set aside", extra={"job_id": row.id, "because": str(error)})
        await self._database.write(lambda tx: job_rows.quarantine(tx, row.id, str(error)))

    def _begin(self, plan: Planned, ran: Collection[str] = ()) -> list[Finish]:
        """Begin the granted runs of a job; several, after a gap, as their overlap policy says.

        ``ran``: runs of it that have no row, for their slots have theirs already.
        """
        ends = []
        to_run = [each for each in plan.to_run if each[0].id not in ran] if ran else plan.to_run
        for number, (run, go) in enumerate(to_run):
            if run.slot is not None and run.claimed_at is not None and not plan.makes_up:
                self.lags.add(run.claimed_at - run.slot)
            end = self._running.begin(plan.job, run, go, more=number > 0)
            if end is not None:
                ends.append(end)
        return ends

    async def _begin_all(self, plans: Sequence[Planned]) -> None:
        ends = [end for plan in plans for end in self._begin(plan)]
        if ends:
            await self._recorder.all_ended(ends)
        await self._tell([plan for plan in plans if len(plan.claim.rows) > len(plan.to_run)])

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping = True

    # -- the clock -----------------------------------------------------------------------

    def _notice_jump(self, now: datetime) -> timedelta:
        """Return how far the wall clock moved against the monotonic one; log more than a minute."""
        ran = self._clock.monotonic()
        jump = timedelta()
        if self._seen is not None:
            jump = (now - self._seen[0]) - (ran - self._seen[1])
            if abs(jump) > CLOCK_JUMP:
                log.warning("the clock jumped", extra={"by_seconds": jump.total_seconds()})
        self._seen = (now, ran)
        return jump

    async def compare_clocks(self) -> None:
        """After a start: the clock may have been set back since the last run was claimed."""
        now = self._clock.now()
        last = await self._database.read(set_back.last_claim)
        if last is not None and last - now > CLOCK_JUMP:
            await put_right(self._database, now, last - now)
