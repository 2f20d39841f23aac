"""What becomes of a run whose job somebody changes while it goes on or waits (cron.md §7, §19)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.agents.base import FailureClass, TurnReply, TurnRequest
from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, Simulation
from jobs.wallclock import ms

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
OFF: dict[str, Any] = {"agents": {"defaults": {"heartbeat": {"every": "0m", "target": "last"}}}}
START = "2026-06-01 00:30"
TOMORROW = datetime(2026, 6, 2, 9, tzinfo=UTC)
MOVED: dict[str, Any] = {"schedule": {"kind": "at", "at": "2026-06-02T09:00Z"}}


async def add(sim: Simulation, name: str, **asked: Any) -> None:
    await sim.open()
    await sim.engine.scheduling.add({"name": name, "message": "look", **asked}, by="ana")


def once(at: str = "2026-06-01T01:00Z") -> dict[str, Any]:
    return {"schedule": {"kind": "at", "at": at}}


async def jobs_of(sim: Simulation) -> list[dict[str, Any]]:
    found = await sim.engine.scheduling.list({"includeDisabled": True})
    jobs: list[dict[str, Any]] = found["jobs"]
    return jobs


# -- while it goes on ----------------------------------------------------------------------------


@pytest.mark.parametrize("delete", [True, False])
@pytest.mark.parametrize("ends", ["Done.", FailureClass.NETWORK, FailureClass.AUTH])
async def test_a_one_shot_that_is_moved_during_its_run_keeps_its_new_instant(
    engine_sim: EngineSim, ends: str | FailureClass, delete: bool
) -> None:
    agent = ScriptedAgent(then=ends, takes=10 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "once", **once(), deleteAfterRun=delete)
    await sim.until("2026-06-01 01:05")
    await sim.engine.scheduling.update("once", MOVED, by="ana")
    await sim.until("2026-06-01 01:30")
    (job,) = await jobs_of(sim)
    assert (job["enabled"], job["state"]["nextRunAtMs"]) == (True, ms(TOMORROW))
    report = await sim.until("2026-06-02 09:30")
    assert TOMORROW in [row.row.slot for row in report.rows]


async def test_a_job_may_move_itself_from_its_own_turn(engine_sim: EngineSim) -> None:
    class Mover:
        async def answer(self, request: TurnRequest) -> TurnReply:
            await sim.engine.scheduling.update("once", MOVED, by="agent main")
            return TurnReply(payloads=("Moved.",), model="m", provider="p")

    sim = engine_sim(OFF, start=START, zone="UTC", agent=Mover())
    await add(sim, "once", **once())
    await sim.until("2026-06-01 01:30")
    (job,) = await jobs_of(sim)
    assert (job["enabled"], job["state"]["nextRunAtMs"]) == (True, ms(TOMORROW))


async def test_a_job_that_is_switched_off_during_its_run_is_not_tried_again(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then=FailureClass.NETWORK, takes=10 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "once", **once())
    await sim.until("2026-06-01 01:05")
    await sim.engine.scheduling.update("once", {"enabled": False}, by="ana")
    await sim.until("2026-06-01 02:00")
    (job,) = await jobs_of(sim)
    assert (job["enabled"], job["state"].get("nextRunAtMs")) == (False, None)
    assert job["state"].get("autoDisabled") is None


async def test_a_new_schedule_knows_no_backoff_of_the_old_one(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(FailureClass.NETWORK, then="Done.", takes=10 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "job", schedule={"kind": "every", "everyMs": 3_600_000, "anchorMs": 0})
    await sim.until("2026-06-01 01:09")
    soon = {"kind": "cron", "expr": "10 * * * * *", "staggerMs": 0}
    await sim.engine.scheduling.update("job", {"schedule": soon}, by="ana")
    report = await sim.until("2026-06-01 01:30")
    assert [(row.status, row.reason) for row in report.rows[:3]] == [
        ("failed", "agent-runner-failure"),
        ("skipped", "overlap-skip"),
        ("ok", None),
    ]
