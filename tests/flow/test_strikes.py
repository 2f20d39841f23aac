"""A schedule that cannot be computed: three strikes, and others are not affected (cron.md §9.4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.events import Event
from engine.pytest_plugin import EngineSim
from engine.testing import Simulation

OFF: dict[str, Any] = {"agents": {"defaults": {"heartbeat": {"every": "0m"}}}}
START = "2026-06-01 00:30"


async def row_of(sim: Simulation, job_id: str) -> tuple[Any, ...]:
    sql = "SELECT enabled, schedule_errors, auto_disabled, last_error, held FROM jobs WHERE id = ?"
    row = await sim.database.read(lambda tx: tx.exec_driver_sql(sql, (job_id,)).first())
    assert row is not None
    return tuple(row)


async def spoil(sim: Simulation, job_id: str, was: str, now: str) -> None:
    sql = "UPDATE jobs SET definition = replace(definition, ?, ?) WHERE id = ?"
    await sim.database.write(lambda tx: tx.exec_driver_sql(sql, (was, now, job_id)))


async def with_two_jobs(engine_sim: EngineSim) -> tuple[Simulation, str]:
    sim = engine_sim(OFF, start=START, zone="UTC")
    await sim.open()
    desk = sim.engine.scheduling
    wish = {"cron": "5 * * * *", "tz": "Europe/London", "command": ["df"]}
    bad = await desk.add({"name": "bad", **wish}, by="ana")
    await desk.add({"name": "good", **wish}, by="ana")
    return sim, str(bad["id"])


async def test_the_third_strike_switches_the_job_off_and_its_owner_is_told(
    engine_sim: EngineSim,
) -> None:
    sim, bad = await with_two_jobs(engine_sim)
    events: list[Event] = []
    sim.engine.bus.listen(events.append)
    await spoil(sim, bad, "Europe/London", "Mars/Olympus")
    await sim.until("2026-06-01 01:05:10")
    error = "schedule error: Invalid timezone: 'Mars/Olympus' is not in the tz database"
    assert await row_of(sim, bad) == (1, 1, None, error, None)
    report = await sim.until("2026-06-01 01:09")
    assert await row_of(sim, bad) == (0, 3, "schedule-errors", error, None)
    (text,) = [one.text for one in report.deliveries if "switched off" in one.text]
    assert text.startswith('Cron job "bad" was switched off: its next run cannot be computed')
    (gone,) = [one.payload for one in events if one.payload.get("action") == "autoDisabled"]
    assert (gone["jobId"], gone["reason"]) == (bad, "schedule-errors")
    assert [one.local for one in report.runs("good")] == ["01:05"]


async def test_a_zone_that_comes_back_in_time_costs_nothing(engine_sim: EngineSim) -> None:
    sim, bad = await with_two_jobs(engine_sim)
    await spoil(sim, bad, "Europe/London", "Mars/Olympus")
    await sim.until("2026-06-01 01:05:10")
    await spoil(sim, bad, "Mars/Olympus", "Europe/London")
    report = await sim.advance(timedelta(minutes=2))
    assert [one.local for one in report.runs("bad")] == ["01:05"]
    assert (await row_of(sim, bad))[:4] == (1, 0, None, None)


async def test_a_definition_that_is_no_job_at_all_is_set_aside_at_once(
    engine_sim: EngineSim,
) -> None:
    sim, bad = await with_two_jobs(engine_sim)
    await spoil(sim, bad, '"payload"', '"pailoat"')
    await sim.until("2026-06-01 01:05:10")
    held = (await row_of(sim, bad))[-1]
    assert held.startswith("quarantined: ")
    assert "payload is missing" in held
