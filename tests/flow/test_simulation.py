"""The test kit itself: what it promises to those who test with it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from freezegun import freeze_time

from engine.pytest_plugin import EngineSim
from engine.testing import ManualClock, ScriptedAgent, simulate
from jobs.errors import ConfigInvalid, InvalidInput, InvalidSchedule, JobNotFound

CONFIG = {"agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}}}
BRIEF = {"cron": {"jobs": {"brief": {"schedule": "0 7 * * *", "message": "Summarise"}}}}


async def test_calls_in_a_row_see_every_slot_once(engine_sim: EngineSim) -> None:
    sim = engine_sim(BRIEF, start="2026-06-01 00:00", zone="UTC")
    assert (await sim.until("2026-06-01 07:00")).runs("brief") == []
    assert len((await sim.until("2026-06-02 07:00")).runs("brief")) == 1
    assert len((await sim.until("2026-06-02 07:01")).runs("brief")) == 2


async def test_the_same_simulation_twice_tells_the_same_story() -> None:
    stories = [
        (await simulate(CONFIG | BRIEF, "2026-06-01 00:00", days=2, zone="UTC")).timeline()
        for _ in range(2)
    ]
    assert stories[0] == stories[1]
    assert json.loads(json.dumps(stories[0])) == stories[0]


async def test_a_beat_that_an_event_woke_has_the_name_of_the_other_beats() -> None:
    drink = {"schedule": "15 * * * *", "systemEvent": "Drink", "session": "main"}
    config = CONFIG | {"cron": {"jobs": {"drink": drink}}}
    report = await simulate(config, "2026-06-01 00:00", days=0.1, zone="UTC")
    assert set(report.jobs) == {"heartbeat main", "drink"}
    assert "Reminder: Drink" in [row.text for row in report.runs("heartbeat main")]


def _left(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


async def test_a_config_may_be_a_file_a_text_or_a_mapping(tmp_path: Path) -> None:
    text = "{cron: {jobs: {brief: {schedule: '0 7 * * *', message: 'Summarise'}}}}"
    path = tmp_path / "engine.json"
    path.write_text(text)
    for config in (path, str(path), text, BRIEF):
        report = await simulate(config, "2026-06-01 00:00", days=1, zone="UTC")
        assert len(report.runs("brief")) == 1
    assert _left(tmp_path) == ["engine.json"]


async def test_a_checklist_is_read_from_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "HEARTBEAT.md").write_text("alert: the build is red\n")
    (tmp_path / "engine.json").write_text(json.dumps(CONFIG))
    report = await simulate(tmp_path / "engine.json", "2026-06-01 00:00", days=0.1, zone="UTC")
    assert [one.text for one in report.deliveries] == ["the build is red"]


async def test_frozen_time_of_freezegun_is_where_a_simulation_starts(
    engine_sim: EngineSim,
) -> None:
    with freeze_time("2026-03-28 06:30:00"):
        sim = engine_sim(BRIEF, zone="UTC")
        report = await sim.advance(timedelta(days=2))
    assert [run.at for run in report.runs("brief")] == [
        datetime(2026, 3, 28, 7, tzinfo=UTC),
        datetime(2026, 3, 29, 7, tzinfo=UTC),
    ]


async def test_an_agent_may_be_a_function(engine_sim: EngineSim) -> None:
    sim = engine_sim(
        BRIEF, start="2026-06-01 00:00", zone="UTC", agent=lambda request: f"at {request.now:%H}"
    )
    report = await sim.advance(timedelta(days=1))
    assert [one.text for one in report.deliveries] == ["at 07"]


async def test_an_agent_that_takes_its_time_takes_it_on_the_clock(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent("done", takes=timedelta(minutes=5))
    sim = engine_sim(BRIEF, start="2026-06-01 00:00", zone="UTC", agent=agent)
    (run,) = (await sim.advance(timedelta(days=1))).runs("brief")
    assert run.row.ended_at is not None
    assert run.row.ended_at - run.at == timedelta(minutes=5)


async def test_a_simulation_does_not_go_back(engine_sim: EngineSim) -> None:
    sim = engine_sim(BRIEF, start="2026-06-01 00:00", zone="UTC")
    with pytest.raises(InvalidInput, match="cannot go back"):
        await sim.until("2026-05-01 00:00")


def test_a_start_nobody_can_read_is_refused(engine_sim: EngineSim) -> None:
    with pytest.raises(InvalidSchedule):
        engine_sim(BRIEF, start="the day before yesterday")


def test_a_config_with_a_mistake_is_refused_with_its_place(engine_sim: EngineSim) -> None:
    with pytest.raises(ConfigInvalid, match="heartbeet"):
        engine_sim({"agents": {"defaults": {"heartbeet": {}}}}, start="2026-06-01 00:00")


async def test_a_clock_wakes_sleepers_in_the_order_of_their_instants() -> None:
    import asyncio

    clock = ManualClock(datetime(2026, 6, 1, tzinfo=UTC))
    woken: list[tuple[int, datetime]] = []

    async def sleep(minutes: int) -> None:
        await clock.sleep_until(datetime(2026, 6, 1, tzinfo=UTC) + timedelta(minutes=minutes))
        woken.append((minutes, clock.now()))

    sleepers = [asyncio.create_task(sleep(minutes)) for minutes in (20, 5, 10)]
    await clock.advance(timedelta(minutes=15))
    assert woken == [(5, woken[0][1]), (10, woken[1][1])]
    assert woken[0][1] == datetime(2026, 6, 1, 0, 5, tzinfo=UTC)
    await clock.advance(timedelta(minutes=15))
    await asyncio.gather(*sleepers)


def test_a_clock_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2026, 6, 1))


def test_a_plugin_that_is_not_used_imports_nothing_of_the_engine() -> None:
    heavy = ("sqlalchemy", "pydantic", "engine.core", "engine.testing")
    probe = f"import sys, engine.pytest_plugin; print([m for m in {heavy!r} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


async def test_a_job_that_does_not_exist_is_no_job_that_never_ran(engine_sim: EngineSim) -> None:
    sim = engine_sim(BRIEF, start="2026-06-01 00:00", zone="UTC")
    report = await sim.until("2026-06-01 01:00")
    assert report.runs("brief") == []
    with pytest.raises(JobNotFound, match=r'no job "breif": it has brief, .*ask for "brief"'):
        report.runs("breif")
    with pytest.raises(JobNotFound):
        report.skips("breif")


async def test_a_report_is_short_when_a_test_prints_it(engine_sim: EngineSim) -> None:
    sim = engine_sim(CONFIG | BRIEF, start="2026-06-01 00:00", zone="UTC")
    report = await sim.until("2026-06-08 00:00")
    assert repr(report).startswith("<Report 2026-06-01 00:00 to 2026-06-08 00:00 UTC: ")
    assert len(repr(report)) < 100
