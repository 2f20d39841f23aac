"""The one timer's work: what is due is claimed, then handed to whoever performs it.

One pass (`tick`) reads the due jobs, decides which slots are owed (`jobs.due`), claims them
in one transaction that also advances the jobs, and starts the granted runs. Nothing runs
without its row (style rule 4). The clockwork calls `tick` again at the instant it returns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from engine import cron_look
from engine.clock import Clock
from engine.cron_gates import CHEAPER, START_AT, Go, decide
from engine.cron_look import NOTHING, Known, LoopSettings
from engine.gates import Defer, Skip
from engine.record import Recorder
from engine.running import ALONE, Running
from engine.set_back import put_right
from engine.vitals import Vitals
from jobs import codec, stagger
from jobs.crash import crash_point
from jobs.due import Passed, brought_forward, owed
from jobs.ids import new_id
from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.model import Job
from jobs.policy_checks import LONGEST_GAP
from jobs.schedule import At, Cron, Occurrence
from jobs.store import jobs as job_rows, runs as run_rows, set_back
from jobs.store.base import Claim, DueJob, Finish
from jobs.store.db import Database
from jobs.store.rows import ms

log = logging.getLogger(__name__)

BATCH: Final = 1000
FLIGHTS: Final = 2  # batches written while another is decided
CLOCK_JUMP: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class _Planned:
    job: Job
    claim: Claim
    to_run: list[tuple[Run, Go]]


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
    ) -> None:
        self._vitals = vitals or Vitals()
        self._database = database
        self._clock = clock
        self._recorder = recorder
        self._running = running
        self._settings = settings
        self._boot_id = boot_id
        self._seen: tuple[datetime, timedelta] | None = None
        self._look_after = look_after  # jobs that want a look between their slots
        self._stopping = False

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
        if self._stopping:
            return None
        now = self._clock.now()
        jump = self._notice_jump(now)
        if jump < -CLOCK_JUMP:
            self._running.forget_ends()  # told by the wrong time
            await put_right(self._database, now, -jump)
        self._running.forget_ends(now - LONGEST_GAP)
        wanted = None if self._look_after is None else await self._look_after(now)
        rows, later = await self._due(now)
        if len(rows) < BATCH:
            known = await self._perform(await self._decide(rows, now)) if rows else ()
        else:
            await self._burst(rows, now)
            known = None
        if known is None:
            known = [await self._database.read(job_rows.next_due)]
            later = None
        return min((at for at in (later, wanted, *known) if at is not None), default=None)

    async def _burst(self, rows: list[DueJob], now: datetime) -> None:
        """Serve more than one batch: the next is read and decided while the last is written."""
        flights: list[asyncio.Task[Any]] = []
        try:
            while rows:
                planned = await self._decide(rows, now)
                if len(flights) >= FLIGHTS:
                    await asyncio.wait((flights[-FLIGHTS],))
                flights.append(asyncio.create_task(self._perform(planned), name="burst"))
                rows, _ = await self._due(now, behind=rows[-1])
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

    async def _decide(self, rows: list[DueJob], now: datetime) -> list[_Planned]:
        """Plan each job; one that cannot be read is set aside and holds up nobody."""
        planned = []
        settings = self._settings()
        read: list[tuple[Job, DueJob]] = []
        for row in rows:
            try:
                read.append((codec.job_from_text(row.definition), row))
            except Exception as error:
                await self._set_aside(row, error)
        known = await self._known([job for job, _ in read], settings, now)
        for job, row in read:
            try:
                planned.append(self._plan(job, row, now, settings, known.get(job.id, NOTHING)))
            except Exception as error:
                await self._set_aside(row, error)
        return planned

    async def _known(
        self, jobs: Sequence[Job], settings: LoopSettings, now: datetime
    ) -> dict[str, Known]:
        asking = [job for job in jobs if cron_look.needs_ledger(job, settings)]
        if not asking:
            return {}
        return await self._database.read(lambda tx: cron_look.read(tx, asking, settings, now))

    async def _perform(self, planned: list[_Planned]) -> Sequence[datetime | None] | None:
        """Claim and begin; returns when these jobs are due next, if nobody else had a say."""
        granted = await self._database.write(
            lambda tx: run_rows.claim(tx, [plan.claim for plan in planned])
        )
        crash_point("after-claim")
        ends = []
        for plan in planned:
            if plan.claim.job_id in granted:
                ends.extend(self._begin(plan))
        if ends:
            await self._recorder.all_ended(ends)
        if len(granted) < len(planned) or any(end.job_columns for end in ends):
            return None
        return [plan.claim.next_run_at for plan in planned]

    def _plan(
        self, job: Job, row: DueJob, now: datetime, settings: LoopSettings, known: Known
    ) -> _Planned:
        # A recurring job's backoff may end on one of its slots: that is a slot, not a retry.
        if isinstance(job.schedule, At) and row.retry_at == row.next_run_at:
            run = replace(
                self._row(job, row, now, Trigger.RETRY), attempt=row.consecutive_errors + 1
            )
            return self._granted(job, row, [run], [], None, now, settings, known)
        until = job.policies.until
        decided = owed(job.schedule, row.next_run_at, now, misfire=job.misfire, until=until)
        following = brought_forward(job, decided.next_run_at, now, settings.calendars)
        runs = [self._slot_run(job, row, slot, decided.trigger, now) for slot in decided.runs]
        if job.policies.jitter:
            runs = [_jittered(job, run, following) for run in runs]
        passed = [self._passed_run(job, row, slot, now) for slot in decided.passed]
        return self._granted(job, row, runs, passed, following, now, settings, known)

    def _granted(
        self,
        job: Job,
        row: DueJob,
        runs: list[Run],
        passed: list[Run],
        following: datetime | None,
        now: datetime,
        settings: LoopSettings,
        known: Known,
    ) -> _Planned:
        """Ask the gates about each run; one that may not begin is a skip with its reason."""
        # Beats have gates of their own (heartbeat.md §7).
        if row.kind == "heartbeat" or cron_look.free(job, row, settings, self._running):
            to_run = [(run, ALONE) for run in runs]
            return _Planned(
                job, Claim(row.id, row.next_run_at, following, (*runs, *passed)), to_run
            )
        kept: list[Run] = []
        to_run = []
        for run in runs:
            facts = cron_look.snapshot(
                job, row, run, known=known, before=len(to_run), settings=settings,
                running=self._running,
            )  # fmt: skip
            match decide(facts, now):
                case Skip(reason, because):
                    kept.append(run.skipped(reason, because, now))
                case Defer(reason, because, retry_at):
                    run = _deferred(run, reason, because, retry_at or now)
                    kept.append(run)
                    to_run.append((run, ALONE))
                case Go() as go:
                    run = _with_model(run, go)
                    kept.append(run)
                    to_run.append((run, go))
        return _Planned(job, Claim(row.id, row.next_run_at, following, (*kept, *passed)), to_run)

    # -- rows ----------------------------------------------------------------------------

    def _row(self, job: Job, row: DueJob, now: datetime, trigger: Trigger) -> Run:
        return Run(
            id=new_id(now),
            job_id=job.id,
            kind=row.kind,
            agent_id=job.agent_id,
            trigger=trigger,
            status=RunStatus.CLAIMED,
            job_name=job.name,
            requested_at=now,
            claimed_at=now,
            boot_id=self._boot_id,
        )

    def _slot_run(
        self, job: Job, row: DueJob, slot: Occurrence, trigger: Trigger, now: datetime
    ) -> Run:
        zone = job.schedule.tz if isinstance(job.schedule, Cron) else None
        return Run(
            id=new_id(now),
            job_id=job.id,
            kind=row.kind,
            agent_id=job.agent_id,
            trigger=trigger,
            status=RunStatus.CLAIMED,
            slot=slot.instant,
            nominal_local=slot.nominal_local,
            tz=zone,
            dst=slot.dst,
            job_name=job.name,
            requested_at=slot.instant,
            claimed_at=now,
            boot_id=self._boot_id,
        )

    def _passed_run(self, job: Job, row: DueJob, passed: Passed, now: datetime) -> Run:
        status = (
            RunStatus.MISSED
            if passed.reason in (SkipReason.MISSED_DOWNTIME, SkipReason.MISSED_GRACE_EXCEEDED)
            else RunStatus.SKIPPED
        )
        return replace(
            self._slot_run(job, row, passed.occurrence, Trigger.SCHEDULE, now),
            status=status,
            reason=passed.reason,
            because=passed.because,
            slot_to=passed.slot_to,
            count=passed.count,
            ended_at=now,
        )

    async def _set_aside(self, row: DueJob, error: Exception) -> None:
        """A definition that cannot be read: out of the schedule, kept, and said so."""
        log.error("job set aside", extra={"job_id": row.id, "because": str(error)})
        await self._database.write(lambda tx: job_rows.quarantine(tx, row.id, str(error)))

    def _begin(self, plan: _Planned) -> list[Finish]:
        """Begin the granted runs of a job; several, after a gap, run one after the other."""
        ends = []
        for number, (run, go) in enumerate(plan.to_run):
            end = self._running.begin(plan.job, run, go, more=number > 0)
            if end is not None:
                ends.append(end)
        return ends

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


def _jittered(job: Job, run: Run, following: datetime | None) -> Run:
    """Start a slot a little late, by chance: its row says when (cron.md §22 row 6)."""
    if run.slot is None or run.trigger is not Trigger.SCHEDULE:
        return run  # late enough
    late = stagger.jitter(job.id, run.slot, job.policies.jitter, following)
    return replace(run, facts={**run.facts, START_AT: ms(run.slot + late)})


def _deferred(run: Run, reason: SkipReason, because: str, until: datetime) -> Run:
    """Keep a run until a later instant: its row waits, and says why and until when."""
    return replace(
        run,
        status=RunStatus.DEFERRED,
        reason=reason,
        because=because,
        deferrals=run.deferrals + 1,
        facts={**run.facts, START_AT: ms(until)},
    )


def _with_model(run: Run, go: Go) -> Run:
    if go.model is None:
        return run
    return replace(run, because=go.because, facts={**run.facts, CHEAPER: go.model})
