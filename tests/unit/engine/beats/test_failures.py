"""How failing beats are spaced out, in numbers (heartbeat.md §2.1 `backoff`, §13 point 6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.agents.base import FailureClass
from engine.beats.alive import failed, lives
from engine.beats.failures import PERMANENT, after_failure, spacing, suspended
from engine.roster.roster import AgentProfile, BeatProfile, FailurePolicy
from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.model import HeartbeatBeat, Job, JobState
from jobs.schedule import Every

NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
HALF_HOUR = 30 * MINUTE
JOB = Job(
    id="heartbeat:main",
    name="heartbeat main",
    schedule=Every(HALF_HOUR),
    payload=HeartbeatBeat(),
    agent_id="main",
)
RUN = Run(
    id="run-1",
    job_id=JOB.id,
    kind="heartbeat",
    agent_id="main",
    trigger=Trigger.SCHEDULE,
    status=RunStatus.RUNNING,
    slot=NOON,
)
AGENT = AgentProfile(
    agent_id="main",
    is_default=True,
    workspace=Path("/home/ada"),
    zone=ZoneInfo("UTC"),
    model=None,
    fallbacks=(),
    thinking=None,
    turn_timeout=10 * MINUTE,
    beat=BeatProfile(period=HALF_HOUR),
    model_print="abc",
)


@pytest.mark.parametrize(
    ("failures", "wait"),
    [(0, None), (1, 45 * MINUTE), (2, 105 * MINUTE), (20, 6 * HOUR - 15 * MINUTE), (999, None)],
)
def test_the_wait_doubles_up_to_the_longest(failures: int, wait: timedelta | None) -> None:
    until = NOON + (wait or 6 * HOUR - 15 * MINUTE) if failures else None
    assert spacing(FailurePolicy(), HALF_HOUR, failures, NOON) == until


@pytest.mark.parametrize(
    ("policy", "failures", "wait"),
    [
        (FailurePolicy(base=4, factor=1), 0, 105 * MINUTE),
        (FailurePolicy(base=0.5), 0, None),
        (FailurePolicy(longest=MINUTE), 9, None),  # no shorter than the grid
    ],
)
def test_base_factor_and_longest_are_those_of_the_config(
    policy: FailurePolicy, failures: int, wait: timedelta | None
) -> None:
    until = None if wait is None else NOON + wait
    assert spacing(policy, HALF_HOUR, failures, NOON) == until


def after(failure: FailureClass, errors: int = 0, **alarm: Any) -> dict[str, Any]:
    state = JobState(consecutive_errors=errors, alarm=alarm)
    row = RUN.failed(failure.value, "no", NOON)
    found = after_failure(JOB, AGENT, state, row, NOON, failure=failure, retry_after=alarm.get("s"))
    return dict(found.columns)


@pytest.mark.parametrize("failure", FailureClass)
def test_two_of_a_kind_that_does_not_pass_suspend_and_one_that_may_pass_does_not(
    failure: FailureClass,
) -> None:
    assert "suspended" not in after(failure)["alarm"]
    twice = after(failure, errors=1, permanent=1)
    assert ("suspended" in twice["alarm"]) is (failure in PERMANENT)
    assert (twice["retry_at"] is None) is (failure in PERMANENT)


@pytest.mark.parametrize(
    ("later", "held"),
    [(timedelta(), True), (23 * HOUR, True), (24 * HOUR, False), (-30 * 24 * HOUR, False)],
)
def test_a_suspension_ends_with_a_try_a_day_also_after_the_clock_was_set_back(
    later: timedelta, held: bool
) -> None:
    alarm = after(FailureClass.AUTH, errors=1, permanent=1)["alarm"]
    why = suspended(alarm, AGENT.model_print, NOON + later, AGENT.zone)
    assert (why is not None) is held


def test_a_passing_fault_between_two_lasting_ones_begins_the_count_anew() -> None:
    assert after(FailureClass.NETWORK, errors=1, permanent=1)["alarm"]["permanent"] == 0


def test_what_the_provider_says_is_waited_for_at_least() -> None:
    found = after(FailureClass.RATE_LIMIT, s=7200)
    assert found["retry_at"] == NOON + 2 * HOUR


# -- signs of life ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "well"),
    [
        (replace(RUN, status=RunStatus.OK), True),
        (replace(RUN, status=RunStatus.FAILED), False),
        (RUN.skipped(SkipReason.QUIET_HOURS, "night", NOON), True),
        (RUN.skipped(SkipReason.PAUSED, "by ana", NOON), None),
        (RUN.skipped(SkipReason.NO_ROUTE, "nobody wrote", NOON), None),
        (RUN.skipped(SkipReason.BUDGET_EXHAUSTED, "spent", NOON), None),
        (RUN, None),
    ],
)
def test_the_end_of_a_slot_is_a_sign_of_life_or_none(run: Run, well: bool | None) -> None:
    assert lives(run) is well


@pytest.mark.parametrize(
    ("url", "fails"),
    [
        ("https://hc.example/ping/1", "https://hc.example/ping/1/fail"),
        ("https://hc.example/ping/1/", "https://hc.example/ping/1/fail"),
        ("https://hc.example/p?create=1", "https://hc.example/p/fail?create=1"),
    ],
)
def test_a_failure_is_told_below_the_address_of_success(url: str, fails: str) -> None:
    assert failed(url) == fails
