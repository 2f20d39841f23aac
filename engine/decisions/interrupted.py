"""Rows another process left open, and runs that waited: what becomes of each. Pure.

cron.md §7 step 2, §9.1. What had begun is recorded as interrupted; a one-shot among it is
tried again, beats and recurring jobs are not: their next slot comes. What waited with a row
of its own and never began may begin yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from engine.decisions.catching_up import begins_at
from jobs.claims import paused_words
from jobs.ledger import REMOVED, SCHEDULER_OFF, START_AT, Run, RunStatus, SkipReason, Trigger
from jobs.model import Job, StoredJob
from jobs.schedule import At
from jobs.wallclock import instant, ms


@dataclass(frozen=True, slots=True)
class Over:
    """The run is over; what that means for its job."""

    run: Run  # as it shall stand
    again_at: datetime | None = None  # it is tried once more then
    switch_off: bool = False


def settled(run: Run, stored: StoredJob | None, now: datetime) -> Over | None:
    """Say how a run ended that another process left open; None: it may begin yet."""
    if stored is not None and _never_began(run):
        return None
    over = _ended(run, now)
    if stored is None or not _replayed(run, stored):
        return Over(over)
    if stored.state.last_reason is not SkipReason.INTERRUPTED:
        return Over(over, again_at=begins_at(stored.job, 0, now, now))
    # Perhaps it is the job that ends us: once more, and no more (cron.md §7).
    words = f"{over.because}, twice; it is switched off"
    return Over(replace(over, because=words), switch_off=True)


def adopted(run: Run, boot_id: str, now: datetime) -> Run:
    """Return a run that may begin yet as this process takes it over.

    It waits no longer than it would have: the clock may have been set back meanwhile.
    """
    start, since = instant(run.facts.get(START_AT)), run.claimed_at
    if start is None or since is None:
        return replace(run, boot_id=boot_id)
    begins = min(start, max(now, now + (start - since)))
    return replace(run, boot_id=boot_id, facts={**run.facts, START_AT: ms(begins)})


def called_off(
    run: Run, stored: StoredJob | None, now: datetime, *, cron_enabled: bool
) -> Run | None:
    """Return the row of a run that may not begin after all: the config changed, or it is too late.

    None: it begins.
    """
    if over := withdrawn(run, stored, now, cron_enabled=cron_enabled):
        return over
    grace = stored.job.misfire.grace if stored is not None else None
    times = (run.slot, instant(run.facts.get(START_AT)))
    due = max((at for at in times if at is not None), default=now)
    if grace is None or now - due <= grace:
        return None
    words = f"claimed before a crash; found {now - due} after its time"
    late = run.skipped(SkipReason.MISSED_GRACE_EXCEEDED, words, now)
    return replace(late, status=RunStatus.MISSED)


def withdrawn(
    run: Run,
    stored: StoredJob | None,
    now: datetime,
    *,
    cron_enabled: bool,
    then: Job | None = None,
) -> Run | None:
    """Return the row of a run that nobody wants any more when its wait is over; None: it begins.

    ``then`` is the job as the run was claimed for it, where that is known.
    """
    if stored is None:
        return run.skipped(SkipReason.DISABLED, REMOVED, now)
    if run.trigger is Trigger.MANUAL:
        return None  # a person asked for it, enabled or not
    if words := _switched_off(run, stored, then, cron_enabled=cron_enabled):
        return run.skipped(SkipReason.DISABLED, words, now)
    paused_at = (stored.state.paused or {}).get("atMs")
    if paused_at is not None and paused_at >= (ms(run.claimed_at) or 0):
        return run.skipped(SkipReason.PAUSED, paused_words(stored.state.paused or {}), now)
    if _moved(run, stored, then) and run.trigger is not Trigger.BACKFILL:
        words = "the job got another schedule before it could begin"
        return run.skipped(SkipReason.SUPERSEDED, words, now)
    return None


def _moved(run: Run, stored: StoredJob, then: Job | None) -> bool:
    return counts_anew(run, stored) if then is None else then.schedule != stored.job.schedule


def counts_anew(run: Run, stored: StoredJob) -> bool:
    """Whether the schedule of a job began to count anew after a run of it was claimed."""
    since, claimed_at = stored.state.schedule_activated_at, run.claimed_at
    return since is not None and claimed_at is not None and since > claimed_at


def _never_began(run: Run) -> bool:
    """A row of a slot or a manual run that waits; a wake is asked for again by its event."""
    waits = run.status is RunStatus.DEFERRED and run.kind == "cron"
    return (run.status is RunStatus.CLAIMED or waits) and run.trigger is not Trigger.WAKE


def _ended(run: Run, now: datetime) -> Run:
    if run.status in (RunStatus.DEFERRED, RunStatus.CLAIMED):
        words = "the gateway restarted while it waited; its event is kept and asks again"
        return run.skipped(SkipReason.SUPERSEDED, words, now)
    words = f"{run.kind}: job interrupted by gateway restart"
    return run.failed("interrupted", words, now, reason=SkipReason.INTERRUPTED)


def _replayed(run: Run, stored: StoredJob) -> bool:
    return (
        run.kind == "cron"
        and isinstance(stored.job.schedule, At)
        and stored.job.enabled
        and stored.state.next_run_at is None
    )


def _switched_off(run: Run, stored: StoredJob, then: Job | None, *, cron_enabled: bool) -> str:
    by_request = run.trigger is Trigger.BACKFILL and then is not None
    if run.kind == "cron" and not cron_enabled and not by_request:
        return SCHEDULER_OFF
    was_off = then is not None and not then.enabled  # a backfill may be asked for all the same
    if stored.job.enabled or was_off:
        return ""
    return "the job was switched off before it could begin"
