"""The days an .ics file names (RFC 5545), and files that are broken or mean harm."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from jobs.calendar import ics
from jobs.calendar.events import Events
from jobs.calendar.recurrence import Unusable

ZONE = "Asia/Shanghai"


def event(*lines: str) -> str:
    return "\r\n".join(("BEGIN:VEVENT", "SUMMARY:Day off", *lines, "END:VEVENT", ""))


def calendar(*events: str) -> str:
    return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n" + "".join(events) + "END:VCALENDAR\r\n"


def read(*events: str, tz: str = ZONE) -> Events:
    return ics.parse(calendar(*events), file="h.ics", tz=tz)


def days(events: Events, year: int = 2026) -> list[str]:
    first = date(year, 1, 1)
    every = (first + timedelta(days=n) for n in range(366))
    return [f"{d:%m-%d}" for d in every if d.year == year and events.named(d) is not None]


def lasting(*lines: str, tz: str = ZONE) -> list[str]:
    return days(read(event(*lines), tz=tz))


@pytest.mark.parametrize(
    ("lines", "on"),
    [
        (["DTSTART;VALUE=DATE:20260501"], ["05-01"]),
        (["DTSTART:20260501"], ["05-01"]),
        (["DTSTART;VALUE=DATE:20260501", "DTEND;VALUE=DATE:20260504"], ["05-01", "05-02", "05-03"]),
        (["DTSTART;VALUE=DATE:20260501", "DTEND;VALUE=DATE:20260501"], ["05-01"]),
        (["DTSTART;VALUE=DATE:20260501", "DURATION:P2D"], ["05-01", "05-02"]),
        (["DTSTART:20260501T090000", "DTEND:20260501T100000"], ["05-01"]),
        (["DTSTART:20260501T090000", "DTEND:20260502T000000"], ["05-01"]),
        (["DTSTART:20260501T230000", "DURATION:PT2H"], ["05-01", "05-02"]),
        (["DTSTART:20260501T000000"], ["05-01"]),
        # Timed events lie on the days of the calendar's zone.
        (["DTSTART:20260501T160000Z", "DTEND:20260501T170000Z"], ["05-02"]),
        (["DTSTART;TZID=America/New_York:20260501T200000", "DURATION:PT1H"], ["05-02"]),
        (["DTSTART;TZID=China Standard Time:20260501T000000"], ["05-01"]),
        (["DTSTART;TZID=\"/vendor/Europe/Berlin\":20260501T180000"], ["05-02"]),
    ],
)  # fmt: skip
def test_an_event_lies_on_the_days_it_touches(lines: list[str], on: list[str]) -> None:
    assert lasting(*lines) == on


@pytest.mark.parametrize(
    ("lines", "on"),
    [
        (["DTSTART:20000101", "RRULE:FREQ=YEARLY"], "01-01"),
        (["DTSTART:20000229", "RRULE:FREQ=YEARLY"], ""),
        (["DTSTART:20001123", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH"], "11-26"),
        (["DTSTART:20000529", "RRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO"], "05-25"),
        (["DTSTART:20260105", "RRULE:FREQ=MONTHLY;BYDAY=MO,2TU;COUNT=3"], "01-05 01-12 01-13"),
        (["DTSTART:20260131", "RRULE:FREQ=MONTHLY;COUNT=3"], "01-31 03-31 05-31"),
        (["DTSTART:20260131", "RRULE:FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=2"], "01-31 02-28"),
        (["DTSTART:20260102", "RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=3"], "01-02 01-16 01-30"),
        (["DTSTART:20260105", "RRULE:FREQ=WEEKLY;BYDAY=MO,WE;UNTIL=20260113"], "01-05 01-07 01-12"),
        (["DTSTART:20260101", "RRULE:FREQ=DAILY;INTERVAL=10;UNTIL=20260121"], "01-01 01-11 01-21"),
        (
            [
                "DTSTART:20250101",
                "RRULE:FREQ=YEARLY;BYMONTH=1;BYDAY=MO,TU,WE,TH,FR;BYMONTHDAY=1,2,3;BYSETPOS=1",
            ],
            "01-01",
        ),
        (
            ["DTSTART:20260130", "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=2"],
            "01-30 02-27",
        ),
        (["DTSTART:20260107", "RRULE:FREQ=WEEKLY;BYDAY=MO,WE;BYSETPOS=-1;COUNT=2"], "01-07 01-14"),
        (["DTSTART:20260105", "RRULE:FREQ=DAILY;BYDAY=MO;BYSETPOS=1;COUNT=2"], "01-05 01-12"),
        (["DTSTART:20251230", "DTEND:20260103", "RRULE:FREQ=YEARLY"], "01-01 01-02 12-30 12-31"),
        (["DTSTART:20260101", "RDATE;VALUE=DATE:20260301,20260302"], "01-01 03-01 03-02"),
        (
            [
                "DTSTART:20260101",
                "RRULE:FREQ=DAILY;COUNT=4",
                "EXDATE;VALUE=DATE:20260102",
                "EXDATE:20260104,",
            ],
            "01-01 01-03",
        ),
        # An instant in UTC takes out the occurrence of that moment, whatever the day there.
        (
            [
                "DTSTART;TZID=America/New_York:20260101T200000",
                "RRULE:FREQ=DAILY;COUNT=3",
                "EXDATE:20260103T010000Z",
            ],
            "01-02 01-04",
        ),
        (["DTSTART:20260101T090000", "RRULE:FREQ=DAILY;UNTIL=20260102T080000"], "01-01"),
        (["DTSTART:20260101T090000", "RRULE:FREQ=DAILY;UNTIL=20260102T090000"], "01-01 01-02"),
    ],
)  # fmt: skip
def test_an_event_comes_again_as_its_rule_says(lines: list[str], on: str) -> None:
    assert lasting(*lines) == on.split()


def test_a_moved_occurrence_is_on_its_new_day_only() -> None:
    found = read(
        event("UID:a", "DTSTART:20260105", "RRULE:FREQ=WEEKLY;COUNT=3"),
        event("UID:a", "RECURRENCE-ID:20260112", "DTSTART:20260114"),
        event("UID:a", "RECURRENCE-ID:20260119", "DTSTART:20260119", "STATUS:CANCELLED"),
        event("UID:b", "DTSTART:20260301", "STATUS:CANCELLED"),
    )
    assert days(found) == ["01-05", "01-14"]


def test_a_folded_line_is_one_line_and_alarms_are_passed_over() -> None:
    text = (
        "\ufeffBEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:New\n  Year\\, at la\n\tst\n"
        "DTSTART;VALUE=\n DATE:20260101\nDESCRIPTION:no: matter; \"what\nBEGIN:VALARM\n"
        "TRIGGER:-PT15M\nDURATION:PT15M\nEND:VALARM\nATTENDEE;CN=\"a;b:c\":mailto:x\n"
        "END:VEVENT\nBEGIN:VTODO\nDTSTART:20260202\nEND:VTODO\nEND:VCALENDAR"
    )  # fmt: skip
    found = ics.parse(text, file="h.ics", tz=ZONE)
    assert days(found) == ["01-01"]
    assert found.named(date(2026, 1, 1)) == "“New Year, at last” in h.ics"


def test_apples_list_of_chinese_holidays_names_holidays_festivals_and_working_days() -> None:
    """Only what is marked as a holiday is one; a marked weekend day is worked."""
    found = read(
        event("DTSTART:20261001", "DTEND:20261003", "X-APPLE-SPECIAL-DAY:WORK-HOLIDAY"),
        event("DTSTART:20261010", "X-APPLE-SPECIAL-DAY:ALTERNATE-WORKDAY"),
        event("DTSTART:20261018"),  # a festival
    )
    assert days(found) == ["10-01", "10-02"]
    assert found.worked.named(date(2026, 10, 10)) == "Day off"


@pytest.mark.parametrize(
    "title", ["国庆节 补班 第1天/共2天", "国庆节（班）", "班｜国庆节", "国庆节 班", "春节调休上班"]
)
def test_a_make_up_working_day_is_known_by_its_title(title: str) -> None:
    found = read(event("DTSTART:20261001"), event("DTSTART:20261010").replace("Day off", title))
    assert days(found) == ["10-01"]
    assert found.worked.named(date(2026, 10, 10)) == title


def test_a_title_that_only_sounds_like_work_is_a_day_like_any_other() -> None:
    found = read(event("DTSTART:20261010").replace("Day off", "值班"))
    assert days(found) == ["10-10"]


def test_a_counted_rule_ends_and_one_without_an_end_does_not() -> None:
    counted = read(event("DTSTART:20260101", "RRULE:FREQ=MONTHLY;COUNT=3"))
    assert counted.named(date(2026, 3, 1))
    assert counted.named(date(2026, 4, 1)) is None
    assert read(event("DTSTART:20260101", "RRULE:FREQ=YEARLY")).named(date(2099, 1, 1))


REFUSED = [
    ("", "it is not an iCalendar file"),
    ("<html>not found</html>", "it is not an iCalendar file"),
    ("BEGIN:VEVENT\nDTSTART:20260101\nEND:VEVENT", "it is not an iCalendar file"),
    ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260101\n", "cut short: END:VEVENT is missing"),
    ("BEGIN:VCALENDAR\nEND:VEVENT\n", "line 2: END:VEVENT ends nothing"),
    ("BEGIN:VCALENDAR\n" * 9, "line 9: more than 8 components"),
    ("x" * 2_000_001, "longer than 2 million characters"),
    (calendar(event()), "line 3, “Day off”: it has no DTSTART"),
    (calendar(event("DTSTART:20260230")), "'20260230' does not exist"),
    (calendar(event("DTSTART:2026-02-03")), "'2026-02-03' is not a date or time"),
    (calendar(event("DTSTART:")), "'' is not a date or time"),
    (calendar(event("DTSTART:20260101,20260102")), "is not a date or time"),
    (calendar(event("DTSTART:20260101T250000")), "does not exist"),
    (calendar(event("DTSTART;TZID=Mars/Olympus:20260101T000000")), "TZID 'Mars/Olympus' is not in"),
    (calendar(event("DTSTART:20260102", "DTEND:20260101")), "it ends before it begins"),
    (calendar(event("DTSTART:20260101", "DURATION:soon")), "Invalid duration"),
    (calendar(event("DTSTART:20260101", "DTSTART:20260102")), "the event has DTSTART twice"),
    (calendar(event("DTSTART:20260101", "EXRULE:FREQ=DAILY")), "it has an EXRULE"),
    (calendar(event("DTSTART:20260101", "DURATION:P500D")), "or one is too long"),
    (calendar(event("DTSTART:20260101", "DURATION:P9W", "RRULE:FREQ=YEARLY")), "more than 62 days"),
    (calendar(event("DTSTART:99991231", "DURATION:P9D")), "a date is out of range"),
    (
        calendar(event("UID:a", "RECURRENCE-ID;RANGE=THISANDFUTURE:20260101", "DTSTART:20260101")),
        "RANGE=THISANDFUTURE changes every day after it",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_a_file_that_cannot_be_followed_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(Unusable) as refusal:
        ics.parse(text, file="h.ics", tz=ZONE)
    assert why in str(refusal.value)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "lines",
    [
        ["DTSTART:19000101", "RRULE:FREQ=DAILY;COUNT=9999;BYMONTH=2;BYMONTHDAY=31"],
        ["DTSTART:19000101", "RRULE:FREQ=YEARLY;COUNT=9999;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1"],
        ["DTSTART:20260101", "DTEND:20260303", "RRULE:FREQ=YEARLY;BYDAY=MO;BYSETPOS=1"],
        ["DTSTART:20260101", "DURATION:P399D"],
    ],
)
def test_a_file_that_asks_for_too_much_is_refused_and_not_worked_at(lines: list[str]) -> None:
    with pytest.raises(Unusable, match=r"too long|too many events"):
        read(*[event(*lines)] * 400)


def test_an_endless_rule_that_never_comes_true_costs_no_more_than_another() -> None:
    """One such rule keeps a library that walks the rule busy for seconds."""
    never = event("DTSTART:20260101", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31")
    assert days(read(*[never] * 50)) == ["01-01"]


def test_more_events_than_any_calendar_of_days_has_are_refused() -> None:
    with pytest.raises(Unusable, match="more than 20000 events"):
        read(*["BEGIN:VEVENT\nEND:VEVENT\n"] * 20_001)
