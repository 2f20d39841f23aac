"""Two weeks of sixty jobs of every kind: each slot of the schedule's own oracle has one row."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from engine.testing import Simulation
from jobs.audit import Retention, Window
from jobs.ledger import RunStatus
from jobs.schedule import At
from jobs.store import jobs as job_rows, slots
from jobs.store.base import JobQuery
from jobs.wallclock import EPOCH
from tests.fakes import mixed_jobs

pytestmark = pytest.mark.timeout(60)

START = datetime(2026, 3, 22, tzinfo=UTC)  # clocks change in most of its zones
DAYS = 14


def ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


async def test_every_slot_of_two_weeks_has_exactly_one_row() -> None:
    end = START + timedelta(days=DAYS)
    config = mixed_jobs.config(60, START, DAYS)
    async with Simulation(config, start=START, zone="UTC", commands=mixed_jobs.commands) as sim:
        report = await sim.until(end)
        kept = Retention(since=START - timedelta(days=1))
        window = Window(since=START, until=end)
        audit = await sim.database.read(lambda tx: slots.audited(tx, window, cron=kept, beats=kept))
        page = await sim.database.read(lambda tx: job_rows.select(tx, JobQuery(enabled=None)))
    assert audit.clean, [job.to_json() for job in audit.jobs if not job.clean]
    rows = Counter((row.row.job_id, ms(row.row.slot)) for row in report.rows if row.row.slot)
    assert set(rows.values()) == {1}
    for stored in page.jobs:
        job = stored.job
        found = {slot for job_id, slot in rows if job_id == job.id}
        if isinstance(job.schedule, At):
            assert len(found) == 1, job.id
            continue
        every = job.schedule.instants(START - timedelta(milliseconds=1), end)
        named = {slot for slot in every if ms(START) < slot < ms(end)}
        if job.policies.until is not None:
            named = {slot for slot in named if slot <= ms(job.policies.until)}
        if job.policies.max_runs is not None or not job.enabled:  # it had all, or failed too often
            named = {slot for slot in named if slot <= max(found)}
        assert found == named, (job.id, sorted(found ^ named)[:5])
    assert not [row for row in report.rows if row.row.status is RunStatus.MISSED]
