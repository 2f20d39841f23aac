"""The run log's entries, and what a job's state says of its last run: words of the wire."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.entries import (
    STATUSES,
    Sent,
    delivery_status,
    diagnostics,
    last_alarm,
    last_run,
    run_entry,
)
from jobs.ledger import SCHEDULED_FOR, Outcome, Run, RunStatus, SkipReason, Trigger, Usage
from jobs.model import JobState

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RAN = Run(
    id="r1",
    job_id="j1",
    kind="cron",
    agent_id="main",
    trigger=Trigger.SCHEDULE,
    status=RunStatus.OK,
    outcome=Outcome.ALERT,
    slot=NOON,
    started_at=NOON + timedelta(seconds=1),
    ended_at=NOON + timedelta(seconds=3),
)


def test_every_stored_status_has_a_word_of_the_wire() -> None:
    assert {status for group in STATUSES.values() for status in group} == set(RunStatus)


@pytest.mark.parametrize(
    ("change", "state", "word"),
    [
        ({}, "delivered", "delivered"),
        ({}, "queued", "unknown"),
        ({}, "unknown", "unknown"),
        ({}, "failed", "not-delivered"),
        ({}, "expired", "not-delivered"),
        ({}, "cancelled", "not-delivered"),
        ({"delivery_key": "k"}, None, "unknown"),
        ({"outcome": Outcome.ACKNOWLEDGED, "target": {"channel": "x"}}, None, "suppressed"),
        ({"outcome": Outcome.EMPTY}, None, "not-requested"),
        ({"reason": SkipReason.DUPLICATE}, None, "suppressed"),
        ({}, None, "not-requested"),
        ({"status": RunStatus.FAILED}, None, "not-requested"),
        ({"status": RunStatus.MISSED}, None, "not-requested"),
    ],
)
def test_what_became_of_the_words_is_told_apart_from_the_run(
    change: dict[str, Any], state: str | None, word: str
) -> None:
    assert delivery_status(replace(RAN, **change), state) == word


def test_an_entry_leaves_out_what_is_not_there() -> None:
    entry = run_entry(RAN)
    assert entry["status"] == "ok"
    assert (entry["durationMs"], entry["latenessMs"]) == (2000, 1000)
    assert not {"error", "usage", "skipReason", "delivered", "count"} & entry.keys()


def test_an_entry_tells_what_a_turn_cost() -> None:
    run = replace(RAN, usage=Usage(input_tokens=3, output_tokens=2, cost_usd=0.5))
    entry = run_entry(run, sent=Sent(state="delivered"))
    assert entry["usage"]["total_tokens"] == 5
    assert (entry["costUsd"], entry["delivered"]) == (0.5, True)


REFUSED = Sent(state="failed", error="chat not found", reason="bad-request")
BROKEN = replace(
    RAN.failed("timeout", "cron: job execution timed out", NOON), outcome=Outcome.FAILED
)


@pytest.mark.parametrize(
    ("change", "sent", "word"),
    [
        ({}, None, "succeeded"),
        ({"delivery_key": "k"}, Sent(state="delivered"), "succeeded"),
        ({"delivery_key": "k"}, Sent(state="queued"), "unknown"),
        ({"delivery_key": "k"}, REFUSED, "failed"),
        ({"delivery_key": "k", "target": {"bestEffort": True}}, REFUSED, "succeeded"),
        ({"status": RunStatus.FAILED}, None, "failed"),
        ({"status": RunStatus.MISSED}, None, "skipped"),
    ],
)
def test_a_run_is_complete_when_its_words_arrived_too(
    change: dict[str, Any], sent: Sent | None, word: str
) -> None:
    assert run_entry(replace(RAN, **change), sent=sent)["completionStatus"] == word


def test_a_run_that_goes_on_is_not_complete_in_any_way() -> None:
    assert "completionStatus" not in run_entry(replace(RAN, status=RunStatus.RUNNING))


def test_an_entry_says_where_the_words_were_meant_to_go_and_where_they_went() -> None:
    run = replace(
        RAN,
        delivery_key="k",
        target={"requested": "last", "channel": "telegram", "to": "42"},
        reply={"sentTo": [{"channel": "local", "to": "me"}]},
    )
    entry = run_entry(run, sent=REFUSED, session_id="s1")
    assert entry["delivery"] == {
        "intended": "last",
        "resolved": {"channel": "telegram", "to": "42"},
        "messageToolSentTo": [{"channel": "local", "to": "me"}],
        "fallbackUsed": True,
        "delivered": False,
    }
    assert (entry["delivered"], entry["sessionId"]) == (False, "s1")


def test_a_run_that_stands_for_a_slot_says_which() -> None:
    run = replace(RAN, slot=None, facts={SCHEDULED_FOR: 1_772_359_200_000})
    assert run_entry(run)["scheduledForMs"] == 1_772_359_200_000


def test_an_entry_tells_whether_its_failure_was_told() -> None:
    entry = run_entry(BROKEN, alarm=Sent(state="delivered"))
    assert entry["failureNotificationDelivery"] == {"delivered": True, "status": "delivered"}


@pytest.mark.parametrize(
    ("run", "sent", "told"),
    [
        (RAN, None, []),
        (BROKEN, None, [("agent-run", "error", "cron: job execution timed out")]),
        (replace(BROKEN, facts={"exitCode": 2}), None, [("exec", "error", BROKEN.because)]),
        (replace(BROKEN, reason=SkipReason.AGENT_TOOL_FAILURE), None, [("tool", "error", "cron")]),
        (
            RAN.skipped(SkipReason.PREFLIGHT_UNREACHABLE, "nothing listens", NOON),
            None,
            [("model-preflight", "warning", "nothing listens")],
        ),
        (RAN.skipped(SkipReason.PAUSED, "ann", NOON), None, [("cron-preflight", "warning", "ann")]),
        (RAN, REFUSED, [("delivery", "error", "chat not found")]),
    ],
)
def test_every_trouble_of_a_run_says_where_it_came_from(
    run: Run, sent: Sent | None, told: list[tuple[str, str, str]]
) -> None:
    found = diagnostics(run, sent)
    assert [(one["source"], one["severity"]) for one in found] == [one[:2] for one in told]
    assert all(words in one["message"] for one, (_, _, words) in zip(found, told, strict=True))


def test_the_exit_status_of_a_program_is_told_with_its_failure() -> None:
    assert diagnostics(replace(BROKEN, facts={"exitCode": 2}))[0]["exitCode"] == 2


@pytest.mark.parametrize(
    ("change", "sent", "told"),
    [
        ({}, Sent(state="delivered"), {"lastDelivered": True, "lastDeliveryStatus": "delivered"}),
        ({"reason": SkipReason.DUPLICATE}, None, {"deliverySuppressionReason": "duplicate"}),
        (
            {"outcome": Outcome.ACKNOWLEDGED, "target": {"requested": "last"}},
            None,
            {"lastDeliveryStatus": "suppressed", "deliverySuppressionReason": "silent"},
        ),
        (
            {"delivery_key": "k"},
            REFUSED,
            {
                "lastDelivered": False,
                "lastDeliveryStatus": "not-delivered",
                "lastDeliveryError": "chat not found",
                "lastDiagnosticSummary": "chat not found",
            },
        ),
    ],
)
def test_a_jobs_state_says_what_became_of_its_last_words(
    change: dict[str, Any], sent: Sent | None, told: dict[str, Any]
) -> None:
    found = last_run(replace(RAN, **change), sent)
    assert told.items() <= found.items()
    assert found["lastScheduledForMs"] == int(NOON.timestamp() * 1000)


@pytest.mark.parametrize(
    ("alarm", "sent", "told"),
    [
        ({}, None, {}),
        ({"lastOkMs": 5}, None, {}),
        (
            {"lastMs": 5, "key": "alarm:r1"},
            Sent(state="delivered"),
            {
                "lastFailureAlertAtMs": 5,
                "lastFailureNotificationDelivered": True,
                "lastFailureNotificationStatus": "delivered",
            },
        ),
        (
            {"lastMs": 5, "because": "nobody has written yet"},
            None,
            {
                "lastFailureAlertAtMs": 5,
                "lastFailureNotificationDelivered": False,
                "lastFailureNotificationStatus": "not-delivered",
                "lastFailureNotificationError": "nobody has written yet",
            },
        ),
        ({"lastMs": 5, "key": "pruned"}, None, {"lastFailureAlertAtMs": 5}),
    ],
)
def test_a_jobs_state_says_whether_anybody_heard_of_its_trouble(
    alarm: dict[str, Any], sent: Sent | None, told: dict[str, Any]
) -> None:
    assert last_alarm(JobState(alarm=alarm), sent) == told


@pytest.mark.parametrize(("state", "shown"), [("queued", "queued"), ("delivered", None)])
def test_a_message_on_its_way_is_unknown_and_where_it_stands_is_told(
    state: str, shown: str | None
) -> None:
    entry = run_entry(replace(RAN, delivery_key="k"), sent=Sent(state=state))
    assert entry.get("deliveryState") == shown
