from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.audit import Recorded, Retention, Window
from jobs.ledger import Run, RunStatus, Trigger, Usage
from jobs.model import AgentTurn, HeartbeatBeat, Job
from jobs.schedule import Every
from jobs.store import jobs as job_rows, runs as run_rows, slots
from jobs.store.db import Database, Tx

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MS = timedelta(milliseconds=1)
WEEK = Window(since=START - timedelta(days=1), until=START + timedelta(days=6))
KEPT = Retention(since=START - timedelta(days=30))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "state.db")
    yield opened
    await opened.close()


def row(number: int, job_id: str = "j", **given: object) -> Run:
    run = Run(
        id=f"{job_id}-{number:06}",
        job_id=job_id,
        kind="cron",
        agent_id=None,
        trigger=Trigger.SCHEDULE,
        status=RunStatus.OK,
        slot=START + number * HOUR,
    )
    return replace(run, **given)  # type: ignore[arg-type]


async def filled(database: Database, count: int, job_id: str = "j") -> None:
    """A job of every hour with its rows, and the next run after them."""
    payload = HeartbeatBeat() if job_id.startswith("heartbeat:") else AgentTurn(message="hi")
    job = Job(id=job_id, name=job_id, schedule=Every(HOUR, START), payload=payload)

    def work(tx: Tx) -> None:
        job_rows.insert(tx, job, next_run_at=START + count * HOUR, now=START - MS)
        run_rows.insert(tx, [row(number, job_id) for number in range(count)])

    await database.write(work)


async def test_rows_are_read_in_order_a_page_at_a_time(database: Database) -> None:
    await filled(database, 50)
    extra = [row(100, slot=None, trigger=Trigger.MANUAL), row(101, slot=START + 90 * HOUR)]
    await database.write(lambda tx: run_rows.insert(tx, extra))
    until = START + 20 * HOUR
    found = await database.read(
        lambda tx: list(slots.recorded(tx, "j", START + HOUR, until, page=7))
    )
    assert [one.slot for one in found] == [
        (START + number * HOUR - datetime(1970, 1, 1, tzinfo=UTC)) // MS for number in range(1, 21)
    ]
    assert found[0] == Recorded(found[0].slot, None, 1, True)


async def test_a_row_that_reaches_into_the_window_is_read(database: Database) -> None:
    shared = row(0, slot_to=START + 40 * HOUR, count=41, status=RunStatus.MISSED)
    await database.write(lambda tx: run_rows.insert(tx, [shared]))
    found = await database.read(
        lambda tx: list(slots.recorded(tx, "j", START + 40 * HOUR, WEEK.until))
    )
    assert [one.count for one in found] == [41]


async def test_the_rows_of_a_job_are_found_by_its_index(database: Database) -> None:
    def plan(tx: Tx) -> str:
        asked = ("j", 0, 9, 0, 0, 5)
        rows = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {slots.READ}", asked).all()
        return "; ".join(str(one[-1]) for one in rows)

    told = await database.read(plan)
    assert "runs_slot" in told
    assert "TEMP B-TREE" not in told


async def test_a_whole_ledger_is_audited_and_a_deleted_row_found(database: Database) -> None:
    await filled(database, 100)
    await filled(database, 100, "heartbeat:main")
    steps: list[tuple[int, int]] = []

    def audited(tx: Tx) -> object:
        return slots.audited(
            tx, WEEK, cron=KEPT, beats=KEPT, on_job=lambda *step: steps.append(step)
        )

    clean = await database.read(lambda tx: slots.audited(tx, WEEK, cron=KEPT, beats=KEPT))
    assert clean.clean
    assert [job.expected for job in clean.jobs] == [100, 100]
    await database.read(audited)
    assert steps == [(0, 2), (1, 2), (2, 2)]
    sql = "DELETE FROM runs WHERE id = 'j-000042'"
    await database.write(lambda tx: tx.exec_driver_sql(sql))
    holed = await database.read(lambda tx: slots.audited(tx, WEEK, cron=KEPT, beats=KEPT))
    assert holed.missing == 1
    assert [hole.first for job in holed.jobs for hole in job.holes] == [START + 42 * HOUR]
    alone = await database.read(
        lambda tx: slots.audited(tx, WEEK, cron=KEPT, beats=KEPT, ref="heartbeat:main")
    )
    assert alone.clean


async def test_a_job_that_cannot_be_read_is_named(database: Database) -> None:
    await filled(database, 3)
    await database.write(
        lambda tx: tx.exec_driver_sql("UPDATE jobs SET definition = '{' WHERE id = 'j'")
    )
    found = await database.read(lambda tx: slots.audited(tx, WEEK, cron=KEPT, beats=KEPT))
    assert found.unreadable == ("j",)


async def test_rows_that_were_pruned_are_not_missed(database: Database) -> None:
    await filled(database, 100)
    await database.write(lambda tx: run_rows.prune_job(tx, "j", 60))
    most = replace(KEPT, per_job=60)
    found = await database.read(lambda tx: slots.audited(tx, WEEK, cron=most, beats=KEPT))
    assert found.clean
    assert found.jobs[0].expected == 60


async def test_what_runs_cost_is_the_mean_of_those_that_tell(database: Database) -> None:
    rows = [
        row(1, usage=Usage(input_tokens=100, output_tokens=50, cost_usd=0.02)),
        row(2),
        row(3, usage=Usage(input_tokens=300, output_tokens=50, cost_usd=0.04)),
        row(4, usage=Usage(input_tokens=100)),
    ]
    await database.write(lambda tx: run_rows.insert(tx, rows))
    spent = await database.read(lambda tx: slots.spent(tx, "j"))
    assert (spent.runs, spent.tokens) == (3, 200.0)
    assert spent.usd == pytest.approx(0.03)
    nothing = await database.read(lambda tx: slots.spent(tx, "other"))
    assert (nothing.runs, nothing.usd) == (0, None)
