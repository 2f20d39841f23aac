"""What the ledger knows of jobs that have limits, read for their gates.

A job that asks for nothing is not looked at: a burst of a thousand plain jobs reads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Final

from engine.alerts.alarms import Exceeded
from engine.decisions.claiming import NOTHING, Known, LoopSettings, Planned, zone_of
from engine.decisions.cron_gates import CHEAPER, SPENT, Whose
from jobs.ledger import NOTHING_SPENT, Run, Spent
from jobs.model import Job
from jobs.store import runs as run_rows
from jobs.store.db import Database, Tx
from jobs.store.spendings import Spendings
from jobs.wallclock import midnight

_RUN: Final = Spent(runs=1)


class Look:
    """What one pass knows of jobs that have limits: what was spent, and what it grants itself.

    Runs granted a moment ago are not in the ledger yet, but they count against the budget of
    all jobs together (cron.md §22 row 14).
    """

    def __init__(
        self, database: Database, spendings: Spendings, settings: LoopSettings, now: datetime
    ) -> None:
        self._database = database
        self._spendings = spendings
        self._settings = settings
        self._now = now
        self._known: dict[str, Known] = {}
        self._by_all: Spent | None = None  # as it was when the pass began, and what it granted
        self._exceeded: dict[str, Exceeded] = {}

    async def read(self, jobs: Sequence[Job]) -> None:
        """Read what the ledger knows of those of the jobs that have limits."""
        asking = [job for job in jobs if _needs_ledger(job, self._settings)]
        if asking:
            self._known = await self._database.read(lambda tx: self._read(tx, asking))

    def known(self, job: Job) -> Known:
        """Return what is known of a job now."""
        known = self._known.get(job.id, NOTHING)
        return known if self._by_all is None else replace(known, spent_by_all=self._by_all)

    @property
    def exceeded(self) -> list[Exceeded]:
        """Budgets that were found to be used up, each once."""
        return list(self._exceeded.values())

    def granted(self, plan: Planned) -> None:
        """Count the runs that a job was granted, and note which budgets are used up."""
        if plan.job.id not in self._known:
            return
        if self._by_all is not None:
            for run, _ in plan.to_run:
                self._by_all += _RUN if run.kind == "cron" else NOTHING_SPENT
        for row in plan.claim.rows:
            if (whose := row.facts.get(SPENT)) is not None and CHEAPER not in row.facts:
                self._note(plan.job, row, own=whose == Whose.JOB)

    def _note(self, job: Job, row: Run, *, own: bool) -> None:
        zone = zone_of(job, self._settings) if own else self._settings.zone
        found = Exceeded(
            job=job,
            because=row.because,
            day=self._now.astimezone(zone).date(),
            own=own,
            warns=not row.status.final,
        )
        self._exceeded.setdefault(found.key, found)

    def _read(self, tx: Tx, jobs: Sequence[Job]) -> dict[str, Known]:
        settings, sums = self._settings, self._spendings
        wanted: list[str | None] = [job.id for job in jobs if _counts_days(job)]
        if settings.budget is not None:
            wanted.append(None)
        if wanted:
            sums.catch_up(tx, self._now, wanted)
        if self._by_all is None and settings.budget is not None:
            self._by_all = sums.since(_today(settings.zone, self._now), None)
        had = run_rows.ran_ever(tx, [job.id for job in jobs if job.policies.max_runs is not None])
        return {job.id: self._of(job, had.get(job.id, 0)) for job in jobs}

    def _of(self, job: Job, runs: int) -> Known:
        if not _counts_days(job):
            return Known(runs=runs)
        today = self._spendings.since(_today(zone_of(job, self._settings), self._now), job.id)
        return Known(runs=runs, runs_today=today.runs, spent=today)


def _needs_ledger(job: Job, settings: LoopSettings) -> bool:
    """Whether the gates of a job ask what it has done so far."""
    asked = job.policies
    limits = (asked.max_runs, asked.max_runs_per_day, asked.budget, settings.budget)
    return any(limit is not None for limit in limits)


def _counts_days(job: Job) -> bool:
    """Whether a job has limits of its own that begin anew each day."""
    return job.policies.max_runs_per_day is not None or job.policies.budget is not None


def _today(zone: tzinfo, now: datetime) -> datetime:
    """Return when the local day began."""
    return midnight(now.astimezone(zone).date(), zone)
