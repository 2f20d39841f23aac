"""A cadence that differs by the hour: slots, counted and walked, and its stored form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from jobs.dayparts import Dayparts, Part
from jobs.hours import parse
from jobs.schedule import Cron, Every, schedule_from_json, schedule_to_json
from jobs.wallclock import ms

LONDON = "Europe/London"
ALL = frozenset(range(7))
START = datetime(2026, 3, 27, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def parts(*made: tuple[str, str, int, frozenset[int]]) -> Dayparts[Every | Cron]:
    """Half an hour all day, and in these hours their own minutes."""
    return Dayparts(
        Every(30 * MINUTE),
        tuple(Part(parse(a, b, LONDON), days, Every(n * MINUTE)) for a, b, n, days in made),
    )


def test_each_part_of_the_day_has_its_own_slots() -> None:
    schedule = parts(("09:00", "10:00", 10, ALL))
    found = list(schedule.instants(START + timedelta(hours=8), START + timedelta(hours=11)))
    assert [(one - ms(START)) // 60_000 for one in found] == [
        510, 540, 550, 560, 570, 580, 590, 600, 630, 660,
    ]  # fmt: skip


def test_the_first_part_that_is_open_decides() -> None:
    schedule = parts(("09:00", "10:00", 20, ALL), ("08:00", "12:00", 60, ALL))
    day = START + timedelta(hours=7, minutes=59)
    assert schedule.count(day, day + timedelta(hours=4)) == 6  # 8, 9, 9:20, 9:40, 10, 11


def test_a_part_of_some_weekdays_leaves_the_others_alone() -> None:
    schedule = parts(("00:00", "24:00", 60, frozenset({5, 6})))
    assert schedule.count(START - MINUTE, START + timedelta(days=1) - MINUTE) == 48  # Friday
    saturday = START + timedelta(days=1)
    assert schedule.count(saturday - MINUTE, saturday + timedelta(days=1) - MINUTE) == 24


def test_a_part_lost_to_a_gap_opens_after_it_for_its_own_length() -> None:
    schedule = parts(("01:15", "01:45", 5, ALL))  # London goes from 1:00 to 2:00 on 29 March
    day = datetime(2026, 3, 29, tzinfo=UTC)
    found = list(schedule.instants(day, day + timedelta(hours=2)))
    assert [(one - ms(day)) // 60_000 for one in found] == [30, 60, 65, 70, 75, 80, 85, 90, 120]


spans = st.integers(0, 96).map(lambda n: START + n * 30 * MINUTE)


@given(spans, spans, st.integers(1, 90), st.integers(0, 23), st.integers(1, 23))
def test_slots_walked_counted_and_listed_are_the_same(
    start: datetime, end: datetime, every: int, opens: int, hours: int
) -> None:
    schedule = parts((f"{opens:02}:00", f"{(opens + hours) % 24:02}:00", every, ALL))
    walked, at = [], schedule.next_after(start)
    while at is not None and at <= end:
        walked.append(ms(at))
        at = schedule.next_after(at)
    assert walked == list(schedule.instants(start, end))
    assert schedule.count(start, end) == len(walked)
    if walked:
        assert ms(schedule.previous(end + timedelta(microseconds=1))) == walked[-1]


@pytest.mark.parametrize("grid", [Every(10 * MINUTE, START), Cron("0 9 * * *", LONDON)])
def test_it_comes_back_from_the_store_as_it_went(grid: Every | Cron) -> None:
    schedule = Dayparts(
        Every(30 * MINUTE), (Part(parse("22:00", "06:00", LONDON), frozenset({4}), grid),)
    )
    stored = schedule_to_json(schedule)
    assert schedule_from_json(stored, default_tz="UTC", job_id=None, now=START) == schedule
