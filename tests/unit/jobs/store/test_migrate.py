"""Migrations: a copy first, all or nothing, no row lost (cron.md §11.3)."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from jobs.errors import StoreUnavailable
from jobs.model import AgentTurn, Job
from jobs.schedule import Every
from jobs.store import jobs, migrate, migrations
from jobs.store.db import Database
from jobs.store.migrate import OURS, Steps

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = """
from alembic import op
revision = "9001"
down_revision = {head!r}
def upgrade():
    op.execute("ALTER TABLE jobs ADD COLUMN colour TEXT")
    op.execute({extra!r})
"""


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A database of the schema before, with one job in it."""
    path = tmp_path / "state.db"
    job = Job(
        id="a", name="a", schedule=Every(period=timedelta(hours=1)), payload=AgentTurn(message="a")
    )
    database = await Database.open(path)
    await database.write(lambda tx: jobs.insert(tx, job, next_run_at=NOON, now=NOON))
    await database.close()
    return path


def steps(place: Path, extra: str = "SELECT 1") -> Steps:
    """Our steps and one more."""
    ours = Path(str(migrations.__file__)).parent
    (place / "versions").mkdir(parents=True)
    for file in (ours / "env.py", *(ours / "versions").glob("v*.py")):
        (place / file.relative_to(ours)).write_text(file.read_text())
    (place / "versions" / "v9001.py").write_text(LATER.format(head=OURS.head, extra=extra))
    return Steps("9001", str(place))


@pytest.fixture
def engine(path: Path) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{path}")

    @sa.event.listens_for(engine, "connect")
    def _connected(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def _begun(tx: sa.Connection) -> None:
        tx.exec_driver_sql("BEGIN IMMEDIATE")

    yield engine
    engine.dispose()


def schema(path: Path) -> tuple[str, bool, int]:
    """Revision, whether the new column is there, how many jobs."""
    with closing(sqlite3.connect(path)) as db:
        revision = db.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        columns = [row[1] for row in db.execute("PRAGMA table_info(jobs)")]
        count = db.execute("SELECT count(*) FROM jobs").fetchone()[0]
    return revision, "colour" in columns, count


async def test_a_migration_keeps_the_rows_and_a_copy_of_before(
    engine: sa.Engine, path: Path, tmp_path: Path
) -> None:
    migrate.upgrade(engine, path, steps(tmp_path / "more"))
    assert schema(path) == ("9001", True, 1)
    assert schema(tmp_path / "state.db.before-9001") == (OURS.head, False, 1)


async def test_the_first_schema_is_brought_up_with_its_rows(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    first = sa.create_engine(f"sqlite:///{old}")
    with first.begin() as tx:
        migrate.bring_up(tx, Steps("0001"))
        tx.exec_driver_sql(
            "INSERT INTO jobs (id, kind, name, source, definition, revision, enabled)"
            " VALUES ('a', 'cron', 'a', 'runtime', '{}', 'r', 1)"
        )
    first.dispose()
    database = await Database.open(old)
    assert await database.read(lambda tx: jobs.quarantined(tx)) == []
    await database.close()
    with closing(sqlite3.connect(old)) as db:
        assert db.execute("SELECT id, watch_at FROM jobs").fetchall() == [("a", None)]
        assert db.execute("SELECT version_num FROM alembic_version").fetchone()[0] == OURS.head


async def test_receipts_of_before_are_kept_one_by_one(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    before = sa.create_engine(f"sqlite:///{old}")
    with before.begin() as tx:
        migrate.bring_up(tx, Steps("0002"))
        for key, ids, state in (("k", '["m1", "m2"]', "delivered"), ("q", None, "queued")):
            tx.exec_driver_sql(
                "INSERT INTO outbox (key, lane, state, kind, route, text, priority, created_at,"
                " expires_at, ended_at, message_ids) VALUES (?, 'l', ?, 'cron', '{}', 't', 1, 0,"
                " 0, 5, ?)",
                (key, state, ids),
            )
    before.dispose()
    await (await Database.open(old)).close()
    with closing(sqlite3.connect(old)) as db:
        found = db.execute("SELECT * FROM receipts ORDER BY chunk").fetchall()
        assert found == [("k", 0, "m1", 5), ("k", 1, "m2", 5)]
        assert db.execute("SELECT key, state FROM outbox").fetchall() == [
            ("k", "delivered"),
            ("q", "queued"),
        ]
        plan = db.execute(
            "EXPLAIN QUERY PLAN SELECT min(id) FROM outbox"
            " WHERE (state = 'queued' OR state = 'sending' OR state = 'held') GROUP BY lane"
        ).fetchall()
        assert "outbox_open" in str(plan)


async def test_lists_of_states_are_spelt_out_and_every_row_stays(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    before = sa.create_engine(f"sqlite:///{old}")
    with before.begin() as tx:
        tx.exec_driver_sql("PRAGMA foreign_keys=ON")
        migrate.bring_up(tx, Steps("0003"))
        tx.exec_driver_sql(
            "INSERT INTO outbox (id, key, lane, state, kind, route, text, priority, created_at,"
            " expires_at) VALUES (7, 'k', 'l', 'delivered', 'cron', '{}', 't', 1, 0, 0)"
        )
        tx.exec_driver_sql("INSERT INTO receipts VALUES ('k', 0, 'm1', 5)")
        tx.exec_driver_sql(
            "INSERT INTO runs (seq, id, job_id, kind, trigger_kind, status, slot, reply)"
            " VALUES (9, 'r', 'a', 'cron', 'schedule', 'claimed', 1, '{}')"
        )
    before.dispose()
    await (await Database.open(old)).close()
    with closing(sqlite3.connect(old)) as db:
        assert db.execute("SELECT * FROM receipts").fetchall() == [("k", 0, "m1", 5)]
        assert db.execute("SELECT id, key FROM outbox").fetchall() == [(7, "k")]
        assert db.execute("SELECT seq, id, slot, reply FROM runs").fetchall() == [(9, "r", 1, "{}")]
        written = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        assert not [sql for (sql,) in written if "status IN" in sql or "state IN" in sql]
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("UPDATE runs SET status = 'asleep'")


async def test_an_older_copy_is_never_overwritten(
    engine: sa.Engine, path: Path, tmp_path: Path
) -> None:
    (tmp_path / "state.db.before-9001").write_text("precious")
    migrate.upgrade(engine, path, steps(tmp_path / "more"))
    assert (tmp_path / "state.db.before-9001").read_text() == "precious"
    assert schema(tmp_path / "state.db.before-9001.2") == (OURS.head, False, 1)


async def test_a_step_that_fails_is_taken_back_whole(
    engine: sa.Engine, path: Path, tmp_path: Path
) -> None:
    with pytest.raises(sa.exc.OperationalError):
        migrate.upgrade(engine, path, steps(tmp_path / "more", "SELECT nonsense"))
    assert schema(path) == (OURS.head, False, 1)


@pytest.mark.parametrize("loss", ["DELETE FROM jobs", "DROP TABLE outbox"])
async def test_a_step_that_loses_rows_is_taken_back_whole(
    engine: sa.Engine, path: Path, tmp_path: Path, loss: str
) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT INTO outbox (key, lane, state, kind, route, text, priority, created_at,"
            " expires_at) VALUES ('k', 'l', 'queued', 'cron', '{}', 't', 1, 0, 0)"
        )
    with pytest.raises(StoreUnavailable, match="rows would have been lost"):
        migrate.upgrade(engine, path, steps(tmp_path / "more", loss))
    assert schema(path) == (OURS.head, False, 1)


def test_an_up_to_date_database_is_not_copied(engine: sa.Engine, path: Path) -> None:
    migrate.upgrade(engine, path)
    assert not list(path.parent.glob("*.before-*"))


async def test_an_older_schema_is_not_read_before_it_is_migrated(
    engine: sa.Engine, path: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreUnavailable, match="engine gateway"):
        migrate.check(engine, path, steps(tmp_path / "more"))


def test_the_head_in_the_code_is_the_head_of_the_steps() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", OURS.place)
    assert ScriptDirectory.from_config(config).get_current_head() == OURS.head


OPEN = """
import asyncio, sys
from jobs.store.db import Database
async def main():
    await (await Database.open(sys.argv[1])).close()
asyncio.run(main())
"""


async def test_a_process_killed_in_a_migration_leaves_a_file_that_opens(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    died = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", OPEN, str(path)],
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "ENGINE_TESTING": "1",
            "ENGINE_CRASH_AT": "mid-migration",
        },
    )
    assert died.returncode == -signal.SIGKILL
    database = await Database.open(path)
    assert await database.read(jobs.next_due) is None
    await database.close()
