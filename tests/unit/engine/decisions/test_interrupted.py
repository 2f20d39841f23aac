"""Rows another process left open: cron.md §7 step 2, §9.1."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.decisions.interrupted import Over, adopted, called_off, settled, withdrawn
from jobs.ledger import SCHEDULER_OFF, START_AT, Run, RunStatus, SkipReason, Trigger
from jobs.model import AgentTurn, Command, Job, JobState, Misfire, StoredJob
from jobs.schedule import At, Every
from jobs.wallclock import ms

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RUN = Run(
    id="r1",
    job_id="brief",
    kind="cron",
    agent_id="main",
    trigger=Trigger.SCHEDULE,
    status=RunStatus.RUNNING,
    slot=NOON - HOUR,
)
CLAIMED = replace(RUN, status=RunStatus.CLAIMED)
JOB = Job(
    id="brief",
    name="Brief",
    schedule=Every(HOUR),
    payload=AgentTurn(message="brief me"),
    misfire=Misfire(grace=2 * HOUR),
)
ONE_SHOT = replace(JOB, schedule=At(NOON - HOUR))


def kept(job: Job = JOB, state: JobState | None = None) -> StoredJob:
    return StoredJob(job=job, state=state or JobState(), revision="1")


def ended(over: Over | None) -> Over:
    assert over is not None
    return over


# -- how it ended ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run",
    [
        CLAIMED,
        replace(CLAIMED, trigger=Trigger.MANUAL, slot=None),
        replace(CLAIMED, status=RunStatus.DEFERRED),
    ],
    ids=["slot", "by-hand", "waits"],
)
def test_what_never_began_may_begin_yet(run: Run) -> None:
    assert settled(run, kept(), NOON) is None


def test_what_had_begun_was_interrupted() -> None:
    over = ended(settled(RUN, kept(), NOON))
    assert (over.run.status, over.run.reason) == (RunStatus.FAILED, SkipReason.INTERRUPTED)
    assert over.run.error == {"class": "interrupted", "message": over.run.because}
    assert (over.again_at, over.switch_off) == (None, False)


@pytest.mark.parametrize("status", [RunStatus.CLAIMED, RunStatus.DEFERRED])
def test_a_wake_that_waited_is_asked_for_again_by_its_event(status: RunStatus) -> None:
    wake = replace(RUN, kind="heartbeat", trigger=Trigger.WAKE, slot=None, status=status)
    over = ended(settled(wake, kept(), NOON))
    assert (over.run.status, over.run.reason) == (RunStatus.SKIPPED, SkipReason.SUPERSEDED)


def test_a_claim_whose_job_is_gone_is_over() -> None:
    assert ended(settled(CLAIMED, None, NOON)).run.status is RunStatus.SKIPPED


def test_a_one_shot_is_tried_once_more_and_then_no_more() -> None:
    first = ended(settled(RUN, kept(ONE_SHOT), NOON))
    # what asks a model waits until the channels have had time to connect
    assert (first.again_at, first.switch_off) == (NOON + timedelta(minutes=2), False)
    quick = replace(ONE_SHOT, payload=Command(argv=("df",)))
    assert ended(settled(RUN, kept(quick), NOON)).again_at == NOON
    before = JobState(last_reason=SkipReason.INTERRUPTED)
    second = ended(settled(RUN, kept(ONE_SHOT, before), NOON))
    assert (second.again_at, second.switch_off) == (None, True)
    assert second.run.because.endswith("twice; it is switched off")


@pytest.mark.parametrize(
    "stored",
    [
        kept(JOB),
        kept(replace(ONE_SHOT, enabled=False)),
        kept(ONE_SHOT, JobState(next_run_at=NOON)),
    ],
    ids=["recurring", "switched-off", "due-again-anyhow"],
)
def test_whatever_comes_again_by_itself_is_not_tried_again(stored: StoredJob) -> None:
    assert ended(settled(RUN, stored, NOON)).again_at is None


@pytest.mark.parametrize(
    ("left", "waits"), [(HOUR, HOUR), (3 * HOUR, 2 * HOUR)], ids=["as-planned", "clock-set-back"]
)
def test_what_waits_for_its_instant_waits_no_longer_than_it_would_have(
    left: timedelta, waits: timedelta
) -> None:
    start = NOON + left
    run = replace(CLAIMED, claimed_at=start - 2 * HOUR, facts={START_AT: ms(start)})
    mine = adopted(run, "boot-2", NOON)
    assert (mine.boot_id, mine.facts) == ("boot-2", {START_AT: ms(NOON + waits)})
    assert adopted(CLAIMED, "boot-2", NOON).facts == {}


# -- may it begin ----------------------------------------------------------------------------


def test_what_is_in_time_begins() -> None:
    assert called_off(CLAIMED, kept(), NOON, cron_enabled=True) is None


@pytest.mark.parametrize(
    ("stored", "enabled", "because"),
    [
        (None, True, "the job was removed before it could begin"),
        (kept(replace(JOB, enabled=False)), True, "the job was switched off before it could begin"),
        (kept(), False, SCHEDULER_OFF),
    ],
)
def test_what_was_switched_off_meanwhile_does_not_begin(
    stored: StoredJob | None, enabled: bool, because: str
) -> None:
    over = called_off(CLAIMED, stored, NOON, cron_enabled=enabled)
    assert over is not None
    assert (over.status, over.reason) == (RunStatus.SKIPPED, SkipReason.DISABLED)
    assert over.because == because


def test_what_a_person_asked_for_begins_enabled_or_not() -> None:
    by_hand = replace(CLAIMED, trigger=Trigger.MANUAL, slot=None)
    off = kept(replace(JOB, enabled=False))
    assert called_off(by_hand, off, NOON, cron_enabled=False) is None


def test_what_is_found_too_late_is_missed() -> None:
    over = called_off(CLAIMED, kept(), NOON + 2 * HOUR, cron_enabled=True)
    assert over is not None
    assert (over.status, over.reason) == (RunStatus.MISSED, SkipReason.MISSED_GRACE_EXCEEDED)


def test_what_waited_across_a_restart_does_not_begin_for_a_schedule_that_is_newer() -> None:
    waited = replace(CLAIMED, claimed_at=NOON - HOUR)
    anew = kept(state=JobState(schedule_activated_at=NOON))
    over = called_off(waited, anew, NOON, cron_enabled=True)
    assert over is not None
    assert over.reason is SkipReason.SUPERSEDED
    before = kept(state=JobState(schedule_activated_at=NOON - HOUR))
    assert called_off(waited, before, NOON, cron_enabled=True) is None


def test_a_run_that_was_put_off_counts_from_its_later_instant() -> None:
    later = round((NOON + HOUR).timestamp() * 1000)
    deferred = replace(CLAIMED, status=RunStatus.DEFERRED, facts={"startAtMs": later})
    assert called_off(deferred, kept(), NOON + 2 * HOUR, cron_enabled=True) is None


# -- is it still wanted ----------------------------------------------------------------------

WAITED = replace(CLAIMED, claimed_at=NOON)
BACKFILL = replace(WAITED, trigger=Trigger.BACKFILL, slot=None)
OFF = replace(JOB, enabled=False)
MOVED = replace(JOB, schedule=Every(2 * HOUR))


def paused(at: datetime) -> StoredJob:
    overlay = {"by": "ana", "atMs": round(at.timestamp() * 1000)}
    return kept(state=JobState(paused=overlay))


@pytest.mark.parametrize(
    ("run", "stored", "enabled", "reason"),
    [
        (WAITED, kept(), True, None),
        (WAITED, kept(OFF), True, SkipReason.DISABLED),
        (WAITED, kept(), False, SkipReason.DISABLED),
        (WAITED, paused(NOON + HOUR), True, SkipReason.PAUSED),
        (WAITED, kept(MOVED), True, SkipReason.SUPERSEDED),
        (BACKFILL, kept(MOVED), False, None),
        (BACKFILL, paused(NOON - HOUR), True, None),
        (BACKFILL, kept(OFF), True, SkipReason.DISABLED),
        (BACKFILL, None, True, SkipReason.DISABLED),
    ],
)
def test_what_waited_begins_only_if_it_is_still_wanted(
    run: Run, stored: StoredJob | None, enabled: bool, reason: SkipReason | None
) -> None:
    over = withdrawn(run, stored, NOON + HOUR, cron_enabled=enabled, then=JOB)
    assert (over and over.reason) == reason


def test_a_job_that_was_off_when_it_was_asked_to_backfill_may_stay_off() -> None:
    assert withdrawn(BACKFILL, kept(OFF), NOON + HOUR, cron_enabled=True, then=OFF) is None
