"""Schedules as people write them (cron.md §5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.errors import InvalidSchedule
from jobs.written import check_at, is_relative, parse_at, parse_every, parse_schedule, span_ms

NOW = datetime(2026, 5, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("20m", "2026-05-05T12:20:00+00:00"),
        ("+1h30m", "2026-05-05T13:30:00+00:00"),
        ("in 20m", "2026-05-05T12:20:00+00:00"),
        ("1790000000000", "2026-09-21T14:13:20+00:00"),
        ("2026-12-01", "2026-12-01T05:00:00+00:00"),
        ("2026-12-01T24:00", "2026-12-02T05:00:00+00:00"),
        ("2026-12-01 09:00:30.25", "2026-12-01T14:00:30.250000+00:00"),
        ("2026-12-01T09:00Z", "2026-12-01T09:00:00+00:00"),
        ("2026-12-01T09:00+0800", "2026-12-01T01:00:00+00:00"),
        ("2026-11-01T01:30", "2026-11-01T05:30:00+00:00"),
    ],
)
def test_an_instant_has_many_forms(text: str, iso: str) -> None:
    assert parse_at(text, now=NOW, tz="America/New_York").isoformat() == iso


@pytest.mark.parametrize(
    "text",
    ["", "soon", "0m", "-5m", "2026-02-30", "2026-12-01T25:00", "2026-12-01T09:60", "0", "9" * 30,
     "9" * 5000, "0001-01-01", "9999-12-31T24:00", "9999-12-31T23:00-14:00"],
)  # fmt: skip
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        parse_at(text, now=NOW, tz="Asia/Shanghai")
    assert len(str(refusal.value)) < 300


def test_an_instant_may_be_a_minute_late_and_ten_years_off() -> None:
    for good in (-timedelta(minutes=1), timedelta(days=3650)):
        assert check_at(NOW + good, now=NOW) == NOW + good
    for bad in (-timedelta(seconds=61), timedelta(days=3660)):
        with pytest.raises(InvalidSchedule):
            check_at(NOW + bad, now=NOW)


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("every 30m", {"kind": "every", "everyMs": "30m"}),
        ("@every 5m", {"kind": "every", "everyMs": "5m"}),
        ("0 7 * * *", {"kind": "cron", "expr": "0 7 * * *"}),
        ("0 0 7 * * 1-5", {"kind": "cron", "expr": "0 0 7 * * 1-5"}),
        ("@daily", {"kind": "cron", "expr": "@daily"}),
        ("at 2026-12-01T09:00", {"kind": "at", "at": "2026-12-01T09:00"}),
        ("in 20m", {"kind": "at", "at": "in 20m"}),
        ("20m", {"kind": "at", "at": "20m"}),
    ],
)
def test_one_line_tells_its_kind(text: str, wish: dict[str, Any]) -> None:
    assert parse_schedule(text) == wish


def test_a_period_in_a_line_needs_its_unit() -> None:
    with pytest.raises(InvalidSchedule, match=r"Invalid --every\..* '30', which has no unit"):
        parse_schedule("every 30")


@pytest.mark.parametrize(
    ("text", "tz", "change", "fix"),
    [
        (
            "2026-03-29T01:30",
            "Europe/London",
            "from 2026-03-29 01:00 to 02:00",
            "use 2026-03-29T00:30:00+00:00 or 2026-03-29T02:30:00+01:00",
        ),
        (
            "2026-10-04T02:10",
            "Australia/Lord_Howe",
            "from 2026-10-04 02:00 to 02:30",
            "use 2026-10-04T01:40:00+10:30 or 2026-10-04T02:40:00+11:00",
        ),
        (
            "2011-12-30T09:00",
            "Pacific/Apia",
            "from 2011-12-30 00:00 to 2011-12-31 00:00",
            "use 2011-12-29T09:00:00-10:00 or 2011-12-31T09:00:00+14:00",
        ),
    ],
)
def test_an_instant_the_clocks_skip_is_refused_with_its_neighbours(
    text: str, tz: str, change: str, fix: str
) -> None:
    with pytest.raises(InvalidSchedule, match="does not exist in") as refusal:
        parse_at(text, now=NOW, tz=tz)
    assert change in refusal.value.why
    assert refusal.value.fix == fix


def test_a_period_is_a_duration_or_milliseconds() -> None:
    assert [parse_every(v) for v in ("30m", 60_000, "60000", 1)] == [1_800_000, 60_000, 60_000, 1]
    wrong: tuple[Any, ...] = (0, -1, None, True, "often", "30 parsecs", [], 10**18)
    for bad in wrong:
        with pytest.raises(InvalidSchedule, match="Invalid --every"):
            parse_every(bad)


def test_spans_and_relative_instants_are_told_apart() -> None:
    assert (span_ms("2h", "x"), span_ms(5, "x"), span_ms("5", "x")) == (7_200_000, 5, 5)
    assert is_relative("20m")
    assert not is_relative("2026-12-01T09:00")
    assert not is_relative("1790000000000")
    assert not is_relative(None)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("9", "an hour of the day: 2026-12-01T09:00; minutes from now: 9m"),
        ("1790000000", "in seconds since 1970 it is 1790000000000"),
    ],
)
def test_a_bare_number_is_no_instant_of_1970(text: str, fix: str) -> None:
    with pytest.raises(InvalidSchedule, match="milliseconds since 1970") as refused:
        parse_at(text, now=NOW)
    assert refused.value.fix == fix
