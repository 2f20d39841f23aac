"""What a job did before it came here, as columns and rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.entries import run_entry
from jobs.importing import past
from jobs.ledger import Run, RunStatus, SkipReason, Trigger, Usage

TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)
LATER = TEN + timedelta(days=1)
MS = int(TEN.timestamp() * 1000)
OK: dict[str, Any] = {
    "ts": MS + 11_000,
    "jobId": "a",
    "action": "finished",
    "status": "ok",
    "runAtMs": MS,
}


def run_of(entry: dict[str, Any]) -> Run | None:
    known = {"job_id": "a", "job_name": "A", "agent_id": "main"}
    return past.run_of(entry, **known, source="openclaw", now=LATER)


def row(**more: Any) -> Run:
    run = run_of({**OK, **more})
    assert run is not None
    return run


def test_a_run_is_told_as_it_was() -> None:
    run = row(
        durationMs=11_000,
        summary="Nothing new",
        model="m",
        provider="p",
        sessionKey="agent:main:x",
        usage={"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
        nextRunAtMs=MS + 60_000,
    )
    assert run.status is RunStatus.OK
    assert run.trigger is Trigger.SCHEDULE
    assert (run.started_at, run.ended_at) == (TEN, TEN + timedelta(seconds=11))
    assert run.usage == Usage(input_tokens=3, output_tokens=1)
    entry = run_entry(run)
    assert entry["summary"] == "Nothing new"
    assert entry["durationMs"] == 11_000


def test_a_row_takes_no_slot_from_the_scheduler() -> None:
    assert row(scheduledForMs=MS).slot is None


def test_the_same_entry_is_the_same_row_and_rows_sort_by_time() -> None:
    assert row().id == row().id
    assert row().id != row(summary="other").id
    assert row().id < row(ts=MS + 60_000).id
    assert len(row().id) == 24


@pytest.mark.parametrize(
    ("entry", "status", "reason"),
    [
        ({"status": "skipped", "error": "disabled"}, RunStatus.SKIPPED, SkipReason.DISABLED),
        (
            {"status": "skipped", "error": "main job requires non-empty systemEvent text"},
            RunStatus.SKIPPED,
            SkipReason.EMPTY_EVENT,
        ),
        ({"status": "skipped", "error": "who knows"}, RunStatus.SKIPPED, None),
        (
            {"status": "skipped", "skipReason": "quiet-hours"},
            RunStatus.SKIPPED,
            SkipReason.QUIET_HOURS,
        ),
        ({"status": "error", "error": "boom"}, RunStatus.FAILED, None),
    ],
)
def test_reasons_of_the_closed_list_are_kept(
    entry: dict[str, Any], status: RunStatus, reason: SkipReason | None
) -> None:
    run = row(**entry)
    assert (run.status, run.reason) == (status, reason)
    assert (run.because or (run.error or {}).get("message") or run.reason) is not None


def test_a_run_by_hand_is_one() -> None:
    assert row(runId="manual:1:2").trigger is Trigger.MANUAL
    assert row(trigger="backfill").trigger is Trigger.BACKFILL


def test_what_has_no_column_is_kept_beside() -> None:
    facts = row(deliveryStatus="delivered", delivered=True).facts
    assert facts["imported"] == {
        "from": "openclaw",
        "deliveryStatus": "delivered",
        "delivered": True,
    }


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"status": "ok"},
        {"status": "maybe", "ts": MS},
        {"status": "ok", "ts": "yesterday"},
        {"status": "ok", "ts": -5},
        {"status": "ok", "ts": 10**30},
        {"status": "ok", "ts": True},
    ],
)
def test_what_does_not_say_when_and_how_it_ended_is_no_run(entry: dict[str, Any]) -> None:
    assert run_of(entry) is None


def test_half_characters_cannot_spoil_a_transaction() -> None:
    run = row(summary="a\ud800b", extra={"x": "\udfff"}, error="\ud800")
    for words in (run.reply["preview"], str(run.facts)):
        words.encode()


@pytest.mark.parametrize("took", [-1, "long", 10**14, None, float("nan")])
def test_a_duration_that_is_none_moves_no_end_before_its_start(took: Any) -> None:
    run = row(durationMs=took)
    assert run.started_at is not None
    assert run.ended_at is not None
    assert run.started_at <= run.ended_at


@pytest.mark.parametrize("ahead", [{"ts": 253_370_764_700_000}, {"runAtMs": MS + 2 * 86_400_000}])
def test_a_run_of_a_time_to_come_is_none(ahead: dict[str, Any]) -> None:
    assert past.is_ahead(OK | ahead, LATER)
    assert run_of(OK | ahead) is None
    assert not past.is_ahead(OK, LATER)


def test_no_run_lasts_beyond_now() -> None:
    assert row(durationMs=10**14).ended_at == LATER


def test_counters_are_kept_or_counted() -> None:
    runs: list[dict[str, Any]] = [
        OK,
        {"status": "error"},
        {"status": "skipped"},
        {"status": "maybe"},
    ]
    counted = past.tallied({"consecutiveErrors": 2}, runs)
    assert past.columns(counted, LATER) == {
        "consecutive_errors": 2,
        "run_count": 3,
        "ok_count": 1,
        "error_count": 1,
        "skip_count": 1,
    }
    told = past.tallied({"runCount": 9, "okCount": 9}, runs)
    assert past.columns(told, LATER) == {"run_count": 9, "ok_count": 9}


def test_the_last_run_is_kept_and_the_next_one_is_not() -> None:
    state = {
        "nextRunAtMs": MS,
        "lastRunAtMs": MS,
        "lastStatus": "skipped",
        "lastError": "requests-in-flight",
        "lastSkipReason": "requests-in-flight",
        "lastDurationMs": 5,
        "autoDisabled": {"reason": "consecutive-failures", "atMs": 1},
        "paused": {"by": "anna", "note": "holidays"},
    }
    assert past.columns(state, LATER) == {
        "last_run_at": TEN,
        "last_status": "skipped",
        "last_error": "requests-in-flight",
        "last_duration_ms": 5,
        "last_reason": "requests-in-flight",
        "auto_disabled": "consecutive-failures",
        "paused": {"by": "anna", "note": "holidays"},
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"by": "anna", "untilMs": MS, "atMs": MS - 1}, {"untilMs": MS, "atMs": MS - 1}),
        ({"by": "anna", "untilMs": "soon"}, {}),
        ({"by": "anna", "untilMs": 10**18, "atMs": True}, {}),
        ({"by": "anna", "note": ["x"], "more": 1}, {}),
        ({"untilMs": {}}, {"by": "the import"}),
    ],
)
def test_a_pause_is_kept_and_an_end_that_is_none_is_left_out(
    given: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert past.columns({"paused": given}, LATER) == {"paused": {"by": "anna", **kept}}


@pytest.mark.parametrize(
    "state",
    [
        {"lastRunAtMs": "x"},
        {"lastRunStatus": 7},
        {"runCount": -1},
        {"paused": "yes"},
        {"paused": {}},
        {"okCount": 1e300},
    ],
)
def test_a_state_of_the_wrong_type_says_nothing(state: dict[str, Any]) -> None:
    assert past.columns(state, LATER) == {}
