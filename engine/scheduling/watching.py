"""When a job wants a look between its slots: its pause ends, a deadline passes. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from jobs import wallclock
from jobs.model import Job, JobState
from jobs.schedule import At, Cron
from jobs.wallclock import EPOCH, MILLISECOND

_DAY: Final = timedelta(days=1)
_LOOK_BACK: Final = 400  # slots whose deadline may still be to come


def next_watch(job: Job, state: JobState, now: datetime) -> datetime | None:
    """Return the next instant at which the job wants a look; None if it wants none."""
    if state.paused is not None:
        until = state.paused.get("untilMs")
        return None if until is None else EPOCH + until * MILLISECOND
    if not job.enabled:
        return None
    asked = job.policies
    wanted = []
    if asked.expect_within is not None and not overdue_since(state):
        wanted.append(expected_by(job, state, now))
    if asked.must_finish_by is not None and (coming := next_deadline(job, now)) is not None:
        wanted.append(coming[1])
    return min(wanted, default=None)


def overdue_since(state: JobState) -> int | None:
    """Return since when the dead man's alarm of a job has been raised, in ms."""
    found: int | None = state.alarm.get("overdueSinceMs")
    return found


def expected_by(job: Job, state: JobState, now: datetime) -> datetime:
    """Return when the job's next success is due at the latest (row 18)."""
    within = job.policies.expect_within or timedelta()
    last = state.alarm.get("lastOkMs")
    since = EPOCH + last * MILLISECOND if last is not None else state.schedule_activated_at or now
    return since + within


def deadline_of(job: Job, slot: datetime) -> datetime:
    """Return by when the run of a slot must have succeeded."""
    by = job.policies.must_finish_by
    if isinstance(by, timedelta):
        return slot + by
    if by is None:
        raise AssertionError(f"job {job.id} has no deadline")
    today = _at_local(job, slot, by)
    return today if today > slot else _at_local(job, slot, by, _DAY)


def _at_local(job: Job, day: datetime, by: time, later: timedelta = timedelta()) -> datetime:
    """Return a local time of day on the job's local day of an instant, or some days later."""
    zone = wallclock.zone(job.schedule.tz) if isinstance(job.schedule, Cron) else ZoneInfo("UTC")
    return datetime.combine(day.astimezone(zone).date() + later, by, zone).astimezone(UTC)


def next_deadline(job: Job, after: datetime) -> tuple[datetime, datetime] | None:
    """Return the first slot whose deadline lies after an instant, and that deadline."""
    if isinstance(job.schedule, At):
        slot = job.schedule.at
        return (slot, deadline_of(job, slot)) if deadline_of(job, slot) > after else None
    found = job.schedule.next_after(_first_open(job, after) - MILLISECOND)
    for _ in range(_LOOK_BACK):
        if found is None:
            return None
        if (at := deadline_of(job, found)) > after:
            return found, at
        found = job.schedule.next_after(found)
    return None


def _first_open(job: Job, after: datetime) -> datetime:
    """Return the instant from which on the deadline of every slot lies after another."""
    by = job.policies.must_finish_by
    if not isinstance(by, time):
        return after - (by or _DAY)
    today = _at_local(job, after, by)
    return today if today <= after else _at_local(job, after, by, -_DAY)


def last_deadline(job: Job, now: datetime, *, since: datetime) -> datetime | None:
    """Return the newest slot whose deadline has passed by now and not by ``since``."""
    newest = None
    following = next_deadline(job, since)
    for _ in range(_LOOK_BACK):
        if following is None or following[1] > now:
            break
        newest, following = following[0], next_deadline(job, following[1])
    return newest
