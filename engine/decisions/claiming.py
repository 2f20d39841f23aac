"""From a due job to its claim: which slots are owed, and what its gates say to each. Pure.

One claim is one step of a job: its next instant, and the rows of the slots in between
(design.md P1, P2). A beat's gates are asked later, when its agent is free (heartbeat.md §7).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NamedTuple, assert_never

from engine.decisions.catching_up import CONNECTING, begins_at, spread
from engine.decisions.cron_gates import (
    CHEAPER,
    PLACES,
    REPLACING,
    SPENT,
    CronSnapshot,
    Go,
    Overspent,
    Place,
    decide,
)
from engine.decisions.gates import Defer, Skip
from jobs import stagger, wallclock
from jobs.calendar import judge, moved
from jobs.claims import claimed, passed_over
from jobs.due import (
    NO_DAYS,
    Days,
    brought_forward,
    coming_slot,
    not_beyond,
    owed,
    retry_before,
    too_late,
)
from jobs.ledger import (
    NOTHING_SPENT,
    SCHEDULED_FOR,
    START_AT,
    Run,
    RunStatus,
    SkipReason,
    Spent,
    Trigger,
)
from jobs.model import Job
from jobs.policies import PLAIN, Budget, Overlap
from jobs.schedule import At, Cron, Occurrence
from jobs.store.base import Claim, DueJob
from jobs.values import changed
from jobs.wallclock import ms
from jobs.windows import Hours

ALONE: Final = Go()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """What the config says to the loop."""

    cron_enabled: bool = True
    refire_gap: timedelta = timedelta(seconds=2)  # cron.md §3.2
    overlap: Overlap = field(default_factory=Overlap)
    budget: Budget | None = None  # of all jobs together
    zone: tzinfo = UTC  # whose days count for jobs without a zone of their own
    days: Days = NO_DAYS
    hours_of: Callable[[str | None], Hours | None] = field(default=lambda _agent: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the runs of a job that has limits."""

    runs: int = 0
    runs_today: int = 0
    spent: Spent = NOTHING_SPENT
    spent_by_all: Spent = NOTHING_SPENT

    def and_granted(self, count: int) -> Known:
        """Return what is known once that many more runs are granted."""
        if not count:
            return self
        more = Spent(runs=count)
        return Known(
            runs=self.runs + count,
            runs_today=self.runs_today + count,
            spent=self.spent + more,
            spent_by_all=self.spent_by_all + more,
        )


NOTHING: Final = Known()


class Standing(NamedTuple):
    """What goes on of a job in this process."""

    running: tuple[str, ...] = ()  # run ids, oldest first
    waiting: int = 0  # behind them
    last_end: datetime | None = None  # while it is remembered

    def and_begun(self, run_id: str, place: Place) -> Standing:
        """Return what goes on once another run is begun."""
        if self.running and place is not Place.BESIDE:
            return self._replace(waiting=self.waiting + 1)
        return self._replace(running=(*self.running, run_id))


IDLE: Final = Standing()


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass of the loop knows of every job."""

    now: datetime
    settings: LoopSettings
    boot_id: str
    started_at: datetime | None = None  # the process; slots before it passed without one
    made_up: int = 0  # jobs that have made up for such a slot so far


@dataclass(frozen=True, slots=True)
class Planned:
    """A job's step, and the runs that begin once it is claimed."""

    job: Job
    claim: Claim
    to_run: list[tuple[Run, Go]]
    makes_up: bool = False  # for what it missed while no process ran


def planned(job: Job, row: DueJob, one: Pass, known: Known, standing: Standing) -> Planned:
    """Return the step of a job that is due."""
    now, boot_id = one.now, one.boot_id
    until, slot = job.policies.until, row.next_run_at
    if row.kind == "cron" and row.retry_at == row.next_run_at:
        # The backoff of a recurring job may end on one of its slots: that is a slot, not a retry.
        coming = coming_slot(job.schedule, row.next_run_at, row.retry_at)
        if isinstance(job.schedule, At) or coming is None or coming > now:
            return _retried(job, row, coming, one, known, standing)
        slot = coming
    misfire = job.misfire
    if row.kind == "heartbeat":  # its newest missed slot is never older than an interval
        misfire = changed(misfire, grace=None)
    decided = owed(job.schedule, slot, now, misfire=misfire, until=until)
    following = brought_forward(job, decided.next_run_at, now, one.settings.days)
    if row.retry_at is not None and row.kind == "cron" and not isinstance(job.schedule, At):
        following = retry_before(following, row.retry_at, now, until)
    runs = [claimed(job, row.kind, decided.trigger, now, boot_id, slot) for slot in decided.runs]
    if job.policies.jitter:
        runs = [_jittered(job, run, following) for run in runs]
    passed = [passed_over(job, row.kind, slot, now, boot_id) for slot in decided.passed]
    makes_up = decided.trigger is Trigger.CATCHUP and row.kind == "cron" and _from_before(runs, one)
    if makes_up:
        begins = begins_at(job, one.made_up, now, one.started_at or now)
        runs, in_vain = spread(job, runs, begins, now, following)
        passed += in_vain
    kept, to_run = _asked(job, row, runs, one, known, standing)
    rows = (*passed, *kept)  # as they came: the newest row is that of the newest slot
    over = isinstance(job.schedule, At) and bool(rows) and not to_run
    over = over and one.settings.cron_enabled  # else it is made up for when jobs are on again
    claim = Claim(row.id, row.next_run_at, following, rows, over)
    return Planned(job, claim, to_run, makes_up=makes_up and bool(to_run))


def _from_before(runs: Sequence[Run], one: Pass) -> bool:
    """Whether what is made up came before this process did."""
    slot = runs[0].slot if runs else None
    return slot is not None and one.started_at is not None and slot < one.started_at


def made_up(
    job: Job,
    row: DueJob,
    slots: Sequence[datetime],
    one: Pass,
    known: Known,
    standing: Standing,
    *,
    before: int,
) -> Planned:
    """Return the runs that stand for slots which were skipped as all jobs were switched off.

    Each of those has its row already. ``before`` it so many other jobs make up for theirs.
    """
    now = one.now
    begins = begins_at(job, before, now, now - CONNECTING)
    runs = [
        claimed(job, row.kind, Trigger.CATCHUP, now, one.boot_id, Occurrence(slot))
        for slot in slots
    ]
    runs, _ = spread(job, runs, begins, now, None)
    kept, to_run = _asked(job, row, runs, one, known, standing)
    stand = {run.id: _standing_for(run, now) for run in kept}
    claim = Claim(row.id, row.next_run_at, row.next_run_at, tuple(stand.values()))
    return Planned(job, claim, [(stand[run.id], go) for run, go in to_run], makes_up=True)


def _standing_for(run: Run, now: datetime) -> Run:
    """Return the run as one beside the row of its slot."""
    facts = {**run.facts, SCHEDULED_FOR: ms(run.slot)}
    return changed(run, slot=None, requested_at=now, facts=facts)


def _retried(
    job: Job, row: DueJob, coming: datetime | None, one: Pass, known: Known, standing: Standing
) -> Planned:
    """Return the step of a job that failed and is tried again; ``coming`` is its next slot."""
    now, schedule = one.now, job.schedule
    run = claimed(job, row.kind, Trigger.RETRY, now, one.boot_id)
    run = changed(run, attempt=row.consecutive_errors + 1)
    if isinstance(schedule, At):
        kept, to_run = _asked(job, row, [run], one, known, standing)
        over = not to_run and one.settings.cron_enabled
        claim = Claim(row.id, row.next_run_at, None, tuple(kept), over)
        return Planned(job, claim, to_run)
    if (served := schedule.previous(row.next_run_at)) is not None:
        run = changed(run, facts={SCHEDULED_FOR: ms(served)})
    following = not_beyond(coming, job.policies.until)
    following = brought_forward(job, following, now, one.settings.days)
    if late := too_late(row.next_run_at, now, job.misfire):
        missed = changed(run.skipped(*late, now), status=RunStatus.MISSED)
        return Planned(job, Claim(row.id, row.next_run_at, following, (missed,)), [])
    kept, to_run = _asked(job, row, [run], one, known, standing)
    return Planned(job, Claim(row.id, row.next_run_at, following, tuple(kept)), to_run)


def _asked(
    job: Job, row: DueJob, runs: Sequence[Run], one: Pass, known: Known, standing: Standing
) -> tuple[Sequence[Run], list[tuple[Run, Go]]]:
    """Ask the gates about each run; one that may not begin is a skip with its reason."""
    if row.kind == "heartbeat" or _free(job, row, len(runs), one.settings, standing):
        return runs, [(run, ALONE) for run in runs]
    policy = (job.policies.overlap or one.settings.overlap).policy
    # Where a newer run takes the place of an older one, the newest is asked first.
    newest_first = policy in REPLACING
    kept: list[Run] = []
    to_run: list[tuple[Run, Go]] = []
    for run in reversed(runs) if newest_first else runs:
        if newest_first and to_run:
            words = f"run {to_run[0][0].id} of a newer slot took its place"
            kept.append(run.skipped(SkipReason.SUPERSEDED, words, one.now))
            continue
        before = known.and_granted(len(to_run))
        told = decide(_snapshot(job, row, run.slot, one.settings, before, standing), one.now)
        match told:
            case Skip() as stop:
                kept.append(_skipped(run, stop, one.now))
                continue
            case Defer() as stop:
                kept.append(_deferred(run, stop, one.now))
                go = Go(place=Place.BEHIND if newest_first else PLACES[policy])
            case Go() as go:
                kept.append(_granted(run, go))
            case _:
                assert_never(told)
        to_run.append((kept[-1], go))
        standing = _with_begun(standing, kept[-1], go)
    return sorted(kept, key=lambda run: run.slot or one.now), to_run


def _with_begun(standing: Standing, run: Run, go: Go) -> Standing:
    """Return what goes on of a job once a run of this claim is begun, for the next of the claim.

    With `skip`, whoever asks for every missed slot gets them one after the other: none is in
    the way of the next, but for one that waits for another day.
    """
    if go.place is not Place.ALONE:
        return standing.and_begun(run.id, go.place)
    deferred = run.status is RunStatus.DEFERRED
    return standing._replace(waiting=standing.waiting + 1) if deferred else standing


def _free(job: Job, row: DueJob, runs: int, settings: LoopSettings, standing: Standing) -> bool:
    """Whether nothing at all stands in the way of a job; most jobs of most passes."""
    return (
        job.policies is PLAIN
        and (runs <= 1 or settings.overlap.policy == "skip")
        and settings.cron_enabled
        and row.retry_at is None
        and row.skips is None
        and settings.budget is None
        and standing is IDLE
    )


def _snapshot(
    job: Job,
    row: DueJob,
    slot: datetime | None,
    settings: LoopSettings,
    known: Known,
    standing: Standing,
) -> CronSnapshot:
    """Return the facts about one run; what is granted before it in this pass counts as known."""
    asked = job.policies
    is_cron = isinstance(job.schedule, Cron)
    gap = settings.refire_gap if asked.refire_gap is None else asked.refire_gap
    excluded, allowed_at = _excluded(job, slot, settings)
    return CronSnapshot(
        policies=asked,
        slot=slot,
        zone=zone_of(job, settings),
        cron_enabled=settings.cron_enabled,
        retry_at=row.retry_at,
        failures=row.consecutive_errors,
        skipped_once=_left_out(row.skips, slot),
        excluded=excluded,
        allowed_at=allowed_at,
        runs=known.runs,
        runs_today=known.runs_today,
        active_hours=None if asked.active_hours is None else settings.hours_of(job.agent_id),
        spent=known.spent,
        spent_by_all=known.spent_by_all,
        budget_of_all=settings.budget,
        overlap=asked.overlap or settings.overlap,
        running=standing.running,
        waiting=standing.waiting,
        last_end=standing.last_end if is_cron else None,
        refire_gap=gap,
    )


def _excluded(
    job: Job, slot: datetime | None, settings: LoopSettings
) -> tuple[str | None, datetime | None]:
    """Return why a slot's day is excluded, if it is, and when the slot may run instead."""
    rule = job.policies.calendars
    if rule is None or slot is None:
        return None, None
    if missing := [name for name in rule.names if name not in settings.days.calendars]:
        return f"calendar {missing[0]} is not in the config any more (cron.calendars)", None
    asked = [settings.days.calendars[name] for name in rule.names]
    verdict = judge(asked, slot)
    if verdict.allowed:
        return None, None
    if rule.on_excluded != "next-allowed":
        return verdict.because, None
    tz = settings.days.zone_of(job)
    return verdict.because, moved(asked, slot, tz=tz, on_excluded=rule.on_excluded)


def zone_of(job: Job, settings: LoopSettings) -> tzinfo:
    """Return the zone whose days a job counts in."""
    return wallclock.zone(job.schedule.tz) if isinstance(job.schedule, Cron) else settings.zone


def _left_out(skips: str | None, slot: datetime | None) -> str | None:
    if skips is None or slot is None:
        return None
    told: Mapping[str, str] = json.loads(skips)
    return told.get(str(ms(slot)))


def _jittered(job: Job, run: Run, following: datetime | None) -> Run:
    """Start a slot a little late, by chance: its row says when (cron.md §22 row 6)."""
    if run.slot is None or run.trigger is not Trigger.SCHEDULE:
        return run  # late enough
    late = stagger.jitter(job.id, run.slot, job.policies.jitter, following)
    return changed(run, facts={**run.facts, START_AT: ms(run.slot + late)})


def _deferred(run: Run, stop: Defer, now: datetime) -> Run:
    """Keep a run until a later instant: its row waits, and says why and until when."""
    return changed(
        run,
        status=RunStatus.DEFERRED,
        reason=stop.reason,
        because=stop.because,
        deferrals=run.deferrals + 1,
        facts={**run.facts, START_AT: ms(stop.retry_at or now)},
    )


def _skipped(run: Run, stop: Skip, now: datetime) -> Run:
    """Return a run that may not begin, with whose budget is spent if that is why."""
    skipped = run.skipped(stop.reason, stop.because, now)
    if not isinstance(stop, Overspent):
        return skipped
    return changed(skipped, facts={**skipped.facts, SPENT: stop.whose.value})


def _granted(run: Run, go: Go) -> Run:
    """Return a run that may begin, with the budget that is spent all the same."""
    if go.spent is None:
        return run
    facts = {**run.facts, SPENT: go.spent.value}
    if go.model is not None:
        facts[CHEAPER] = go.model
    return changed(run, because=go.because, facts=facts)
