"""Several windows: weekdays, holidays, and which day a night belongs to (heartbeat.md §5)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from jobs.calendar import calendars_of
from jobs.errors import InvalidInput
from jobs.hours import parse
from jobs.windows import Window, Windows, day_rules, weekdays_of

ZONE = "Asia/Shanghai"
HOLIDAYS = calendars_of(
    {"cn-holidays": {"exclude": ["2026-10-01..2026-10-07"], "makeUp": ["2026-10-10"]}},
    texts={},
    tz=ZONE,
    today=date(2026, 1, 1),
)


def window(
    start: str, end: str, days: str = "", *, excepted: str = "", only: str = "", tz: str = ZONE
) -> Window:
    rules, unknown = day_rules(excepted.split(), only.split(), tz=tz, calendars=HOLIDAYS)
    assert not unknown
    return Window(parse(start, end, tz), weekdays_of(days.split()), rules)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+08:00")


@pytest.mark.parametrize(
    ("one", "instant", "is_open"),
    [
        (window("09:00", "18:00", "mon-fri"), "2026-06-05T10:00", True),  # Friday
        (window("09:00", "18:00", "mon-fri"), "2026-06-06T10:00", False),
        (window("22:00", "06:00", "fri"), "2026-06-06T05:59", True),  # its start is on Friday
        (window("22:00", "06:00", "fri"), "2026-06-05T05:59", False),
        (window("22:00", "06:00", "fri"), "2026-06-06T22:00", False),
        (window("09:00", "18:00", excepted="2026-10-01/2026-10-07"), "2026-10-07T10:00", False),
        (window("09:00", "18:00", excepted="2026-10-01/2026-10-07"), "2026-10-08T10:00", True),
        (window("09:00", "18:00", excepted="calendar:cn-holidays"), "2026-10-03T10:00", False),
        (window("09:00", "18:00", excepted="calendar:cn-holidays"), "2026-10-10T10:00", True),
        (window("09:00", "18:00", only="calendar:cn-holidays"), "2026-10-03T10:00", False),
        (window("09:00", "18:00", only="!calendar:cn-holidays"), "2026-10-03T10:00", True),
        (window("09:00", "18:00", only="!calendar:cn-holidays"), "2026-10-10T10:00", False),
        (window("09:00", "18:00", only="12-25 sat"), "2026-12-25T10:00", True),
        (window("09:00", "18:00", only="12-25 sat"), "2026-12-24T10:00", False),
    ],
)
def test_a_window_opens_on_its_days(one: Window, instant: str, is_open: bool) -> None:
    assert one.contains(at(instant)) is is_open
    assert Windows((one,)).contains(at(instant)) is is_open


def test_the_window_that_opens_first_is_waited_for() -> None:
    hours = Windows((window("09:00", "12:00", "mon-fri"), window("10:00", "11:00", "sat")))
    assert hours.opens_after(at("2026-06-05T13:00")) == at("2026-06-06T10:00")
    assert hours.opens_after(at("2026-06-06T11:00")) == at("2026-06-08T09:00")
    assert hours.opens_after(at("2026-06-08T09:30")) == at("2026-06-08T09:30")


def test_what_never_opens_again_says_so() -> None:
    hours = Windows((window("09:00", "12:00", only="2026-01-01"),))
    assert hours.opens_after(at("2026-06-05T13:00")) is None


def test_windows_that_touch_are_one_opening() -> None:
    hours = Windows((window("09:00", "12:00"), window("11:00", "14:00")))
    found = list(hours.windows(at("2026-06-05T00:00"), at("2026-06-06T00:00")))
    assert found == [(at("2026-06-05T09:00"), at("2026-06-05T14:00"))]


def test_a_holiday_is_told_by_its_calendar() -> None:
    hours = Windows((window("09:00", "18:00", excepted="calendar:cn-holidays"),))
    because = hours.closed_because(at("2026-10-03T10:00"))
    assert because == "cn-holidays excludes Sat 2026-10-03: 2026-10-01..2026-10-07"
    assert hours.closed_because(at("2026-10-03T20:00")) is None  # closed at that hour anyway


def test_windows_are_told_with_their_zone_once() -> None:
    told = Windows((window("09:00", "12:00", "mon-fri"), window("10:00", "11:00", "sat")))
    assert told.describe() == "09:00-12:00 mon-fri, 10:00-11:00 sat Asia/Shanghai"
    apart = Windows((*told.each, window("10:00", "11:00", tz="UTC")))
    assert apart.describe().endswith("10:00-11:00 sat Asia/Shanghai, 10:00-11:00 UTC")


def test_a_calendar_nobody_knows_closes_nothing_and_is_told() -> None:
    assert day_rules(["calendar:moon"], [], tz=ZONE, calendars=HOLIDAYS) == ((), ("moon",))


@pytest.mark.parametrize(
    ("days", "words"),
    [("2026-13-01", "does not exist"), ("moonday", "names no day"), ("a.ics", "is a file")],
)
def test_days_that_cannot_be_read_are_refused(days: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        day_rules([days], [], tz=ZONE, calendars={})
    assert words in refused.value.why
    assert refused.value.fix


def test_a_night_over_the_change_of_clocks_keeps_its_day() -> None:
    night = window("22:00", "06:00", "sat", tz="America/New_York")
    opens = datetime(2026, 11, 1, 2, tzinfo=UTC)  # Saturday 22:00; the clocks go back that night
    spans = list(night.windows(opens, opens + timedelta(hours=1)))
    assert [end - start for start, end in spans] == [timedelta(hours=9)]
    assert night.contains(opens + timedelta(hours=8, minutes=59))
