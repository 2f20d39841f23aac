"""What is told of jobs and their runs, and in which order (cron.md §15)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.agents.base import FailureClass
from engine.events import Event
from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, Simulation

OFF: dict[str, Any] = {"agents": {"defaults": {"heartbeat": {"every": "0m", "target": "last"}}}}
HOURLY: dict[str, Any] = {"schedule": "0 * * * *", "message": "look"}
DAY = timedelta(days=1)


async def heard(sim: Simulation) -> list[dict[str, Any]]:
    await sim.open()
    events: list[dict[str, Any]] = []

    def listen(event: Event) -> None:
        if event.name == "cron":
            events.append(dict(event.payload))

    sim.engine.bus.listen(listen)
    return events


async def test_a_run_is_told_from_its_start_to_when_the_job_comes_again(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(OFF | {"cron": {"jobs": {"job": HOURLY}}}, start="2026-06-01 00:30")
    events = await heard(sim)
    await sim.advance(timedelta(hours=1))
    started, finished, scheduled = events
    assert [one["action"] for one in events] == ["started", "finished", "scheduled"]
    assert started["runId"] == finished["runId"] == scheduled["runId"]
    assert (finished["status"], finished["summary"]) == ("ok", "Done: look")
    assert (finished["completionStatus"], finished["deliveryStatus"]) == ("unknown", "unknown")
    assert scheduled["nextRunAtMs"] == finished["nextRunAtMs"]


async def test_a_one_shot_that_goes_is_told_as_removed(engine_sim: EngineSim) -> None:
    sim = engine_sim(OFF, start="2026-06-01 00:30")
    events = await heard(sim)
    await sim.engine.scheduling.add({"at": "20m", "message": "tea"}, by="ana")
    await sim.advance(timedelta(hours=1))
    actions = [one["action"] for one in events]
    assert actions == ["added", "started", "finished", "updated", "removed"]  # as its words arrive


async def test_a_job_that_fails_too_often_is_told_as_switched_off(engine_sim: EngineSim) -> None:
    job = HOURLY | {"retry": {"backoffMs": [0]}}
    config = OFF | {"cron": {"jobs": {"job": job}, "autoDisableAfter": 2}}
    agent = ScriptedAgent(then=FailureClass.AUTH)
    sim = engine_sim(config, start="2026-06-01 00:30", agent=agent)
    events = await heard(sim)
    await sim.advance(DAY)
    last = events[-1]
    assert (last["action"], last["reason"]) == ("autoDisabled", "consecutive-failures")
    assert (last["consecutiveErrors"], last["jobId"]) == (2, "cfg:job")


async def test_a_failure_says_when_it_is_tried_again(engine_sim: EngineSim) -> None:
    job = HOURLY | {"schedule": "* * * * *", "retry": {"backoffMs": [600_000]}}
    agent = ScriptedAgent(FailureClass.TIMEOUT)
    sim = engine_sim(OFF | {"cron": {"jobs": {"job": job}}}, start="2026-06-01 00:00", agent=agent)
    events = await heard(sim)
    await sim.advance(timedelta(seconds=90))
    first = next(one for one in events if one["action"] == "scheduled")
    failed = next(one for one in events if one["action"] == "finished")
    assert first["nextRunAtMs"] == failed["runAtMs"] + 600_000


async def test_a_slot_that_does_not_run_is_told_as_it_is_passed_over(engine_sim: EngineSim) -> None:
    job = HOURLY | {"maxRunsPerDay": 1}
    sim = engine_sim(OFF | {"cron": {"jobs": {"job": job}}}, start="2026-06-01 00:30", zone="UTC")
    events = await heard(sim)
    await sim.until("2026-06-01 02:30")
    over, following = events[-2:]
    assert (over["action"], over["skipReason"]) == ("skipped", "max-runs-per-day")
    assert (following["action"], following["jobId"]) == ("scheduled", "cfg:job")
    assert over["nextRunAtMs"] == following["nextRunAtMs"] == over["scheduledForMs"] + 3_600_000


async def test_slots_that_were_missed_are_told_before_what_makes_up_for_them_begins(
    engine_sim: EngineSim,
) -> None:
    job = HOURLY | {"command": ["df"], "tz": "UTC"}
    job.pop("message")
    sim = engine_sim(OFF | {"cron": {"jobs": {"job": job}}}, start="2026-06-01 00:30", zone="UTC")
    await sim.open()
    await sim.restart(down_for=timedelta(hours=3))
    events = await heard(sim)
    await sim.advance(timedelta(minutes=1))
    assert [one["action"] for one in events] == [
        "missed",
        "missed",
        "started",
        "finished",
        "scheduled",
    ]
