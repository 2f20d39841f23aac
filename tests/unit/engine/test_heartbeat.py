"""When agents beat, and which ones (heartbeat.md §§3, 4)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.active_hours import parse
from engine.heartbeat import (
    AgentBlock,
    anchored,
    enrol,
    grid,
    next_that_runs,
    phase,
    settled,
)
from jobs.schedule import Cron, Every
from jobs.wallclock import EPOCH

FIXTURES = Path(__file__).parents[2] / "fixtures" / "heartbeat_fixtures.json"
PHASES: list[dict[str, Any]] = json.loads(FIXTURES.read_text(encoding="utf-8"))["phase"]
NOON = datetime(2026, 3, 17, 5, 43, 22, tzinfo=UTC)  # 13:43:22 in Shanghai
SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = timedelta(days=1)
HALF_HOUR = timedelta(minutes=30)

# -- when ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", PHASES, ids=lambda c: f"{c['seed']}-{c['agentId']}-{c['intervalMs']}-{c['nowMs']}"
)
def test_the_grid_is_the_specified_one(case: dict[str, Any]) -> None:
    period = timedelta(milliseconds=case["intervalMs"])
    now = EPOCH + timedelta(milliseconds=case["nowMs"])
    ms = timedelta(milliseconds=1)
    assert phase(case["seed"], case["agentId"], period) == case["phaseMs"] * ms
    schedule = grid(case["seed"], case["agentId"], period)
    assert schedule.next_after(now) == EPOCH + case["nextMs"] * ms


def test_a_moment_exactly_on_a_slot_gives_the_next_one() -> None:
    schedule = grid("seed-1", "main", HALF_HOUR)
    slot = schedule.next_after(NOON)
    assert schedule.next_after(slot) == slot + HALF_HOUR


def test_the_next_beat_that_runs_lies_inside_the_hours() -> None:
    hours = parse("22:00", "06:00", "Asia/Shanghai")
    schedule = grid("seed-1", "main", HALF_HOUR)
    found = next_that_runs(schedule, hours, NOON)
    assert found is not None
    assert hours.contains(found)
    assert not hours.contains(found - HALF_HOUR)
    assert found == schedule.next_after(found - timedelta(milliseconds=1))


def test_every_window_gets_a_beat_even_if_the_grid_would_miss_it() -> None:
    hours = parse("09:00", "10:00", "America/New_York")
    november = datetime(2026, 11, 10, tzinfo=UTC)
    misses = Every(DAY, EPOCH + timedelta(hours=13, minutes=30))  # 08:30 in winter
    assert next_that_runs(misses, hours, november) is None
    cadence = settled(misses, hours, november)
    assert cadence.warning is not None
    assert 'phase: "09:00"' in cadence.warning
    at = november
    for _ in range(200):  # through the change of clocks in March
        following = cadence.schedule.next_after(at)
        assert following is not None
        assert hours.contains(following)
        at = following


def test_a_weekly_beat_that_would_miss_its_window_moves_to_the_nearest_opening() -> None:
    hours = parse("09:00", "10:00", "UTC")
    weekly = Every(7 * DAY, EPOCH + timedelta(hours=8))
    cadence = settled(weekly, hours, NOON)
    moved = cadence.schedule.next_after(NOON)
    assert moved == weekly.next_after(NOON) + timedelta(hours=1)


def test_a_grid_that_meets_its_window_is_left_alone() -> None:
    schedule = grid("seed-1", "main", HALF_HOUR)
    cadence = settled(schedule, parse("09:00", "22:00", "Asia/Shanghai"), NOON)
    assert cadence.schedule is schedule
    assert cadence.warning is None


def test_a_daily_beat_anchored_to_the_wall_clock_stays_there() -> None:
    schedule = anchored(time(9, 0), ZoneInfo("America/New_York"), DAY, NOON)
    assert isinstance(schedule, Cron)
    winter = schedule.next_after(datetime(2026, 1, 10, tzinfo=UTC))
    summer = schedule.next_after(datetime(2026, 7, 10, tzinfo=UTC))
    assert winter is not None
    assert summer is not None
    assert (winter.hour, summer.hour) == (14, 13)


def test_a_shorter_beat_is_counted_from_its_anchor() -> None:
    schedule = anchored(time(9, 5), SHANGHAI, timedelta(hours=1), NOON)
    following = schedule.next_after(NOON)
    assert following is not None
    assert following.minute == 5


# -- who -------------------------------------------------------------------------------------

MAIN = AgentBlock(agent_id="main", is_default=True)
OPS = AgentBlock(agent_id="ops")


@pytest.mark.parametrize(
    ("agents", "defaults", "everybody", "beating"),
    [
        ((MAIN, OPS), False, False, {"main"}),
        ((MAIN, OPS), True, False, {"main", "ops"}),
        ((MAIN, replace(OPS, own_block=True)), True, False, {"ops"}),
        ((MAIN, replace(OPS, own_block=True)), True, True, {"main", "ops"}),
        # A block that is switched off is no enrolment: main keeps its beat.
        ((MAIN, replace(OPS, own_block=True, period=None)), False, False, {"main"}),
        ((MAIN, replace(OPS, own_block=True, period=None)), True, False, {"main"}),
        ((replace(MAIN, period=None), replace(OPS, period=None)), True, False, set()),
    ],
)
def test_the_right_agents_beat(
    agents: tuple[AgentBlock, ...], defaults: bool, everybody: bool, beating: set[str]
) -> None:
    found = enrol(agents, defaults_present=defaults, everybody=everybody)
    assert {one.agent_id for one in found if one.period is not None} == beating
    assert all(one.because for one in found if one.period is None)


def test_an_agent_in_the_shadow_of_another_is_told_whose() -> None:
    main, _ops = enrol((MAIN, replace(OPS, own_block=True)), defaults_present=True)
    assert main.because == "not-enrolled: another agent has its own block (ops)"
    assert not main.enrolled


def test_a_cadence_of_zero_still_lets_events_wake_the_agent() -> None:
    _main, ops = enrol((MAIN, replace(OPS, own_block=True, period=None)), defaults_present=False)
    assert ops.period is None
    assert ops.enrolled
