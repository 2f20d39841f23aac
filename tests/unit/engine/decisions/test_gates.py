"""One list, one order, one reason: every obstacle of heartbeat.md §7 is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from engine.decisions.gates import BeatSnapshot, Defer, Run, Skip, decide, walk
from engine.decisions.wake import Deferral, Intent
from jobs.hours import parse
from jobs.ledger import SkipReason as R

NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)  # 20:00 in Shanghai
SOON = NOON + timedelta(seconds=20)
READY = BeatSnapshot(intent=Intent.SCHEDULED)
MORNING = parse("06:00", "09:00", "Asia/Shanghai")

# In the order of the specification: a snapshot with two of them names the earlier.
ONE_CHANGE_FROM_READY = {
    R.DISABLED: replace(READY, enabled=False),
    R.NOT_ENROLLED: replace(READY, enrolled=False),
    R.PAUSED: replace(READY, paused="by ann until tomorrow"),
    R.IDLE_PAUSED: replace(
        READY, idle_since=NOON - timedelta(days=3), idle_pause_after=timedelta(days=2)
    ),
    R.SUSPENDED: replace(READY, suspended="401 from the provider"),
    R.BACKOFF: replace(READY, backoff_until=SOON, failures=2),
    R.BUDGET_EXHAUSTED: replace(READY, budget_spent="48 of 48 runs today"),
    R.NOT_DUE: replace(READY, held_back=Deferral(R.NOT_DUE, "the next beat is at 13:00", None)),
    R.MIN_SPACING: replace(READY, held_back=Deferral(R.MIN_SPACING, "10 s ago", SOON)),
    R.RECENT_RUN: replace(READY, recent_run_at=NOON - timedelta(minutes=2)),
    R.FLOOD: replace(READY, held_back=Deferral(R.FLOOD, "5 runs", None)),
    R.QUIET_HOURS: replace(READY, active_hours=MORNING),
    R.INVALID_HEARTBEAT_FILE: replace(READY, file_error="it links outside the workspace"),
    R.EMPTY_HEARTBEAT_FILE: replace(READY, file_empty=True),
    R.NO_TASKS_DUE: replace(READY, tasks=("inbox",)),
    R.RESTING: replace(READY, rests_until=SOON, quiet_polls=20),
    R.ALERTS_DISABLED: replace(READY, visible=False),
    R.TARGET_INVALID: replace(READY, no_route=(R.TARGET_INVALID, "channel slack")),
    R.ACCOUNT_DISABLED: replace(READY, no_route=(R.ACCOUNT_DISABLED, "account a")),
    R.UNKNOWN_ACCOUNT: replace(READY, no_route=(R.UNKNOWN_ACCOUNT, "account x")),
    R.NO_TARGET: replace(READY, no_route=(R.NO_TARGET, "to is not set")),
    R.NO_ROUTE: replace(READY, no_route=(R.NO_ROUTE, "nobody wrote")),
    R.CRON_IN_PROGRESS: replace(READY, cron_running=("brief",)),
    R.LANES_BUSY: replace(READY, lanes_busy=("sub-1",)),
    R.REQUESTS_IN_FLIGHT: replace(READY, turns_in_flight=("run 7, 12 s",)),
}
EVENT_PASSES = {
    R.PAUSED, R.IDLE_PAUSED, R.SUSPENDED, R.BACKOFF, R.BUDGET_EXHAUSTED, R.RECENT_RUN,
    R.INVALID_HEARTBEAT_FILE, R.EMPTY_HEARTBEAT_FILE, R.NO_TASKS_DUE, R.RESTING,
}  # fmt: skip
MANUAL_PASSES = {
    R.PAUSED, R.IDLE_PAUSED, R.SUSPENDED, R.BACKOFF, R.BUDGET_EXHAUSTED, R.NOT_DUE,
    R.MIN_SPACING, R.FLOOD, R.RECENT_RUN, R.QUIET_HOURS, R.INVALID_HEARTBEAT_FILE,
    R.EMPTY_HEARTBEAT_FILE, R.NO_TASKS_DUE, R.RESTING, R.ALERTS_DISABLED,
}  # fmt: skip


@pytest.mark.parametrize(("reason", "beat"), ONE_CHANGE_FROM_READY.items())
def test_each_obstacle_is_named_with_its_evidence(reason: R, beat: BeatSnapshot) -> None:
    decision = decide(beat, NOON)
    assert isinstance(decision, Skip | Defer)
    assert decision.reason is reason
    assert decision.because


def test_with_no_obstacle_it_runs() -> None:
    assert decide(READY, NOON) == Run()


def test_the_list_has_every_reason_of_the_specification() -> None:
    assert [decide(beat, NOON).reason for beat in ONE_CHANGE_FROM_READY.values()] == list(  # type: ignore[union-attr]  # all of them stop
        ONE_CHANGE_FROM_READY
    )


def test_the_most_fundamental_obstacle_is_named_first() -> None:
    everything = replace(
        READY, enabled=False, paused="by ann", active_hours=MORNING, file_empty=True,
        no_route=(R.NO_ROUTE, "nobody wrote"), turns_in_flight=("run 7",),
    )  # fmt: skip
    assert [stop.reason for stop in walk(everything, NOON)] == [
        R.DISABLED, R.PAUSED, R.QUIET_HOURS, R.EMPTY_HEARTBEAT_FILE, R.NO_ROUTE,
        R.REQUESTS_IN_FLIGHT,
    ]  # fmt: skip
    assert decide(everything, NOON) == walk(everything, NOON)[0]


@pytest.mark.parametrize(("reason", "beat"), ONE_CHANGE_FROM_READY.items())
def test_a_person_is_stopped_only_by_what_makes_a_beat_impossible(
    reason: R, beat: BeatSnapshot
) -> None:
    decision = decide(replace(beat, intent=Intent.MANUAL), NOON)
    assert isinstance(decision, Run) is (reason in MANUAL_PASSES)


def test_a_person_who_asks_at_night_is_told_that_it_was_outside_the_hours() -> None:
    night = replace(READY, intent=Intent.MANUAL, active_hours=MORNING)
    assert decide(night, NOON) == Run(outside_active_hours=True)


def test_an_event_bypasses_the_file() -> None:
    event = replace(READY, intent=Intent.EVENT, has_events=True, file_empty=True)
    assert decide(event, NOON) == Run()


@pytest.mark.parametrize(("reason", "beat"), ONE_CHANGE_FROM_READY.items())
def test_an_event_passes_what_stops_only_polls(reason: R, beat: BeatSnapshot) -> None:
    decision = decide(replace(beat, intent=Intent.EVENT, has_events=True), NOON)
    assert isinstance(decision, Run) is (reason in EVENT_PASSES)


def test_the_order_is_the_order_of_the_specification() -> None:
    snapshots = list(ONE_CHANGE_FROM_READY.values())
    for earlier, later in pairwise(snapshots):
        both = {
            name: getattr(later, name)
            for name in BeatSnapshot.__dataclass_fields__
            if getattr(later, name) != getattr(READY, name)
        }
        taken = {
            name
            for name in BeatSnapshot.__dataclass_fields__
            if getattr(earlier, name) != getattr(READY, name)
        }
        if not taken & set(both):  # one field holds one obstacle at a time
            assert decide(replace(earlier, **both), NOON) == decide(earlier, NOON)


def test_a_slot_outside_the_hours_is_over_even_if_an_event_waits() -> None:
    slot = replace(READY, has_events=True, active_hours=MORNING)
    assert isinstance(decide(slot, NOON), Skip)


def test_an_event_that_waited_for_a_slot_bypasses_the_file() -> None:
    assert decide(replace(READY, has_events=True, file_empty=True), NOON) == Run()


@pytest.mark.parametrize(
    ("source", "waits"), [("cron", False), ("cli", False), ("hook", True), ("exec", True)]
)
def test_at_night_only_what_was_asked_for_at_that_hour_runs(source: str, waits: bool) -> None:
    wake = replace(
        READY, intent=Intent.IMMEDIATE, source=source, has_events=True, active_hours=MORNING
    )
    assert isinstance(decide(wake, NOON), Defer) is waits


def test_the_evidence_speaks_the_time_of_the_person() -> None:
    here = replace(ONE_CHANGE_FROM_READY[R.RECENT_RUN], zone=ZoneInfo("Asia/Shanghai"))
    decision = decide(here, NOON)
    assert isinstance(decision, Skip)
    assert "19:58:00 (Asia/Shanghai)" in decision.because


def test_an_event_at_night_waits_for_the_window() -> None:
    event = replace(READY, intent=Intent.EVENT, has_events=True, active_hours=MORNING)
    decision = decide(event, NOON)
    assert isinstance(decision, Defer)
    assert decision.retry_at == datetime(2026, 3, 17, 22, 0, tzinfo=UTC)


def test_an_event_held_back_is_kept_until_it_may_run() -> None:
    held = Deferral(R.MIN_SPACING, "10 s ago", SOON)
    event = replace(READY, intent=Intent.EVENT, has_events=True, held_back=held)
    assert decide(event, NOON) == Defer(R.MIN_SPACING, "10 s ago", SOON)


def test_the_evidence_of_quiet_hours_is_the_local_time() -> None:
    decision = decide(ONE_CHANGE_FROM_READY[R.QUIET_HOURS], NOON)
    assert decision == Skip(
        R.QUIET_HOURS, "it is 20:00 in Asia/Shanghai; active 06:00-09:00 Asia/Shanghai"
    )
