"""The one timer's work: what is due is claimed, then handed to whoever performs it.

One pass (`tick`) reads the due jobs, decides which slots are owed (`jobs.due`), claims them
in one transaction that also advances the jobs, and starts the granted runs. Nothing runs
without its row (style rule 4). The clockwork calls `tick` again at the instant it returns.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from engine.agents.secrets import redacted
from engine.clock import Clock
from engine.record import Recorder
from engine.set_back import put_right
from engine.vitals import Vitals
from jobs import codec
from jobs.crash import crash_point
from jobs.due import Passed, owed
from jobs.ids import new_id
from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.model import Job
from jobs.schedule import At, Cron, Occurrence
from jobs.store import jobs as job_rows, runs as run_rows, set_back
from jobs.store.base import Claim, DueJob, Finish
from jobs.store.db import Database

log = logging.getLogger(__name__)

BATCH: Final = 1000
FLIGHTS: Final = 2  # batches written while another is decided
CLOCK_JUMP: Final = timedelta(seconds=60)
AT_LEAST_A_SECOND_LATE: Final = timedelta(seconds=1)

Begun = Finish | Coroutine[Any, Any, None]


class Performer(Protocol):
    """Whoever performs the runs of one kind of job."""

    def begin(self, job: Job, run: Run) -> Begun:
        """Return how it ended, if that is known at once; else the work that will record it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """What the config says to the loop."""

    cron_enabled: bool = True
    refire_gap: timedelta = timedelta(seconds=2)  # cron.md §3.2


@dataclass(frozen=True, slots=True)
class _Planned:
    job: Job
    claim: Claim
    to_run: list[Run]


class Loop:
    """Claims what is due and sees to it that every claim is performed."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        recorder: Recorder,
        performers: Mapping[str, Performer],
        settings: Callable[[], LoopSettings],
        boot_id: str,
        vitals: Vitals | None = None,
    ) -> None:
        self._vitals = vitals or Vitals()
        self._database = database
        self._clock = clock
        self._recorder = recorder
        self._performers = performers
        self._settings = settings
        self._boot_id = boot_id
        self._active: dict[str, str] = {}  # job id → run id, of what this process performs
        self._ended: dict[str, datetime] = {}  # cron jobs that ended within the refire gap
        self._behind: dict[str, deque[tuple[Job, Run]]] = {}  # wait for the run of their job
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: tuple[datetime, timedelta] | None = None
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
            self._ended.clear()  # told by the wrong time
            await put_right(self._database, now, -jump)
        self._forget_ended(now)
        rows, later = await self._due(now)
        if len(rows) < BATCH:
            known = await self._perform(await self._decide(rows, now)) if rows else ()
        else:
            await self._burst(rows, now)
            known = None
        if known is None:
            return await self._database.read(job_rows.next_due)
        return min((at for at in (later, *known) if at is not None), default=None)

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
        for row in rows:
            try:
                planned.append(self._plan(row, now, settings))
            except Exception as error:
                await self._set_aside(row, error)
        return planned

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

    def _plan(self, row: DueJob, now: datetime, settings: LoopSettings) -> _Planned:
        job = codec.job_from_text(row.definition)
        # A recurring job's backoff may end on one of its slots: that is a slot, not a retry.
        if isinstance(job.schedule, At) and row.retry_at == row.next_run_at:
            return self._planned_retry(job, row, now, settings)
        decided = owed(job.schedule, row.next_run_at, now, misfire=job.misfire)
        runs = [self._slot_run(job, row, slot, decided.trigger, now) for slot in decided.runs]
        runs = self._refuse(job, row, runs, now, settings)
        passed = [self._passed_run(job, row, slot, now) for slot in decided.passed]
        claim = Claim(row.id, row.next_run_at, decided.next_run_at, (*runs, *passed))
        return _Planned(job, claim, [run for run in runs if run.status is RunStatus.CLAIMED])

    def _planned_retry(
        self, job: Job, row: DueJob, now: datetime, settings: LoopSettings
    ) -> _Planned:
        """A failed one-shot is tried again: a row of its own, without a slot."""
        run = replace(self._row(job, row, now, Trigger.RETRY), attempt=row.consecutive_errors + 1)
        runs = self._refuse(job, row, [run], now, settings)
        claim = Claim(row.id, row.next_run_at, None, tuple(runs))
        return _Planned(job, claim, [r for r in runs if r.status is RunStatus.CLAIMED])

    def _refuse(
        self, job: Job, row: DueJob, runs: list[Run], now: datetime, settings: LoopSettings
    ) -> list[Run]:
        """Turn runs that may not begin into skips, each with its reason."""
        if row.kind == "heartbeat":
            return runs  # beats have gates of their own (heartbeat.md §7)
        kept = []
        for run in runs:
            refusal = self._refusal(job, row, run, now, settings)
            if refusal is None:
                kept.append(run)
            else:
                reason, because = refusal
                kept.append(
                    replace(
                        run, status=RunStatus.SKIPPED, reason=reason, because=because, ended_at=now
                    )
                )
        return kept

    def _refusal(
        self, job: Job, row: DueJob, run: Run, now: datetime, settings: LoopSettings
    ) -> tuple[SkipReason, str] | None:
        if not settings.cron_enabled:
            return (
                SkipReason.DISABLED,
                "scheduled jobs are switched off (cron.enabled, or ENGINE_SKIP_CRON)",
            )
        if row.retry_at is not None and now < row.retry_at:
            until = f"{row.retry_at:%Y-%m-%d %H:%M:%SZ}"
            words = f"{row.consecutive_errors} failures in a row; it waits until {until}"
            return SkipReason.BACKOFF, words
        if (running := self._active.get(job.id)) is not None:
            return SkipReason.OVERLAP_SKIP, f"run {running} was still going"
        ended = self._ended.get(job.id)
        if isinstance(job.schedule, Cron) and ended is not None:
            gap = settings.refire_gap
            if run.slot is not None and run.slot < ended + gap:
                return SkipReason.OVERLAP_SKIP, f"the run before it ended less than {gap} ago"
        return None

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

    # -- performing ----------------------------------------------------------------------

    def dispatch(self, job: Job, run: Run) -> None:
        """Perform a run somebody else wrote: a manual one. It is open already."""
        self._start(job, run)

    def active(self, job_id: str) -> str | None:
        """Return the run that performs this job now, if one does."""
        return self._active.get(job_id)

    def running(self) -> tuple[str, ...]:
        """Ids of the jobs performed now."""
        return tuple(self._active)

    async def idle(self) -> None:
        """Return when nothing is performed."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def stop(self, grace: timedelta) -> tuple[str, ...]:
        """Claim nothing more, wait for what runs, cancel the rest; returns what was cut off."""
        self._stopping = True
        if not self._tasks:
            return ()
        _, late = await asyncio.wait(tuple(self._tasks), timeout=grace.total_seconds())
        cut = tuple(self._active)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return cut if late else ()

    def _begin(self, plan: _Planned) -> list[Finish]:
        """Begin the granted runs of a job; several, after a gap, run one after the other."""
        ends = []
        job = plan.job
        other = self._active.get(job.id)
        for run in plan.to_run:
            if run.kind != "heartbeat" and other is not None:
                # A manual run began while the claim was written.
                ends.append(Finish(run=_overlapping(run, other, self._clock.now())))
            elif run.kind != "heartbeat" and job.id in self._active:
                self._behind.setdefault(job.id, deque()).append((job, run))
            elif isinstance(begun := self._begun(job, run), Finish):
                self._note_end(job, begun.run.ended_at or self._clock.now())
                ends.append(begun)
            else:
                self._track(job, run, begun)
        return ends

    def _begun(self, job: Job, run: Run) -> Begun:
        try:
            return self._performers[run.kind].begin(job, run)
        except Exception as error:
            return Finish(run=self._broken(run, error))

    def _start(self, job: Job, run: Run) -> None:
        """Begin a run, behind the one of the same job that is performed."""
        if job.id in self._active:
            self._behind.setdefault(job.id, deque()).append((job, run))
            return
        begun = self._begun(job, run)
        if isinstance(begun, Finish):
            end = begun
            self._note_end(job, end.run.ended_at or self._clock.now())
            begun = self._recorder.ended(end)
        self._track(job, run, begun)

    def _start_next(self, job_id: str) -> None:
        """Begin what waits behind a run that has ended; once stopping, the next start does."""
        behind = self._behind.get(job_id)
        if not behind or self._stopping:
            return
        job, run = behind.popleft()
        if not behind:
            del self._behind[job_id]
        self._start(job, run)

    def _track(self, job: Job, run: Run, work: Coroutine[Any, Any, None]) -> None:
        self._active[job.id] = run.id
        task = asyncio.create_task(self._performed(job, run, work), name=f"run-{run.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _performed(self, job: Job, run: Run, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            # A bug of ours: the row must not stay open, and others go on.
            await self._recorder.ended(Finish(run=self._broken(run, error)))
        finally:
            if self._active.get(job.id) == run.id:
                del self._active[job.id]
            self._note_end(job, self._clock.now())
            self._start_next(job.id)

    def _broken(self, run: Run, error: Exception) -> Run:
        log.error("run broke", exc_info=error, extra={"job_id": run.job_id, "run_id": run.id})
        return replace(
            run,
            status=RunStatus.FAILED,
            reason=SkipReason.AGENT_RUNNER_FAILURE,
            because="the engine itself failed; the log has the details",
            error={"class": "internal", "message": redacted(f"{type(error).__name__}: {error}")},
            ended_at=self._clock.now(),
        )

    def _note_end(self, job: Job, at: datetime) -> None:
        if isinstance(job.schedule, Cron):
            self._ended.pop(job.id, None)  # so that the oldest end stays first
            self._ended[job.id] = at

    def _forget_ended(self, now: datetime) -> None:
        gap = self._settings().refire_gap
        while self._ended:
            job_id, at = next(iter(self._ended.items()))
            if now < at + gap:
                return
            del self._ended[job_id]

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


def _overlapping(run: Run, other: str, now: datetime) -> Run:
    return replace(
        run,
        status=RunStatus.SKIPPED,
        reason=SkipReason.OVERLAP_SKIP,
        because=f"run {other} was still going",
        ended_at=now,
    )
