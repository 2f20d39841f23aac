"""What an operator does to jobs beside editing them: pause, leave out a slot, cancel, backfill.

None of it changes a definition: it lies over it, survives a reload of the config, and says
who did it and why (cron.md §13 "runtime ops allowed", §22 rows 4, 5 and 22).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, Protocol

from engine.clock import Clock
from engine.events import Bus
from engine.scheduling import reading, writing
from engine.scheduling.watching import next_watch
from jobs.claims import claimed, passed_over, paused_words
from jobs.crash import crash_point
from jobs.due import Passed, coming_slot, first_run, owed
from jobs.duration import parse_rate
from jobs.errors import InvalidInput, JobNotFound
from jobs.ledger import SCHEDULED_FOR, START_AT, Run, RunStatus, SkipReason, Trigger
from jobs.model import SYSTEMS_OWN, Job, Source, StoredJob
from jobs.schedule import At, Occurrence
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import JobQuery, RunQuery
from jobs.store.db import Database, Tx
from jobs.wallclock import EPOCH, MILLISECOND, ms
from jobs.written import parse_at

log = logging.getLogger(__name__)

MOST_SLOTS: Final = 1000  # of one backfill
_RAN: Final = frozenset({RunStatus.OK, RunStatus.RUNNING, RunStatus.CLAIMED, RunStatus.DEFERRED})
_MOMENT: Final = timedelta(microseconds=1)


class Runs(Protocol):
    """What performs runs: `engine.running.Running`."""

    def dispatch(self, job: Job, run: Run) -> None:
        """Perform a run behind those of its job that go on."""

    async def cancelled(self, run_id: str, because: str) -> bool:
        """End a run, and return once it is over; false if it neither goes on nor waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which jobs an operator means: one, those with a tag, or all."""

    ref: str | None = None
    tag: str | None = None
    everything: bool = False


class Control:
    """Overlays of jobs, and runs beside their schedule. See `Scheduling` for ``ref``."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        bus: Bus,
        runs: Callable[[], Runs],
        poke: Callable[[], None],
        boot_id: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._runs = runs
        self._poke = poke
        self._boot_id = boot_id

    # -- pausing -------------------------------------------------------------------------

    async def pause(
        self, chosen: Chosen, *, by: str, note: str = "", until: datetime | None = None
    ) -> dict[str, Any]:
        """`cron.pause`: no slot runs until the pause ends, by hand or at ``until``."""
        now = self._clock.now()
        if until is not None and until <= now:
            raise InvalidInput(
                "the jobs were not paused",
                why="the end of the pause has passed already",
                fix="give a later end, or none",
            )
        overlay = {"by": by, "note": note, "atMs": ms(now), "untilMs": ms(until)}

        def work(tx: Tx) -> list[StoredJob]:
            jobs = [one for one in _chosen(tx, chosen) if one.state.paused is None]
            for stored in jobs:
                watch = next_watch(stored.job, replace(stored.state, paused=overlay), now)
                job_rows.set_state(tx, stored.job.id, paused=overlay, watch_at=watch)
                writing.note(tx, now, by, "cron.pause", stored, note=note)
                crash_point("mid-pause")
            return jobs

        return await self._told(await self._database.write(work), "paused", overlay)

    async def resume(self, chosen: Chosen, *, by: str) -> dict[str, Any]:
        """`cron.resume`: what passed meanwhile is recorded, or made up by the misfire policy."""
        now = self._clock.now()

        def work(tx: Tx) -> list[StoredJob]:
            jobs = [one for one in _chosen(tx, chosen) if _stopped(one)]
            for stored in jobs:
                self._resume_one(tx, stored, now)
                writing.note(tx, now, by, "cron.resume", stored)
                crash_point("mid-resume")
            return jobs

        return await self._told(await self._database.write(work), "resumed", {"by": by})

    async def pause_one(
        self, ref: str, *, by: str, note: str = "", until: str | None = None
    ) -> dict[str, Any]:
        """Hold one job, ``until`` as people write it; see `engine.agents.tools.cron`."""
        end = None if until is None else parse_at(until, now=self._clock.now())
        return await self.pause(Chosen(ref=ref), by=by, note=note, until=end)

    async def resume_one(self, ref: str, *, by: str) -> dict[str, Any]:
        """Let one job go on."""
        return await self.resume(Chosen(ref=ref), by=by)

    def _resume_one(self, tx: Tx, stored: StoredJob, now: datetime) -> None:
        if _gave_up(stored):
            stored = _switched_on(tx, stored, now)
        job, state = stored.job, stored.state
        columns: dict[str, Any] = {"paused": None}
        slot = coming_slot(job.schedule, state.next_run_at, state.retry_at)
        if slot is not None and slot <= now:
            until = job.policies.until
            decided = owed(job.schedule, slot, now, misfire=job.misfire, until=until)
            because = paused_words(state.paused or {})
            rows = [self._left(job, passed, because, now) for passed in decided.passed]
            run_rows.insert_slots(tx, rows)
            columns["skip_count"] = state.skip_count + sum(row.count for row in rows)
            made_up = decided.runs[0].instant if decided.runs else decided.next_run_at
            columns["next_run_at"] = made_up
        resumed = replace(state, paused=None)
        job_rows.set_state(tx, job.id, **columns, watch_at=next_watch(job, resumed, now))

    def _left(self, job: Job, passed: Passed, because: str, now: datetime) -> Run:
        left = replace(passed, reason=SkipReason.PAUSED, because=because)
        return passed_over(job, "cron", left, now, self._boot_id)

    # -- leaving out ---------------------------------------------------------------------

    async def skip(
        self, ref: str, *, by: str, count: int = 1, note: str = "", undo: bool = False
    ) -> dict[str, Any]:
        """`cron.skip`: the next ``count`` slots are left out once; ``undo`` takes that back."""
        now = self._clock.now()

        def work(tx: Tx) -> tuple[StoredJob, list[datetime]]:
            stored = _own(reading.find(tx, ref))
            slots = [] if undo else _coming(stored, now, count)
            if not undo and not slots:
                raise InvalidInput(
                    "nothing was left out",
                    why=f"job {stored.job.name} has no slot to come",
                    fix="engine cron show, to see why",
                )
            left = stored.state.skips
            kept = {key: who for key, who in left.items() if EPOCH + int(key) * MILLISECOND > now}
            told = f"by {by}" + (f": {note}" if note else "")
            made = {} if undo else {**kept, **{str(ms(slot)): told for slot in slots}}
            job_rows.set_state(tx, stored.job.id, skips=made or None)
            writing.note(tx, now, by, "cron.skip", stored, note=note)
            return stored, slots or [EPOCH + int(key) * MILLISECOND for key in kept]

        stored, slots = await self._database.write(work)
        self._bus.publish("cron", {"action": "updated", "jobId": stored.job.id})
        told = [ms(slot) for slot in slots]
        return {"ok": True, "jobId": stored.job.id, "restored" if undo else "skipped": told}

    # -- taking over ---------------------------------------------------------------------

    async def adopt(self, ref: str, *, by: str) -> dict[str, Any]:
        """`cron.adopt`: a job of the config becomes one of the run time, with all its state.

        Its entry does nothing any more, and `cron.status` says so until it is removed.
        """
        now = self._clock.now()

        def work(tx: Tx) -> StoredJob:
            stored = _own(reading.find(tx, ref))
            if stored.job.source is not Source.CONFIG:
                raise InvalidInput(
                    f"job {stored.job.name} was not adopted",
                    why="it is no job of the config",
                    fix="engine cron edit changes it as it is",
                )
            job = replace(stored.job, source=Source.RUNTIME, updated_at=now)
            coming = stored.state.next_run_at
            writing.note(tx, now, by, "cron.adopt", stored)
            return job_rows.update(
                tx, job, next_run_at=coming, now=now, current=stored, orphaned_at=None
            )

        stored = await self._database.write(work)
        self._bus.publish("cron", {"action": "updated", "jobId": stored.job.id})
        return {"ok": True, "jobId": stored.job.id, "name": stored.job.name}

    # -- runs ----------------------------------------------------------------------------

    async def cancel(self, run_id: str, *, by: str) -> dict[str, Any]:
        """`cron.cancel`: end a run that goes on or waits, unless it ends by itself meanwhile."""
        asked = await self._runs().cancelled(run_id, f"cancelled by {by}")
        run = await self._database.read(lambda tx: run_rows.get(tx, run_id))
        if run is None:
            raise JobNotFound(f"run {run_id} is not on record", fix="engine cron runs")
        if asked and (not run.status.final or run.reason is SkipReason.AGENT_RUNNER_CANCELLED):
            return {"ok": True, "cancelled": True, "runId": run_id}
        return {"ok": True, "cancelled": False, "runId": run_id, "reason": run.status.value}

    async def backfill(
        self,
        ref: str,
        *,
        since: datetime,
        until: datetime,
        by: str,
        policy: str = "missing",
        dry_run: bool = False,
        rate: str | None = None,
    ) -> dict[str, Any]:
        """`cron.backfill`: run the slots of a range, one after the other, oldest first.

        ``policy``: `missing` leaves out those that ran, `all` does not. Each run stands for
        its slot: ``{{scheduledFor}}`` in a prompt is the slot's time. ``rate`` is how many
        begin in a span at most: `10/1h`; the job's own slots are served meanwhile.
        """
        now = self._clock.now()
        apart = timedelta() if rate is None else parse_rate(rate)
        if policy not in ("missing", "all"):
            raise InvalidInput(f"policy {policy!r} is not known", fix="use missing or all")
        if not since < until or until > now:
            raise InvalidInput(
                "nothing was backfilled",
                why="the range is empty, or reaches into the future",
                fix="give --from before --to, and --to not after now",
            )

        def work(tx: Tx) -> tuple[StoredJob, list[Occurrence], list[Run]]:
            stored = _own(reading.find(tx, ref))
            slots = _between(stored.job, since, until)
            if policy == "missing":
                ran = _ran(tx, stored.job, since)
                slots = [slot for slot in slots if slot.instant not in ran]
            if dry_run:
                return stored, slots, []
            runs = [
                self._standing_for(stored.job, slot, now, by, begins=now + number * apart)
                for number, slot in enumerate(slots)
            ]
            run_rows.insert(tx, runs)
            if runs:
                writing.note(tx, now, by, "cron.backfill", stored, slots=str(len(runs)))
            return stored, slots, runs

        stored, slots, runs = await self._database.write(work)
        crash_point("after-backfill")
        for run in runs:
            self._runs().dispatch(stored.job, run)
        return {
            "ok": True,
            "jobId": stored.job.id,
            "dryRun": dry_run,
            "slots": [ms(slot.instant) for slot in slots],
            "runIds": [run.id for run in runs],
        }

    def _standing_for(
        self, job: Job, slot: Occurrence, now: datetime, by: str, *, begins: datetime
    ) -> Run:
        paced = {START_AT: ms(begins)} if begins > now else {}
        return replace(
            claimed(job, "cron", Trigger.BACKFILL, now, self._boot_id, slot),
            slot=None,  # the slot has its row: this one stands for it
            requested_at=now,
            wake={"source": "backfill", "by": by},
            facts={SCHEDULED_FOR: ms(slot.instant), **paced},
        )

    # -- looking after -------------------------------------------------------------------

    async def end_pauses(self) -> int:
        """Resume the jobs whose pause has run out; returns how many."""
        now = self._clock.now()
        due, _ = await self._database.read(lambda tx: job_rows.to_watch(tx, now))
        ended = 0
        for stored in due:
            try:
                if _is_over(stored, now):
                    await self.resume(Chosen(ref=stored.job.id), by="the end of its pause")
                    ended += 1
            except Exception:  # the next one's pause ends all the same
                log.exception("a pause was not ended", extra={"job_id": stored.job.id})
        return ended

    # -- parts ---------------------------------------------------------------------------

    async def _told(
        self, jobs: Sequence[StoredJob], action: str, overlay: Mapping[str, Any]
    ) -> dict[str, Any]:
        for stored in jobs:
            payload = {"action": action, "jobId": stored.job.id, **overlay}
            self._bus.publish("cron", {k: v for k, v in payload.items() if v not in (None, "")})
        if jobs:
            self._poke()
        names = [{"id": one.job.id, "name": one.job.name} for one in jobs]
        return {"ok": True, action: len(jobs), "jobs": names}


def _chosen(tx: Tx, chosen: Chosen) -> list[StoredJob]:
    if chosen.ref is not None:
        return [_own(reading.find(tx, chosen.ref))]
    if not chosen.everything and chosen.tag is None:
        raise InvalidInput("no job was named", fix="give a job, --tag or --all")
    found = job_rows.select(tx, JobQuery(enabled=None)).jobs
    if chosen.tag is None:
        return list(found)
    tagged = [one for one in found if chosen.tag in one.job.policies.tags]
    if not tagged:
        raise JobNotFound(f"no job has the tag {chosen.tag!r}", fix="engine cron list --all")
    return tagged


def _own(stored: StoredJob) -> StoredJob:
    if isinstance(stored.job.payload, SYSTEMS_OWN):
        raise InvalidInput(
            f"job {stored.job.id} was left alone",
            why="it is the system's",
            fix="engine heartbeat disable",
        )
    return stored


def _stopped(stored: StoredJob) -> bool:
    return stored.state.paused is not None or _gave_up(stored)


def _gave_up(stored: StoredJob) -> bool:
    """Whether a job is off because it failed, and for no other reason."""
    return stored.state.auto_disabled is not None and stored.state.orphaned_at is None


def _switched_on(tx: Tx, stored: StoredJob, now: datetime) -> StoredJob:
    """Switch a job on again that was switched off because it failed.

    Its definition says so too: only then is there something to change for whoever wants it off.
    """
    job = replace(stored.job, enabled=True)
    return job_rows.update(
        tx,
        job,
        next_run_at=first_run(job, now),
        now=now,
        auto_disabled=None,
        consecutive_errors=0,
        retry_at=None,
        schedule_activated_at=now,  # while it was off no slot was expected
    )


def _is_over(stored: StoredJob, now: datetime) -> bool:
    until = (stored.state.paused or {}).get("untilMs")
    return until is not None and EPOCH + until * MILLISECOND <= now


def _coming(stored: StoredJob, now: datetime, count: int) -> list[datetime]:
    state = stored.state
    first = coming_slot(stored.job.schedule, state.next_run_at, state.retry_at)
    if first is None or not stored.job.enabled:
        return []
    if isinstance(stored.job.schedule, At):
        return [first]
    slots = [max(first, now)] if first > now else []
    after = slots[-1] if slots else now
    while len(slots) < count and (slot := stored.job.schedule.next_after(after)) is not None:
        slots.append(slot)
        after = slot
    return slots[:count]


def _between(job: Job, since: datetime, until: datetime) -> list[Occurrence]:
    """Return the slots in ``[since, until]``; too many at once are refused."""
    slots = list(islice(_slots(job, since, until), MOST_SLOTS + 1))
    if len(slots) > MOST_SLOTS:
        raise InvalidInput(
            "nothing was backfilled",
            why=f"the range has more than {MOST_SLOTS} slots",
            fix="give a shorter range",
        )
    return slots


def _slots(job: Job, since: datetime, until: datetime) -> Iterable[Occurrence]:
    after = since - _MOMENT
    while (slot := job.schedule.occurrence_after(after)) is not None and slot.instant <= until:
        yield slot
        after = slot.instant


def _ran(tx: Tx, job: Job, since: datetime) -> set[datetime]:
    """Return the slots that ran, by themselves or by an earlier backfill."""
    query = RunQuery(job_id=job.id, since=since, limit=20 * MOST_SLOTS)
    found: set[datetime] = set()
    for run in run_rows.page(tx, query).entries:
        if run.status not in _RAN:
            continue
        stands_for = run.facts.get(SCHEDULED_FOR)
        slot = run.slot if stands_for is None else EPOCH + stands_for * MILLISECOND
        if slot is not None:
            found.add(slot)
    return found
