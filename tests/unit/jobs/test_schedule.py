"""Slots around changes of clocks, the expected instants written out (cron.md §4.3)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import InvalidSchedule
from jobs.schedule import (
    At,
    Cron,
    DstPolicy,
    Every,
    Occurrence,
    Schedule,
    nonexistent,
    schedule_from_json,
    schedule_to_json,
)
from jobs.wallclock import EPOCH

FIXTURES = Path(__file__).parents[2] / "fixtures" / "cron_dst_fixtures.json"
ROWS: list[dict[str, Any]] = json.loads(FIXTURES.read_text(encoding="utf-8"))["cases"]
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NEW_YORK, LORD_HOWE, APIA = "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slots(schedule: Schedule, after: datetime, count: int) -> list[Occurrence]:
    found: list[Occurrence] = []
    slot = schedule.occurrence_after(after)
    while slot is not None and len(found) < count:
        found.append(slot)
        slot = schedule.occurrence_after(slot.instant)
    return found


def instants(schedule: Schedule, after: str, count: int) -> list[str]:
    return [f"{slot.instant:%m-%d %H:%M}" for slot in slots(schedule, utc(after), count)]


def _name(row: dict[str, Any]) -> str:
    return f"{row['tz']} {row['expr']} {row['after']}"


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_every_row_of_the_clock_change_table(row: dict[str, Any]) -> None:
    schedule = Cron(row["expr"], row["tz"])
    expected = [datetime.fromisoformat(fire["utc"]) for fire in row["fires"]]
    found = slots(schedule, datetime.fromisoformat(row["after"]), len(expected))
    assert [slot.instant for slot in found] == expected


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_backwards_is_the_same_way(row: dict[str, Any]) -> None:
    schedule = Cron(row["expr"], row["tz"])
    fires = [datetime.fromisoformat(fire["utc"]) for fire in row["fires"]]
    for earlier, later in pairwise(fires):
        assert schedule.previous(later) == earlier


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (DstPolicy(), ["03-08 07:00", "03-09 06:30"]),
        (DstPolicy(gap="skip"), ["03-09 06:30", "03-10 06:30"]),
        (DstPolicy(gap="shift"), ["03-08 07:30", "03-09 06:30"]),
    ],
)
def test_a_job_may_say_what_a_gap_does_to_it(policy: DstPolicy, expected: list[str]) -> None:
    assert instants(Cron("30 2 * * *", NEW_YORK, dst=policy), "2026-03-07T17:00", 2) == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (DstPolicy(), ["11-01 05:30", "11-02 06:30"]),
        (DstPolicy(overlap="last"), ["11-01 06:30", "11-02 06:30"]),
        (DstPolicy(overlap="both"), ["11-01 05:30", "11-01 06:30"]),
    ],
)
def test_a_job_may_say_what_an_overlap_does_to_it(policy: DstPolicy, expected: list[str]) -> None:
    assert instants(Cron("30 1 * * *", NEW_YORK, dst=policy), "2026-10-31T16:00", 2) == expected


def test_a_slot_made_up_for_a_gap_keeps_the_wall_time_that_was_meant() -> None:
    slot = Cron("30 2 * * *", NEW_YORK).occurrence_after(utc("2026-03-07T17:00"))
    assert slot is not None
    assert (slot.nominal_local, slot.dst) == ("2026-03-08T02:30:00", "gap")


def test_a_shifted_slot_keeps_the_wall_time_that_was_meant() -> None:
    schedule = Cron("30 2 * * *", NEW_YORK, dst=DstPolicy(gap="shift"))
    slot = schedule.occurrence_after(utc("2026-03-07T17:00"))
    assert slot is not None
    assert (slot.nominal_local, slot.dst) == ("2026-03-08T02:30:00", "gap")


def test_both_passes_of_an_hour_are_told_apart() -> None:
    one, two, *_ = slots(Cron("30 * * * *", NEW_YORK), utc("2026-11-01T05:00"), 2)
    assert (one.nominal_local, one.fold, one.dst) == ("2026-11-01T01:30:00", 0, "overlap")
    assert (two.nominal_local, two.fold, two.dst) == ("2026-11-01T01:30:00", 1, "overlap")


def test_an_ordinary_slot_has_no_note() -> None:
    slot = Cron("0 9 * * *", NEW_YORK).occurrence_after(NOON)
    assert slot is not None
    assert (slot.nominal_local, slot.fold, slot.dst) == ("2026-06-01T09:00:00", 0, None)


def test_a_slot_read_back_is_told_as_when_it_was_found() -> None:
    for expr in ("30 2 * * *", "30 1 * * *", "*/30 * * * *"):
        schedule = Cron(expr, NEW_YORK, timedelta(minutes=7), hash_id="job-1")
        for start in ("2026-03-08T00:00", "2026-11-01T00:00"):
            for slot in slots(schedule, utc(start), 20):
                assert schedule.told(slot.instant) == slot


def test_an_instant_of_another_schedule_is_told_without_a_wall_time() -> None:
    odd = NOON + timedelta(milliseconds=5)
    assert Cron("0 9 * * *", "UTC").told(odd) == Occurrence(odd)


@pytest.mark.parametrize(
    ("expr", "lost"),
    [
        ("0 9 * * *", ["2011-12-30T09:00:00"]),
        ("0 9 30 * *", ["2011-12-30T09:00:00"]),
        ("0 9 * * 5", ["2011-12-30T09:00:00"]),
        ("0 9,17 * * *", ["2011-12-30T09:00:00", "2011-12-30T17:00:00"]),
        ("0 9 31 * *", []),
        ("*/5 * * * *", []),  # follows real time: nothing was lost
    ],
)
def test_a_day_that_does_not_exist_takes_its_slots(expr: str, lost: list[str]) -> None:
    found = nonexistent(Cron(expr, APIA), utc("2011-12-28T22:00"), utc("2012-01-02T00:00"))
    assert [slot.nominal_local for slot in found] == lost


def test_lost_slots_share_no_instant_with_a_slot_that_runs() -> None:
    schedule = Cron("0 0,9 * * *", APIA)
    lost = nonexistent(schedule, utc("2011-12-28T22:00"), utc("2012-01-02T00:00"))
    ran = slots(schedule, utc("2011-12-28T22:00"), 10)
    keys = [slot.instant for slot in (*lost, *ran)]
    assert len(set(keys)) == len(keys)


def test_an_ordinary_change_of_clocks_loses_nothing() -> None:
    schedule = Cron("30 2 * * *", NEW_YORK)
    assert nonexistent(schedule, utc("2026-01-01"), utc("2027-01-01")) == []
    assert nonexistent(Every(timedelta(hours=1)), utc("2011-12-01"), utc("2012-02-01")) == []


def test_clocks_that_go_back_over_midnight_repeat_the_evening() -> None:
    """Wall times before the search began come again, on a day it had already left."""
    schedule = Cron("*/30 * * * 6", "Asia/Beirut")
    assert instants(schedule, "2026-10-24T20:45", 2) == ["10-24 21:00", "10-24 21:30"]


def test_29_february_waits_for_its_years() -> None:
    found = slots(Cron("0 0 29 2 *", "UTC"), utc("2026-01-01"), 3)
    assert [slot.instant.year for slot in found] == [2028, 2032, 2036]


def test_the_29_february_of_2096_is_followed_by_that_of_2104() -> None:
    assert Cron("0 0 29 2 *", "UTC").next_after(utc("2096-03-01")) == utc("2104-02-29")


@pytest.mark.parametrize("micro", [1, 1_000, 500_000, 999_000, 999_999])
def test_a_moment_after_a_slot_it_is_over(micro: int) -> None:
    daily, second = Cron("0 12 * * *", "UTC"), Cron("* * * * * *", "UTC")
    late = NOON + timedelta(microseconds=micro)
    assert daily.next_after(late) == NOON + timedelta(days=1)
    assert second.next_after(late) == NOON + timedelta(seconds=1)
    assert daily.previous(late) == NOON


@pytest.mark.parametrize("micro", [1, 1_000, 500_000, 999_999])
def test_a_moment_before_a_slot_it_is_to_come(micro: int) -> None:
    assert Cron("0 12 * * *", "UTC").next_after(NOON - timedelta(microseconds=micro)) == NOON


def test_the_last_second_of_a_day_and_of_a_year() -> None:
    schedule = Cron("59,0 59,0 23,0 * * *", "UTC")
    assert schedule.next_after(utc("2026-12-31T23:59:00")) == utc("2026-12-31T23:59:59")
    assert schedule.next_after(utc("2026-12-31T23:59:59")) == utc("2027-01-01T00:00:00")


def test_a_search_at_the_end_of_time_finds_nothing() -> None:
    assert Cron("* * * * *", "UTC").next_after(datetime(9998, 1, 1, tzinfo=UTC)) is None


def test_before_its_first_year_there_was_no_slot() -> None:
    assert Cron("0 0 0 1 1 * 2030", "UTC").previous(utc("2029-01-01")) is None


def test_a_staggered_job_runs_later_by_the_same_time_each_hour() -> None:
    schedule = Cron("0 * * * *", "UTC", timedelta(minutes=5), hash_id="job-1")
    one, two = slots(schedule, NOON - timedelta(seconds=1), 2)
    assert timedelta() < schedule.offset < timedelta(minutes=5)
    assert one.instant == NOON + schedule.offset
    assert two.instant - one.instant == timedelta(hours=1)
    assert schedule.next_after(one.instant - timedelta(milliseconds=1)) == one.instant
    assert schedule.previous(two.instant) == one.instant
    assert schedule.count(one.instant, two.instant) == 1


def test_the_cadence_starts_at_its_anchor_and_keeps_its_grid() -> None:
    every = Every(timedelta(minutes=10), NOON)
    minute = timedelta(minutes=1)
    assert every.next_after(NOON - minute) == NOON
    assert every.next_after(NOON) == NOON + 10 * minute
    assert every.next_after(NOON + 11 * minute) == NOON + 20 * minute
    assert every.previous(NOON) is None
    assert every.previous(NOON + 10 * minute) == NOON
    assert every.previous(NOON + 11 * minute) == NOON + 10 * minute
    assert every.occurrence_after(NOON) == Occurrence(NOON + 10 * minute)


def test_an_instant_comes_once() -> None:
    at = At(NOON)
    assert at.next_after(NOON - timedelta(microseconds=1)) == NOON
    assert at.next_after(NOON) is None
    assert at.previous(NOON) is None
    assert at.previous(NOON + timedelta(seconds=1)) == NOON
    assert at.occurrence_after(NOON) is None


def test_schedules_are_told_in_the_words_of_the_list() -> None:
    assert At(NOON).describe() == "at 2026-06-01 12:00Z"
    assert Every(timedelta(minutes=90)).describe() == "every 1h30m"
    cron = Cron("0 7 * * *", "Asia/Shanghai")
    assert cron.describe() == "cron 0 7 * * * @ Asia/Shanghai"
    staggered = replace(cron, stagger=timedelta(minutes=5))
    assert staggered.describe() == "cron 0 7 * * * @ Asia/Shanghai (stagger 5m)"


def test_two_schedules_are_equal_whether_they_were_asked_or_not() -> None:
    one, other = Cron("0 7 * * *", "UTC"), Cron("0 7 * * *", "UTC")
    one.next_after(NOON)
    assert one == other
    assert hash(one) == hash(other)


def read(values: dict[str, Any], job_id: str = "job-1") -> Schedule:
    return schedule_from_json(values, default_tz="Europe/London", job_id=job_id, now=NOON)


@pytest.mark.parametrize(
    ("values", "schedule"),
    [
        ({"kind": "at", "at": "2026-06-01T12:00:00Z"}, At(NOON)),
        ({"kind": "at", "at": "2026-06-01T14:00:00+02:00"}, At(NOON)),
        ({"kind": "at", "at": "2026-06-01T12:00:00"}, At(NOON)),
        ({"at": 1_780_315_200_000}, At(NOON)),
        ({"atMs": "1780315200000"}, At(NOON)),
        ({"kind": "every", "everyMs": 60_000}, Every(timedelta(minutes=1), NOON)),
        ({"everyMs": "60000", "anchorMs": "0"}, Every(timedelta(minutes=1))),
        ({"kind": "every", "every": "1h30m"}, Every(timedelta(minutes=90), NOON)),
        (
            {"kind": "cron", "expr": " 0 7 * * * "},
            Cron("0 7 * * *", "Europe/London"),
        ),
        (
            {"cron": "0 7 * * *", "tz": "Asia/Shanghai", "staggerMs": 5000},
            Cron("0 7 * * *", "Asia/Shanghai", timedelta(seconds=5), hash_id="job-1"),
        ),
    ],
)
def test_stored_and_older_forms_are_read(values: dict[str, Any], schedule: Schedule) -> None:
    assert read(values) == schedule


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "never"}, "kind 'never' is not known"),
        ({}, "kind '' is not known"),
        ({"kind": "at", "at": "tomorrow"}, "expected ISO-8601 timestamp (got 'tomorrow')"),
        ({"kind": "at", "at": "2026-02-30T00:00:00Z"}, "expected ISO-8601 timestamp"),
        ({"kind": "every", "everyMs": 0}, "at least 1 ms"),
        ({"kind": "every", "everyMs": [1]}, "schedule.everyMs was refused"),
        ({"kind": "every", "everyMs": "soon"}, "Invalid duration"),
        ({"kind": "cron"}, "invalid cron schedule: expr is required"),
        ({"kind": "cron", "expr": "0 25 * * *"}, 'hour: "25" is out of range'),
        ({"kind": "cron", "expr": "0 7 * * *", "tz": "Mars/Base"}, "Invalid timezone"),
        ({"expr": "0 7 * * *", "staggerMs": "soon"}, "schedule.staggerMs was refused"),
        ({"expr": "0 7 * * *", "staggerMs": -5}, "schedule.staggerMs was refused"),
        ({"expr": "0 7 * * *", "staggerMs": 10**30}, "schedule.staggerMs was refused"),
        ({"expr": "0 7 * * *", "dayMatch": "xor"}, "use one of or, and"),
        ({"expr": "0 7 * * *", "dst": 1.5}, "schedule.dst was refused"),
        ({"expr": "0 7 * * *", "dst": {"gaps": "skip"}}, "schedule.dst was refused"),
        ({"expr": "0 7 * * *", "dst": {"gap": "jump"}}, "use one of run-after, skip, shift"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        read(values)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    "schedule",
    [
        At(NOON),
        Every(timedelta(minutes=1), NOON),
        Cron("0 7 * * *", "Asia/Shanghai", timedelta(minutes=5), hash_id="job-1"),
        Cron("H 7 * * *", "Asia/Shanghai", hash_id="job-1"),
        Cron("0 7 1 * 1", "UTC", day_match="and", dst=DstPolicy("skip", "last")),
    ],
)
def test_a_schedule_comes_back_from_json_as_it_was(schedule: Schedule) -> None:
    assert read(json.loads(json.dumps(schedule_to_json(schedule)))) == schedule


def test_jobs_with_the_same_words_share_one_schedule_unless_it_depends_on_the_job() -> None:
    assert read({"expr": "0 7 * * *"}, "a") is read({"expr": "0 7 * * *"}, "b")
    assert read({"expr": "H 7 * * *"}, "a") != read({"expr": "H 7 * * *"}, "b")
    late = {"expr": "0 7 * * *", "staggerMs": 5000}
    assert read(late, "a") != read(late, "b")


def test_lord_howe_moves_by_half_an_hour() -> None:
    schedule = Cron("45 1 * * *", LORD_HOWE)
    assert instants(schedule, "2026-04-04T01:00", 2) == ["04-04 14:45", "04-05 15:15"]


@pytest.mark.parametrize("gap", ["run-after", "shift", "skip"])
def test_counting_a_year_of_seconds_walks_none_of_them(gap: str) -> None:
    every = Cron("* 0-59 * * * *", "Europe/Berlin", dst=DstPolicy(gap, "last"))
    fixed = Cron("* 0-59 0-23 * * *", "Europe/Berlin", dst=DstPolicy(gap, "last"))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    year = 365 * 86_400
    assert every.count(start, start + timedelta(days=365)) == year
    assert fixed.count(start, start + timedelta(days=365)) == year - 3600  # told once, not twice


@pytest.mark.parametrize(
    "schedule",
    [
        Cron("*/20 1-3 * * *", "Europe/London"),
        Cron("0 * * * *", "Australia/Lord_Howe", stagger=timedelta(minutes=5), hash_id="j"),
        Every(timedelta(minutes=47), datetime(2026, 3, 28, 7, tzinfo=UTC)),
    ],
)
def test_many_instants_are_those_that_are_found_one_by_one(schedule: Every | Cron) -> None:
    after, until = utc("2026-03-27T00:00:00"), utc("2026-04-06T00:00:00")
    walked, at = [], schedule.next_after(after)
    while at is not None and at <= until:
        walked.append(at)
        at = schedule.next_after(at)
    found = schedule.instants(after, until)
    assert [EPOCH + timedelta(milliseconds=ms) for ms in found] == walked


@pytest.mark.parametrize(
    ("expr", "tz", "after", "slot"),
    [
        ("30 3 31 * *", "Europe/Mariehamn", "2004-10-29T20:48", "2004-10-31T01:30"),
        ("44 1 * * 0", "America/New_York", "1990-10-27T00:12", "1990-10-28T06:44"),
        ("0 1 30 9 *", "America/Monterrey", "2000-10-02T00:00", "2001-09-30T07:00"),
    ],
)
def test_a_time_that_comes_twice_on_one_day_of_many_runs_the_last_time(
    expr: str, tz: str, after: str, slot: str
) -> None:
    """The search leapt over the second pass when it began more than a day before."""
    last = Cron(expr, tz, dst=DstPolicy(overlap="last"))
    begin = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert last.next_after(begin) == datetime.fromisoformat(slot).replace(tzinfo=UTC)
