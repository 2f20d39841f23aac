"""Jobs that were switched off together make up for what they missed when they are on (§12)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.pytest_plugin import EngineSim
from engine.testing import Simulation
from engine.testing.report import SimulatedRun

START = "2026-06-01 06:00"
OFF: dict[str, Any] = {"agents": {"defaults": {"heartbeat": {"every": "0m"}}}}
HOUR = timedelta(hours=1)


def declaring(*, on: bool, **jobs: Any) -> dict[str, Any]:
    plain = {"tz": "UTC", "deliver": "none", "message": "look"}
    declared = {name: plain | job for name, job in jobs.items()}
    return OFF | {"cron": {"enabled": on, "jobs": declared}}


async def switch(sim: Simulation, *, on: bool, **jobs: Any) -> None:
    await sim.apply(declaring(on=on, **jobs))


def told(rows: list[SimulatedRun]) -> list[tuple[str, str, str]]:
    return [(one.local, one.row.trigger.value, one.reason or one.status) for one in rows]


@pytest.mark.parametrize(
    ("misfire", "made_up"),
    [
        ({}, ["09:00"]),
        ({"policy": "skip"}, []),
        ({"policy": "run-all", "grace": "12h"}, ["07:00", "08:00", "09:00"]),
        ({"grace": "10m"}, []),
    ],
)
async def test_each_job_makes_up_for_what_its_misfire_policy_says(
    engine_sim: EngineSim, misfire: dict[str, Any], made_up: list[str]
) -> None:
    jobs = {"job": {"schedule": "0 * * * *", "misfire": misfire}}
    sim = engine_sim(declaring(on=True, **jobs), start=START, zone="UTC")
    await sim.advance(HOUR / 2)
    await switch(sim, on=False, **jobs)
    await sim.until("2026-06-01 09:30")
    await switch(sim, on=True, **jobs)
    report = await sim.until("2026-06-01 10:30")
    left = [(one.local, one.reason) for one in report.skips("job")]
    assert left == [("07:00", "disabled"), ("08:00", "disabled"), ("09:00", "disabled")]
    stands = [one.row.facts.get("scheduledForMs") for one in report.runs("job")[:-1]]
    noon = 1780315200_000  # 12:00Z
    assert stands == [noon - (12 - int(slot[:2])) * 3_600_000 for slot in made_up]
    assert all(one.row.trigger.value == "catchup" for one in report.runs("job")[:-1])
    assert report.runs("job")[-1].local == "10:00"
    assert (await sim.engine.outlook.audit({"since": "1d"}))["clean"]


@pytest.mark.parametrize("down", [False, True], ids=["reload", "restart"])
async def test_a_one_shot_that_came_meanwhile_runs_when_jobs_are_on_again(
    engine_sim: EngineSim, down: bool
) -> None:
    sim = engine_sim(declaring(on=False), start=START, zone="UTC")
    await sim.open()
    once = {"name": "once", "at": "20m", "message": "tea"}
    added = await sim.engine.scheduling.add(once, by="ana")
    await sim.until("2026-06-02 06:00")
    job = await sim.engine.scheduling.get(added["id"])
    assert (job["enabled"], job["nextRunAtMs"]) == (True, None)
    if down:
        await sim.restart(config=declaring(on=True))
    else:
        await switch(sim, on=True)
    report = await sim.advance(HOUR)
    assert told(report.runs("once")) == [("06:00", "catchup", "ok")]
    assert told(report.skips("once")) == [("06:20", "schedule", "disabled")]
    assert (await sim.engine.scheduling.list({"enabled": "all"}))["total"] == 0


async def test_a_job_that_was_run_by_hand_meanwhile_has_been_served(engine_sim: EngineSim) -> None:
    jobs = {"job": {"schedule": "0 7 * * *"}}
    sim = engine_sim(declaring(on=False, **jobs), start=START, zone="UTC")
    await sim.until("2026-06-01 07:10")
    await sim.engine.scheduling.run("job", by="ana")
    await sim.until("2026-06-01 07:20")
    await switch(sim, on=True, **jobs)
    report = await sim.advance(HOUR)
    assert [one.row.trigger.value for one in report.runs("job")] == ["manual"]


async def test_a_job_that_is_off_by_itself_or_paused_stays_so(engine_sim: EngineSim) -> None:
    jobs = {"job": {"schedule": "0 7 * * *"}}
    sim = engine_sim(declaring(on=False, **jobs), start=START, zone="UTC")
    await sim.until("2026-06-01 07:10")
    jobs["job"]["enabled"] = False  # type: ignore[assignment]
    await switch(sim, on=True, **jobs)
    report = await sim.advance(HOUR)
    assert report.runs("job") == []


async def test_switching_off_and_on_twice_makes_up_once(engine_sim: EngineSim) -> None:
    jobs = {"job": {"schedule": "0 7 * * *"}}
    sim = engine_sim(declaring(on=False, **jobs), start=START, zone="UTC")
    await sim.until("2026-06-01 07:10")
    for on in (True, False, True):
        await switch(sim, on=on, **jobs)
        await sim.advance(timedelta(minutes=1))
    report = await sim.report()
    assert [one.row.trigger.value for one in report.runs("job")] == ["catchup"]
