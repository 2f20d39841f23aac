"""Zones and their stretches of constant offset."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from jobs.errors import InvalidSchedule
from jobs.wallclock import DAY, EPOCH, Segment, midnight, segment, zone


def at(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(seconds=1)


def test_an_unknown_zone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        zone("Europe/Londn")
    assert "Invalid timezone" in refusal.value.what
    assert "did you mean 'Europe/London'" in refusal.value.why


@pytest.mark.parametrize("name", ["", "../etc/passwd", "Mars/Base", "/UTC", "a\0b"])
def test_no_name_leads_out_of_the_database(name: str) -> None:
    with pytest.raises(InvalidSchedule):
        zone(name)


def test_a_zone_is_read_once() -> None:
    assert zone("Europe/London") is zone("Europe/London")


def test_a_year_without_changes_is_one_stretch() -> None:
    found = segment("Asia/Shanghai", at("2026-06-01"))
    assert (found.start, found.end) == (at("2026-01-01"), at("2027-01-01"))
    assert found.before == found.offset == found.then == 8 * 3600


def test_summer_in_new_york() -> None:
    start, end = at("2026-03-08T07:00"), at("2026-11-01T06:00")
    summer = Segment(start, end, -4 * 3600, -5 * 3600, start, -5 * 3600, end, start + DAY)
    assert segment("America/New_York", start) == summer
    assert segment("America/New_York", end - 1) == summer


def test_winter_is_cut_at_new_year() -> None:
    winter = segment("America/New_York", at("2026-11-01T06:00"))
    january = segment("America/New_York", at("2027-01-01"))
    assert winter.end == january.start == at("2027-01-01")
    assert winter.then == winter.offset == january.before


def test_a_change_beside_new_year_is_known_on_both_sides() -> None:
    """Kiritimati left out 1 January 1995, from 10:00 UTC on 31 December."""
    after = segment("Pacific/Kiritimati", at("1995-01-01"))
    assert after.since == at("1994-12-31T10:00") or after.since == at("1995-01-01T10:00")
    assert after.offset - after.before == DAY or after.then - after.offset == DAY


def test_no_zone_changes_twice_between_two_looks() -> None:
    """Two changes that undo each other must be farther apart than the step of the search."""
    for name in ("Asia/Gaza", "America/Noronha", "Africa/Casablanca"):
        for year in (2000, 2026, 2040, 2054, 2072):
            second, end = at(f"{year}-01-01"), at(f"{year + 1}-01-01")
            while second < end:
                found = segment(name, second)
                moment = datetime.fromtimestamp(second, zone(name))
                assert moment.utcoffset() == timedelta(seconds=found.offset)
                second += 6 * 3600


@pytest.mark.parametrize(
    ("name", "day", "begins"),
    [
        ("America/Havana", "2026-11-01", "2026-11-01T04:00"),  # and again at five
        ("America/Havana", "2026-11-02", "2026-11-02T05:00"),
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00"),  # which is one o'clock there
        ("Asia/Shanghai", "2026-06-01", "2026-05-31T16:00"),
    ],
)
def test_a_day_begins_at_its_first_midnight(name: str, day: str, begins: str) -> None:
    found = midnight(date.fromisoformat(day), zone(name))
    assert found == datetime.fromisoformat(begins).replace(tzinfo=UTC)
