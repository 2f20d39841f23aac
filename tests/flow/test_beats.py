"""Heartbeats of a whole engine: when they come, what holds them back, what they leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.agents.base import FailureClass
from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, Simulation
from jobs.store.db import Database

MINUTE = timedelta(minutes=1)
HALF_HOUR = 30 * MINUTE
LOOK = "- look at the builds\n"
TASKS = """tasks:
- name: inbox
  interval: 1h
  prompt: read the inbox
- name: disk
  interval: 6h
  prompt: look at the disk
"""


def beating(**heartbeat: Any) -> dict[str, Any]:
    return {"agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"} | heartbeat}}}


def by_day(hours: Mapping[str, str] | None = None) -> dict[str, Any]:
    return beating(activeHours=hours or {"start": "08:00", "end": "22:00"})


async def test_a_change_of_clocks_leaves_the_grid_of_beats_alone(engine_sim: EngineSim) -> None:
    sim = engine_sim(beating(), start="2026-03-28 12:00", zone="Europe/London", checklist=LOOK)
    beats = (await sim.until("2026-03-29 12:00")).beats.rows
    gaps = {later.at - sooner.at for sooner, later in pairwise(beats)}
    assert gaps == {HALF_HOUR}
    assert len(beats) == 46  # that day had 23 hours


async def test_quiet_hours_are_recorded_not_passed_over(engine_sim: EngineSim) -> None:
    sim = engine_sim(by_day(), start="2026-06-01 00:00", zone="UTC", checklist=LOOK)
    day = await sim.until("2026-06-02 00:00")
    assert day.beats.skipped == {"quiet-hours": 20}
    assert day.beats.ran == 28
    assert "active 08:00-22:00" in day.beats.rows[0].because


NARROW = {"start": "09:00", "end": "10:00", "timezone": "America/New_York"}


async def test_every_window_gets_its_beat_all_year(engine_sim: EngineSim) -> None:
    """The grid meets the window in summer only; with the clocks the beats move, and back."""
    sim = engine_sim(
        beating(every="24h", activeHours=NARROW),
        start="2026-10-20 00:00",
        zone="America/New_York",
        checklist=LOOK,
        seed="seed-3",  # 13:08:24Z
    )
    rows = (await sim.until("2027-04-01 00:00")).beats.rows
    assert [row.status for row in rows] == ["ok"] * 163  # one a day
    changes = [rows[0], *(later for sooner, later in pairwise(rows) if later.local != sooner.local)]
    assert [f"{row.local_at:%m-%d %H:%M}" for row in changes] == [
        "10-20 09:08",
        "11-01 09:00",
        "03-14 09:08",
    ]


async def test_the_owner_hears_of_it_before_anybody_wrote(engine_sim: EngineSim) -> None:
    config = beating(target="owner") | {
        "channels": {"telegram": {"botToken": "1:a"}},
        "commands": {"ownerAllowFrom": ["42"]},
    }
    sim = engine_sim(config, start="2026-06-01 00:00", checklist=LOOK, agent=lambda _: "red")
    sent = (await sim.advance(HALF_HOUR)).deliveries
    assert [(one.channel, one.to, one.text) for one in sent] == [("telegram", "42", "red")]


async def test_a_beat_may_be_anchored_to_a_time_of_day(engine_sim: EngineSim) -> None:
    sim = engine_sim(
        beating(every="12h", phase="09:00"), start="2026-03-28 00:00", zone="Europe/London"
    )
    beats = (await sim.until("2026-03-30 00:00")).beats.rows
    assert [row.local for row in beats] == ["09:00", "21:00", "09:00", "21:00"]


async def test_a_restart_does_not_move_the_cadence(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "state.db")
    config = beating()
    async with Simulation(
        config, start="2026-06-01 00:00", zone="UTC", checklist=LOOK, database=database
    ) as sim:
        before = (await sim.until("2026-06-01 02:00")).beats.rows
    async with Simulation(
        config, start="2026-06-01 02:10", zone="UTC", checklist=LOOK, database=database
    ) as sim:
        after = (await sim.until("2026-06-01 04:00")).beats.rows
    await database.close()
    assert (after[0].at - before[0].at) % HALF_HOUR == timedelta()
    assert len(after) in (3, 4)


async def test_one_beat_makes_up_for_a_downtime_and_the_row_says_what_was_missed(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(beating(), start="2026-06-01 00:00", zone="UTC", checklist=LOOK)
    await sim.until("2026-06-01 02:00")
    await sim.restart(down_for=timedelta(hours=6))
    report = await sim.until("2026-06-01 10:00")
    missed = [row for row in report.beats.rows if row.status == "missed"]
    assert {row.reason for row in missed} == {"missed-downtime"}
    assert sum(row.row.count for row in missed) in (11, 12)
    slots = [row.at for row in report.beats.rows if row.row.slot]
    assert len(slots) == len(set(slots)) == 20


async def test_an_empty_file_is_no_reason_to_ask_the_agent(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(beating(), start="2026-06-01 00:00", agent=agent, checklist="# Watch\n\n")
    report = await sim.advance(timedelta(hours=3))
    assert report.beats.skipped == {"empty-heartbeat-file": 6}
    assert agent.requests == []
    assert report.beats.rows[0].because.endswith("HEARTBEAT.md has no instructions")


async def test_tasks_are_asked_for_when_their_interval_is_over(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(beating(), start="2026-06-01 00:00", agent=agent, checklist=TASKS)
    report = await sim.advance(timedelta(hours=12))
    assert sum("- inbox:" in one.prompt for one in agent.requests) == 12
    assert sum("- disk:" in one.prompt for one in agent.requests) == 2
    assert report.beats.skipped == {"no-tasks-due": 12}
    assert "the next is due at" in report.beats.rows[1].because


async def test_with_target_none_a_beat_runs_and_its_words_are_kept(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent("The build is red.")
    sim = engine_sim(beating(target="none"), start="2026-06-01 00:00", agent=agent, checklist=LOOK)
    report = await sim.advance(HALF_HOUR)
    assert report.beats.alerts == ("The build is red.",)
    assert report.beats.unsent == {"target-none": 1}
    assert report.deliveries == ()


async def test_the_same_alert_again_is_suppressed_and_said_so(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then="The build is red.")
    sim = engine_sim(beating(), start="2026-06-01 00:00", agent=agent, checklist=LOOK)
    report = await sim.advance(timedelta(hours=2))
    assert [one.text for one in report.deliveries] == ["The build is red."]
    assert report.beats.unsent == {"duplicate": 3}
    assert "the same text was sent there at 2026-06-01 00:" in report.beats.rows[-1].because


async def test_after_a_day_the_same_alert_may_be_sent_again(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then="The build is red.")
    sim = engine_sim(beating(every="6h"), start="2026-06-01 00:00", agent=agent, checklist=LOOK)
    report = await sim.advance(timedelta(hours=36))
    sent = [one.at for one in report.deliveries]
    assert [later - sooner for sooner, later in pairwise(sent)] == [timedelta(hours=24)]
    first, again = report.deliveries
    assert first.text == "The build is red."
    assert again.text.startswith("The build is red.\n(repeated 3× since 2026-06-01 0")


async def test_a_failing_model_fails_its_beat_and_later_ones_hold_back(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then=FailureClass.NETWORK)
    sim = engine_sim(beating(), start="2026-06-01 00:00", agent=agent, checklist=LOOK)
    report = await sim.advance(timedelta(hours=24))
    failed = [row for row in report.beats.rows if row.status == "failed"]
    gaps = [(later.at - sooner.at) / HALF_HOUR for sooner, later in pairwise(failed)]
    assert gaps == [1, 2, 4, 8, 12, 12]  # at most six hours
    assert report.beats.skipped["backoff"] == 48 - len(failed)


async def test_one_good_beat_ends_the_holding_back(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(FailureClass.NETWORK, FailureClass.NETWORK, then="HEARTBEAT_OK")
    sim = engine_sim(beating(), start="2026-06-01 00:00", agent=agent, checklist=LOOK)
    rows = (await sim.advance(timedelta(hours=6))).beats.rows
    first_good = next(number for number, row in enumerate(rows) if row.status == "ok")
    assert {row.status for row in rows[first_good:]} == {"ok"}


async def test_a_busy_agent_makes_the_beat_wait_and_it_runs_when_the_agent_is_free(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent("One moment.", takes=10 * MINUTE)
    sim = engine_sim(beating(), start="2026-06-01 00:05", zone="UTC", agent=agent, checklist=LOOK)
    await sim.say("hello")
    await sim.until("2026-06-01 00:14")
    (waiting,) = (await sim.report()).beats.rows
    assert (waiting.status, waiting.reason) == ("deferred", "requests-in-flight")
    (beat,) = (await sim.until("2026-06-01 00:30")).beats.rows
    assert beat.status == "ok"
    assert beat.row.started_at == datetime(2026, 6, 1, 0, 15, tzinfo=UTC)


async def test_a_slot_that_waited_too_long_gives_up_with_its_reason(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(takes=timedelta(hours=2))
    config = beating(maxDeferral="10m")
    sim = engine_sim(config, start="2026-06-01 00:05", zone="UTC", agent=agent, checklist=LOOK)
    await sim.say("hello")
    first = (await sim.until("2026-06-01 00:30")).beats.rows[0]
    assert (first.status, first.reason) == ("skipped", "requests-in-flight")
    assert "given up after 10 min" in first.because


async def test_heartbeats_that_were_switched_off_stay_off_over_a_restart(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(beating(), start="2026-06-01 00:00", checklist=LOOK)
    await sim.open()
    await sim.engine.beat_jobs.set_enabled(False, by="ann")
    await sim.restart()
    report = await sim.advance(timedelta(hours=2))
    assert (report.beats.ran, report.beats.skipped) == (0, {"disabled": 4})


async def test_agents_beat_each_on_a_grid_of_their_own(engine_sim: EngineSim) -> None:
    config = beating() | {}
    config["agents"]["list"] = [{"id": "ann"}, {"id": "ben"}]
    sim = engine_sim(config, start="2026-06-01 00:00", checklist=LOOK)
    report = await sim.advance(timedelta(hours=6))
    assert report.beats_of("ann").ran == report.beats_of("ben").ran == 12
    assert report.beats_of("ann").rows[0].at != report.beats_of("ben").rows[0].at


@pytest.mark.parametrize("zone", ["Europe/London", "UTC"])
async def test_every_slot_of_a_week_is_in_the_ledger_exactly_once(
    engine_sim: EngineSim, zone: str
) -> None:
    config = by_day({"start": "22:00", "end": "06:00"})
    config["cron"] = {"jobs": {"often": {"schedule": "0 * * * *", "command": ["true"]}}}
    sim = engine_sim(config, start="2026-03-27 00:00", zone=zone, checklist=LOOK)
    report = await sim.advance(timedelta(days=7))
    beats = [row.at for row in report.beats.rows]
    assert len(beats) == len(set(beats)) == 336
    slots = [row.at for row in (*report.runs("often"), *report.skips("often"))]
    assert len(slots) == len(set(slots))
    assert len(slots) >= 24 * 7 - 1  # the first lies at the start itself
    assert all(row.row.status.final for row in report.rows)
    assert all(row.reason for row in report.rows if not row.ran)


WRONG = ("tasks:\n- name: a\n  intervl: 30m\n  prompt: A\n", "- look \ufffd\n")


@pytest.mark.parametrize("text", WRONG)
async def test_what_is_wrong_in_a_checklist_is_told_with_every_beat_and_logged_once(
    engine_sim: EngineSim, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    sim = engine_sim(beating(), start="2026-06-01 00:00", zone="UTC", checklist=text)
    await sim.until("2026-06-01 06:00")
    told = await sim.engine.history.page({})
    assert len(told["entries"]) == 12
    for record in told["entries"]:
        assert record["file"]["warnings"]
        assert record["file"]["warnings"][0] in record["explain"]
    logged = [one for one in caplog.records if "was not understood" in one.getMessage()]
    assert len(logged) == len(told["entries"][0]["file"]["warnings"])
    (listed,) = await sim.engine.beat_jobs.listing()
    assert listed["last"]["file"]["warnings"]
