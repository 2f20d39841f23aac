"""A stop in the middle of things: what had not begun begins after the next start."""

from __future__ import annotations

import asyncio
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


async def test_what_was_switched_off_while_it_waited_does_not_begin(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then="done", takes=timedelta(hours=1))
    before = one_at_a_time()
    sim = engine_sim(before, start="2026-06-01 08:59", zone="UTC", agent=agent)
    await sim.advance(timedelta(minutes=2))
    agent.takes = timedelta()
    after = one_at_a_time()
    after["cron"]["jobs"]["three"]["enabled"] = False
    await sim.restart(down_for=timedelta(minutes=1), config=after)
    report = await sim.advance(timedelta(minutes=10))
    ran = sorted(row.job for row in report.rows if row.status == "ok" and row.job in JOBS)
    assert ran == ["four", "one", "two"]
    (not_begun,) = [row for row in report.rows if row.job == "three"]
    assert (not_begun.status, not_begun.reason) == ("skipped", "disabled")


async def test_nothing_begins_after_a_restart_with_scheduled_jobs_off(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="done", takes=timedelta(hours=1))
    sim = engine_sim(one_at_a_time(), start="2026-06-01 08:59", zone="UTC", agent=agent)
    await sim.advance(timedelta(minutes=2))
    agent.takes = timedelta()
    after = one_at_a_time()
    after["cron"]["enabled"] = False
    await sim.restart(config=after)
    report = await sim.advance(timedelta(minutes=10))
    assert [row.job for row in report.rows if row.status == "ok" and row.job in JOBS] == []


async def test_a_one_shot_that_ends_the_process_twice_is_not_tried_a_third_time(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="done", takes=timedelta(hours=1))
    config = one_at_a_time()
    config["cron"]["jobs"] = {"one": config["cron"]["jobs"]["one"]}
    sim = engine_sim(config, start="2026-06-01 08:59", zone="UTC", agent=agent)
    await sim.advance(timedelta(minutes=2))
    for _ in range(4):
        await sim.restart(down_for=timedelta(minutes=1))
        await sim.advance(timedelta(minutes=2))
    report = await sim.advance(timedelta(hours=2))
    rows = [row for row in report.rows if row.job == "one"]
    assert [row.reason for row in rows] == ["interrupted", "interrupted"]
    assert "switched off" in rows[-1].because
    assert sum(request.kind == "cron" for request in agent.requests) == 2


async def test_a_stop_takes_no_longer_than_its_grace_whatever_still_runs(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="done", takes=timedelta(hours=1))
    config = one_at_a_time()
    beats = {"heartbeat": {"every": "6h"}}
    config["agents"] = {"list": [{"id": "main", "default": True}, {"id": "ops"} | beats]}
    sim = engine_sim(config, start="2026-06-01 08:59", zone="UTC", agent=agent)
    await sim.advance(timedelta(minutes=2))
    await sim.event("The kettle is on.", agent="ops")  # a beat that runs, beside the job
    assert len(agent.requests) == 2
    time = asyncio.get_running_loop().time
    began = time()
    await sim.engine.stop(timedelta(seconds=0.5))
    assert time() - began < 0.9
