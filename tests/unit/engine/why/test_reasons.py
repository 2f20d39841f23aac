"""Every reason for silence is explained by `engine why`: where it stands, and what to do about it.

heartbeat.md §26-12 and operations.md §10.1: the codes are a closed list, and so are the reasons.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine import why
from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.fault import FaultClass
from engine.messages.outbox import TERMINAL
from engine.why import Code, Gap, Recorded, Standing
from engine.why.reasons import PLACE
from jobs.ids import new_id
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
R = SkipReason
# The kinds of `SkipReason`: it ran and its words were not sent, it could not end; else not begun.
_UNSENT = {
    R.TARGET_NONE, R.DM_BLOCKED, R.DUPLICATE, R.SNOOZED, R.MUTED, R.DIGEST, R.CHANNEL_NOT_READY,
    R.QUOTA_EXHAUSTED,
}  # fmt: skip
_CUT = {
    R.INTERRUPTED, R.PREEMPTED, R.ACTIVE_RUN, R.BACKGROUND_WORK, R.AGENT_RUNNER_CANCELLED,
    R.AGENT_RUNNER_FAILURE, R.AGENT_TOOL_FAILURE, R.STORE_REPLACED, R.HANDLER_UNAVAILABLE,
}  # fmt: skip
_MISSED = {R.MISSED_DOWNTIME, R.MISSED_GRACE_EXCEEDED}
# Their time has not come, or there is nothing to tell: never a cause (§10.1).
WAITS = {R.NOT_DUE, R.NO_TASKS_DUE, R.DIGEST, R.RESTING, R.NOTHING_CHANGED}


def beat(**changes: Any) -> Run:
    ok = Run(
        id="01a1ff3a1bf09e6e2a7faca5", job_id="heartbeat:main", kind="heartbeat", agent_id="main",
        trigger=Trigger.SCHEDULE, status=RunStatus.OK, outcome=Outcome.ALERT, slot=NOON,
        claimed_at=NOON, started_at=NOON, ended_at=NOON, boot_id=new_id(NOON - HOUR),
        facts={"kind": "poll", "file": {"bytes": 9}}, wake={"intent": "scheduled"},
        target={"channel": "telegram", "to": "42", "via": "last"}, reply={"preview": "red"},
    )  # fmt: skip
    return replace(ok, **changes)


def held(reason: SkipReason, kind: str = "heartbeat") -> Run:
    """A row with a reason, as the engine writes it."""
    if reason in _UNSENT:
        return beat(kind=kind, reason=reason)
    gone: dict[str, Any] = {"outcome": None, "reply": {}, "kind": kind, "reason": reason}
    if reason in _CUT:
        error = {"class": "timeout", "message": "no answer in 600 s"}
        failure = error if reason in (R.AGENT_RUNNER_FAILURE, R.AGENT_TOOL_FAILURE) else None
        return beat(**gone, status=RunStatus.FAILED, error=failure)
    status = RunStatus.MISSED if reason in _MISSED else RunStatus.SKIPPED
    return beat(**gone, status=status, started_at=None, facts={})


def answer(run: Run, **more: Any) -> dict[str, Any]:
    return why.answered(why.told_of_run(Recorded(run=run, zone=UTC, **more)))


@pytest.mark.parametrize("kind", ["heartbeat", "cron"])
@pytest.mark.parametrize("reason", SkipReason, ids=str)
def test_every_reason_is_the_cause_that_is_named(reason: SkipReason, kind: str) -> None:
    found = answer(held(reason, kind))
    code = PLACE[reason].value
    (link,) = [one for one in found["links"] if one["code"].partition(".")[0] == code]
    assert link["what"]
    assert link["fix"], "a remedy, or that there is nothing to do"
    if reason in WAITS:
        assert (found["cause"], link["state"]) == (None, "waiting")
        assert found["sentence"].startswith("Nothing has come of the ")
    else:
        assert found["cause"] == link["code"]
        assert link["code"].startswith(f"{code}.")
        assert found["sentence"].startswith("No message came of the ")
    assert link["what"] in found["sentence"]


@pytest.mark.parametrize("reason", SkipReason, ids=str)
def test_a_word_of_a_code_is_the_reasons_own(reason: SkipReason) -> None:
    found = answer(held(reason))
    if found["cause"] is None:
        return
    _, _, word = found["cause"].partition(".")
    failure = reason in (R.AGENT_RUNNER_FAILURE, R.AGENT_TOOL_FAILURE)
    special = {R.TARGET_NONE: "none"}  # spelt so by operations.md §10.1
    assert word == ("timeout" if failure else special.get(reason, reason.value))


def test_every_reason_has_one_place_and_no_place_is_made_up() -> None:
    assert set(PLACE) == set(SkipReason)
    assert [code.value for code in Code] == [
        "config", "gateway", "logout", "scheduler", "heartbeat", "window", "gate", "checklist",
        "model", "reply", "target", "channel", "policy", "delivery",
    ]  # fmt: skip
    assert [state.value for state in Standing] == ["ok", "broken", "warn", "waiting", "unknown"]


@pytest.mark.parametrize("outcome", Outcome, ids=str)
@pytest.mark.parametrize("kind", ["heartbeat", "cron"])
def test_every_outcome_is_explained(outcome: Outcome, kind: str) -> None:
    failed = outcome is Outcome.FAILED
    run = beat(
        kind=kind,
        outcome=outcome,
        status=RunStatus.FAILED if failed else RunStatus.OK,
        reason=R.AGENT_RUNNER_FAILURE if failed else None,
        error={"class": "auth", "message": "401"} if failed else None,
    )
    cause = {
        Outcome.ACKNOWLEDGED: "reply.ok-token",
        Outcome.EMPTY: "reply.ok-empty",
        Outcome.ALERT: None,
        Outcome.FAILED: "model.auth",
    }
    found = answer(run)
    assert found["cause"] == cause[outcome]
    link = next((one for one in found["links"] if one["code"] == found["cause"]), None)
    assert link is None or link["fix"]


def message(state: State, **more: Any) -> Delivery:
    return Delivery(
        key="k", route=Route(channel="telegram", account_id="default", to="42"), text="red",
        kind="heartbeat", created_at=NOON, expires_at=NOON + HOUR, state=state, **more,
    )  # fmt: skip


@pytest.mark.parametrize("fault", FaultClass, ids=str)
def test_every_fault_of_a_platform_is_the_cause_with_a_remedy(fault: FaultClass) -> None:
    told = message(State.FAILED, attempts=1, last_error={"class": fault.value, "detail": "no"})
    found = answer(beat(delivery_key="k"), delivery=told)
    assert found["cause"] == f"delivery.{fault.value}"
    (link,) = [one for one in found["links"] if one["code"] == found["cause"]]
    assert link["fix"]


@pytest.mark.parametrize("state", State, ids=str)
def test_every_end_of_a_message_is_told(state: State) -> None:
    told = message(state, attempts=1, message_ids=("7",), reason="superseded")
    found = answer(beat(delivery_key="k"), delivery=told)
    if state is State.DELIVERED:
        assert found["cause"] is None
        assert found["sentence"].endswith("reached telegram → 42 (receipt 7).")
    elif state in TERMINAL or state is State.HELD:
        assert found["cause"] == "delivery.superseded"
    else:
        assert found["cause"] is None
        assert found["sentence"].startswith("Nothing has come of the beat of main at ")


@pytest.mark.parametrize("status", [one for one in RunStatus if not one.final], ids=str)
def test_a_run_that_has_not_ended_is_waited_for(status: RunStatus) -> None:
    reason = R.REQUESTS_IN_FLIGHT if status is RunStatus.DEFERRED else None
    found = answer(beat(status=status, outcome=None, reason=reason, reply={}, ended_at=None))
    assert found["cause"] is None
    assert found["sentence"].startswith("Nothing ")


@pytest.mark.parametrize(
    ("gap", "cause"),
    [
        ({}, "scheduler.not-armed"),
        ({"off": "main"}, "heartbeat.disabled"),
        ({"kept_since": NOON + HOUR}, None),
        ({"counts_since": NOON + HOUR}, "scheduler.not-armed"),
        ({"before": beat(), "next_run_at": NOON}, "gateway.stopped"),
        ({"before": beat(), "next_run_at": NOON, "live": True}, "scheduler.not-armed"),
        ({"before": beat(), "after": beat(boot_id="another")}, "gateway.missed-downtime"),
        ({"before": beat(boot_id="a"), "after": beat(boot_id="a")}, "scheduler.not-armed"),
    ],
)
def test_a_missing_row_is_explained_by_what_stands_beside_it(
    gap: dict[str, Any], cause: str | None
) -> None:
    asked = {"agent_id": "main", "at": NOON, "zone": UTC, "kept_since": NOON - 90 * HOUR, **gap}
    found = why.answered(why.told_of_gap(Gap(**asked)))
    assert found["cause"] == cause, found["sentence"]
    assert [one["state"] for one in found["links"]].count("unknown") >= len(found["links"]) - 1
    assert found["subject"] == "main at 2026-06-01 12:00:00 (UTC)"
