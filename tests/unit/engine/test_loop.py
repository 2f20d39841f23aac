"""The tick when much is due: every slot once, and one that fails holds up nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from engine.decisions.claiming import LoopSettings
from engine.events import Bus
from engine.loop import BATCH, Loop
from engine.record import Recorder
from engine.running import Running
from engine.testing.clock import ManualClock
from jobs.errors import StoreUnavailable
from jobs.ledger import Run, RunStatus
from jobs.model import AgentTurn, Job
from jobs.policies import Budget
from jobs.schedule import Cron
from jobs.store import jobs, runs
from jobs.store.base import Finish, RunQuery
from jobs.store.db import Database

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class AtOnce:
    """Ends every run when it begins; remembers which."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, job: Job, run: Run) -> Finish:
        self.begun.append(job.id)
        return Finish(run=run.ended(RunStatus.OK, NOON, started_at=NOON))


class Forgetful(Recorder):
    """Fails to write the first ends it is given: the disk was full for a moment."""

    failed = False

    async def all_ended(self, ends: Sequence[Finish]) -> None:
        if not self.failed:
            self.failed = True
            raise StoreUnavailable("the state database cannot be used", why="disk is full")
        await super().all_ended(ends)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    store = await Database.memory()
    yield store
    await store.close()


async def due(database: Database, count: int) -> None:
    made = [
        Job(
            id=f"j{n:05}",
            name=f"Report {n}",
            schedule=Cron("0 * * * *", "UTC"),
            payload=AgentTurn(message="report"),
            agent_id="main",
        )
        for n in range(count)
    ]
    await database.write(
        lambda tx: [jobs.insert(tx, job, next_run_at=NOON, now=NOON) for job in made]
    )


def loop(
    database: Database,
    performer: AtOnce,
    recorder: Recorder | None = None,
    settings: LoopSettings | None = None,
) -> Loop:
    clock, recorder = ManualClock(NOON), recorder or Recorder(database, Bus())
    return Loop(
        database=database,
        clock=clock,
        recorder=recorder,
        running=Running(
            database=database, clock=clock, recorder=recorder, performers={"cron": performer}
        ),
        settings=lambda: settings or LoopSettings(),
        boot_id="boot",
    )


async def count(database: Database, *statuses: str) -> int:
    query = RunQuery(statuses=statuses, limit=1)
    return (await database.read(lambda tx: runs.page(tx, query))).total


@pytest.mark.parametrize("many", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 7])
async def test_every_slot_of_a_burst_runs_once(database: Database, many: int) -> None:
    await due(database, many)
    performer = AtOnce()
    assert await loop(database, performer).tick() == NOON + timedelta(hours=1)
    assert len(performer.begun) == len(set(performer.begun)) == many
    assert await count(database, "ok") == await count(database) == many


async def test_each_slot_that_is_served_is_counted_by_its_lateness(database: Database) -> None:
    await due(database, 3)
    serving = loop(database, AtOnce())
    await serving.tick()
    assert dict(serving.lags.buckets())["0.005"] == 3


async def test_a_burst_keeps_to_the_budget_of_all_although_nothing_is_written_yet(
    database: Database,
) -> None:
    await due(database, 2 * BATCH + 5)
    performer = AtOnce()
    settings = LoopSettings(budget=Budget(runs_per_day=BATCH + 3))
    await loop(database, performer, settings=settings).tick()
    assert len(performer.begun) == await count(database, "ok") == BATCH + 3
    assert await count(database, "skipped") == BATCH + 2


async def test_a_definition_that_cannot_be_read_holds_up_nobody(database: Database) -> None:
    await due(database, BATCH + 5)
    spoils = {"j00003": "{", "j00004": "null", "j00005": "[" * 100_000, "j01002": "[]"}
    rows = [(words, ref) for ref, words in spoils.items()]
    spoil = "UPDATE jobs SET definition = ? WHERE id = ?"
    await database.write(lambda tx: tx.exec_driver_sql(spoil, rows))
    performer = AtOnce()
    await loop(database, performer).tick()
    assert len(performer.begun) == BATCH + 1
    held = await database.read(jobs.quarantined)
    assert [ref for ref, _ in held] == sorted(spoils)


async def test_a_batch_whose_ends_are_not_written_does_not_hold_up_the_next(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await due(database, 2 * BATCH + 1)
    performer = AtOnce()
    await loop(database, performer, Forgetful(database, Bus())).tick()
    assert len(performer.begun) == 2 * BATCH + 1
    assert await count(database, "ok") == BATCH + 1
    assert await count(database, "claimed") == BATCH
    assert "scheduler fails: " in caplog.text
