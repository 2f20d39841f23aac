"""After a long night: what was missed is made up a little at a time (cron.md §7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.pytest_plugin import EngineSim
from engine.testing.report import SimulatedRun

OFF: dict[str, Any] = {"agents": {"defaults": {"heartbeat": {"every": "0m"}}}}
GRACE = {"grace": "12h"}


def declaring(**jobs: Any) -> dict[str, Any]:
    plain = {"tz": "UTC", "deliver": "none", "misfire": GRACE}
    return OFF | {"cron": {"jobs": {name: plain | job for name, job in jobs.items()}}}


def began(row: SimulatedRun) -> str:
    assert row.row.started_at is not None
    return f"{row.row.started_at:%H:%M:%S}"


async def test_five_missed_jobs_begin_at_once_and_the_others_one_by_one(
    engine_sim: EngineSim,
) -> None:
    probes = {f"p{n}": {"schedule": f"{n} 7 * * *", "command": ["df"]} for n in range(8)}
    sim = engine_sim(declaring(**probes), start="2026-06-01 06:00", zone="UTC")
    await sim.open()
    await sim.restart(down_for=timedelta(hours=3))
    report = await sim.advance(timedelta(minutes=10))
    in_due_order = [began(row) for row in sorted(report.rows, key=lambda row: row.job)]
    assert in_due_order == ["09:00:00"] * 5 + ["09:00:05", "09:00:10", "09:00:15"]


async def test_a_missed_turn_lets_the_channels_connect_and_a_slot_on_time_does_not_wait(
    engine_sim: EngineSim,
) -> None:
    jobs = {
        "brief": {"schedule": "0 7 * * *", "message": "what is new?"},
        "probe": {"schedule": "0 7 * * *", "command": ["df"]},
        "soon": {"schedule": "1 9 * * *", "message": "on time"},
    }
    sim = engine_sim(declaring(**jobs), start="2026-06-01 06:00", zone="UTC")
    await sim.open()
    await sim.restart(down_for=timedelta(hours=3))
    report = await sim.advance(timedelta(minutes=10))
    assert {row.job: began(row) for row in report.rows} == {
        "brief": "09:02:00",
        "probe": "09:00:00",
        "soon": "09:01:00",
    }
    assert report.runs("brief")[0].row.trigger.value == "catchup"


async def test_a_run_by_hand_does_not_wait_for_one_that_does(engine_sim: EngineSim) -> None:
    brief = {"schedule": "0 7 * * *", "message": "what is new?"}
    sim = engine_sim(declaring(brief=brief), start="2026-06-01 06:00", zone="UTC")
    await sim.open()
    await sim.restart(down_for=timedelta(hours=3))
    await sim.advance(timedelta(seconds=10))
    assert (await sim.engine.scheduling.run("brief", by="ana"))["enqueued"]
    report = await sim.advance(timedelta(minutes=10))
    rows = {row.row.trigger.value: began(row) for row in report.runs("brief")}
    assert rows == {"manual": "09:00:10", "catchup": "09:02:00"}


async def test_after_a_restart_during_the_wait_it_waits_on(engine_sim: EngineSim) -> None:
    brief = {"schedule": "0 7 * * *", "message": "what is new?"}
    sim = engine_sim(declaring(brief=brief), start="2026-06-01 06:00", zone="UTC")
    await sim.open()
    await sim.restart(down_for=timedelta(hours=3))
    await sim.advance(timedelta(seconds=10))
    await sim.restart(down_for=timedelta(seconds=10))
    report = await sim.advance(timedelta(minutes=10))
    assert [began(row) for row in report.runs("brief")] == ["09:02:00"]


async def test_a_minutely_turn_is_served_by_its_next_slot(engine_sim: EngineSim) -> None:
    often = {"schedule": "* * * * *", "message": "look"}
    sim = engine_sim(declaring(often=often), start="2026-06-01 06:00:30", zone="UTC")
    await sim.open()
    await sim.restart(down_for=timedelta(minutes=3))
    report = await sim.advance(timedelta(minutes=2))
    assert [f"{row.at:%H:%M}" for row in report.runs("often")] == ["06:04", "06:05"]
    left = [(row.local, row.status, row.reason) for row in report.skips("often")]
    assert left == [
        ("06:01", "missed", "missed-downtime"),
        ("06:02", "missed", "missed-downtime"),
        ("06:03", "missed", "superseded"),
    ]
    assert (await sim.engine.outlook.audit({"since": "1d"}))["clean"]
