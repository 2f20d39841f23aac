"""Which days a calendar allows, why, and where an excluded slot goes (cron.md §22 row 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from jobs.calendar import Calendar, judge, moved
from jobs.calendar.days import EVERY_DAY, Span, Weekdays, Yearly, weekday_words
from jobs.calendar.events import DAY, Again, Events, Marked, Shape
from jobs.calendar.recurrence import Rule

SHANGHAI = "Asia/Shanghai"
WORKING_DAYS = frozenset(range(5))
GOLDEN_WEEK = Span(date(2026, 10, 1), date(2026, 10, 7))
MADE_UP = date(2026, 10, 10)  # a Saturday
TRADING = Calendar(
    name="CN-trading",
    weekdays=WORKING_DAYS,
    exclude=(GOLDEN_WEEK,),
    make_up=(Span(MADE_UP, MADE_UP),),
    tz=SHANGHAI,
)


@pytest.mark.parametrize(
    ("day", "allowed", "because"),
    [
        (date(2026, 9, 30), True, "CN-trading allows Wed 2026-09-30"),
        (date(2026, 10, 1), False, "CN-trading excludes Thu 2026-10-01: 2026-10-01..2026-10-07"),
        (date(2026, 10, 7), False, "CN-trading excludes Wed 2026-10-07: 2026-10-01..2026-10-07"),
        (date(2026, 10, 8), True, "CN-trading allows Thu 2026-10-08"),
        (MADE_UP, True, "Sat 2026-10-10 is a make-up working day of CN-trading"),
        (date(2026, 10, 11), False, "CN-trading is closed on Sun 2026-10-11: open mon-fri"),
    ],
)
def test_a_day_is_allowed_or_not_and_the_evidence_is_said(
    day: date, allowed: bool, because: str
) -> None:
    assert TRADING.allows(day) is allowed
    assert TRADING.because(day) == because


def test_only_included_days_are_allowed_and_of_those_only_the_open_ones() -> None:
    summer = Calendar(
        name="summer",
        include=(Yearly((6, 1), (8, 31)),),
        weekdays=WORKING_DAYS,
        tz="UTC",
    )
    assert summer.allows(date(2026, 7, 31))
    assert not summer.allows(date(2026, 8, 1))  # a Saturday
    assert summer.because(date(2026, 9, 1)) == (
        "summer does not include Tue 2026-09-01: only 06-01..08-31 of every year"
    )


def test_days_of_every_year_may_run_over_new_year() -> None:
    closed = Yearly((12, 24), (1, 2))
    found = [closed.named(date(2026, *day)) for day in ((12, 23), (12, 24), (1, 2), (1, 3))]
    assert [one is not None for one in found] == [False, True, True, False]


def test_a_leap_day_is_a_day_of_leap_years() -> None:
    leap = Calendar(name="leap", include=(Yearly((2, 29), (2, 29)),), tz="UTC")
    assert leap.allows(date(2028, 2, 29))
    assert leap.because(date(2027, 3, 1)).endswith("only 02-29 of every year")


def test_weekdays_are_said_as_they_are_written() -> None:
    assert weekday_words({0, 1, 2, 3, 4}) == "mon-fri"
    assert weekday_words({5, 6}) == "sat, sun"
    assert weekday_words({0, 2, 3, 4, 6}) == "mon, wed-fri, sun"


def test_a_file_says_which_days_are_worked_instead_and_which_event_lists_a_day() -> None:
    file = Events(
        "cn.ics",
        Marked({date(2026, 10, 1): "国庆节"}),
        Marked({MADE_UP: "国庆节 补班"}),
    )
    made = Calendar(name="cn", exclude=(file,), weekdays=WORKING_DAYS, tz=SHANGHAI)
    assert made.because(date(2026, 10, 1)) == "cn excludes Thu 2026-10-01: “国庆节” in cn.ics"
    assert made.because(MADE_UP) == (
        "Sat 2026-10-10 is a make-up working day of cn: “国庆节 补班” in cn.ics"
    )


@pytest.mark.parametrize(
    ("on_excluded", "day", "goes_to"),
    [
        ("skip", date(2026, 10, 2), None),
        ("next-allowed", date(2026, 10, 2), date(2026, 10, 8)),
        ("previous-allowed", date(2026, 10, 2), date(2026, 9, 30)),
        ("next-allowed", date(2026, 10, 9), date(2026, 10, 9)),
        ("skip", date(2026, 10, 9), date(2026, 10, 9)),
        ("next-allowed", date(2026, 10, 11), date(2026, 10, 12)),
        ("previous-allowed", date(2026, 10, 11), MADE_UP),
    ],
)
def test_an_excluded_day_gives_way_as_the_job_asks(
    on_excluded: str, day: date, goes_to: date | None
) -> None:
    assert TRADING.moved(day, on_excluded) == goes_to


def test_the_search_for_another_day_ends() -> None:
    over = Calendar(name="over", include=(Span(date(2020, 1, 1), date(2020, 1, 2)),), tz="UTC")
    assert over.moved(date(2026, 1, 1), "next-allowed") is None


# -- several calendars, and instants -------------------------------------------------------------

OFFICE = Calendar(name="office", exclude=(Span(date(2026, 10, 8), date(2026, 10, 8)),), tz=SHANGHAI)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_all_calendars_must_allow() -> None:
    assert judge((TRADING, OFFICE), at("2026-10-09T09:00+08:00")).allowed
    refused = judge((TRADING, OFFICE), at("2026-10-08T09:00+08:00"))
    assert not refused.allowed
    assert refused.because == "office excludes Thu 2026-10-08: 2026-10-08"
    assert judge((), at("2026-10-08T09:00+08:00")).allowed


def test_a_calendar_counts_the_days_of_its_own_zone() -> None:
    evening_in_new_york = at("2026-09-30T21:00-04:00")  # the first of October in Shanghai
    assert not judge((TRADING,), evening_in_new_york).allowed


def test_a_slot_goes_to_the_nearest_day_that_all_allow_at_its_wall_time() -> None:
    slot = at("2026-10-01T09:30+08:00")
    go: Callable[[str], datetime | None] = lambda how: moved(  # noqa: E731 - three calls
        (TRADING, OFFICE), slot, tz=SHANGHAI, on_excluded=how
    )
    assert go("next-allowed") == at("2026-10-09T09:30+08:00")
    assert go("previous-allowed") == at("2026-09-30T09:30+08:00")
    assert go("skip") is None


def test_an_allowed_slot_stays_where_it_is() -> None:
    slot = at("2026-10-09T09:30+08:00")
    assert moved((TRADING, OFFICE), slot, tz=SHANGHAI, on_excluded="skip") == slot


def test_a_slot_moved_into_a_gap_of_the_clocks_runs_when_the_gap_ends() -> None:
    sunday = Calendar(name="x", exclude=(Span(date(2026, 3, 7), date(2026, 3, 7)),), tz="UTC")
    slot = at("2026-03-07T02:30-05:00")
    found = moved((sunday,), slot, tz="America/New_York", on_excluded="next-allowed")
    assert found == at("2026-03-08T03:00-04:00")


def test_a_slot_moved_into_an_hour_that_comes_twice_runs_the_first_time() -> None:
    saturday = Calendar(name="x", exclude=(Span(date(2026, 10, 31), date(2026, 10, 31)),), tz="UTC")
    slot = at("2026-10-31T01:30-04:00")
    found = moved((saturday,), slot, tz="America/New_York", on_excluded="next-allowed")
    assert found == at("2026-11-01T01:30-04:00")


def test_calendars_that_never_agree_move_a_slot_nowhere() -> None:
    odd = Calendar(name="odd", weekdays=frozenset({0}), tz="UTC")
    even = Calendar(name="even", weekdays=frozenset({1}), tz="UTC")
    slot = at("2026-10-05T09:30+00:00")
    assert moved((odd, even), slot, tz="UTC", on_excluded="next-allowed") is None


@dataclass(frozen=True, slots=True)
class Noted(Weekdays):
    """Days that remember who was asked about."""

    asked: list[date] = field(default_factory=list)

    def named(self, day: date) -> str | None:
        self.asked.append(day)
        return super(Noted, self).named(day)


def test_a_day_is_judged_once_however_many_slots_ask() -> None:
    noted = Noted(frozenset({5}))
    calendar = Calendar(name="c", exclude=(noted,), tz="UTC")
    slot = at("2026-10-10T09:30+00:00")
    found = {
        moved((calendar,), slot + timedelta(minutes=n), tz="UTC", on_excluded="previous-allowed")
        for n in range(40)
    }
    assert len(found) == 40
    assert sorted(noted.asked) == [date(2026, 10, 9), date(2026, 10, 10)]


def test_a_slot_is_moved_to_no_day_before_the_instant_that_is_given() -> None:
    calendar = Calendar(name="c", exclude=(Span(date(2026, 10, 9), date(2026, 10, 10)),), tz="UTC")
    slot, before = at("2026-10-10T09:30+00:00"), at("2026-10-08T09:30+00:00")
    how = {"tz": "UTC", "on_excluded": "previous-allowed"}
    assert moved((calendar,), slot, **how, after=before - timedelta(seconds=1)) == before
    assert moved((calendar,), slot, **how, after=before) is None


def test_a_calendar_that_is_closed_for_good_is_walked_once_and_not_by_every_slot() -> None:
    noted = Noted(EVERY_DAY)
    never = Calendar(name="never", exclude=(noted,), tz="UTC")
    slot = at("2026-10-10T09:30+00:00")
    for n in range(200):
        late = slot + timedelta(minutes=n)
        assert moved((never,), late, tz="Asia/Shanghai", on_excluded="next-allowed") is None
    assert len(noted.asked) == len(set(noted.asked))


@pytest.mark.parametrize(("rules", "goes_to"), [(10, date(2026, 10, 31)), (1990, None)])
def test_the_more_rules_a_calendar_has_the_nearer_is_the_farthest_day(
    rules: int, goes_to: date | None
) -> None:
    rule = Rule(start=date(1990, 1, 1), freq="YEARLY", month_days=frozenset({30}))
    never = Again("x", replace(rule, months=frozenset({2})), Shape(length=DAY, reader="UTC"))
    file = Events("rules.ics", Marked(again=(never,) * rules))
    october = Span(date(2026, 10, 1), date(2026, 10, 30))
    calendar = Calendar(name="c", exclude=(file, october), tz="UTC")
    assert calendar.cost == rules + 1
    assert calendar.moved(date(2026, 10, 1), "next-allowed") == goes_to
