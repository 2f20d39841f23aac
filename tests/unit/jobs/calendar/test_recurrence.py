"""RRULEs that are no rule of days are refused, and say which part is to blame."""

from __future__ import annotations

from datetime import date

import pytest

from jobs.calendar.recurrence import Counting, Unusable, month_length, parse_rule

START = date(2026, 1, 5)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "FREQ=(none)"),
        ("INTERVAL=2", "FREQ=(none)"),
        ("FREQ=SECONDLY", "FREQ=SECONDLY; days come again DAILY to YEARLY"),
        ("FREQ=DAILY;BYHOUR=9", "BYHOUR, which says nothing about days"),
        ("FREQ=YEARLY;BYWEEKNO=20", "BYWEEKNO"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ twice"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20260101", "both COUNT and UNTIL"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0; 1 to 10000 is possible"),
        ("FREQ=DAILY;COUNT=99999999999999999999", "COUNT=99999999999999999999;"),
        ("FREQ=DAILY;COUNT=٣", "COUNT=٣"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY=32; 1 to 31"),
        ("FREQ=MONTHLY;BYMONTHDAY=", "BYMONTHDAY="),
        ("FREQ=YEARLY;BYMONTH=-1", "BYMONTH=-1; 1 to 12"),
        ("FREQ=WEEKLY;BYDAY=2MO", "BYDAY=2MO with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYDAY=6MO", "BYDAY=6MO with FREQ=MONTHLY"),
        ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY=0MO"),
        ("FREQ=WEEKLY;BYDAY=MONDAY", "BYDAY=MONDAY"),
        ("FREQ=WEEKLY;WKST=XX", "WKST=XX"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused_by_its_part(text: str, why: str) -> None:
    with pytest.raises(Unusable) as refusal:
        parse_rule(text, START)
    assert why in str(refusal.value)


def test_a_count_is_counted_once_and_becomes_the_last_day() -> None:
    rule, count, until = parse_rule("freq=weekly;byday=mo,we;count=4", START)
    assert (count, until) == (4, None)
    assert Counting().last(rule, 4) == date(2026, 1, 14)


def test_counting_ends_where_nothing_more_is_counted() -> None:
    rule, _, _ = parse_rule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=5", START)
    assert Counting().last(rule, 5) == START


def test_the_start_is_an_occurrence_even_where_the_rule_would_not_say_so() -> None:
    rule, _, _ = parse_rule("FREQ=WEEKLY;BYDAY=TU", START)
    assert rule.begins_on(START)
    assert not rule.begins_on(date(2026, 1, 4))


def test_a_week_may_begin_on_sunday() -> None:
    monday, _, _ = parse_rule("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO", date(1997, 8, 5))
    sunday, _, _ = parse_rule("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU", date(1997, 8, 5))
    august = [date(1997, 8, n) for n in range(1, 32)]
    assert [d.day for d in august if monday.begins_on(d)] == [5, 10, 19, 24]  # RFC 5545 §3.8.5.3
    assert [d.day for d in august if sunday.begins_on(d)] == [5, 17, 19, 31]


def test_a_year_has_its_twentieth_monday() -> None:
    rule, _, _ = parse_rule("FREQ=YEARLY;BYDAY=20MO,-1SU", date(1997, 5, 19))
    assert rule.begins_on(date(1998, 5, 18))  # RFC 5545 §3.8.5.3
    assert rule.begins_on(date(1998, 12, 27))
    assert not rule.begins_on(date(1998, 5, 25))


def test_months_have_their_lengths() -> None:
    found = [month_length(date(2028, month, 1)) for month in range(1, 13)]
    assert found == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
