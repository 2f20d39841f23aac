"""The dialect, row by row of its table (cron.md §3.1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from croniter import croniter

from jobs.cron import parse
from jobs.errors import InvalidSchedule
from jobs.schedule import Cron, Every, schedule_from_json

START = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday


def first(expr: str, count: int = 3, *, job: str | None = None, day_match: str = "or") -> list[str]:
    """Return the first slots of 2026 in UTC."""
    schedule = Cron(expr, "UTC", hash_id=job, day_match=day_match)
    found: list[str] = []
    at = schedule.next_after(START - timedelta(seconds=1))
    while at is not None and len(found) < count:
        found.append(f"{at:%m-%d %H:%M:%S}")
        at = schedule.next_after(at)
    return found


ACCEPTED = {
    "30 9 * * *": ["01-01 09:30:00", "01-02 09:30:00"],
    "0 */2 * * * *": ["01-01 00:00:00", "01-01 00:02:00"],  # six fields: seconds first
    "15 0 9 1 1 * 2027": ["01-01 09:00:15"],
    "*/20 * * * *": ["01-01 00:00:00", "01-01 00:20:00"],
    "10-12 * * * *": ["01-01 00:10:00", "01-01 00:11:00"],
    "10,40 * * * *": ["01-01 00:10:00", "01-01 00:40:00"],
    "10-50/20 * * * *": ["01-01 00:10:00", "01-01 00:30:00"],
    "5/15 * * * *": ["01-01 00:05:00", "01-01 00:20:00"],
    "0 9 * FEB Mon": ["02-02 09:00:00", "02-09 09:00:00"],
    "0 0 * * 7": ["01-04 00:00:00", "01-11 00:00:00"],
    "0 0 * * 0": ["01-04 00:00:00", "01-11 00:00:00"],
    "0 0 * * 3-3": ["01-07 00:00:00", "01-14 00:00:00"],  # croniter reads every day
    "0 22-2 * * *": ["01-01 00:00:00", "01-01 01:00:00", "01-01 02:00:00", "01-01 22:00:00"],
    "0 0 * * fri-mon": ["01-02 00:00:00", "01-03 00:00:00", "01-04 00:00:00", "01-05 00:00:00"],
    "59-1/2 4 * * *": ["01-01 04:01:00", "01-01 04:59:00"],  # croniter: 59 alone
    "0 22-4/3 * * *": ["01-01 01:00:00", "01-01 04:00:00", "01-01 22:00:00"],
    "0 0 25-5/3 * *": ["01-03 00:00:00", "01-25 00:00:00", "01-28 00:00:00", "01-31 00:00:00"],
    "0 0 1 12-4/2 *": ["02-01 00:00:00", "04-01 00:00:00", "12-01 00:00:00"],
    "0 0 5-1 * *": ["01-01 00:00:00", "01-05 00:00:00"],
    "0 0 ? * 1": ["01-05 00:00:00", "01-12 00:00:00"],  # Mondays, not every day
    "0 0 13 * ?": ["01-13 00:00:00", "02-13 00:00:00"],
    "0 0 L * *": ["01-31 00:00:00", "02-28 00:00:00"],
    "0 0 1,L * *": ["01-01 00:00:00", "01-31 00:00:00", "02-01 00:00:00"],
    "0 0 30-L * *": ["01-30 00:00:00", "01-31 00:00:00", "03-30 00:00:00"],
    "0 0 L-2 * *": ["01-29 00:00:00", "02-26 00:00:00"],
    "0 0 LW * *": ["01-30 00:00:00", "02-27 00:00:00"],
    "0 0 1W 2,8 *": ["02-02 00:00:00", "08-03 00:00:00"],  # stays in the month
    "0 0 15W 2 *": ["02-16 00:00:00"],
    "0 0 31W * *": ["01-30 00:00:00", "03-31 00:00:00"],
    "0 0 * * 1#2": ["01-12 00:00:00", "02-09 00:00:00"],
    "0 0 * * 1#1,5#5": ["01-05 00:00:00", "01-30 00:00:00", "02-02 00:00:00"],
    "0 0 * * 5#L": ["01-30 00:00:00", "02-27 00:00:00"],
    "0 0 * * 5L": ["01-30 00:00:00", "02-27 00:00:00"],
    "0 0 * * L5": ["01-30 00:00:00", "02-27 00:00:00"],
    "0 0 * * friL": ["01-30 00:00:00", "02-27 00:00:00"],
    "0 9 15 * 1": ["01-05 09:00:00", "01-12 09:00:00", "01-15 09:00:00"],  # either
    "0 9 15 * +1": ["06-15 09:00:00"],  # both
    "0 0 */2 * 1": ["01-01 00:00:00", "01-03 00:00:00", "01-05 00:00:00"],
    "@yearly": ["01-01 00:00:00"],
    "@annually": ["01-01 00:00:00"],
    "@monthly": ["01-01 00:00:00", "02-01 00:00:00"],
    "@weekly": ["01-04 00:00:00", "01-11 00:00:00"],
    "@daily": ["01-01 00:00:00", "01-02 00:00:00"],
    "@midnight": ["01-01 00:00:00", "01-02 00:00:00"],
    "@hourly": ["01-01 00:00:00", "01-01 01:00:00"],
    "@Daily": ["01-01 00:00:00"],
    "  0\t9   * * *  ": ["01-01 09:00:00"],
}


@pytest.mark.parametrize(("expr", "slots"), ACCEPTED.items())
def test_the_dialect_is_read_as_its_table_says(expr: str, slots: list[str]) -> None:
    assert first(expr, len(slots)) == slots


REFUSED = {
    "0 25 * * *": 'hour: "25" is out of range 0–23 (field 2 of "0 25 * * *")',
    "60 * * * *": 'minute: "60" is out of range 0–59 (field 1 of',
    "0 24 * * *": 'hour: "24" is out of range 0–23 (field 2 of',
    "0 0 0 * *": 'day of month: "0" is out of range 1–31 (field 3 of',
    "0 0 32 * *": 'day of month: "32" is out of range 1–31 (field 3 of',
    "0 0 * 13 *": 'month: "13" is out of range 1–12 (field 4 of',
    "0 0 * * 8": 'day of week: "8" is out of range 0–7 (field 5 of',
    "60 0 0 * * *": 'second: "60" is out of range 0–59 (field 1 of',
    "0 0 0 1 1 * 1969": 'year: "1969" is out of range 1970–2099 (field 7 of',
    "0 0 0 1 1 * 2100": 'year: "2100" is out of range 1970–2099 (field 7 of',
    "-1 * * * *": 'minute: "-1" cannot be read (field 1 of',
    "1.5 * * * *": 'minute: "1.5" cannot be read (field 1 of',
    "0 0 * january *": 'month: "january" is no number or known name (field 4 of',
    "0 0 * * monday": 'day of week: "monday" is no number or known name (field 5 of',
    "*/0 * * * *": 'minute: "*/0" has a step of zero (field 1 of',
    "*/100 * * * *": 'minute: "*/100" has a step larger than the range 0–59; write the step',
    "*/61 * * * *": 'minute: "*/61" has a step larger than the range 0–59; write the step',
    "? 0 * * *": 'minute: "?" cannot be read (field 1 of',
    "0 0 * * 1#6": 'day of week: "1#6" cannot be read (field 5 of',
    "R * * * *": 'minute: "R" would pick another time at every start; H picks one',
    "R(0-5) * * * *": 'minute: "R(0-5)" would pick another time at every start; H picks one',
    "0 0 * * Rain": 'day of week: "Rain" is no number or known name (field 5 of',
    "0 0 L-31 * *": 'day of month: "L" is no number or known name (field 3 of',
    "0 0 0 1 1 * 2030-2028": 'year: "2030-2028" ends before it begins (field 7 of',
    "0 0 , * *": 'day of month: "" cannot be read (field 3 of',
    "* * * *": "it has 4 fields",
    "* * * * * * * *": "it has 8 fields",
    "": "it has 0 fields",
    "@reboot": "@reboot was refused",
    "H * * * *": "H needs a job to be spread by",
    "0 0 31 2 *": 'cron expression "0 0 31 2 *" has no upcoming run time and would never fire',
    "0 0 30 2 *": 'cron expression "0 0 30 2 *" has no upcoming run time and would never fire',
    "0 0 31 4,6,9,11 *": "has no upcoming run time and would never fire",
    "0 0 0 29 2 * 2027": "has no upcoming run time and would never fire",
    "* " * 200: "it is longer than 256 characters",
}


@pytest.mark.parametrize(("expr", "message"), REFUSED.items())
def test_what_has_no_meaning_is_refused_with_its_place(expr: str, message: str) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        parse(expr)
    assert message in str(refusal.value)


def test_a_past_year_never_fires_again() -> None:
    assert Cron("0 0 9 1 1 * 2020", "UTC").next_after(START) is None


def test_every_in_an_expression_is_a_cadence() -> None:
    read = schedule_from_json(
        {"kind": "cron", "expr": "@every 5m"}, default_tz="UTC", job_id="j", now=START
    )
    assert read == Every(timedelta(minutes=5), START)


def test_h_is_spread_by_the_job_and_stays() -> None:
    minutes = {parse("H * * * *", hash_id=f"job-{n}").minutes for n in range(30)}
    assert len(minutes) > 10
    assert parse("H * * * *", hash_id="job-1") == parse("H * * * *", hash_id="job-1")


def test_h_keeps_to_its_range_and_its_step() -> None:
    (hour,) = parse("0 H(9-17) * * *", hash_id="job-1").hours
    assert 9 <= hour <= 17
    quarters = parse("H/15 * * * *", hash_id="job-1").minutes
    assert [b - a for a, b in pairwise(quarters)] == [15, 15, 15]


def test_an_alias_is_not_spread_although_the_job_has_an_id() -> None:
    assert first("@daily", 1, job="job-1") == ["01-01 00:00:00"]


def test_both_days_can_be_asked_for_by_the_job() -> None:
    assert first("0 9 15 * 1", 1, day_match="and") == ["06-15 09:00:00"]


def test_a_monday_29_february_is_far_away_but_comes() -> None:
    found = Cron("0 0 29 2 +1", "UTC").next_after(START)
    assert found == datetime(2044, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expr", "wildcard"),
    [
        ("* 9 * * *", True),
        ("*/5 9 * * *", True),
        ("0 * * * *", True),
        ("15 */2 * * *", True),
        ("30 2 * * *", False),
        ("0 1-4 * * *", False),
        ("* 30 2 * * *", False),  # the seconds do not make a job follow real time
        ("0 * 9 * * *", True),
    ],
)
def test_a_star_in_minute_or_hour_makes_a_wildcard_job(expr: str, wildcard: bool) -> None:
    assert parse(expr).wildcard is wildcard


def test_wrapped_ranges_and_two_day_fields_are_worth_a_warning() -> None:
    assert parse("0 22-2 * * *").warnings == ("hour: 22-2 runs past the end and wraps around",)
    assert parse("0 9 15 * 1").both_days_restricted
    assert not parse("0 9 15 * ?").both_days_restricted


@pytest.mark.parametrize(
    "expr",
    [
        "* * * * *", "7 * * * *", "*/7 */5 * * *", "3/11 5-20/4 1-9 * *", "0,5,59 0 * 2/3 *",
        "0 0 1-31/10 1-12 *", "0 0 * jan-mar,dec mon,wed", "1-4,50-55/2 * * * 1-7/2",
        "0 0 * * */3", "0 0 * * 5-7", "0 0 * * sun-sat/2",
    ],
)  # fmt: skip
def test_plain_fields_mean_what_croniter_says(expr: str) -> None:
    minute, hour, _dom, _month, _dow = croniter.expand(expr)[0]
    fields = parse(expr)
    assert fields.minutes == (tuple(range(60)) if "*" in minute else tuple(minute))
    assert fields.hours == (tuple(range(24)) if "*" in hour else tuple(hour))
    ours, theirs = Cron(expr, "UTC"), croniter(expr, START)
    at: datetime | None = START
    for _ in range(100):
        assert at is not None
        at = ours.next_after(at)
        assert at == theirs.get_next(datetime)


@pytest.mark.parametrize(
    ("expr", "days", "expected"),
    [("* * * * * *", 3, 259_200), ("0 0 L * *", 365, 12), ("*/7 9-17 * * 1-5", 7, 5 * 81)],
)
def test_matches_can_be_counted_without_walking(expr: str, days: int, expected: int) -> None:
    start = 20_454 * 86_400  # 2026-01-01
    assert parse(expr).count_local(start, start + days * 86_400) == expected
    assert parse(expr).count_local(start, start) == 0
