"""What an earlier process left open: one row each tells the story, and nothing is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.config.load import load
from engine.config.paths import resolve
from engine.core import Circumstances, Engine
from engine.testing.clock import ManualClock
from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import Claim, RunQuery
from jobs.store.db import Database

HOUR = timedelta(hours=1)
NINE = datetime(2026, 3, 17, 9, 0, tzinfo=UTC)
CONFIG = """{ cron: { jobs: {
  probe: { schedule: "0 * * * *", command: ["echo", "ok"], deliver: "none" },
} } }"""


@asynccontextmanager
async def booted(home: Path, clock: ManualClock, boot_id: str) -> AsyncIterator[Engine]:
    (home / "engine.json").write_text(CONFIG, encoding="utf-8")
    environ = {"ENGINE_STATE_DIR": str(home)}
    paths = resolve(environ)
    loaded = load(paths.config, environ, state=paths.state)
    database = await Database.open(paths.database)
    engine = Engine(
        database=database,
        clock=clock,
        config=loaded.config,
        seed="test",
        circumstances=Circumstances(
            paths=paths, host_zone="UTC", environ=environ, boot_id=boot_id, places={}
        ),
    )
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop(timedelta(seconds=1))
        await database.close()


async def the_runs(engine: Engine) -> list[Run]:
    page = await engine.database.read(lambda tx: run_rows.page(tx, RunQuery(job_id="cfg:probe")))
    return list(page.entries)


def opened(status: RunStatus) -> Run:
    return Run(
        id="r1",
        job_id="cfg:probe",
        kind="cron",
        agent_id=None,
        trigger=Trigger.SCHEDULE,
        status=status,
        slot=NINE,
        claimed_at=NINE,
        started_at=NINE if status is RunStatus.RUNNING else None,
        boot_id="first",
    )


async def died(home: Path, clock: ManualClock, status: RunStatus) -> None:
    """Claim the slot as a process does, and be gone."""
    async with booted(home, clock, "first") as engine:
        claim = Claim("cfg:probe", NINE, NINE + HOUR, (opened(status),))
        granted = await engine.database.write(lambda tx: run_rows.claim(tx, [claim]))
        assert set(granted) == {"cfg:probe"}


async def test_a_slot_claimed_and_never_begun_runs_once_after_the_restart(tmp_path: Path) -> None:
    clock = ManualClock(NINE - timedelta(minutes=1))
    await died(tmp_path, clock, RunStatus.CLAIMED)
    clock.move_to(NINE + timedelta(seconds=30))
    async with booted(tmp_path, clock, "second") as engine:
        await engine.resume()
        await engine.idle()
        await engine.loop.tick()
        await engine.idle()
        runs = await the_runs(engine)
    assert [(run.slot, run.status) for run in runs] == [(NINE, RunStatus.OK)]


async def test_a_slot_found_too_late_is_recorded_as_missed(tmp_path: Path) -> None:
    clock = ManualClock(NINE - timedelta(minutes=1))
    await died(tmp_path, clock, RunStatus.CLAIMED)
    clock.move_to(NINE + timedelta(hours=1, seconds=1))
    async with booted(tmp_path, clock, "second") as engine:
        await engine.resume()
        await engine.idle()
        runs = await the_runs(engine)
    assert [(run.status, run.reason) for run in runs] == [
        (RunStatus.MISSED, SkipReason.MISSED_GRACE_EXCEEDED)
    ]


async def test_a_run_that_had_begun_is_interrupted_and_not_repeated(tmp_path: Path) -> None:
    clock = ManualClock(NINE - timedelta(minutes=1))
    await died(tmp_path, clock, RunStatus.RUNNING)
    clock.move_to(NINE + timedelta(seconds=30))
    async with booted(tmp_path, clock, "second") as engine:
        await engine.resume()
        await engine.idle()
        runs = await the_runs(engine)
        stored = await engine.database.read(lambda tx: job_rows.get(tx, "cfg:probe"))
    assert [(run.status, run.reason) for run in runs] == [
        (RunStatus.FAILED, SkipReason.INTERRUPTED)
    ]
    assert stored is not None
    assert stored.state.next_run_at == NINE + HOUR
