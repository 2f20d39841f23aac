"""Calendar events against what systemd itself says: `systemd-analyze calendar`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.errors import InvalidSchedule
from jobs.importing.oncalendar import Calendar, read
from jobs.schedule import Cron

TABLE = json.loads(
    (Path(__file__).parents[3] / "fixtures/import/systemd/calendars.json").read_text("utf-8")
)
BASE = datetime(2026, 3, 1, tzinfo=UTC)


def schedule_of(calendar: Calendar) -> Cron:
    both = "and" if calendar.both_days else "or"
    return Cron(calendar.expr, calendar.tz or "UTC", day_match=both)


@pytest.mark.parametrize("row", TABLE["fires"], ids=lambda row: row["event"])
def test_it_fires_when_systemd_would(row: dict[str, list[str]]) -> None:
    schedule, at, fires = schedule_of(read(str(row["event"]))), BASE, []
    for _ in row["fires"]:
        found = schedule.next_after(at)
        assert found is not None
        fires.append(f"{found:%Y-%m-%dT%H:%M:%SZ}")
        at = found
    assert fires == row["fires"]


@pytest.mark.parametrize("event", TABLE["refused"])
def test_what_systemd_refuses_is_refused_and_quoted(event: str) -> None:
    with pytest.raises(InvalidSchedule) as error:
        read(event)
    assert event.strip().split(" ")[0] in str(error.value)


def test_seconds_since_1970_are_one_instant() -> None:
    assert read("@1900000000") == Calendar(at="2030-03-17T17:46:40Z")


def test_a_repetition_from_the_first_value_follows_real_time() -> None:
    """`*:0/15` runs on in the hour that comes twice; so must the expression."""
    assert read("*:0/15").expr == "*/15 * * * *"
    assert schedule_of(read("*:0/15")).fields.wildcard
