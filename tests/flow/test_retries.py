"""A recurring job that fails: tried again before its slot, or held back beyond it (§9.2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.agents.base import FailureClass
from engine.pytest_plugin import EngineSim
from engine.scheduling import Chosen
from engine.testing import ScriptedAgent, Simulation
from engine.testing.report import SimulatedRun

START = "2026-06-01 00:30"
HOURLY = {"schedule": "0 * * * *", "tz": "UTC", "message": "look", "deliver": "none"}


def hourly(**more: Any) -> dict[str, Any]:
    off = {"agents": {"defaults": {"heartbeat": {"every": "0m"}}}}
    return off | {"cron": {"jobs": {"job": HOURLY | more}}}


def told(rows: list[SimulatedRun]) -> list[tuple[str, str]]:
    """When each run began, and why there is one."""
    return [(f"{one.at:%H:%M:%S}", one.row.trigger.value) for one in rows]


async def is_clean(sim: Simulation) -> bool:
    return (await sim.engine.outlook.audit({"since": "1d"}))["clean"] is True


@pytest.mark.parametrize(
    ("failure", "began"),
    [
        (
            FailureClass.NETWORK,  # it may pass: 30 s, 60 s, 5 min, and then its slots
            [
                ("01:00:00", "schedule"),
                ("01:00:30", "retry"),
                ("01:01:30", "retry"),
                ("01:06:30", "retry"),
                ("02:00:00", "schedule"),
                ("03:00:00", "schedule"),
            ],
        ),
        (
            FailureClass.AUTH,  # it does not pass by itself
            [("01:00:00", "schedule"), ("02:00:00", "schedule"), ("03:00:00", "schedule")],
        ),
    ],
)
async def test_what_may_pass_is_tried_three_times_before_the_next_slot(
    engine_sim: EngineSim, failure: FailureClass, began: list[tuple[str, str]]
) -> None:
    sim = engine_sim(hourly(), start=START, zone="UTC", agent=ScriptedAgent(then=failure))
    report = await sim.until("2026-06-01 03:59")
    assert told(report.runs("job")) == began
    assert report.skips("job") == []
    assert await is_clean(sim)


async def test_a_retry_that_succeeds_names_the_run_it_repeats_and_the_slot_it_stands_for(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(FailureClass.TIMEOUT, then="there")
    job = hourly(message="this is for {{scheduledFor}}")
    sim = engine_sim(job, start=START, zone="UTC", agent=agent)
    report = await sim.until("2026-06-01 02:30")
    first, again, following = report.runs("job")
    assert (first.status, again.status, following.row.trigger.value) == ("failed", "ok", "schedule")
    assert (again.row.retry_of, again.row.attempt, again.row.slot) == (first.row.id, 2, None)
    assert "this is for 2026-06-01" in agent.requests[0].prompt
    assert agent.requests[1].prompt.splitlines()[0] == agent.requests[0].prompt.splitlines()[0]
    assert first.row.next_due_at == again.at
    assert again.row.next_due_at == following.at


async def test_while_it_waits_its_job_says_when_it_is_tried_again(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(FailureClass.TIMEOUT)
    sim = engine_sim(hourly(), start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 01:00:10")
    job = await sim.engine.scheduling.get("job")
    assert job["nextRunAtMs"] == job["state"]["retryAtMs"] == job["state"]["nextRunAtMs"]
    coming = (await sim.engine.outlook.next({"count": 2}))["occurrences"]
    assert [one["utc"][11:] for one in coming] == ["01:00:30Z", "02:00:00Z"]


async def test_the_slots_within_a_wait_are_on_record_and_the_job_is_tried_at_its_end(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(FailureClass.AUTH, takes=timedelta(seconds=5))
    job = hourly(retry={"backoffMs": [3_600_000]})
    sim = engine_sim(job, start=START, zone="UTC", agent=agent)
    report = await sim.until("2026-06-01 03:00:30")
    assert told(report.runs("job")) == [
        ("01:00:00", "schedule"),
        ("02:00:05", "retry"),
        ("03:00:00", "schedule"),
    ]
    assert [(one.local, one.reason) for one in report.skips("job")] == [("02:00", "backoff")]
    assert await is_clean(sim)


async def test_a_run_by_hand_that_succeeds_needs_no_retry_and_leaves_the_next_slot(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(FailureClass.TIMEOUT)
    sim = engine_sim(hourly(), start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 01:00:10")
    await sim.engine.scheduling.run("job", by="ana")
    report = await sim.until("2026-06-01 02:30")
    triggers = [trigger for _, trigger in told(report.runs("job"))]
    assert triggers == ["schedule", "manual", "schedule"]
    assert await is_clean(sim)


async def test_a_run_by_hand_that_fails_is_not_tried_again_by_itself(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(FailureClass.TIMEOUT)
    sim = engine_sim(hourly(), start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 00:40")
    await sim.engine.scheduling.run("job", by="ana")
    report = await sim.until("2026-06-01 01:30")
    assert [trigger for _, trigger in told(report.runs("job"))] == ["manual", "schedule"]


@pytest.mark.parametrize(
    ("down", "misfire", "rows"),
    [
        (10, {}, [("01:10:10", "retry", "ok")]),
        (10, {"policy": "skip"}, [("01:10:10", "retry", "missed-downtime")]),
        (10, {"grace": "5m"}, [("01:10:10", "retry", "missed-grace-exceeded")]),
        (70, {}, [("02:00:00", "catchup", "ok")]),  # its next slot came first
    ],
)
async def test_a_retry_that_was_due_while_nobody_ran_keeps_to_the_misfire_policy(
    engine_sim: EngineSim, down: int, misfire: dict[str, Any], rows: list[tuple[str, str, str]]
) -> None:
    agent = ScriptedAgent(FailureClass.TIMEOUT)
    sim = engine_sim(hourly(misfire=misfire), start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 01:00:10")
    await sim.restart(down_for=timedelta(minutes=down))
    report = await sim.advance(timedelta(minutes=5))
    found = [
        (f"{one.at:%H:%M:%S}", one.row.trigger.value, one.reason or one.status)
        for one in report.rows
        if one.status != "failed"
    ]
    assert found == rows
    assert await is_clean(sim)


async def test_what_is_left_out_is_a_slot_and_not_the_retry_before_it(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(FailureClass.TIMEOUT)
    sim = engine_sim(hourly(), start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 01:00:10")
    await sim.engine.control.skip("job", by="ana")
    report = await sim.until("2026-06-01 03:30")
    left = [(one.local, one.reason) for one in report.skips("job")]
    assert left == [("02:00", "calendar-excluded")]
    assert len(report.runs("job")) == 3


async def test_a_pause_over_a_retry_leaves_no_slot_without_a_row(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(FailureClass.TIMEOUT)
    sim = engine_sim(hourly(), start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 01:00:10")
    await sim.engine.control.pause(Chosen(ref="job"), by="ana")
    await sim.until("2026-06-01 03:10")
    await sim.engine.control.resume(Chosen(ref="job"), by="ana")
    await sim.until("2026-06-01 04:30")
    assert await is_clean(sim)
