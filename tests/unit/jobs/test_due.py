"""Every slot between the stored next one and now ends as a run or as a reason (cron.md §7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.due import LONG_GAP, ON_TIME, Owed, coming_slot, owed, retry_before
from jobs.ledger import SkipReason, Trigger
from jobs.model import Misfire
from jobs.schedule import At, Cron, Every, Schedule

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
HOURLY = Cron("0 * * * *", "UTC")
DAILY = Cron("0 12 * * *", "UTC")
SOON = timedelta(milliseconds=20)


def ask(schedule: Schedule, now: datetime, policy: str = "run-once", **more: object) -> Owed:
    grace = more.pop("grace", HOUR)
    assert grace is None or isinstance(grace, timedelta)
    most = more.pop("most", 10)
    assert isinstance(most, int)
    misfire = Misfire(policy=policy, grace=grace, max_catch_up=most)
    return owed(schedule, NOON, now, misfire=misfire)


def ran(found: Owed) -> list[str]:
    return [f"{slot.instant:%H:%M}" for slot in found.runs]


def reasons(found: Owed) -> list[tuple[str, SkipReason]]:
    return [(f"{slot.occurrence.instant:%H:%M}", slot.reason) for slot in found.passed]


def test_before_its_time_nothing_is_owed() -> None:
    assert ask(HOURLY, NOON - SOON) == Owed((), Trigger.SCHEDULE, (), NOON)


@pytest.mark.parametrize("late", [timedelta(), SOON, ON_TIME])
@pytest.mark.parametrize("policy", ["run-once", "run-all", "skip"])
def test_a_slot_on_time_runs_whatever_the_policy(late: timedelta, policy: str) -> None:
    found = ask(HOURLY, NOON + late, policy)
    assert (ran(found), found.trigger, found.passed) == (["12:00"], Trigger.SCHEDULE, ())
    assert found.next_run_at == NOON + HOUR


def test_a_slot_missed_a_while_ago_is_caught_up() -> None:
    found = ask(DAILY, NOON + 40 * MINUTE)
    assert (ran(found), found.trigger) == (["12:00"], Trigger.CATCHUP)
    assert found.next_run_at == NOON + timedelta(days=1)


def test_a_slot_missed_beyond_its_grace_is_recorded() -> None:
    found = ask(DAILY, NOON + 61 * MINUTE)
    assert ran(found) == []
    assert reasons(found) == [("12:00", SkipReason.MISSED_GRACE_EXCEEDED)]
    assert found.passed[0].because == "missed by 1h1m, longer than its grace of 1h"


def test_without_a_limit_of_grace_an_old_slot_still_runs() -> None:
    found = ask(DAILY, NOON + 23 * HOUR, grace=None)
    assert (ran(found), found.trigger) == (["12:00"], Trigger.CATCHUP)


def test_after_a_gap_the_newest_slot_runs_and_the_others_are_recorded() -> None:
    found = ask(HOURLY, NOON + 3 * HOUR + 30 * MINUTE)
    assert ran(found) == ["15:00"]
    assert reasons(found) == [
        ("12:00", SkipReason.MISSED_GRACE_EXCEEDED),
        ("13:00", SkipReason.MISSED_GRACE_EXCEEDED),
        ("14:00", SkipReason.MISSED_GRACE_EXCEEDED),
    ]
    assert found.next_run_at == NOON + 4 * HOUR


def test_slots_within_their_grace_that_gave_way_were_missed() -> None:
    found = ask(Every(10 * MINUTE), NOON + 25 * MINUTE)
    assert ran(found) == ["12:20"]
    assert reasons(found) == [
        ("12:00", SkipReason.MISSED_DOWNTIME),
        ("12:10", SkipReason.MISSED_DOWNTIME),
    ]


def test_all_may_be_caught_up_to_a_cap() -> None:
    found = ask(Every(10 * MINUTE), NOON + 45 * MINUTE, "run-all", most=3)
    assert ran(found) == ["12:20", "12:30", "12:40"]
    assert [reason for _, reason in reasons(found)] == [SkipReason.MISSED_DOWNTIME] * 2
    assert found.trigger is Trigger.CATCHUP


def test_a_job_may_want_nothing_caught_up() -> None:
    found = ask(HOURLY, NOON + 3 * HOUR + 30 * MINUTE, "skip")
    assert ran(found) == []
    assert {reason for _, reason in reasons(found)} == {SkipReason.MISSED_DOWNTIME}
    assert found.next_run_at == NOON + 4 * HOUR


def test_after_a_gap_that_ends_on_a_slot_that_slot_is_on_time() -> None:
    found = ask(HOURLY, NOON + 3 * HOUR + SOON, "skip")
    assert (ran(found), found.trigger) == (["15:00"], Trigger.SCHEDULE)
    assert len(found.passed) == 3


def test_a_caller_may_forbid_catching_up_and_name_the_reason() -> None:
    found = owed(
        HOURLY,
        NOON,
        NOON + 90 * MINUTE,
        misfire=Misfire(),
        reason_missed=SkipReason.PAUSED,
        catch_up=False,
    )
    assert ran(found) == []
    assert {reason for _, reason in reasons(found)} == {SkipReason.PAUSED}


def test_a_one_shot_runs_once() -> None:
    found = ask(At(NOON), NOON + SOON)
    assert (ran(found), found.next_run_at) == (["12:00"], None)
    late = ask(At(NOON), NOON + 5 * HOUR, grace=None)
    assert (ran(late), late.trigger, late.next_run_at) == (["12:00"], Trigger.CATCHUP, None)


def test_a_slot_the_schedule_no_longer_names_still_has_its_run() -> None:
    found = owed(DAILY, NOON + MINUTE, NOON + MINUTE + SOON, misfire=Misfire())
    assert [slot.instant for slot in found.runs] == [NOON + MINUTE]
    assert found.next_run_at == NOON + timedelta(days=1)


def test_the_last_slot_of_all_leaves_no_next() -> None:
    schedule = Cron("0 0 12 1 6 * 2026", "UTC")
    found = owed(schedule, NOON, NOON, misfire=Misfire())
    assert (len(found.runs), found.next_run_at) == (1, None)


@pytest.mark.parametrize("late", [timedelta(), 3 * HOUR])
def test_no_slot_is_owed_beyond_the_end_whatever_was_planned(late: timedelta) -> None:
    ends = NOON - timedelta(seconds=1)
    found = owed(HOURLY, NOON, NOON + late, misfire=Misfire(), until=ends)
    assert (found.runs, found.passed, found.next_run_at) == ((), (), None)


@pytest.mark.parametrize("schedule", [Cron("* * * * *", "UTC"), Every(MINUTE)])
def test_in_a_long_gap_the_oldest_share_one_row(schedule: Schedule) -> None:
    found = ask(schedule, NOON + timedelta(days=30, seconds=30), grace=None)
    folded, *single = found.passed
    assert len(single) + len(found.runs) == LONG_GAP
    assert folded.count + LONG_GAP == 30 * 24 * 60 + 1
    assert folded.occurrence.instant == NOON
    assert folded.slot_to == single[0].occurrence.instant - MINUTE
    assert found.runs[-1].instant == NOON + timedelta(days=30)


def test_exactly_a_thousand_slots_are_listed_singly() -> None:
    found = ask(Every(MINUTE), NOON + (LONG_GAP - 1) * MINUTE, grace=None)
    assert all(slot.count == 1 for slot in found.passed)
    assert len(found.passed) + len(found.runs) == LONG_GAP


@pytest.mark.parametrize("days", [1, 40, 400])
def test_no_slot_of_a_gap_is_lost_or_told_twice(days: int) -> None:
    schedule = Cron("*/7 * * * *", "America/New_York")
    start = schedule.next_after(datetime(2025, 10, 30, tzinfo=UTC))
    assert start is not None
    now = start + timedelta(days=days)
    found = owed(schedule, start, now, misfire=Misfire(policy="run-all"))
    instants = [p.occurrence.instant for p in found.passed] + [r.instant for r in found.runs]
    assert len(set(instants)) == len(instants)
    total = sum(p.count for p in found.passed) + len(found.runs)
    assert total == 1 + schedule.count(start, now)
    assert found.next_run_at == schedule.next_after(now)


def test_a_day_the_clocks_skipped_is_recorded_with_the_slot_before_it() -> None:
    schedule = Cron("0 9 * * *", "Pacific/Apia")
    slot = datetime(2011, 12, 29, 19, tzinfo=UTC)
    found = owed(schedule, slot, slot, misfire=Misfire())
    (lost,) = found.passed
    assert lost.reason is SkipReason.NONEXISTENT_LOCAL_TIME
    assert lost.because == "2011-12-30T09:00:00 did not exist: the clocks skipped it"
    assert found.next_run_at == datetime(2011, 12, 30, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "next_run_at", "retry_at", "slot"),
    [
        (HOURLY, NOON, None, NOON),
        (HOURLY, NOON + MINUTE, NOON + MINUTE, NOON + HOUR),  # a retry before it
        (HOURLY, NOON, NOON, NOON),  # a wait that ends on a slot: that is the slot
        (Every(HOUR, NOON), NOON + MINUTE, NOON + MINUTE, NOON + HOUR),
        (At(NOON - HOUR), NOON, NOON, NOON),
        (HOURLY, None, NOON, None),
    ],
)
def test_a_job_stands_at_a_slot_though_it_is_due_for_a_retry_before(
    schedule: Schedule,
    next_run_at: datetime | None,
    retry_at: datetime | None,
    slot: datetime | None,
) -> None:
    assert coming_slot(schedule, next_run_at, retry_at) == slot


@pytest.mark.parametrize(
    ("following", "retry_at", "until", "due"),
    [
        (NOON + HOUR, NOON + MINUTE, None, NOON + MINUTE),
        (NOON + HOUR, NOON + 2 * HOUR, None, NOON + HOUR),  # the slot is recorded first
        (NOON + HOUR, NOON, None, NOON + HOUR),  # the wait is over
        (NOON + HOUR, None, None, NOON + HOUR),
        (None, NOON + MINUTE, None, NOON + MINUTE),
        (None, NOON + MINUTE, NOON, None),  # the job has ended by then
    ],
)
def test_a_wait_ends_with_a_retry_unless_a_slot_comes_before(
    following: datetime | None,
    retry_at: datetime | None,
    until: datetime | None,
    due: datetime | None,
) -> None:
    assert retry_before(following, retry_at, NOON, until) == due
