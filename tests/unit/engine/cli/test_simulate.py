"""`engine simulate` shows what will happen on this home, and says what it went on from."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.core import INSTALLATION
from engine.store import meta
from engine.testing import Simulation
from jobs.store.db import Database
from tests.unit.engine.cli.conftest import Engine

CONFIG = {
    "gateway": {"mode": "local"},
    "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}},
    "channels": {"telegram": {"botToken": "1:x", "allowFrom": ["42"]}},
}
JOB = {
    "name": "water",
    "schedule": {"kind": "every", "everyMs": 7_200_000},
    "sessionTarget": "main",
    "payload": {"kind": "systemEvent", "text": "Drink something"},
}


@pytest.fixture
def lived_in(home: Path) -> Path:
    """A home on which a gateway has run: somebody wrote, and a job was added."""
    state = home / ".engine"
    (state / "engine.json").write_text(json.dumps(CONFIG))
    (state / "workspace").mkdir()
    (state / "workspace" / "HEARTBEAT.md").write_text("alert: the build is red\n")
    asyncio.run(_lived(state))
    return state


async def _lived(state: Path) -> None:
    database = await Database.open(state / "state.db")
    await database.write(lambda tx: meta.keep(tx, INSTALLATION, "an-installation"))
    start = SystemClock().now() - timedelta(minutes=1)
    config = state / "engine.json"
    async with Simulation(config, start=start, database=database, seed="an-installation") as sim:
        await sim.contact("telegram", "42")
        await sim.engine.scheduling.add(JOB, by="cli")
    await database.close()


def test_a_job_that_was_imported_counts_among_those_of_the_home(
    engine: Engine, lived_in: Path
) -> None:
    with closing(sqlite3.connect(lived_in / "state.db", isolation_level=None)) as db:
        db.execute("UPDATE jobs SET source = 'import' WHERE kind = 'cron'")
        db.execute("UPDATE jobs SET definition = replace(definition, '\"runtime\"', '\"import\"')")
    told = engine("simulate", "--days", "1", "--json")
    assert "1 job added at run time" in told.err


def test_a_simulation_goes_on_from_the_state_of_the_home_and_leaves_it_alone(
    engine: Engine, lived_in: Path
) -> None:
    before = (lived_in / "state.db").read_bytes()
    told = engine("simulate", "--days", "1", "--json")
    report = json.loads(told.out)
    assert told.status == 0
    assert "1 job added at run time, 1 last route" in told.err
    assert report["startsFrom"].startswith("Starts from a copy of ~/.engine/state.db")
    assert {one["to"] for one in report["deliveries"]} == {"42"}
    assert [row["count"] for row in report["summary"] if row["job"] == "water"]
    assert (lived_in / "state.db").read_bytes() == before


def test_another_instant_plans_the_jobs_of_the_home_from_there(
    engine: Engine, lived_in: Path
) -> None:
    told = engine("simulate", "--days", "1", "--from", "2027-03-28", "--expect", "water=12")
    assert told.status == 0, told.err
    assert "without what happened so far" in told.err
    assert "missed" not in told.out


def test_a_foreign_config_starts_from_nothing_and_says_so(
    engine: Engine, lived_in: Path, tmp_path: Path
) -> None:
    (tmp_path / "other.json").write_text(json.dumps(CONFIG))
    told = engine("simulate", "--days", "1", "--config", tmp_path / "other.json")
    assert told.err.startswith("Starts from nothing:")
    assert "no-route" in told.out
    own = engine("simulate", "--days", "1", "--config", lived_in / "engine.json")
    assert own.err.startswith("Starts from a copy of")


def test_a_job_nobody_has_heard_of_is_not_expected(engine: Engine, lived_in: Path) -> None:
    told = engine("simulate", "--days", "1", "--expect", "watre=12")
    assert told.status == 1
    assert "watre: there is no such job (there is: " in told.err


def test_reasons_are_whole_and_results_one_word_on_eighty_columns(
    engine: Engine, lived_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.cli.simulate.width", lambda: 80)
    (lived_in / "workspace" / "HEARTBEAT.md").unlink()
    (lived_in / "workspace" / "HEARTBEAT.md").write_text(f"alert: {'the build is red ' * 12}\n")
    told = engine("simulate", "--days", "2")
    assert "…" not in told.out
    assert max(map(len, told.out.splitlines())) <= 80
    assert "ok (duplicate)" not in told.out
    assert "alert (duplicate)" in told.out
