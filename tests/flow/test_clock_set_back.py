"""A machine whose clock was ahead and is put right: nothing waits for the wrong time to come."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.agents.base import FailureClass
from engine.messages.address import Route
from engine.messages.delivery import Delivery
from engine.pytest_plugin import EngineSim
from engine.store import outbox
from engine.testing import ScriptedAgent, Simulation
from engine.testing.report import Report
from engine.upkeep.set_back import put_right
from jobs.importing import past
from jobs.store import imported
from jobs.wallclock import ms

HOUR = timedelta(hours=1)
LOOK = "- look at the builds\n"
GO = {"message": "go", "deliver": "none"}
START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)


def config(schedule: str = "0 * * * *") -> dict[str, Any]:
    return {
        "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}},
        "cron": {
            "jobs": {
                "report": {"schedule": schedule, "tz": "UTC", "message": "go", "deliver": "none"}
            }
        },
    }


def ran(report: Report, job: str, since: datetime, until: datetime) -> list[datetime]:
    return sorted(
        row.row.slot
        for row in report.rows
        if row.job == job and row.status == "ok" and row.row.slot and since < row.row.slot <= until
    )


async def test_a_clock_put_right_while_the_engine_runs(engine_sim: EngineSim) -> None:
    sim = engine_sim(config(), start=START, zone="UTC", agent=ScriptedAgent(), checklist=LOOK)
    await sim.until(START + HOUR + HOUR / 6)
    await sim.restart(down_for=8 * HOUR)  # the clock of the host is eight hours ahead at boot
    await sim.advance(HOUR / 60)
    sim.clock.step(-8 * HOUR)
    put_right = sim.now()
    report = await sim.advance(3 * HOUR)
    assert len(ran(report, "heartbeat main", put_right, put_right + 3 * HOUR)) == 6
    assert ran(report, "report", put_right, put_right + 3 * HOUR) == [
        START + n * HOUR for n in (2, 3, 4)
    ]


async def test_a_clock_put_right_while_the_engine_was_down(engine_sim: EngineSim) -> None:
    sim = engine_sim(config(), start=START, zone="UTC", agent=ScriptedAgent(), checklist=LOOK)
    await sim.until(START + HOUR + HOUR / 6)
    await sim.restart(down_for=8 * HOUR)
    await sim.advance(HOUR / 60)
    sim.clock.step(-8 * HOUR)
    await sim.restart()
    put_right = sim.now()
    report = await sim.advance(3 * HOUR)
    assert len(ran(report, "heartbeat main", put_right, put_right + 3 * HOUR)) == 6
    assert len(ran(report, "report", put_right, put_right + 3 * HOUR)) == 3


async def tries_again(engine_sim: EngineSim) -> Simulation:
    """Return a house whose one-shot has failed and is to be tried again."""
    agent = ScriptedAgent(then=FailureClass.NETWORK)
    off = {"agents": {"defaults": {"heartbeat": {"every": "0m", "target": "last"}}}}
    sim = engine_sim(off, start=START, zone="UTC", agent=agent)
    await sim.open()
    schedule = {"kind": "at", "at": f"{START + HOUR:%Y-%m-%dT%H:%MZ}"}
    await sim.engine.scheduling.add({"name": "report", "schedule": schedule, **GO}, by="ana")
    await sim.until(START + HOUR + HOUR / 3600)
    return sim


async def test_what_was_imported_says_nothing_of_this_clock(engine_sim: EngineSim) -> None:
    sim = await tries_again(engine_sim)
    later = START + 365 * 24 * HOUR
    entry = {"status": "ok", "ts": ms(later)}
    elsewhere = past.run_of(
        entry, job_id="x", job_name="x", agent_id=None, source="openclaw", now=later
    )
    assert elsewhere is not None
    await sim.database.write(lambda tx: imported.insert(tx, [elsewhere]))
    before = (await sim.engine.scheduling.get("report"))["state"]
    assert before["nextRunAtMs"] > ms(sim.now())
    await sim.engine.loop.compare_clocks()
    assert (await sim.engine.scheduling.get("report"))["state"] == before


async def test_no_wait_ends_before_now_however_far_the_clock_goes_back(
    engine_sim: EngineSim,
) -> None:
    sim = await tries_again(engine_sim)
    await put_right(sim.database, sim.now(), 7000 * 365 * 24 * HOUR)
    report = await sim.advance(HOUR / 360)
    assert not sim.engine.vitals.failing
    assert [row.status for row in report.rows] == ["failed", "failed"]


async def test_no_slot_runs_twice_however_the_clock_moves(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(config("*/5 * * * *"), start=START, zone="UTC", agent=agent, checklist=LOOK)
    for step in (-2, 3, -5, -1, 8, -4):
        await sim.advance(HOUR)
        sim.clock.step(step * HOUR / 2)
    report = await sim.advance(4 * HOUR)
    slots = Counter((row.job, row.row.slot) for row in report.rows if row.row.slot)
    assert set(slots.values()) == {1}


async def test_what_is_to_be_tried_again_keeps_its_wait(engine_sim: EngineSim) -> None:
    sim = engine_sim(config(), start=START, zone="UTC", agent=ScriptedAgent("red"), checklist=LOOK)
    await sim.advance(HOUR / 60)
    message = Delivery(
        key="m",
        route=Route(channel="local", account_id="default", to="main"),
        text="hi",
        kind="message",
        created_at=sim.now(),
        expires_at=sim.now() + 24 * HOUR,
        next_attempt_at=sim.now() + HOUR / 60,
    )
    await sim.database.write(lambda tx: outbox.add(tx, message))
    sim.clock.step(-8 * HOUR)
    await sim.advance(HOUR / 600)
    found = await sim.database.read(lambda tx: outbox.get(tx, "m"))
    assert found is not None
    assert found.next_attempt_at is not None
    assert found.next_attempt_at <= sim.now() + HOUR / 60


async def test_what_ran_by_the_wrong_time_does_not_run_again_beside_what_did_not(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent()
    job = {
        "schedule": "0 * * * *",
        "tz": "UTC",
        "message": "go",
        "deliver": "none",
        "misfire": {"policy": "run-all", "graceMs": 86_400_000},
    }
    sim = engine_sim({"cron": {"jobs": {"report": job}}}, start=START, zone="UTC", agent=agent)
    await sim.until(START + 2 * HOUR + HOUR / 6)  # 09:00 and 10:00 ran
    sim.clock.step(-HOUR * 3 / 2)
    await sim.advance(HOUR / 12)  # 08:45, and planned for 09:00
    await sim.restart(down_for=3 * HOUR)  # 11:45: 09:00 and 10:00 have their rows, 11:00 has not
    report = await sim.advance(HOUR / 6)
    asked = [request for request in agent.requests if request.kind == "cron"]
    assert len(asked) == 3
    assert ran(report, "report", START, sim.now()) == [START + n * HOUR for n in (1, 2, 3)]


async def test_what_is_told_of_the_next_beat_is_not_of_the_wrong_time(
    engine_sim: EngineSim,
) -> None:
    """The newest row was written by a clock hours ahead: what it knew to come does not."""
    sim = engine_sim(config(), start=START, zone="UTC", agent=ScriptedAgent(), checklist=LOOK)
    await sim.until(START + HOUR + HOUR / 6)
    await sim.restart(down_for=8 * HOUR)
    await sim.advance(HOUR / 60)
    sim.clock.step(-8 * HOUR)
    for _ in range(3):
        await sim.advance(HOUR / 60)
        told = await sim.engine.history.last(None)
        assert told is not None
        assert ms(sim.now()) < told["nextDueAt"] <= ms(sim.now() + HOUR / 2)
        await sim.advance(HOUR / 2)
