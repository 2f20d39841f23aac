"""A stop in the middle of things: what had not begun begins after the next start."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent

JOBS = ("one", "two", "three", "four")


def one_at_a_time() -> dict[str, Any]:
    jobs = {
        name: {"schedule": "2026-06-01T09:00:00Z", "message": f"say {name}", "deliver": "none"}
        for name in JOBS
    }
    return {"cron": {"maxConcurrentRuns": 1, "jobs": jobs}}


async def test_runs_that_waited_for_a_place_are_neither_lost_nor_called_broken(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="done", takes=timedelta(hours=1))
    sim = engine_sim(one_at_a_time(), start="2026-06-01 08:59", zone="UTC", agent=agent)
    await sim.advance(timedelta(minutes=2))
    assert len(agent.requests) == 1
    agent.takes = timedelta()
    await sim.restart(down_for=timedelta(minutes=1))
    report = await sim.advance(timedelta(minutes=10))
    ran = sorted(row.job for row in report.rows if row.status == "ok" and row.job in JOBS)
    assert ran == sorted(JOBS)
    broken = [row.because for row in report.rows if row.reason == "agent-runner-failure"]
    assert broken == []
