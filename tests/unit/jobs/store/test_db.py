"""What a state database in a file promises beyond what every store does."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import Conflict, StoreTooNew, StoreUnavailable, StoreUnusable
from jobs.ledger import Run, RunStatus, Trigger
from jobs.model import AgentTurn, Job
from jobs.schedule import Every
from jobs.store import jobs, runs
from jobs.store.base import Claim
from jobs.store.db import Database, Tx
from jobs.store.threads import READERS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAGE = 4096
FOLDER = "state é # 50% ?"  # signs that mean something in a URL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FOLDER / "state.db"


@pytest.fixture
async def db(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path)
    yield database
    await database.close()


def job(ref: str, text: str = "") -> Job:
    return Job(
        id=ref, name=ref, schedule=Every(period=HOUR), payload=AgentTurn(message=text or ref)
    )


def put(tx: Tx, ref: str, text: str = "") -> str:
    jobs.insert(tx, job(ref, text), next_run_at=NOON, now=NOON)
    return ref


def names(tx: Tx) -> list[str]:
    return [row[0] for row in tx.exec_driver_sql("SELECT id FROM jobs ORDER BY seq")]


class Held:
    """Keeps the writer busy from inside a work until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()

    def work(self, tx: Tx) -> None:
        put(tx, "held")
        self.begun.set()
        self.go.wait(10)


async def begun(db: Database) -> tuple[Held, asyncio.Task[None]]:
    hold = Held()
    task = asyncio.create_task(db.write(hold.work))
    await asyncio.to_thread(hold.begun.wait, 10)
    return hold, task


async def handed_over() -> None:
    """Return when tasks created before have had their turn: their works wait in the queue."""
    await asyncio.create_task(asyncio.to_thread(int))


def overwrite(path: Path, at: int, junk: bytes) -> None:
    whole = bytearray(content(path) or b"")
    whole[at : at + len(junk)] = junk
    path.write_bytes(whole)


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


# -- the writer ----------------------------------------------------------------------------


async def test_what_arrives_while_the_writer_is_busy_is_one_transaction(db: Database) -> None:
    hold, first = await begun(db)

    def work(tx: Tx, ref: str) -> object:
        put(tx, ref)
        return tx.get_transaction()

    works = [partial(work, ref=f"j{n}") for n in range(20)]
    many = [asyncio.create_task(db.write(each)) for each in works]
    await handed_over()
    hold.go.set()
    await first
    assert len(set(map(id, await asyncio.gather(*many)))) == 1
    assert len(await db.read(names)) == 21


async def test_a_work_that_fails_harms_no_neighbour(db: Database) -> None:
    hold, first = await begun(db)
    wanted = ["a", "b", "held", "c", "d"]  # the third is taken
    tasks = [asyncio.create_task(db.write(partial(put, ref=ref))) for ref in wanted]
    await handed_over()
    hold.go.set()
    await first
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [r if isinstance(r, str) else type(r) for r in results] == ["a", "b", Conflict, "c", "d"]
    assert await db.read(names) == ["held", "a", "b", "c", "d"]


async def test_a_write_that_returned_is_on_the_disk(db: Database, path: Path) -> None:
    await db.write(lambda tx: put(tx, "a"))
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT id FROM jobs").fetchall() == [("a",)]
    settings = await db.write(
        lambda tx: [
            tx.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous")
        ]
    )
    assert settings == ["wal", 2]  # 2: FULL


async def test_a_reader_does_not_wait_for_an_open_write(db: Database) -> None:
    await db.write(lambda tx: put(tx, "before"))
    hold, first = await begun(db)
    assert await db.read(names) == ["before"]
    hold.go.set()
    await first
    assert await db.read(names) == ["before", "held"]


async def test_all_questions_of_one_reading_are_answered_from_one_moment(db: Database) -> None:
    await db.write(lambda tx: put(tx, "before"))
    asked, go = threading.Event(), threading.Event()

    def twice(tx: Tx) -> tuple[list[str], list[str]]:
        first = names(tx)
        asked.set()
        go.wait(5)
        return first, names(tx)

    reading = asyncio.create_task(db.read(twice))
    await asyncio.to_thread(asked.wait, 5)
    await db.write(lambda tx: put(tx, "meanwhile"))
    go.set()
    assert await reading == (["before"], ["before"])
    assert await db.read(names) == ["before", "meanwhile"]


async def test_a_reading_that_fails_harms_no_later_one(db: Database) -> None:
    def fail(tx: Tx) -> None:
        names(tx)
        raise RuntimeError("a bug of the caller")

    for _ in range(READERS + 1):
        with pytest.raises(RuntimeError):
            await db.read(fail)
    await db.write(lambda tx: put(tx, "after"))
    assert await db.read(names) == ["after"]


async def test_a_cancelled_caller_leaves_the_work_whole_or_undone(db: Database) -> None:
    hold, first = await begun(db)
    waiting = asyncio.create_task(db.write(lambda tx: put(tx, "waiting")))
    await handed_over()
    first.cancel()
    waiting.cancel()
    await asyncio.gather(first, waiting, return_exceptions=True)
    hold.go.set()
    await db.write(lambda tx: put(tx, "after"))
    assert await db.read(names) == ["held", "after"]  # one had begun, the other had not


async def test_closing_finishes_what_was_accepted(path: Path) -> None:
    db = await Database.open(path)
    hold, first = await begun(db)
    late = asyncio.create_task(db.write(lambda tx: put(tx, "late")))
    await handed_over()
    closing_it = asyncio.create_task(db.close())
    await handed_over()
    hold.go.set()
    await asyncio.gather(first, late, closing_it)
    again = await Database.open(path)
    assert await again.read(names) == ["held", "late"]
    await again.close()


async def test_a_closed_database_leaves_one_file_and_no_connection(path: Path) -> None:
    db = await Database.open(path)
    await db.write(lambda tx: put(tx, "a"))
    await db.read(names)
    await db.close()
    del db
    gc.collect()  # an unclosed connection would warn here, and warnings are errors
    assert [each.name for each in path.parent.iterdir()] == ["state.db"]


async def test_a_database_in_memory_needs_no_thread() -> None:
    before = threading.active_count()
    db = await Database.memory()
    await db.write(lambda tx: put(tx, "a"))
    assert await db.read(names) == ["a"]
    assert threading.active_count() == before
    await db.close()


# -- two on one file -----------------------------------------------------------------------


async def test_of_two_engines_on_one_file_one_is_granted_a_slot(db: Database, path: Path) -> None:
    other = await Database.open(path)
    refs = [f"j{n}" for n in range(50)]
    await db.write(lambda tx: [put(tx, ref) for ref in refs])

    def claims(who: str) -> list[Claim]:
        return [Claim(ref, NOON, NOON + HOUR, (run(f"{who}-{ref}", ref),)) for ref in refs]

    async def race(store: Database, who: str) -> list[str]:
        grants = await asyncio.gather(
            *(store.write(partial(runs.claim, claims=[each])) for each in claims(who))
        )
        return [ref for grant in grants for ref in grant]

    ours, theirs = await asyncio.gather(race(db, "a"), race(other, "b"))
    assert sorted(ours + theirs) == sorted(refs)
    await other.close()


def run(ref: str, job_id: str) -> Run:
    return Run(
        id=ref,
        job_id=job_id,
        kind="cron",
        agent_id=None,
        trigger=Trigger.SCHEDULE,
        status=RunStatus.CLAIMED,
        slot=NOON,
    )


# -- plans ---------------------------------------------------------------------------------


def plan_of(tx: Tx, ask: Any, *arguments: Any) -> list[str]:
    """Return how SQLite answers what ``ask`` asks."""
    raw: Any = tx.connection.driver_connection
    asked: list[str] = []
    raw.set_trace_callback(asked.append)
    ask(tx, *arguments)
    raw.set_trace_callback(None)
    steps = (raw.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall() for sql in asked if "FROM" in sql)
    return [step[3] for each in steps for step in each]


@pytest.mark.parametrize(
    ("ask", "arguments", "index"),
    [
        (jobs.due, (NOON,), "jobs_due"),
        (jobs.next_due, (), "jobs_due"),
        (runs.interrupted, ("boot",), "runs_open"),
        (runs.starts_since, ("main", NOON), "runs_beats"),
        (runs.last_beats, (), "runs_beats"),
    ],
)
async def test_what_the_tick_asks_is_answered_by_an_index(
    db: Database, ask: Any, arguments: tuple[Any, ...], index: str
) -> None:
    steps = await db.read(lambda tx: plan_of(tx, ask, *arguments))
    assert any(index in step for step in steps)
    assert not [
        step for step in steps if step.startswith(("SCAN jobs", "SCAN runs")) and index not in step
    ]


async def test_the_due_jobs_are_not_sorted(db: Database) -> None:
    steps = await db.read(lambda tx: plan_of(tx, jobs.due, NOON))
    assert not [step for step in steps if "TEMP B-TREE" in step]


# -- refusals ------------------------------------------------------------------------------


async def refused(path: Path, kind: type[Exception] = StoreUnavailable, **options: Any) -> str:
    before = content(path)
    with pytest.raises(kind) as caught:
        await Database.open(path, **options)
    assert content(path) == before
    text = str(caught.value)
    assert str(path) in text
    assert "Fix: " in text
    return text


async def made(path: Path) -> None:
    database = await Database.open(path)
    await database.write(lambda tx: put(tx, "a"))
    await database.close()


async def test_the_schema_of_a_newer_engine_is_refused(path: Path) -> None:
    await made(path)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "9999" in await refused(path, StoreTooNew)
    assert "9999" in await refused(path, StoreTooNew, read_only=True)


async def test_a_file_that_is_no_database_is_refused_and_kept(path: Path) -> None:
    path.parent.mkdir()
    overwrite(path, 0, b"my precious notes\n" * 1000)
    assert "not a database" in await refused(path, StoreUnusable)


async def test_a_damaged_file_is_refused_and_kept(path: Path) -> None:
    await made(path)
    overwrite(path, 100, b"\xff" * (PAGE - 100))
    assert "malformed" in await refused(path, StoreUnusable)
    assert StoreUnusable.exit_status == 78  # a restart does not mend it


async def test_damage_met_later_is_a_refusal_with_a_next_step(path: Path) -> None:
    await made(path)
    with closing(sqlite3.connect(path)) as other:
        page = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs'").fetchone()[0]
    overwrite(path, (page - 1) * PAGE, b"\xff" * PAGE)
    db = await Database.open(path)
    with pytest.raises(StoreUnavailable, match="engine backup list"):
        await db.read(lambda tx: jobs.get(tx, "a"))
    await db.close()


async def test_somebody_elses_database_is_refused_and_kept(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    assert "recipes" in await refused(path)


async def test_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    await refused(tmp_path / "file" / "state.db")


async def test_a_full_disk_is_told_and_loses_nothing(db: Database) -> None:
    await db.write(lambda tx: put(tx, "before"))

    def confine(tx: Tx) -> None:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")

    await db.write(confine)
    with pytest.raises(StoreUnavailable, match=r"disk is full.*Fix: free space"):
        await db.write(lambda tx: put(tx, "big", "x" * 100_000))
    await db.write(lambda tx: put(tx, "small"))
    assert await db.read(names) == ["before", "small"]


# -- reading only --------------------------------------------------------------------------


async def test_reading_only_sees_everything_and_changes_nothing(path: Path) -> None:
    await made(path)
    db = await Database.open(path, read_only=True)
    assert await db.read(names) == ["a"]
    with pytest.raises(StoreUnavailable, match="engine gateway"):
        await db.write(lambda tx: put(tx, "b"))
    await db.close()


async def test_reading_only_works_beside_the_gateway(db: Database, path: Path) -> None:
    await db.write(lambda tx: put(tx, "a"))
    other = await Database.open(path, read_only=True)
    assert await other.read(names) == ["a"]
    await other.close()


async def test_reading_only_creates_nothing(path: Path) -> None:
    await refused(path, read_only=True)
    assert not path.parent.exists()


# -- the file itself -----------------------------------------------------------------------


async def test_the_file_is_for_its_user_only(db: Database, path: Path) -> None:
    await db.write(lambda tx: put(tx, "a"))
    modes = {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {0o600}


async def test_a_url_and_a_path_are_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await made(path)
    db = await Database.open(f"sqlite:///{path}")
    assert await db.read(names) == ["a"]
    assert db.path == path
    await db.close()


PROBE = """
import asyncio, sys
from jobs.store.db import Database
async def main():
    db = await Database.open(sys.argv[1])
    await db.close()
asyncio.run(main())
print([name for name in ("alembic", "sqlalchemy.ext.asyncio", "asyncpg") if name in sys.modules])
"""


async def test_an_up_to_date_file_opens_without_what_is_slow_to_import(path: Path) -> None:
    await made(path)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", PROBE, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "[]"
