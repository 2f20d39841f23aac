"""Calendars as the config writes them: strict, and refused with the path (cron.md §22 row 7)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from jobs.calendar import Calendar, calendars_of, files
from jobs.errors import InvalidInput

TODAY = date(2026, 5, 5)
HOLIDAYS = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:20260501
SUMMARY:Labour Day
END:VEVENT
END:VCALENDAR
"""


def read(entry: Any, name: str = "work", texts: dict[str, str] | None = None) -> Calendar:
    made = calendars_of({name: entry}, texts=texts or {}, tz="Asia/Shanghai", today=TODAY)
    return made[name]


def days(made: Calendar, *texts: str) -> list[bool]:
    return [made.allows(date.fromisoformat(text)) for text in texts]


def test_a_trading_calendar_is_weekdays_minus_holidays_plus_make_up_days() -> None:
    made = read(
        {
            "weekdays": ["mon-fri"],
            "exclude": ["2026-10-01..2026-10-07", "01-01"],
            "makeUp": ["2026-10-10", "2026-09-19..2026-09-20"],
        }
    )
    assert days(made, "2026-10-07", "2026-10-08", "2026-10-10", "2026-10-11") == [
        False, True, True, False,
    ]  # fmt: skip
    assert days(made, "2026-09-20", "2027-01-01", "2027-01-04") == [True, False, True]


@pytest.mark.parametrize(
    ("entry", "allowed", "not_allowed"),
    [
        ({"exclude": ["sat", "Sunday"]}, "2026-05-04", "2026-05-03"),
        ({"exclude": ["fri-mon"]}, "2026-05-05", "2026-05-04"),
        ({"exclude": ["12-24..01-02"]}, "2026-01-03", "2026-01-02"),
        ({"exclude": ["02-29"]}, "2028-02-28", "2028-02-29"),
        ({"exclude": [" 2026-05-04 .. 2026-05-06 "]}, "2026-05-07", "2026-05-06"),
        ({"include": ["wed", "2026-05-05"]}, "2026-05-05", "2026-05-07"),
        ({"weekdays": ["mon", "wed-thu"]}, "2026-05-06", "2026-05-05"),
        ({"weekdays": ["SAT-SUN"]}, "2026-05-03", "2026-05-04"),
    ],
)
def test_every_form_of_a_day_is_read(entry: dict[str, Any], allowed: str, not_allowed: str) -> None:
    assert days(read(entry), allowed, not_allowed) == [True, False]


def test_a_file_lists_days_to_leave_out_or_days_to_run_on() -> None:
    texts = {"h.ics": HOLIDAYS}
    assert days(read({"ics": "h.ics"}, texts=texts), "2026-05-01", "2026-05-04") == [False, True]
    assert days(read({"ics": ["h.ics"]}, texts=texts), "2026-05-01") == [False]
    assert days(read({"exclude": ["h.ics"]}, texts=texts), "2026-05-01") == [False]
    on_call = read({"include": ["h.ics"]}, texts=texts)
    assert days(on_call, "2026-05-01", "2026-05-04") == [True, False]


def test_the_files_to_read_are_known_before_anything_is_judged() -> None:
    config = {
        "a": {"ics": "a.ics", "exclude": ["b.ics", "sat"], "include": ["a.ics"]},
        "b": {"ics": ["c.ICS", 7]},
        "c": None,
    }
    assert files(config) == ("a.ics", "b.ics", "c.ICS")


def test_a_calendar_has_its_own_zone_or_the_usual_one() -> None:
    assert read({"exclude": ["sat"]}).tz == "Asia/Shanghai"
    assert read({"exclude": ["sat"], "tz": "Europe/London"}).tz == "Europe/London"


def test_what_is_null_is_not_said() -> None:
    assert read({"exclude": ["sat"], "include": None, "ics": None}).include is None


REFUSED: list[tuple[Any, str, str]] = [
    ([], "cron.calendars.work was refused: got []", ""),
    ({}, "cron.calendars.work was refused: it says nothing", ""),
    ({"tz": "UTC"}, "cron.calendars.work was refused: it says nothing", ""),
    ({"excludes": ["sat"]}, "excludes was refused: the key is not known; did you mean", ""),
    ({"makeup": ["2026-10-10"]}, "did you mean 'makeUp'?", "rename it to makeUp"),
    ({"holidays": ["sat"]}, "holidays was refused: the key is not known", "use one of: incl"),
    ({"exclude": "sat"}, "work.exclude was refused: got 'sat'", "write a list: ['sat']"),
    ({"exclude": []}, "work.exclude was refused: the list is empty", ""),
    ({"exclude": ["sat", 7]}, "work.exclude[1] was refused: got 7", ""),
    ({"exclude": ["satt"]}, "'satt' names no day; did you mean 'sat'?", "2026-10-01..2026-10-07"),
    ({"exclude": ["2026-02-30"]}, "a date that does not exist", ""),
    ({"exclude": ["2026-10-07..2026-10-01"]}, "is after", "write 2026-10-01..2026-10-07"),
    ({"exclude": ["2026-10-01.."]}, "a date that does not exist", ""),
    ({"exclude": ["02-30"]}, "02-30 is a day of no year", ""),
    ({"exclude": ["12-25..2026-01-01"]}, "names no day", ""),
    ({"exclude": ["10/01"]}, "'10/01' names no day", ""),
    ({"exclude": ["sat"] * 5001}, "5001 entries; 5000 at most", "use an .ics file"),
    ({"weekdays": ["mo-fr"]}, "work.weekdays[0] was refused: 'mo-fr' is no weekday", "mon-fri"),
    ({"weekdays": ["mondey"]}, "'mondey' is no weekday; did you mean 'mon'?", ""),
    ({"exclude": ["sat"], "makeUp": ["sat"]}, "makeUp[0] was refused: 'sat' is no date", ""),
    ({"exclude": ["2026-10-10"], "makeUp": ["2026-10-10"]}, "2026-10-10 is excluded as well", ""),
    ({"exclude": ["sat"], "tz": "Asia/Beijing"}, "work.tz was refused", "Asia/Shanghai"),
    ({"exclude": ["mon-sun"]}, "it allows no day", "check include, exclude and weekdays"),
    ({"include": ["sat"], "weekdays": ["mon-fri"]}, "it allows no day", ""),
    ({"ics": "h.txt"}, "work.ics was refused: 'h.txt' is no .ics file", ""),
    ({"ics": "missing.ics"}, "missing.ics was not read", "check that the file exists"),
    ({"exclude": ["broken.ics"]}, "broken.ics: it is cut short: END:VCALENDAR is missing", ""),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "what", "fix"), REFUSED)
def test_what_makes_no_sense_is_refused_with_its_path(entry: Any, what: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read(entry, texts={"broken.ics": "BEGIN:VCALENDAR\n"})
    assert what in str(refusal.value)
    assert fix in str(refusal.value)
    assert str(refusal.value.detail["path"]).startswith("cron.calendars.work")


def test_a_name_has_the_letters_of_a_name() -> None:
    with pytest.raises(InvalidInput, match="is no name"):
        read({"exclude": ["sat"]}, name="my calendar")


def test_a_calendar_whose_days_are_over_is_still_a_calendar() -> None:
    """A config must not stop working because a year has passed."""
    made = read({"include": ["2020-01-01..2020-12-31"]})
    assert made.allows(date(2020, 12, 31))
    assert not made.allows(date(2026, 1, 1))
