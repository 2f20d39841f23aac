"""What this process performs now: which runs go on, who waits behind whom, how they end.

Decides nothing: a run comes here with its row and with the place its job's overlap policy
gave it (`engine.decisions.cron_gates.Go`). Whatever breaks, the row does not stay open.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from engine.clock import Clock
from engine.decisions.claiming import ALONE, IDLE, Standing
from engine.decisions.cron_gates import Go, Place
from engine.record import Recorder, broken
from jobs.ledger import START_AT, Run, SkipReason, Trigger
from jobs.model import Job
from jobs.schedule import Cron
from jobs.store import runs as run_rows
from jobs.store.base import Finish
from jobs.store.db import Database
from jobs.values import changed
from jobs.wallclock import instant

log = logging.getLogger(__name__)

_ENDS_WITHIN: Final = 5.0  # seconds; a run that takes longer to end is not waited for

Begun = Finish | Coroutine[Any, Any, None]


class Performer(Protocol):
    """Whoever performs the runs of one kind of job."""

    def begin(self, job: Job, run: Run) -> Begun:
        """Return how it ended, if that is known at once; else the work that will record it."""


Ender = Callable[[Job, Run], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Cut:
    """Why a run that goes on is ended."""

    reason: SkipReason
    because: str


class Running:
    """The runs of this process. Runs of one job go one by one unless its policy says otherwise."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        recorder: Recorder,
        performers: Mapping[str, Performer],
        enders: Mapping[str, Ender] | None = None,
        waits: Callable[[str], bool] = lambda _run_id: False,
    ) -> None:
        self._database = database
        self._clock = clock
        self._recorder = recorder
        self._performers = performers
        self._waits = waits  # whether a run that was begun still waits for its instant
        self._enders = enders or {}  # who ends the runs of a kind that end early
        self._active: dict[str, dict[str, asyncio.Task[None]]] = {}  # job id → run id → task
        self._behind: dict[str, deque[tuple[Job, Run]]] = {}
        self._ended: dict[str, datetime] = {}  # cron jobs, oldest end first
        self._tasks: set[asyncio.Task[None]] = set()
        self._later: dict[str, tuple[Job, Run]] = {}  # of backfills, until their instant
        self._pacing: set[asyncio.Task[None]] = set()
        self._cut: dict[str, _Cut] = {}  # run id → why it is being ended
        self._stopping = False

    # -- looking -------------------------------------------------------------------------

    def standing(self, job_id: str) -> Standing:
        """Return what goes on of a job."""
        going, behind = self._active.get(job_id), self._behind.get(job_id)
        last_end = self._ended.get(job_id)
        if not going and not behind and last_end is None:
            return IDLE
        return Standing(tuple(going or ()), len(behind or ()), last_end)

    def active(self, job_id: str) -> str | None:
        """Return the oldest run of a job that does its work, if one does."""
        return next((one for one in self._active.get(job_id, ()) if not self._waits(one)), None)

    def jobs(self) -> tuple[str, ...]:
        """Ids of the jobs performed now."""
        return tuple(self._active)

    def forget_ends(self, before: datetime | None = None) -> None:
        """Forget ends before an instant, or all of them: the clock told them wrong."""
        while self._ended:
            job_id, at = next(iter(self._ended.items()))
            if before is not None and at > before:
                return
            del self._ended[job_id]

    # -- beginning -----------------------------------------------------------------------

    def begin(self, job: Job, run: Run, go: Go = ALONE, *, more: bool = False) -> Finish | None:
        """Begin a run that has its row; returns its end if that is known at once.

        ``more``: another run of the same claim is before it, so it waits its turn.
        """
        for other in go.replaces:
            why = f"run {run.id} took its place ({job.name})"
            self._end_early(job.id, other, _Cut(SkipReason.SUPERSEDED, why))
        going = self._active.get(job.id)
        if run.trigger is Trigger.MANUAL and self.active(job.id) is None:
            going = None  # what waits for its instant is not in the way of a person
        if going and run.kind != "heartbeat" and go.place is not Place.BESIDE:
            if go.place is Place.ALONE and not more:
                # Another began while the claim was written.
                why = f"run {next(iter(going))} was still going"
                over = run.skipped(SkipReason.OVERLAP_SKIP, why, self._clock.now())
                self._track(job, run, self._end(job, over))
                return None
            self._behind.setdefault(job.id, deque()).append((job, run))
            return None
        return self._begin_now(job, run)

    def dispatch(self, job: Job, run: Run) -> None:
        """Perform a run somebody else wrote, behind those of its job that go on.

        One of a backfill waits for its own instant first, in nobody's way (cron.md §22 row 4).
        """
        start = instant(run.facts.get(START_AT)) if run.trigger is Trigger.BACKFILL else None
        if start is not None and start > self._clock.now():
            self._later[run.id] = (job, run)
            task = asyncio.create_task(self._dispatch_at(start, run.id), name=f"later-{run.id}")
            self._pacing.add(task)
            task.add_done_callback(self._pacing.discard)
            return
        end = self.begin(job, run, Go(place=Place.BEHIND))
        if end is not None:
            self._track(job, run, self._recorder.ended(end))

    async def _dispatch_at(self, start: datetime, run_id: str) -> None:
        await self._clock.sleep_until(start)
        if (due := self._later.pop(run_id, None)) is not None and not self._stopping:
            job, run = due
            # It has waited: a clock that was set back meanwhile has it wait no second time.
            facts = {name: each for name, each in run.facts.items() if name != START_AT}
            self.dispatch(job, changed(run, facts=facts))

    def cancel(self, run_id: str, because: str) -> bool:
        """End a run that goes on or waits; false if there is none such."""
        return self._call_off(run_id, _Cut(SkipReason.AGENT_RUNNER_CANCELLED, because))

    def _call_off(self, run_id: str, cut: _Cut) -> bool:
        if (due := self._later.pop(run_id, None)) is not None:
            job, run = due
            over = run.skipped(cut.reason, cut.because, self._clock.now())
            self._track(job, run, self._end(job, over))
            return True
        for job_id, going in self._active.items():
            if run_id in going:
                return self._end_early(job_id, run_id, cut)
        for job_id, behind in self._behind.items():
            for job, run in tuple(behind):
                if run.id == run_id:
                    behind.remove((job, run))
                    if not behind:
                        del self._behind[job_id]
                    over = run.skipped(cut.reason, cut.because, self._clock.now())
                    self._track(job, run, self._end(job, over))
                    return True
        return False

    async def cancelled(self, run_id: str, because: str) -> bool:
        """The same, and return once the run is over; how it ended stands in its row."""
        if not self.cancel(run_id, because):
            return False
        tasks = [going[run_id] for going in self._active.values() if run_id in going]
        if tasks:
            await asyncio.wait(tasks, timeout=_ENDS_WITHIN)
        return True

    def withdraw(self, job_id: str, because: str) -> None:
        """End the runs of a job that have not begun: nobody wants them any more."""
        cut = _Cut(SkipReason.DISABLED, because)
        for run_id in [ref for ref, (job, _) in self._later.items() if job.id == job_id]:
            self._call_off(run_id, cut)
        for run in [run for _, run in self._behind.get(job_id, ())]:
            self._call_off(run.id, cut)
        for run_id in [one for one in self._active.get(job_id, ()) if self._waits(one)]:
            self._call_off(run_id, cut)

    def cancel_job(self, job_id: str, because: str) -> None:
        """End every run of a job: those that wait first, or they would begin."""
        waiting = [ref for ref, (job, _) in self._later.items() if job.id == job_id]
        waiting += [run.id for _, run in self._behind.get(job_id, ())]
        for run_id in (*waiting, *self._active.get(job_id, ())):
            self.cancel(run_id, because)

    def _begin_now(self, job: Job, run: Run) -> Finish | None:
        try:
            begun = self._performers[run.kind].begin(job, run)
        except Exception as error:
            begun = self._end(job, self._broken(run, error))
        if isinstance(begun, Finish):
            self._note_end(job, begun.run.ended_at or self._clock.now())
            return begun
        self._track(job, run, begun)
        return None

    def _begin_next(self, job_id: str) -> None:
        """Begin what waits behind a run that has ended; once stopping, the next start does."""
        behind = self._behind.get(job_id)
        if not behind or self._stopping or job_id in self._active:
            return
        job, run = behind.popleft()
        if not behind:
            del self._behind[job_id]
        if (end := self._begin_now(job, run)) is not None:
            self._track(job, run, self._recorder.ended(end))

    def _track(self, job: Job, run: Run, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._performed(job, run, work), name=f"run-{run.id}")
        self._active.setdefault(job.id, {})[run.id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda over: self._unless_begun(job, run, work, over))

    def _unless_begun(
        self, job: Job, run: Run, work: Coroutine[Any, Any, None], task: asyncio.Task[None]
    ) -> None:
        """End a run whose task was cancelled before its first step: nothing of it ever ran."""
        going = self._active.get(job.id, {})
        if going.get(run.id) is not task:
            return
        work.close()
        del going[run.id]
        if not going:
            del self._active[job.id]
        if (cut := self._cut.pop(run.id, None)) is not None:
            over = run.skipped(cut.reason, cut.because, self._clock.now())
            self._track(job, run, self._end(job, over))

    # -- ending --------------------------------------------------------------------------

    async def _performed(self, job: Job, run: Run, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            cut = self._cut.pop(run.id, None)
            if cut is None:
                self._stopping = True  # the next start tells the story
                raise
            await self._end(job, await self._cut_short(run, cut))
        except Exception as error:
            # A bug of ours: the row must not stay open, and others go on.
            await self._end(job, self._broken(run, error))
        finally:
            self._cut.pop(run.id, None)
            going = self._active.get(job.id, {})
            going.pop(run.id, None)
            if not going:
                self._active.pop(job.id, None)
            self._note_end(job, self._clock.now())
            self._begin_next(job.id)

    async def _end(self, job: Job, run: Run) -> None:
        """End a run that did not end by itself, with all that means for its job."""
        end = self._enders.get(run.kind)
        if end is not None:
            try:
                await end(job, run)
            except Exception:  # the row must not stay open
                log.exception("a run was not ended properly", extra={"run_id": run.id})
            else:
                return
        await self._recorder.ended(Finish(run=run))

    def _end_early(self, job_id: str, run_id: str, cut: _Cut) -> bool:
        task = self._active.get(job_id, {}).get(run_id)
        if task is None or run_id in self._cut:
            return task is not None
        self._cut[run_id] = cut
        return task.cancel()

    async def _cut_short(self, run: Run, cut: _Cut) -> Run:
        """Return the row of a run that was ended early, with when it had begun."""
        row = await self._database.read(lambda tx: run_rows.get(tx, run.id))
        return (row or run).skipped(cut.reason, cut.because, self._clock.now())

    def _broken(self, run: Run, error: Exception) -> Run:
        log.error("run broke", exc_info=error, extra={"job_id": run.job_id, "run_id": run.id})
        return broken(run, error, self._clock.now())

    def _note_end(self, job: Job, at: datetime) -> None:
        if isinstance(job.schedule, Cron):
            self._ended.pop(job.id, None)  # so that the oldest end stays first
            self._ended[job.id] = at

    async def idle(self) -> None:
        """Return when nothing is performed."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def stop(self, grace: timedelta) -> tuple[str, ...]:
        """Wait for what runs, cancel the rest; returns the jobs that were cut off."""
        self._stopping = True
        for task in tuple(self._pacing):
            task.cancel()  # their rows wait for the next start
        if not self._tasks:
            return ()
        _, late = await asyncio.wait(tuple(self._tasks), timeout=grace.total_seconds())
        cut = tuple(self._active)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return cut if late else ()
