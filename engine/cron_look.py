"""What the ledger knows of jobs that have limits, read once per pass for their gates.

A job that asks for nothing is not looked at: a burst of a thousand plain jobs reads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

from engine.claiming import Known, LoopSettings, zone_of
from engine.cron_gates import Spent
from jobs.model import Job
from jobs.store import runs as run_rows
from jobs.store.db import Tx


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


def _midnight(zone: tzinfo, now: datetime) -> datetime:
    """Return when the local day began."""
    day = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return day.astimezone(UTC)


def _spent(tx: Tx, since: datetime, job_id: str | None = None) -> Spent:
    tokens, usd = run_rows.used_since(tx, since, job_id=job_id)
    return Spent(tokens=tokens, usd=usd, runs=run_rows.ran_since(tx, since, job_id=job_id))
