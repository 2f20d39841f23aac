"""Rows of the ledger as they are claimed: a run, and a slot that is passed over. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from jobs.due import Passed
from jobs.ids import new_id
from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.model import ERRAND, Errand, Job
from jobs.schedule import Cron, Occurrence
from jobs.values import changed
from jobs.wallclock import instant

_MISSED: Final = frozenset({SkipReason.MISSED_DOWNTIME, SkipReason.MISSED_GRACE_EXCEEDED})


def claimed(
    job: Job,
    kind: str,
    trigger: Trigger,
    now: datetime,
    boot_id: str,
    slot: Occurrence | None = None,
) -> Run:
    """Return the row of a run that is to begin; a retry and one by hand have no ``slot``."""
    return Run(
        id=new_id(now),
        job_id=job.id,
        kind=ERRAND if isinstance(job.payload, Errand) else kind,
        agent_id=job.agent_id,
        trigger=trigger,
        status=RunStatus.CLAIMED,
        slot=None if slot is None else slot.instant,
        nominal_local=None if slot is None else slot.nominal_local,
        tz=None if slot is None or not isinstance(job.schedule, Cron) else job.schedule.tz,
        dst=None if slot is None else slot.dst,
        job_name=job.name,
        requested_at=now if slot is None else slot.instant,
        claimed_at=now,
        boot_id=boot_id,
    )


def passed_over(job: Job, kind: str, passed: Passed, now: datetime, boot_id: str) -> Run:
    """Return the row of a slot that will not run, or of many that share one."""
    row = claimed(job, kind, Trigger.SCHEDULE, now, boot_id, passed.occurrence)
    return changed(
        row,
        status=RunStatus.MISSED if passed.reason in _MISSED else RunStatus.SKIPPED,
        reason=passed.reason,
        because=passed.because,
        slot_to=passed.slot_to,
        count=passed.count,
        ended_at=now,
    )


def paused_words(overlay: Mapping[str, Any], zone: ZoneInfo | None = None) -> str:
    """Say who paused a job, and why; in a ``zone`` until when, too."""
    note = f": {overlay['note']}" if overlay.get("note") else ""
    told = f"it was paused by {overlay.get('by', 'somebody')}{note}"
    until = instant(overlay.get("untilMs"))
    if zone is None or until is None:
        return told
    return f"{told}; it ends at {until.astimezone(zone):%Y-%m-%d %H:%M} ({zone.key})"
