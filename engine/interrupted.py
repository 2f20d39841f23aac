"""Rows another process left open: what becomes of each after a restart. Pure.

cron.md §7 step 2, §9.1. What had begun is recorded as interrupted; a one-shot among it is
tried again, beats and recurring jobs are not: their next slot comes. What waited with a row
of its own and never began may begin yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from engine.cron_gates import START_AT
from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.model import StoredJob
from jobs.schedule import At
from jobs.wallclock import instant


@dataclass(frozen=True, slots=True)
class Over:
    """The run is over; what that means for its job."""

    run: Run  # as it shall stand
    again: bool = False  # it is tried once more, at once
    switch_off: bool = False


def settled(run: Run, stored: StoredJob | None, now: datetime) -> Over | None:
    """Say how a run ended that another process left open; None: it may begin yet."""
    if stored is not None and _never_began(run):
        return None
    over = _ended(run, now)
    if stored is None or not _replayed(run, stored):
        return Over(over)
    if stored.state.last_reason is not SkipReason.INTERRUPTED:
        return Over(over, again=True)
    # Perhaps it is the job that ends us: once more, and no more (cron.md §7).
    words = f"{over.because}, twice; it is switched off"
    return Over(replace(over, because=words), switch_off=True)


def called_off(
    run: Run, stored: StoredJob | None, now: datetime, *, cron_enabled: bool
) -> Run | None:
    """Return the row of a run that may not begin after all: the config changed, or it is too late.

    None: it begins.
    """
    if words := _switched_off(run, stored, cron_enabled=cron_enabled):
        return run.skipped(SkipReason.DISABLED, words, now)
    grace = stored.job.misfire.grace if stored is not None else None
    times = (run.slot, instant(run.facts.get(START_AT)))
    due = max((at for at in times if at is not None), default=now)
    if grace is None or now - due <= grace:
        return None
    words = f"claimed before a crash; found {now - due} after its time"
    late = run.skipped(SkipReason.MISSED_GRACE_EXCEEDED, words, now)
    return replace(late, status=RunStatus.MISSED)


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


def _switched_off(run: Run, stored: StoredJob | None, *, cron_enabled: bool) -> str:
    if stored is None:
        return "the job was removed before it could begin"
    if run.trigger is Trigger.MANUAL:
        return ""  # a person asked for it, enabled or not
    if run.kind == "cron" and not cron_enabled:
        return "scheduled jobs were switched off before it could begin"
    return "" if stored.job.enabled else "the job was switched off before it could begin"
