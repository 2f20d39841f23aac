"""What the record of a beat says, in words and on the wire (heartbeat.md §9)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.ledger.explain import WIRE, record_words, sentence, wire_status
from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger, Usage

NOON = datetime(2026, 3, 17, 5, 43, 22, tzinfo=UTC)  # 13:43:22 in Shanghai
SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = timedelta(days=1)
HALF_HOUR = timedelta(minutes=30)

TARGET = {"channel": "qqbot", "accountId": "xiaodi", "to": "c2c:989e60", "via": "last"}
ACK = Run(
    id="run-1",
    job_id="heartbeat:main",
    kind="heartbeat",
    agent_id="main",
    trigger=Trigger.WAKE,
    status=RunStatus.OK,
    outcome=Outcome.ACKNOWLEDGED,
    session_key="agent:main:main",
    claimed_at=NOON - timedelta(seconds=11),
    started_at=NOON - timedelta(seconds=11),
    ended_at=NOON,
    wake={"source": "rpc", "intent": "immediate", "reason": "wake", "by": "system event"},
    target=TARGET,
    usage=Usage(input_tokens=900, output_tokens=12),
    model="openai/gpt-5",
    next_due_at=NOON + HALF_HOUR,
    tz="Asia/Shanghai",
)
ALERT = replace(ACK, outcome=Outcome.ALERT, reply={"preview": "Disk at 95 %"})
BARE = Run(
    id="run-2", job_id="heartbeat:main", kind="heartbeat", agent_id="main",
    trigger=Trigger.SCHEDULE, status=RunStatus.SKIPPED, slot=NOON, claimed_at=NOON, ended_at=NOON,
)  # fmt: skip


def _sent(state: State, **changes: Any) -> Delivery:
    route = Route(channel="qqbot", account_id="xiaodi", to="c2c:989e60")
    made = Delivery(
        key="heartbeat:run-1:0", route=route, text="Disk at 95 %", kind="heartbeat",
        created_at=NOON, expires_at=NOON + DAY, state=state, message_ids=("m-7",),
    )  # fmt: skip
    return replace(made, **changes)


def test_an_acknowledgement_has_the_keys_and_words_of_the_seed() -> None:
    words = record_words(ACK, None)
    assert {key: words[key] for key in ("status", "reason", "durationMs", "silent")} == {
        "status": "ok-token",
        "reason": "wake",
        "durationMs": 11_000,
        "silent": True,
    }
    assert (words["ts"], words["indicatorType"]) == (1773726202000, "ok")
    assert (words["channel"], words["accountId"]) == ("qqbot", "xiaodi")
    assert "to" not in words
    assert "hasMedia" not in words
    assert words["tokens"] == 912
    json.dumps(words)


@pytest.mark.parametrize("status", RunStatus)
@pytest.mark.parametrize("state", [None, *State])
@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_what_is_stored_for_a_word_is_where_it_is_looked_for(
    status: RunStatus, outcome: Outcome | None, state: State | None
) -> None:
    run = replace(ACK, status=status, outcome=outcome)
    assert status in WIRE[wire_status(run, None if state is None else _sent(state))]


def test_an_event_that_a_message_took_first_is_told_by_the_beat_that_missed_it() -> None:
    gone = [{"id": "e1", "runId": "in-7", "atMs": 1773726180000}]
    told = sentence(replace(ACK, facts={"eventsTaken": gone}), None, zone=SHANGHAI)
    assert "An event went to a message to the agent at 13:43 (run in-7)." in told
    two = sentence(replace(ACK, facts={"eventsTaken": gone * 2}), None, zone=SHANGHAI)
    assert "2 events went to" in two


def test_a_sent_alert_tells_where_and_has_no_reason() -> None:
    words = record_words(ALERT, _sent(State.DELIVERED))
    assert (words["status"], words["to"]) == ("sent", "c2c:989e60")
    assert (words["preview"], words["hasMedia"]) == ("Disk at 95 %", False)
    assert words["delivered"] is True
    assert words["messageId"] == "m-7"
    assert "reason" not in words
    assert "silent" not in words


def test_a_slot_of_the_grid_was_woken_by_the_interval() -> None:
    beat = replace(ACK, trigger=Trigger.SCHEDULE, wake={})
    assert record_words(beat, None)["reason"] == "interval"


def test_an_error_is_the_reason_of_a_failure() -> None:
    failed = replace(
        ACK, status=RunStatus.FAILED, outcome=Outcome.FAILED,
        error={"class": "auth", "message": "401 from the provider"},
    )  # fmt: skip
    words = record_words(failed, None)
    assert (words["status"], words["reason"]) == ("failed", "401 from the provider")
    assert words["indicatorType"] == "error"


def test_the_indicator_can_be_switched_off() -> None:
    assert "indicatorType" not in record_words(replace(ACK, facts={"useIndicator": False}), None)


def test_silence_for_want_of_a_target_says_so_in_words() -> None:
    nowhere = replace(ALERT, reason=SkipReason.TARGET_NONE, target={"reason": "target-none"})
    words = record_words(nowhere, None)
    assert (words["status"], words["skipReason"]) == ("skipped", "target-none")
    assert "engine config set" in words["message"]


DELIVERED_AS = {
    State.QUEUED: "sent", State.SENDING: "sent", State.HELD: "sent", State.DELIVERED: "sent",
    State.UNKNOWN: "sent", State.FAILED: "failed", State.EXPIRED: "failed",
    State.CANCELLED: "skipped",
}  # fmt: skip


@pytest.mark.parametrize("state", State)
def test_every_state_of_a_delivery_has_a_word_and_a_sentence(state: State) -> None:
    sent = _sent(state, reason="superseded" if state is State.CANCELLED else None)
    assert wire_status(ALERT, sent) == DELIVERED_AS[state]
    words = record_words(ALERT, sent)
    assert words["delivery"]["state"] == state.value
    assert "qqbot/xiaodi" in words["explain"]
    if state is State.CANCELLED:
        assert words["reason"] == "superseded"


BLOCKED = {"class": "blocked", "code": "403", "detail": "Forbidden: bot was blocked by the user"}
REFUSED = {"class": "auth", "code": "401", "detail": "Unauthorized"}
BROKEN = {"class": "server", "code": "502", "detail": "the answer was not JSON"}


@pytest.mark.parametrize(
    ("state", "error", "reason", "told"),
    [
        (
            State.FAILED, BLOCKED, "blocked",
            "(blocked: 403 Forbidden: bot was blocked by the user).",
        ),
        (
            State.QUEUED, REFUSED, None,
            "failed (auth: 401 Unauthorized), next attempt 13:44:22.",
        ),
        (
            State.QUEUED, BROKEN, None,
            "the last attempt failed (server: 502 the answer was not JSON), next attempt 13:44:22.",
        ),
        (State.EXPIRED, BROKEN, "expired", "expired (server: 502 the answer was not JSON)."),
        (State.EXPIRED, None, "expired", "expired (expired)."),
        (State.CANCELLED, BROKEN, "superseded", "cancelled (superseded)."),
        (State.UNKNOWN, None, "interrupted", "c2c:989e60 (interrupted); it was not sent again"),
        (State.FAILED, {"class": "account-disabled"}, "account-disabled", "(account-disabled)."),
    ],
)  # fmt: skip
def test_a_message_that_did_not_arrive_says_what_the_platform_said_and_what_to_do(
    state: State, error: dict[str, str] | None, reason: str | None, told: str
) -> None:
    again = NOON + timedelta(minutes=1) if state is State.QUEUED else None
    sent = _sent(state, last_error=error, reason=reason, next_attempt_at=again)
    words = record_words(ALERT, sent)
    assert told in words["explain"]
    assert words["delivery"].get("lastError") == error
    if error in (BLOCKED, REFUSED):
        key = "engine config set channels.qqbot.accounts.xiaodi.clientSecret NEW_ONE"
        fix = key if error is REFUSED else "in the chat: unblock or start the bot"
        assert words["explain"].endswith(f"Fix: {fix}")


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (RunStatus.CLAIMED, "claimed"),
        (RunStatus.RUNNING, "running"),
        (RunStatus.DEFERRED, "deferred"),
        (RunStatus.OK, "ok-token"),
        (RunStatus.FAILED, "failed"),
        (RunStatus.SKIPPED, "skipped"),
        (RunStatus.MISSED, "skipped"),
    ],
)
def test_every_status_has_its_word_and_a_sentence(status: RunStatus, word: str) -> None:
    beat = replace(BARE, status=status)
    assert wire_status(beat, None) == word
    assert len(sentence(beat, None, zone=SHANGHAI)) > 30


def test_no_status_is_untested() -> None:
    assert len(RunStatus) == 7
    assert set(DELIVERED_AS) == set(State)


@pytest.mark.parametrize("reason", SkipReason)
@pytest.mark.parametrize(
    "beat", [BARE, replace(BARE, status=RunStatus.MISSED), ALERT], ids=["skipped", "missed", "kept"]
)
def test_every_reason_is_explained_to_a_person(beat: Run, reason: SkipReason) -> None:
    told = sentence(replace(beat, reason=reason), None, zone=SHANGHAI)
    assert f"({reason.value})" in told
    assert reason.sentence in told
    assert told.startswith("2026-03-17 13:43:22 main: ")


def test_a_beat_that_did_not_answer_says_that_its_event_is_kept() -> None:
    woken = {"by": "rpc:cli", "eventIds": ["e1"]}
    failed = replace(
        BARE, status=RunStatus.FAILED, wake=woken, error={"class": "network", "message": "down."}
    )
    told = sentence(failed, None, zone=SHANGHAI)
    assert told.endswith("failed (asked by: rpc:cli): down. Its event is kept and asked again.")
    skipped = replace(BARE, reason=SkipReason.NO_ROUTE, because="nobody wrote", wake=woken)
    assert "Its event is kept" in sentence(skipped, None, zone=SHANGHAI)
    many = replace(skipped, wake={"eventIds": ["e1", "e2"]})
    assert "Its 2 events are kept" in sentence(many, None, zone=SHANGHAI)
    taken = replace(skipped, reason=SkipReason.NO_PENDING_EVENT)
    assert "kept" not in sentence(taken, None, zone=SHANGHAI)
    assert "kept" not in sentence(replace(skipped, wake={}), None, zone=SHANGHAI)


def test_the_first_line_is_the_one_the_person_in_the_thread_needed() -> None:
    assert sentence(ACK, None, zone=SHANGHAI, now=NOON) == (
        "13:43:22 main: ran 11.0 s (asked by: system event). The agent answered HEARTBEAT_OK, so"
        " nothing was sent. No event text was in its prompt; words the wake carried were for"
        " another agent. It would have gone to qqbot/xiaodi → c2c:989e60. Next: 14:13."
    )


def test_an_agent_that_read_the_words_of_a_wake_is_not_told_it_did_not() -> None:
    read = replace(ACK, facts={"events": ["e-1"]})
    assert "event" not in sentence(read, None, zone=SHANGHAI).partition(")")[2]
    two = replace(ACK, facts={"events": ["e-1", "e-2"]})
    assert "2 events were in its prompt." in sentence(two, None, zone=SHANGHAI)
    by_clock = replace(ACK, wake={})
    assert "prompt" not in sentence(by_clock, None, zone=SHANGHAI)


def test_the_next_beat_is_told_with_its_day_unless_that_is_today() -> None:
    def told(due: timedelta, now: datetime = NOON) -> str:
        beat = replace(ACK, next_due_at=NOON + due)
        return sentence(beat, None, zone=SHANGHAI, now=now).rpartition("60. ")[2]

    assert told(HALF_HOUR) == "Next: 14:13."
    assert told(DAY) == "Next: 2026-03-18 13:43 (Asia/Shanghai)."
    assert told(HALF_HOUR, NOON + HALF_HOUR) == "Next: 14:13."
    assert told(HALF_HOUR, NOON + 2 * HALF_HOUR) == (
        "The next was due at 14:13 and is not on record."
    )


def test_a_target_of_none_is_told_even_when_there_was_nothing_to_send() -> None:
    nowhere = replace(ACK, target={"reason": "target-none", "because": "target is not set"})
    told = sentence(nowhere, None, zone=SHANGHAI)
    assert "Even an alert would have gone nowhere: target is not set." in told


def test_evidence_and_fix_stand_in_the_sentence_of_a_skip() -> None:
    quiet = replace(
        BARE, reason=SkipReason.QUIET_HOURS, because="it is 03:12 in Asia/Shanghai; active 09-22"
    )
    told = sentence(quiet, None, zone=SHANGHAI)
    assert "It is 03:12 in Asia/Shanghai; active 09-22. " in told
    assert told.endswith("Fix: engine heartbeat run --agent main")  # no full stop: it is pasted


def test_words_beside_the_token_are_not_hidden() -> None:
    swallowed = replace(ACK, reply={"droppedText": "Disk nearly full"})
    assert '"Disk nearly full"' in sentence(swallowed, None, zone=SHANGHAI)


def test_a_missed_beat_is_told_at_its_slot_and_not_when_that_was_found() -> None:
    beat = replace(BARE, status=RunStatus.MISSED, slot=NOON, ended_at=NOON + timedelta(hours=5))
    at = NOON.astimezone(SHANGHAI)
    assert sentence(beat, None, zone=SHANGHAI).startswith(f"{at:%Y-%m-%d %H:%M:%S} ")
