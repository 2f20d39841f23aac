"""Which slots are owed now: the one on time, or after a gap what the job's misfire policy says.

Every slot between the stored next one and now leaves this function as a run to perform or
as a slot passed over with its reason (design.md P2, cron.md §7). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Final

from jobs.calendar import Calendar, judge, moved
from jobs.duration import format_duration
from jobs.ledger import SkipReason, Trigger
from jobs.model import Job, Misfire
from jobs.schedule import At, Cron, Occurrence, Repeating, Schedule, nonexistent
from jobs.written import JUST_NOW, whole_ms

# Later than this is a gap (downtime, sleep, a stalled loop), not a busy moment.
ON_TIME: Final = timedelta(seconds=5)
LONG_GAP: Final = 1000  # slots; the oldest beyond it share one row (design.md §5)
LOOK_AHEAD: Final = 40  # coming slots that a calendar may bring forward
AHEAD_MOST: Final = timedelta(days=40)
_MOMENT: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_MS: Final = timedelta(milliseconds=1)


def first_run(job: Job, now: datetime) -> datetime | None:
    """Return when a job that begins to count now is due first.

    An instant that passed less than a minute ago is due now (cron.md §5).
    """
    if not job.enabled:
        return None
    if isinstance(job.schedule, At):
        return max(job.schedule.at, whole_ms(now)) if now - job.schedule.at <= JUST_NOW else None
    return not_beyond(job.schedule.next_after(now), job.policies.until)


def coming_slot(
    schedule: Schedule, next_run_at: datetime | None, retry_at: datetime | None
) -> datetime | None:
    """Return the slot at which a job stands; it may be due for a retry before (cron.md §9.2)."""
    if next_run_at is None or next_run_at != retry_at or isinstance(schedule, At):
        return next_run_at
    return schedule.next_after(next_run_at - _MS)


def retry_before(
    following: datetime | None, retry_at: datetime | None, now: datetime, until: datetime | None
) -> datetime | None:
    """Return when a recurring job comes due: at the end of its backoff, if no slot is before.

    The slots before that end each come due, and are recorded (cron.md §9.2).
    """
    if not_beyond(retry_at, until) is None or retry_at is None or retry_at <= now:
        return following
    return retry_at if following is None else min(following, retry_at)


def too_late(due: datetime, now: datetime, misfire: Misfire) -> tuple[SkipReason, str] | None:
    """Return why a retry that was due while nothing served it is not made up; None if it is."""
    late = now - due
    if late <= ON_TIME:
        return None
    if misfire.grace is not None and late > misfire.grace:
        words = f"its retry was missed by {_told(late)}, longer than its grace of"
        return SkipReason.MISSED_GRACE_EXCEEDED, f"{words} {_told(misfire.grace)}"
    if misfire.policy == "skip":
        words = f"nothing served its retry at its time, {_told(late)} ago"
        return SkipReason.MISSED_DOWNTIME, words
    return None


@dataclass(frozen=True, slots=True)
class Passed:
    """A slot that will not run. ``count`` slots up to ``slot_to`` may share one."""

    occurrence: Occurrence
    reason: SkipReason
    because: str
    slot_to: datetime | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Owed:
    """What is to be done about a job now."""

    runs: tuple[Occurrence, ...]
    trigger: Trigger
    passed: tuple[Passed, ...]
    next_run_at: datetime | None


def owed(
    schedule: Schedule,
    next_run_at: datetime,
    now: datetime,
    *,
    misfire: Misfire,
    reason_missed: SkipReason = SkipReason.MISSED_DOWNTIME,
    catch_up: bool = True,
    until: datetime | None = None,
) -> Owed:
    """Decide about every slot from ``next_run_at`` to ``now``.

    A slot that is a few seconds late is on time. Of several missed ones the newest within
    its grace runs (`run-once`), all of them up to a cap (`run-all`), or none (`skip`, and
    whenever ``catch_up`` is false). No slot lies beyond ``until``.
    """
    if now < next_run_at:
        return Owed((), Trigger.SCHEDULE, (), next_run_at)
    if not isinstance(schedule, At) and not_beyond(next_run_at, until) is None:
        return Owed((), Trigger.SCHEDULE, (), None)
    if now - next_run_at <= ON_TIME:
        on_time = _on_time(schedule, next_run_at)
        if on_time.next_run_at is None or on_time.next_run_at > now:
            return (
                on_time
                if until is None
                else replace(on_time, next_run_at=not_beyond(on_time.next_run_at, until))
            )
    last = now if until is None else min(now, until)
    missed, folded = _missed(schedule, next_run_at, last, reason_missed)
    after = None if isinstance(schedule, At) else not_beyond(schedule.next_after(now), until)
    policy = misfire.policy if catch_up else "skip"
    runs = _chosen(missed, now, misfire, policy)
    passed = _passed(missed, runs, now, None if policy == "skip" else misfire.grace, reason_missed)
    # The newest slot may be on time although older ones were missed.
    is_on_time = bool(runs) and now - runs[0].instant <= ON_TIME
    trigger = Trigger.SCHEDULE if is_on_time else Trigger.CATCHUP
    lost = _lost(schedule, next_run_at, after or last)
    return Owed(runs, trigger, (*folded, *passed, *lost), after)


def not_beyond(slot: datetime | None, until: datetime | None) -> datetime | None:
    """Return the slot, unless the job has ended by then (cron.md §22 row 13)."""
    return None if slot is not None and until is not None and slot > until else slot


@dataclass(frozen=True, slots=True)
class Days:
    """The named calendars, and the zone of jobs that have none of their own."""

    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    tz: str = "UTC"

    def zone_of(self, job: Job) -> str:
        """Return the zone whose days a job's calendars decide about."""
        return job.schedule.tz if isinstance(job.schedule, Cron) else self.tz


NO_DAYS: Final = Days()


def brought_forward(
    job: Job, following: datetime | None, now: datetime, days: Days
) -> datetime | None:
    """Return when a job is due next: earlier, if a calendar moves a coming slot back (row 7).

    Only slots within `LOOK_AHEAD` are asked; the slot itself is passed over when it comes.
    """
    rule = job.policies.calendars
    if following is None or rule is None or rule.on_excluded != "previous-allowed":
        return following
    asked = [days.calendars[name] for name in rule.names if name in days.calendars]
    earliest = following
    slot: datetime | None = following
    for _ in range(LOOK_AHEAD):
        if slot is None or slot - following > AHEAD_MOST:
            break
        at = moved(asked, slot, tz=days.zone_of(job), on_excluded=rule.on_excluded, after=now)
        if at is not None and now < at < earliest:
            earliest = at
        slot = None if isinstance(job.schedule, At) else job.schedule.next_after(slot)
    return earliest


@dataclass(frozen=True, slots=True)
class Excluded:
    """A slot on a day that a calendar excludes: why, and when it runs instead, if it does."""

    because: str
    instead: datetime | None


def excluded(
    job: Job, slot: datetime, calendars: Mapping[str, Calendar], tz: str
) -> Excluded | None:
    """Return what the job's calendars make of a slot; None if they let it be (row 7).

    ``tz`` is the zone of jobs without one. A calendar nobody knows any more decides nothing.
    """
    rule = job.policies.calendars
    if rule is None or any(name not in calendars for name in rule.names):
        return None
    asked = [calendars[name] for name in rule.names]
    verdict = judge(asked, slot)
    if verdict.allowed:
        return None
    zone = Days(calendars, tz).zone_of(job)
    return Excluded(verdict.because, moved(asked, slot, tz=zone, on_excluded=rule.on_excluded))


@lru_cache(maxsize=512)  # jobs with one expression come due together, and are owed the same
def _on_time(schedule: Schedule, slot: datetime) -> Owed:
    """Return what is owed if nothing but this slot has come."""
    following = None if isinstance(schedule, At) else schedule.next_after(slot)
    first = _occurrence_at(schedule, slot)
    lost = _lost(schedule, slot, following)
    return Owed((first,), Trigger.SCHEDULE, lost, following)


def _occurrence_at(schedule: Schedule, instant: datetime) -> Occurrence:
    """Return the slot at an instant; one the schedule no longer names keeps its instant."""
    return schedule.told(instant) if isinstance(schedule, Cron) else Occurrence(instant)


def _from(schedule: Schedule, first: Occurrence, now: datetime) -> Iterator[Occurrence]:
    slot: Occurrence | None = first
    while slot is not None and slot.instant <= now:
        yield slot
        slot = None if isinstance(schedule, At) else schedule.occurrence_after(slot.instant)


def _missed(
    schedule: Schedule, first: datetime, now: datetime, reason: SkipReason
) -> tuple[list[Occurrence], tuple[Passed, ...]]:
    """Return the newest missed slots, and one shared row for older ones if there are too many."""
    oldest = _occurrence_at(schedule, first)
    kept = list(islice(_from(schedule, oldest, now), LONG_GAP + 1))
    if len(kept) <= LONG_GAP or isinstance(schedule, At):
        return kept, ()
    start = _newest(schedule, now)
    first_kept = schedule.occurrence_after(start - _MOMENT)
    last_folded = schedule.previous(start)
    if first_kept is None or last_folded is None:  # cannot be: there are a thousand slots
        return kept, ()
    count = 1 + schedule.count(first, last_folded)
    folded = Passed(
        oldest,
        reason,
        f"{count} slots passed while nothing served them; only the newest are listed singly",
        slot_to=last_folded,
        count=count,
    )
    return list(_from(schedule, first_kept, now)), (folded,)


def _newest(schedule: Repeating, now: datetime) -> datetime:
    """Return the oldest of the last thousand slots up to ``now``, found by counting."""
    near, far = now, now - timedelta(seconds=LONG_GAP)
    while schedule.count(far, now) < LONG_GAP:
        near, far = far, far - 2 * (now - far)
    while near - far > _MS:  # `far` has enough behind it, `near` has not
        middle = far + (near - far) // 2
        if schedule.count(middle, now) >= LONG_GAP:
            far = middle
        else:
            near = middle
    return schedule.next_after(far) or now


def served_of(slots: Sequence[datetime], now: datetime, misfire: Misfire) -> tuple[datetime, ...]:
    """Return which of these slots, oldest first, a job makes up for."""
    chosen = _chosen([Occurrence(slot) for slot in slots], now, misfire, misfire.policy)
    return tuple(slot.instant for slot in chosen)


def _chosen(
    missed: list[Occurrence], now: datetime, misfire: Misfire, policy: str
) -> tuple[Occurrence, ...]:
    """Return which of the missed slots still run (cron.md §7)."""
    grace = misfire.grace
    served = [slot for slot in missed if grace is None or now - slot.instant <= grace]
    on_time = [slot for slot in missed[-1:] if now - slot.instant <= ON_TIME]
    match policy:
        case "run-all":
            return tuple(served[-misfire.max_catch_up :] or on_time)
        case "skip":
            return tuple(on_time)
        case _:
            return tuple(served[-1:] or on_time)


def _passed(
    missed: list[Occurrence],
    runs: tuple[Occurrence, ...],
    now: datetime,
    grace: timedelta | None,
    reason_missed: SkipReason,
) -> tuple[Passed, ...]:
    """Return the others, each with its reason."""
    chosen = {slot.instant for slot in runs}
    passed = []
    for slot in missed:
        if slot.instant in chosen:
            continue
        late = now - slot.instant
        if grace is not None and late > grace:
            because = f"missed by {_told(late)}, longer than its grace of {_told(grace)}"
            passed.append(Passed(slot, SkipReason.MISSED_GRACE_EXCEEDED, because))
        else:
            because = f"nothing served it at its time, {_told(late)} ago"
            passed.append(Passed(slot, reason_missed, because))
    return tuple(passed)


def _told(span: timedelta) -> str:
    return format_duration(span - span % _SECOND if span >= _SECOND else span)


def _lost(schedule: Schedule, after: datetime, until: datetime | None) -> tuple[Passed, ...]:
    """Return slots whose local time does not exist: the clocks skipped their day."""
    if until is None:
        return ()
    return tuple(
        Passed(
            slot,
            SkipReason.NONEXISTENT_LOCAL_TIME,
            f"{slot.nominal_local} did not exist: the clocks skipped it",
        )
        for slot in nonexistent(schedule, after, until)
    )
