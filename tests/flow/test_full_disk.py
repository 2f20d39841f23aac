"""A disk that refuses for a while: nothing fires twice, nothing that happened is forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from engine.store import outbox, sessions
from engine.testing import ScriptedAgent, Simulation
from gateway import sentinel
from gateway.app.back import tell_requester
from gateway.restarts import Wanted
from gateway.sentinel import Sentinel
from jobs.errors import StoreUnavailable
from jobs.store.db import Database, Work

T = TypeVar("T")
MINUTE = timedelta(minutes=1)
NINE = datetime(2026, 6, 1, 9, tzinfo=UTC)
WORDS = "The build is red."


class Disk(Database):
    """A store in memory on a disk that may be full."""

    full = False

    async def write(self, work: Work[T]) -> T:
        if self.full:
            raise StoreUnavailable("the state database cannot be used", why="disk is full")
        return await super().write(work)


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    inner = await Database.memory()
    yield Disk(inner)
    await inner.close()


def config(**job: Any) -> dict[str, Any]:
    return {
        "agents": {"defaults": {"heartbeat": {"every": "0m"}}},
        "cron": {"jobs": {"report": {"schedule": "0 9 * * *", "tz": "UTC"} | job}},
    }


def simulation(disk: Disk, agent: ScriptedAgent, home: Path, **job: Any) -> Simulation:
    return Simulation(
        config(**job),
        start=NINE - MINUTE,
        zone="UTC",
        agent=agent,
        database=disk,
        home=home,
        checklist="",
    )


async def test_a_run_that_ended_while_the_disk_was_full_is_recorded_and_told_once(
    disk: Disk, tmp_path: Path
) -> None:
    agent = ScriptedAgent(then=WORDS, takes=5 * MINUTE)
    async with simulation(disk, agent, tmp_path, message="look") as sim:
        await sim.until(NINE + MINUTE)
        disk.full = True
        await sim.until(NINE + 20 * MINUTE)
        assert "disk is full" in sim.engine.vitals.failing["store"]
        disk.full = False
        report = await sim.until(NINE + 30 * MINUTE)
        assert [(row.status, row.reason) for row in report.rows] == [("ok", None)]
        assert [one.text for one in report.deliveries] == [WORDS]
        assert len(agent.requests) == 1
        assert sim.engine.vitals.failing == {}


async def test_a_slot_that_comes_while_the_disk_is_full_runs_once_when_it_is_not(
    disk: Disk, tmp_path: Path
) -> None:
    agent = ScriptedAgent(then=WORDS)
    async with simulation(disk, agent, tmp_path, message="look") as sim:
        disk.full = True
        await sim.until(NINE + 10 * MINUTE)
        assert agent.requests == []
        assert "disk is full" in sim.engine.vitals.failing["scheduler"]
        disk.full = False
        report = await sim.until(NINE + 20 * MINUTE)
        assert [row.row.slot for row in report.rows] == [NINE]
        assert len(agent.requests) == 1
        assert sim.engine.vitals.failing == {}


async def test_a_reminder_due_on_a_full_disk_is_told_when_there_is_room(
    disk: Disk, tmp_path: Path
) -> None:
    agent = ScriptedAgent(then=WORDS)
    async with simulation(disk, agent, tmp_path, systemEvent="The bath is full.") as sim:
        filled = False

        async def fill() -> None:
            nonlocal filled
            if not filled and sim.engine.running.jobs():
                filled = disk.full = True

        began = sim.engine.recorder.began

        async def begins(run: Any) -> None:
            await began(run)
            await fill()

        sim.engine.recorder.began = begins  # type: ignore[method-assign]
        await sim.until(NINE + 5 * MINUTE)
        assert filled
        disk.full = False
        await sim.until(NINE + 10 * MINUTE)
        assert any("The bath is full." in request.prompt for request in agent.requests)


async def test_an_answered_message_is_not_owed_an_answer_whenever_the_process_dies(
    disk: Disk, tmp_path: Path
) -> None:
    async with simulation(disk, ScriptedAgent(then="hello"), tmp_path, message="look") as sim:
        run_id = "in-1"
        await disk.write(lambda tx: sessions.owe_turn(tx, run_id, "{}", NINE))
        chat = await sim.say("hi", run_id=run_id)
        await chat
        assert await disk.read(sessions.owed_turns) == []


async def test_a_config_edited_while_the_disk_is_full_is_in_force_whole_or_not_at_all(
    disk: Disk, tmp_path: Path
) -> None:
    async with simulation(disk, ScriptedAgent(), tmp_path, message="look") as sim:
        edited = config(message="look") | {"agents": {"list": [{"id": "ops", "default": True}]}}
        disk.full = True
        with pytest.raises(StoreUnavailable):
            await sim.apply(edited)
        assert sim.engine.roster.default_id == "main"
        disk.full = False
        await sim.apply(edited)
        assert sim.engine.roster.default_id == "ops"


async def test_who_asked_for_a_restart_hears_of_its_end_once_the_disk_takes_it(
    disk: Disk, tmp_path: Path
) -> None:
    async with simulation(disk, ScriptedAgent(), tmp_path, message="x") as sim:
        chat = {"channel": "local"}
        asked = Sentinel.of(Wanted(reason="update", delivery=chat), NINE)
        sentinel.write(tmp_path, asked)
        disk.full = True
        await tell_requester(sim.engine, tmp_path, None)
        assert sentinel.read(tmp_path) == asked  # the next start tells it
        disk.full = False
        await tell_requester(sim.engine, tmp_path, None)
        assert sentinel.read(tmp_path) is None
        sentinel.write(tmp_path, asked)  # killed before the file was gone
        await tell_requester(sim.engine, tmp_path, None)
        told, _ = await disk.read(lambda tx: outbox.page(tx, limit=10))
    assert [one.text for one in told] == ["Gateway back; restarted as asked: update"]
