"""When agents beat, and which ones (heartbeat.md §§3, 4)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from math import gcd
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.decisions.heartbeat import (
    AgentBlock,
    anchored,
    cadence,
    enrol,
    grid,
    next_that_runs,
    phase,
    settled,
)
from jobs.hours import parse
from jobs.schedule import Cron, Every
from jobs.wallclock import EPOCH

FIXTURES = Path(__file__).parents[3] / "fixtures" / "heartbeat_fixtures.json"
PHASES: list[dict[str, Any]] = json.loads(FIXTURES.read_text(encoding="utf-8"))["phase"]
NOON = datetime(2026, 3, 17, 5, 43, 22, tzinfo=UTC)  # 13:43:22 in Shanghai
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
    moved_to = settled(misses, hours, november)
    assert moved_to.warning is not None
    assert 'phase: "09:00"' in moved_to.warning
    at = november
    for _ in range(200):  # through the change of clocks in March
        following = moved_to.schedule.next_after(at)
        assert following is not None
        assert hours.contains(following)
        at = following


def test_a_weekly_beat_that_would_miss_its_window_moves_to_the_nearest_opening() -> None:
    hours = parse("09:00", "10:00", "UTC")
    weekly = Every(7 * DAY, EPOCH + timedelta(hours=8))
    moved_to = settled(weekly, hours, NOON)
    moved = moved_to.schedule.next_after(NOON)
    assert moved == weekly.next_after(NOON) + timedelta(hours=1)


def test_a_grid_that_meets_its_window_is_left_alone() -> None:
    schedule = grid("seed-1", "main", HALF_HOUR)
    moved_to = settled(schedule, parse("09:00", "22:00", "Asia/Shanghai"), NOON)
    assert moved_to.schedule is schedule
    assert moved_to.warning is None


@pytest.mark.parametrize("at", ["08:59", "09:00", "09:00:01", "11:30", "14:00", "20:00"])
def test_where_a_moved_beat_lies_does_not_depend_on_when_it_is_planned(at: str) -> None:
    hours = parse("09:00", "10:00", "UTC")
    weekly = Every(7 * DAY, datetime(2026, 3, 16, 14, 0, tzinfo=UTC))  # Mondays
    planned = datetime.combine(datetime(2026, 3, 16, tzinfo=UTC), time.fromisoformat(at), UTC)
    following = settled(weekly, hours, planned).schedule.next_after(planned)
    assert following in (
        datetime(2026, 3, 16, 9, 0, tzinfo=UTC),
        datetime(2026, 3, 23, 9, 0, tzinfo=UTC),
    )


# Local times of the beats of a winter and of a summer day in New York.
ANCHORED = [
    (time(9, 0), 24, ["09:00"], ["09:00"]),
    (time(9, 0), 12, ["09:00", "21:00"], ["09:00", "21:00"]),
    (time(9, 0), 8, ["01:00", "09:00", "17:00"], ["01:00", "09:00", "17:00"]),
    (time(23, 30), 6, ["05:30", "11:30", "17:30", "23:30"], ["05:30", "11:30", "17:30", "23:30"]),
    # Seconds are no matter of the wall calendar: a plain grid, by standard time.
    (time(9, 0, 30), 12, ["09:00", "21:00"], ["10:00", "22:00"]),
]


@pytest.mark.parametrize(("at", "hours", "winter", "summer"), ANCHORED)
def test_a_beat_anchored_to_the_wall_clock_stays_there(
    at: time, hours: int, winter: list[str], summer: list[str]
) -> None:
    new_york = ZoneInfo("America/New_York")
    schedule = anchored(at, new_york, timedelta(hours=hours), 2026)
    assert _local_beats(schedule, datetime(2026, 1, 10, tzinfo=new_york)) == winter
    assert _local_beats(schedule, datetime(2026, 7, 10, tzinfo=new_york)) == summer


def _local_beats(schedule: Every | Cron, day: datetime) -> list[str]:
    beats, at = [], schedule.next_after(day - timedelta(seconds=1))
    while at is not None and at < day + DAY:
        beats.append(f"{at.astimezone(day.tzinfo):%H:%M}")
        at = schedule.next_after(at)
    return beats


@pytest.mark.parametrize("minutes", [5, 45, 60, 90, 7 * 60, 36 * 60, 7 * 24 * 60])
def test_an_anchor_gives_the_same_beats_whenever_it_is_computed(minutes: int) -> None:
    period = timedelta(minutes=minutes)
    later = NOON + 40 * DAY
    before, after = (
        cadence("seed", "main", period, at, at=time(9, 5), zone=ZoneInfo("America/New_York"))
        for at in (NOON, later)
    )
    assert before.schedule == after.schedule
    following = before.schedule.next_after(NOON)
    assert following is not None
    assert 24 * 60 % minutes or (following.minute - 5) % gcd(minutes, 60) == 0


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
