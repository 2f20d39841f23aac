"""From a due job to its claim: its rows, its next instant, and what begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from engine.decisions.claiming import (
    ALONE,
    IDLE,
    NOTHING,
    Known,
    LoopSettings,
    Pass,
    Planned,
    Standing,
    planned,
)
from jobs.ledger import SCHEDULER_OFF, RunStatus, SkipReason, Trigger
from jobs.model import AgentTurn, HeartbeatBeat, Job, Misfire
from jobs.policies import Policies
from jobs.schedule import At, Cron, Every
from jobs.store.base import DueJob
from jobs.wallclock import ms

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = LoopSettings()
JOB = Job(
    id="brief",
    name="Brief",
    schedule=Cron("0 * * * *", "UTC"),
    payload=AgentTurn(message="brief me"),
    misfire=Misfire(policy="run-all", grace=None, max_catch_up=2),
)
ROW = DueJob(
    id="brief",
    kind="cron",
    definition="{}",
    revision="1",
    next_run_at=NOON,
    retry_at=None,
    consecutive_errors=0,
)


def plan(
    job: Job = JOB,
    row: DueJob = ROW,
    *,
    now: datetime = NOON,
    settings: LoopSettings = SETTINGS,
    known: Known = NOTHING,
    standing: Standing = IDLE,
) -> Planned:
    return planned(job, row, Pass(now, settings, "boot"), known, standing)


def test_a_job_that_is_due_runs_its_slot_and_moves_on() -> None:
    made = plan()
    ((run, go),) = made.to_run
    assert (run.slot, run.trigger, run.status) == (NOON, Trigger.SCHEDULE, RunStatus.CLAIMED)
    assert (run.tz, run.nominal_local, run.boot_id) == ("UTC", "2026-06-01T12:00:00", "boot")
    assert go is ALONE
    assert (made.claim.expect_next_run_at, made.claim.next_run_at) == (NOON, NOON + HOUR)
    assert made.claim.rows == (run,)


def test_after_a_gap_what_is_not_made_up_is_on_record() -> None:
    made = plan(now=NOON + 3 * HOUR)
    assert [run.slot for run, _ in made.to_run] == [NOON + 2 * HOUR, NOON + 3 * HOUR]
    passed = [row for row in made.claim.rows if row.status.final]
    assert [row.slot for row in passed] == [NOON, NOON + HOUR]
    assert {(row.status, row.reason) for row in passed} == {
        (RunStatus.MISSED, SkipReason.MISSED_DOWNTIME)
    }
    assert made.claim.next_run_at == NOON + 4 * HOUR
    # As they came: what reads the newest row reads that of the newest slot.
    assert [row.slot for row in made.claim.rows] == [NOON + n * HOUR for n in range(4)]


def test_a_one_shot_that_failed_is_tried_again_without_a_slot() -> None:
    row = replace(ROW, retry_at=NOON, consecutive_errors=1)
    made = plan(replace(JOB, schedule=At(NOON - HOUR)), row)
    ((run, _),) = made.to_run
    assert (run.trigger, run.slot, run.attempt) == (Trigger.RETRY, None, 2)
    assert made.claim.next_run_at is None


def test_a_gate_that_says_no_leaves_a_row_and_nothing_begins() -> None:
    made = plan(settings=LoopSettings(cron_enabled=False))
    assert made.to_run == []
    (row,) = made.claim.rows
    assert (row.status, row.reason) == (RunStatus.SKIPPED, SkipReason.DISABLED)


def test_a_one_shot_that_may_not_run_is_over() -> None:
    once = replace(JOB, schedule=At(NOON))
    left_out = replace(ROW, skips=f'{{"{ms(NOON)}": "by ana"}}')
    assert plan(once, left_out).claim.switch_off is True
    assert plan(once).claim.switch_off is False
    assert plan(row=left_out).claim.switch_off is False


def test_a_one_shot_waits_until_jobs_are_on_again() -> None:
    once = plan(replace(JOB, schedule=At(NOON)), settings=LoopSettings(cron_enabled=False))
    assert (once.claim.switch_off, once.to_run) == (False, [])
    (row,) = once.claim.rows
    assert row.because == SCHEDULER_OFF


def test_a_run_that_goes_on_is_in_the_way() -> None:
    (row,) = plan(standing=Standing(running=("r0",))).claim.rows
    assert (row.reason, row.because) == (SkipReason.OVERLAP_SKIP, "run r0 was still going")


def test_the_gates_of_a_beat_are_asked_later() -> None:
    beat = replace(JOB, payload=HeartbeatBeat(), schedule=Every(HOUR))
    row = replace(ROW, kind="heartbeat", retry_at=NOON + HOUR)
    made = plan(beat, row, settings=LoopSettings(cron_enabled=False))
    ((run, _),) = made.to_run
    assert run.kind == "heartbeat"


def test_runs_of_one_pass_count_towards_a_limit() -> None:
    limited = replace(JOB, policies=Policies(max_runs=4))
    made = plan(limited, now=NOON + HOUR, known=Known(runs=3))
    assert [run.slot for run, _ in made.to_run] == [NOON]
    assert [row.reason for row in made.claim.rows] == [None, SkipReason.MAX_RUNS]


def test_a_slot_with_jitter_says_when_it_starts() -> None:
    jittery = replace(JOB, policies=Policies(jitter=timedelta(minutes=5)))
    ((run, _),) = plan(jittery).to_run
    assert 0 <= run.facts["startAtMs"] - NOON.timestamp() * 1000 <= 5 * 60 * 1000
