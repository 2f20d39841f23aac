"""Rows as they are claimed: a run with and without a slot, and a slot that is passed over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobs.claims import claimed, passed_over
from jobs.due import Passed
from jobs.ledger import RunStatus, SkipReason, Trigger
from jobs.model import AgentTurn, Job
from jobs.schedule import Cron, Every, Occurrence

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SLOT = Occurrence(instant=NOON, nominal=12 * 3600, dst="gap")
JOB = Job(
    id="brief",
    name="Brief",
    schedule=Cron("0 12 * * *", "Europe/London"),
    payload=AgentTurn(message="brief me"),
    agent_id="ops",
)


def test_a_slot_is_claimed_with_the_wall_time_it_meant() -> None:
    run = claimed(JOB, "cron", Trigger.CATCHUP, NOON + HOUR, "boot", SLOT)
    assert (run.slot, run.nominal_local, run.dst) == (NOON, "1970-01-01T12:00:00", "gap")
    assert (run.tz, run.requested_at, run.claimed_at) == ("Europe/London", NOON, NOON + HOUR)
    assert (run.job_id, run.job_name, run.agent_id) == ("brief", "Brief", "ops")
    assert (run.trigger, run.status, run.boot_id) == (Trigger.CATCHUP, RunStatus.CLAIMED, "boot")


def test_a_run_by_hand_has_no_slot() -> None:
    run = claimed(JOB, "cron", Trigger.MANUAL, NOON, "boot")
    assert (run.slot, run.nominal_local, run.tz, run.dst) == (None, None, None, None)
    assert run.requested_at == run.claimed_at == NOON


def test_only_a_cron_expression_has_a_zone() -> None:
    every = replace(JOB, schedule=Every(HOUR))
    assert claimed(every, "cron", Trigger.SCHEDULE, NOON, "boot", SLOT).tz is None


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (SkipReason.MISSED_DOWNTIME, RunStatus.MISSED),
        (SkipReason.MISSED_GRACE_EXCEEDED, RunStatus.MISSED),
        (SkipReason.SUPERSEDED, RunStatus.SKIPPED),
        (SkipReason.PAUSED, RunStatus.SKIPPED),
    ],
)
def test_a_slot_passed_over_is_final_and_says_why(reason: SkipReason, status: RunStatus) -> None:
    passed = Passed(SLOT, reason, "it was off", slot_to=NOON + HOUR, count=2)
    run = passed_over(JOB, "cron", passed, NOON + 2 * HOUR, "boot")
    assert (run.status, run.reason, run.because) == (status, reason, "it was off")
    assert (run.slot, run.slot_to, run.count) == (NOON, NOON + HOUR, 2)
    assert run.ended_at == NOON + 2 * HOUR
