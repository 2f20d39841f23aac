"""Calendars against oracles: dateutil for rules that come again, sets of days for the rest."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from hypothesis import assume, given, strategies as st

from jobs.calendar import Calendar, ics, judge, moved
from jobs.calendar.days import FARTHEST, Span, Weekdays, Yearly, _instant
from jobs.calendar.recurrence import DAYS, Unusable

FIRST = date(2023, 1, 1)
NUMBERED = ("MONTHLY", "YEARLY")  # where a weekday may have a number
WINDOW = [FIRST + timedelta(days=n) for n in range(3 * 366)]
dates = st.dates(FIRST, FIRST + timedelta(days=400))


def some(values: st.SearchStrategy[int], most: int) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=most, unique=True).map(
        lambda found: ",".join(map(str, found))
    )


@st.composite
def rules(draw: st.DrawFn) -> tuple[str, date]:
    """A rule as calendars write them: any part, in combinations that come true now and then.

    The library walks a rule that never does to the year 9999, which takes it many seconds.
    """
    near = draw(dates)
    freq = draw(st.sampled_from(("DAILY", "WEEKLY", "MONTHLY", "YEARLY")))
    parts = [f"FREQ={freq}", f"INTERVAL={draw(st.integers(1, 4))}"]
    if draw(st.booleans()):
        months = draw(st.sets(st.integers(1, 12), max_size=2)) | {near.month}
        parts.append("BYMONTH=" + ",".join(map(str, months)))
    by_day_of_month = freq != "WEEKLY" and draw(st.booleans())
    if by_day_of_month:
        parts.append("BYMONTHDAY=" + draw(some(st.integers(-28, 28).filter(bool), 3)))
    if draw(st.booleans()):
        days = weekdays(draw(st.booleans()) and not by_day_of_month and freq in NUMBERED)
        parts.append("BYDAY=" + draw(st.lists(days, min_size=1, max_size=3).map(",".join)))
    if len(parts) > 2 and draw(st.booleans()):
        parts.append("BYSETPOS=" + draw(some(st.sampled_from((-1, 1)), 2)))
    parts.append("WKST=" + draw(st.sampled_from(DAYS)))
    ends = {"until": f"UNTIL={draw(dates):%Y%m%d}", "count": f"COUNT={draw(st.integers(1, 12))}"}
    if (end := draw(st.sampled_from(("never", *ends)))) in ends:
        parts.append(ends[end])
    return ";".join(parts), near


def weekdays(numbered: bool) -> st.SearchStrategy[str]:
    """All with a number or none: of a mixture the library takes what both parts name.

    RFC 5545 §3.3.10 calls `BYDAY` a list of days; every one of them counts.
    """
    which = ["1", "2", "+4", "-1", "-4"] if numbered else [""]
    return st.tuples(st.sampled_from(which), st.sampled_from(DAYS)).map("".join)


def by_library(text: str, start: date) -> list[date]:
    """What dateutil finds in the window. It is always told an end, and never walks to year 9999."""
    rule, _, count = text.partition(";COUNT=")
    end = "" if "UNTIL" in text else f";UNTIL={WINDOW[-1]:%Y%m%d}"
    found = rrulestr(rule + end, dtstart=datetime.combine(start, time()))
    return [one.date() for one in found][: int(count or 10_000)]


@given(rules())
def test_a_rule_names_the_days_an_independent_library_finds(drawn: tuple[str, date]) -> None:
    text, near = drawn
    found = by_library(text, near)
    assume(found)
    start = found[0]  # DTSTART is an occurrence; where it does not fit its rule, all is undefined
    event = f"DTSTART;VALUE=DATE:{start:%Y%m%d}\nRRULE:{text}\nSUMMARY:x\n"
    events = ics.parse(
        f"BEGIN:VCALENDAR\nBEGIN:VEVENT\n{event}END:VEVENT\nEND:VCALENDAR", file="x.ics", tz="UTC"
    )
    assert [day for day in WINDOW if events.named(day)] == by_library(text, start)


@given(
    st.lists(st.tuples(dates, st.integers(0, 20)), max_size=4),
    st.lists(st.tuples(dates, st.integers(0, 3)), max_size=3),
    st.sets(st.integers(0, 6), min_size=1),
    st.tuples(dates, dates),
    st.sets(st.integers(0, 6)),
)
def test_a_calendar_allows_what_sets_of_days_allow(
    closed: list[tuple[date, int]],
    made_up: list[tuple[date, int]],
    open_days: set[int],
    year: tuple[date, date],
    never: set[int],
) -> None:
    spans = [Span(day, day + timedelta(days=more)) for day, more in closed]
    extra = [Span(day, day + timedelta(days=more)) for day, more in made_up]
    yearly = Yearly(*((day.month, day.day) for day in year))
    made = Calendar(
        name="x",
        exclude=(*spans, yearly, Weekdays(frozenset(never))),
        weekdays=frozenset(open_days),
        make_up=tuple(extra),
        tz="UTC",
    )
    first, last = ((day.month, day.day) for day in year)
    for day in WINDOW[:500]:
        at = (day.month, day.day)
        out = (
            any(one.first <= day <= one.last for one in spans)
            or (first <= at <= last if first <= last else at >= first or at <= last)
            or day.weekday() in never
        )
        worked = any(one.first <= day <= one.last for one in extra)
        assert made.allows(day) is (worked or (day.weekday() in open_days and not out))
        assert made.because(day)


@given(dates, st.sets(st.integers(0, 6), min_size=1), st.sampled_from((1, -1)))
def test_a_moved_day_is_the_nearest_allowed_one(day: date, open_: set[int], step: int) -> None:
    made = Calendar(name="x", weekdays=frozenset(open_), tz="UTC")
    found = made.moved(day, "next-allowed" if step == 1 else "previous-allowed")
    assert found is not None
    assert made.allows(found)
    between = range(0, (found - day).days, step)
    assert not any(made.allows(day + timedelta(days=n)) for n in between)


ZONES = (
    "UTC", "America/New_York", "Asia/Shanghai", "Pacific/Apia", "Pacific/Kiritimati",
    "Australia/Lord_Howe", "Antarctica/Troll",
)  # fmt: skip
CALENDARS = st.builds(
    lambda spans, open_, tz: Calendar(
        name="x",
        exclude=tuple(Span(day, day + timedelta(days=more)) for day, more in spans),
        weekdays=frozenset(open_),
        tz=tz,
    ),
    st.lists(st.tuples(dates, st.integers(0, 300)), max_size=4),
    st.sets(st.integers(0, 6), min_size=1),
    st.sampled_from(ZONES),
)


@given(
    st.lists(CALENDARS, min_size=1, max_size=3),
    st.datetimes(datetime(2023, 1, 1), datetime(2024, 2, 1), timezones=st.just(UTC)),
    st.sampled_from(ZONES),
    st.sampled_from((1, -1)),
    st.integers(0, 500) | st.none(),
)
def test_a_moved_slot_is_where_a_walk_day_by_day_finds_it(
    calendars: list[Calendar], slot: datetime, tz: str, step: int, back: int | None
) -> None:
    after = None if back is None or step == 1 else slot - timedelta(days=back, hours=7)
    way = "next-allowed" if step == 1 else "previous-allowed"
    local = slot.astimezone(ZoneInfo(tz)).replace(tzinfo=None)
    wanted = slot if judge(calendars, slot).allowed else None
    for number in range(1, FARTHEST + 1):
        if wanted is not None:
            break
        at = _instant(local + timedelta(days=number * step), tz)
        if after is not None and at <= after:
            break
        wanted = at if judge(calendars, at).allowed else None
    assert moved(calendars, slot, tz=tz, on_excluded=way, after=after) == wanted


LINES = (
    "BEGIN:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "END:VCALENDAR", "DTSTART:20260101",
    "DTSTART;VALUE=DATE:20260101", "DTEND:20260102", "RRULE:FREQ=YEARLY",
    "RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20260101", "SUMMARY:x", "UID:a",
    "RECURRENCE-ID:20260101", " folded", "DURATION:P1D",
)  # fmt: skip


@given(st.lists(st.sampled_from(LINES) | st.text(max_size=20), max_size=15))
def test_no_text_does_more_harm_than_a_refusal(lines: list[str]) -> None:
    with contextlib.suppress(Unusable):
        ics.parse("\n".join(("BEGIN:VCALENDAR", *lines)), file="x.ics", tz="Asia/Shanghai")
