"""After a gap: what the misfire policy promises to run does run, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, Simulation
from jobs.ledger import Run, RunStatus, Trigger
from jobs.store import jobs, runs
from jobs.store.db import Database, Work

T = TypeVar("T")
MINUTE = timedelta(minutes=1)


def hourly(**misfire: Any) -> dict[str, Any]:
    job = {"schedule": "0 * * * *", "tz": "UTC", "message": "go", "deliver": "none"}
    return {
        "agents": {"defaults": {"heartbeat": {"every": "0m"}}},
        "cron": {"jobs": {"report": job | {"misfire": misfire}}},
    }


async def test_run_all_runs_every_missed_slot_in_order_and_never_two_at_once(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(takes=3 * MINUTE)
    config = hourly(policy="run-all", grace="12h", maxCatchUp=5)
    sim = engine_sim(config, start="2026-06-01 08:30", zone="UTC", agent=agent)
    await sim.advance(MINUTE)
    await sim.restart(down_for=timedelta(hours=4))
    report = await sim.advance(timedelta(minutes=25))
    rows = [row.row for row in report.rows if row.status == "ok"]
    assert [row.slot.hour for row in rows if row.slot] == [9, 10, 11, 12]
    began = [row.started_at for row in rows if row.started_at]
    assert all(b - a >= 3 * MINUTE for a, b in pairwise(began))


async def test_catching_up_goes_on_after_a_stop_in_the_middle_of_it(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(takes=30 * MINUTE)
    config = hourly(policy="run-all", grace="12h", maxCatchUp=5)
    sim = engine_sim(config, start="2026-06-01 08:30", zone="UTC", agent=agent)
    await sim.advance(MINUTE)
    await sim.restart(down_for=timedelta(hours=4))
    await sim.advance(5 * MINUTE)
    agent.takes = 3 * MINUTE
    await sim.restart()
    report = await sim.advance(timedelta(minutes=20))
    rows = [row.row for row in report.rows if row.status == "ok"]
    assert [row.slot.hour for row in rows if row.slot] == [10, 11, 12]
    began = [row.started_at for row in rows if row.started_at]
    assert all(b - a >= 3 * MINUTE for a, b in pairwise(began))


class Meanwhile(Database):
    """A store in memory; a person asks for the job just after its slot was claimed."""

    asks: Callable[[], None] | None = None

    async def write(self, work: Work[T]) -> T:
        done = await super().write(work)
        if self.asks is not None and isinstance(done, dict) and done:
            ask, self.asks = self.asks, None
            ask()
        return done


async def test_a_manual_run_that_begins_between_claim_and_start_does_not_make_two_at_once(
    tmp_path: Path,
) -> None:
    agent = ScriptedAgent(takes=5 * MINUTE)
    inner = await Database.memory()
    database = Meanwhile(inner)
    async with Simulation(
        hourly(),
        start="2026-06-01 08:59",
        zone="UTC",
        agent=agent,
        database=database,
        home=tmp_path,
    ) as sim:
        stored = await database.read(lambda tx: jobs.find(tx, "report"))
        manual = Run(
            id="by-hand",
            job_id=stored.job.id,
            kind="cron",
            agent_id=None,
            trigger=Trigger.MANUAL,
            status=RunStatus.CLAIMED,
            claimed_at=sim.now(),
        )
        await database.write(lambda tx: runs.insert(tx, [manual]))
        database.asks = lambda: sim.engine.running.dispatch(stored.job, manual)
        report = await sim.advance(10 * MINUTE)
        assert sorted((row.row.trigger, row.status, row.reason) for row in report.rows) == [
            ("manual", "ok", None),
            ("schedule", "skipped", "overlap-skip"),
        ]
    await inner.close()


async def test_a_job_run_by_hand_because_it_is_due_is_not_served_again(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(hourly(), start="2026-06-01 08:59", zone="UTC", agent=agent)
    await sim.advance(MINUTE / 2)
    sim.clock.move_to(sim.start + MINUTE)  # nine o'clock; the scheduler has not looked yet
    answer = await sim.engine.scheduling.run("report", mode="due", by="me")
    assert answer["ok"]
    again = await sim.engine.scheduling.run("report", mode="due", by="me")
    assert again["ran"] is False
    report = await sim.advance(30 * MINUTE)
    assert [(row.row.slot, row.status) for row in report.rows] == [(sim.start + MINUTE, "ok")]
    assert len(agent.requests) == 1


async def test_a_last_slot_run_by_hand_is_the_last(engine_sim: EngineSim) -> None:
    config = hourly()
    config["cron"]["jobs"]["report"]["until"] = "2026-06-01T10:00Z"
    sim = engine_sim(config, start="2026-06-01 08:59", zone="UTC")
    await sim.until("2026-06-01 09:30")
    sim.clock.move_to(sim.start + 61 * MINUTE)  # ten o'clock; the scheduler has not looked yet
    answer = await sim.engine.scheduling.run("report", mode="due", by="me")
    assert answer["ok"]
    report = await sim.until("2026-06-01 15:00")
    assert [row.local for row in report.rows] == ["09:00", "10:00"]
    assert (await sim.engine.scheduling.get("report"))["state"].get("nextRunAtMs") is None
