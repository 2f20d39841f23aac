"""The facts the gates of scheduled jobs see, gathered once per pass.

A job that asks for nothing is not looked at: a burst of a thousand plain jobs reads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from engine.active_hours import ActiveHours
from engine.cron_gates import CronSnapshot, Spent
from engine.running import Running
from jobs import wallclock
from jobs.calendar import Calendar, judge, moved
from jobs.ledger import Run
from jobs.model import Job
from jobs.policies import PLAIN, Budget, Overlap
from jobs.schedule import Cron
from jobs.store import runs as run_rows
from jobs.store.base import DueJob
from jobs.store.db import Tx

_EPOCH_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """What the config says to the loop."""

    cron_enabled: bool = True
    refire_gap: timedelta = timedelta(seconds=2)  # cron.md §3.2
    overlap: Overlap = field(default_factory=Overlap)
    budget: Budget | None = None  # of all jobs together
    zone: tzinfo = UTC  # whose days count for jobs without a zone of their own
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    hours_of: Callable[[str | None], ActiveHours | None] = field(default=lambda _agent: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the ledger knows of a job that has limits."""

    runs: int = 0
    runs_today: int = 0
    spent: Spent = field(default_factory=Spent)
    spent_by_all: Spent = field(default_factory=Spent)


NOTHING = Known()


def free(job: Job, row: DueJob, settings: LoopSettings, running: Running) -> bool:
    """Whether nothing at all stands in the way of a job; most jobs of most passes."""
    return (
        job.policies is PLAIN
        and settings.cron_enabled
        and row.retry_at is None
        and row.skips is None
        and settings.budget is None
        and not running.of(job.id)
        and running.last_end(job.id) is None
    )


def needs_ledger(job: Job, settings: LoopSettings) -> bool:
    """Whether the gates of a job ask what it has done so far."""
    asked = job.policies
    limits = (asked.max_runs, asked.max_runs_per_day, asked.budget, settings.budget)
    return any(limit is not None for limit in limits)


def read(tx: Tx, jobs: Sequence[Job], settings: LoopSettings, now: datetime) -> dict[str, Known]:
    """Return what the ledger knows of each job."""
    by_all = Spent()
    if settings.budget is not None:
        by_all = _spent(tx, _midnight(settings.zone, now))
    return {job.id: _known(tx, job, settings, now, by_all) for job in jobs}


def _known(tx: Tx, job: Job, settings: LoopSettings, now: datetime, by_all: Spent) -> Known:
    asked = job.policies
    since = _midnight(zone_of(job, settings), now)
    return Known(
        runs=0 if asked.max_runs is None else run_rows.ran_ever(tx, job.id),
        runs_today=0
        if asked.max_runs_per_day is None
        else run_rows.ran_since(tx, since, job_id=job.id),
        spent=Spent() if asked.budget is None else _spent(tx, since, job.id),
        spent_by_all=by_all,
    )


def snapshot(
    job: Job,
    row: DueJob,
    run: Run,
    *,
    known: Known,
    before: int,
    settings: LoopSettings,
    running: Running,
) -> CronSnapshot:
    """Return the facts about one run; ``before`` of its job are granted in this pass already."""
    asked = job.policies
    is_cron = isinstance(job.schedule, Cron)
    gap = settings.refire_gap if asked.refire_gap is None else asked.refire_gap
    excluded, allowed_at = _excluded(job, run.slot, settings)
    return CronSnapshot(
        policies=asked,
        slot=run.slot,
        zone=zone_of(job, settings),
        cron_enabled=settings.cron_enabled,
        retry_at=row.retry_at,
        failures=row.consecutive_errors,
        skipped_once=_left_out(row.skips, run.slot),
        excluded=excluded,
        allowed_at=allowed_at,
        runs=known.runs + before,
        runs_today=known.runs_today + before,
        active_hours=None if asked.active_hours is None else settings.hours_of(job.agent_id),
        spent=known.spent,
        spent_by_all=known.spent_by_all,
        budget_of_all=settings.budget,
        overlap=asked.overlap or settings.overlap,
        running=running.of(job.id),
        waiting=running.waiting(job.id),
        last_end=running.last_end(job.id) if is_cron else None,
        refire_gap=gap,
    )


def _excluded(
    job: Job, slot: datetime | None, settings: LoopSettings
) -> tuple[str | None, datetime | None]:
    """Return why a slot's day is excluded, if it is, and when the slot may run instead."""
    rule = job.policies.calendars
    if rule is None or slot is None:
        return None, None
    if missing := [name for name in rule.names if name not in settings.calendars]:
        return f"calendar {missing[0]} is not in the config any more (cron.calendars)", None
    asked = [settings.calendars[name] for name in rule.names]
    verdict = judge(asked, slot)
    if verdict.allowed:
        return None, None
    if rule.on_excluded != "next-allowed":
        return verdict.because, None
    tz = job.schedule.tz if isinstance(job.schedule, Cron) else str(settings.zone)
    return verdict.because, moved(asked, slot, tz=tz, on_excluded=rule.on_excluded)


def zone_of(job: Job, settings: LoopSettings) -> tzinfo:
    """Return the zone whose days a job counts in."""
    return wallclock.zone(job.schedule.tz) if isinstance(job.schedule, Cron) else settings.zone


def _left_out(skips: str | None, slot: datetime | None) -> str | None:
    if skips is None or slot is None:
        return None
    told: Mapping[str, str] = json.loads(skips)
    return told.get(str((slot - wallclock.EPOCH) // _EPOCH_MS))


def _midnight(zone: tzinfo, now: datetime) -> datetime:
    """Return when the local day began."""
    day = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return day.astimezone(UTC)


def _spent(tx: Tx, since: datetime, job_id: str | None = None) -> Spent:
    tokens, usd = run_rows.used_since(tx, since, job_id=job_id)
    return Spent(tokens=tokens, usd=usd, runs=run_rows.ran_since(tx, since, job_id=job_id))
