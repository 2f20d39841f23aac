"""What is kept of words that reached nobody: heartbeat.md §25 rows 11 and 13, channels.md §11."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.kept import Kept, Stage, of_delivery, of_run, print_of, to_json
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CHAT = Route(channel="telegram", account_id="default", to="42")
R = SkipReason
SAID = Run(
    id="r1",
    job_id="heartbeat:main",
    kind="heartbeat",
    agent_id="main",
    trigger=Trigger.SCHEDULE,
    status=RunStatus.OK,
    outcome=Outcome.ALERT,
    reason=R.NO_ROUTE,
    because="nobody wrote",
    reply={"rawText": " The build is red.\n"},
    ended_at=NOON,
)
MESSAGE = Delivery(
    key="heartbeat:r1:0",
    route=CHAT,
    text="The build is red.",
    kind="heartbeat",
    created_at=NOON,
    expires_at=NOON + HOUR,
    agent_id="main",
    run_id="r1",
)


@pytest.mark.parametrize(
    "reason",
    [
        R.TARGET_NONE, R.NO_ROUTE, R.ALERTS_DISABLED, R.DM_BLOCKED, R.DUPLICATE, R.UNKNOWN_ACCOUNT,
        R.ACCOUNT_DISABLED, R.TARGET_INVALID, R.NO_TARGET, R.MUTED, R.SNOOZED, R.DIGEST,
    ],
)  # fmt: skip
def test_an_alert_that_was_not_sent_is_kept_with_its_reason(reason: SkipReason) -> None:
    found = of_run(replace(SAID, reason=reason))
    assert found is not None
    told = (found.text, found.reason, found.because, found.agent_id, found.run_id, found.at)
    assert told == ("The build is red.", reason, "nobody wrote", "main", "r1", NOON)


def test_of_many_payloads_the_words_that_would_have_gone_out_are_kept() -> None:
    found = of_run(replace(SAID, reply={"rawText": "Reasoning: …\nRed.", "unsent": "Red."}))
    assert found is not None
    assert found.text == "Red."


def test_what_stood_beside_an_acknowledgement_is_kept_and_asks_for_no_look() -> None:
    calm = replace(SAID, outcome=Outcome.ACKNOWLEDGED, reason=None)
    found = of_run(replace(calm, reply={"droppedText": "disk at 91%"}))
    assert found is not None
    assert (found.text, found.reason, found.stage(NOON)) == ("disk at 91%", "dropped", Stage.NOTED)
    assert of_run(replace(calm, reply={"droppedText": "**"})) is None


@pytest.mark.parametrize(
    "run",
    [
        replace(SAID, reason=None, delivery_key="heartbeat:r1:0"),
        replace(SAID, reason=None),
        replace(SAID, outcome=Outcome.EMPTY, reason=None, reply={}),
        replace(SAID, status=RunStatus.FAILED, reason=R.AGENT_RUNNER_FAILURE),
        replace(SAID, status=RunStatus.SKIPPED, outcome=None, reply={}),
    ],
    ids=["on-its-way", "nobody-asked-for-it", "said-nothing", "failed", "did-not-run"],
)
def test_what_was_sent_or_never_said_is_not_kept(run: Run) -> None:
    assert of_run(run) is None


@pytest.mark.parametrize(
    ("state", "reason", "error", "word", "because"),
    [
        (State.FAILED, "blocked", {"class": "blocked", "code": "403"}, "failed", "blocked 403"),
        (State.EXPIRED, "expired", None, "expired", "its time was over"),
        (State.CANCELLED, "superseded", None, "superseded", "a newer alert"),
        (State.CANCELLED, "overflow", None, "overflow", "too many"),
        (State.CANCELLED, "operator", None, "operator", "an operator"),
        (State.UNKNOWN, "network-ambiguous", None, "unknown", "may have arrived"),
    ],
)
def test_a_message_that_ended_undelivered_is_kept_with_how_it_ended(
    state: State, reason: str, error: dict[str, str] | None, word: str, because: str
) -> None:
    ended = replace(MESSAGE, state=state, reason=reason, last_error=error)
    found = of_delivery(ended, NOON)
    assert found is not None
    assert found.reason == word
    assert because in found.because
    assert (found.route, found.delivery_key, found.run_id) == (CHAT, "heartbeat:r1:0", "r1")


@pytest.mark.parametrize(
    "message",
    [
        replace(MESSAGE, state=State.DELIVERED),
        replace(MESSAGE, state=State.QUEUED),
        replace(MESSAGE, state=State.FAILED, kind="test"),
        replace(MESSAGE, state=State.CANCELLED, reason="superseded", text="HEARTBEAT_OK"),
        replace(MESSAGE, state=State.CANCELLED, reason="superseded", notes={"saidAgain": True}),
    ],
    ids=["arrived", "on-its-way", "a-test", "all-was-well", "the-newer-one-says-it"],
)
def test_of_other_messages_nothing_is_kept(message: Delivery) -> None:
    assert of_delivery(message, NOON) is None


KEPT = Kept(id="run:r1", text="Red.", reason="no-route", at=NOON, kind="heartbeat")


@pytest.mark.parametrize(
    ("kept", "stage"),
    [
        (KEPT, Stage.UNREAD),
        (replace(KEPT, reason="duplicate"), Stage.NOTED),
        (replace(KEPT, seen_at=NOON), Stage.READ),
        (replace(KEPT, until=NOON + HOUR), Stage.SNOOZED),
        (replace(KEPT, until=NOON), Stage.UNREAD),
        (replace(KEPT, seen_at=NOON, resent_key="k"), Stage.RESENT),
        (replace(KEPT, muted_at=NOON, until=NOON + HOUR), Stage.MUTED),
    ],
)
def test_each_stands_in_one_stage(kept: Kept, stage: Stage) -> None:
    assert kept.stage(NOON) is stage
    assert to_json(kept, NOON)["state"] == stage


def test_figures_times_links_and_the_order_of_lines_make_no_other_alert() -> None:
    one = print_of("main", "CPU 91% at 12:05\nsee https://a.example/1")
    assert one == print_of("main", "See https://b.example/2\ncpu  95% at 12:35")
    assert one != print_of("ops", "CPU 91% at 12:05\nsee https://a.example/1")
    assert one != print_of("main", "Disk 91% at 12:05\nsee https://a.example/1")
