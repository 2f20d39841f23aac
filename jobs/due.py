"""Which slots are owed now: the one on time, or after a gap what the job's misfire policy says.

Every slot between the stored next one and now leaves this function as a run to perform or
as a slot passed over with its reason (design.md P2, cron.md §7). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from jobs.model import Misfire, SkipReason, Trigger
from jobs.schedule import At, Occurrence, Schedule, nonexistent

# Later than this is a gap (downtime, sleep, a stalled loop), not a busy moment.
ON_TIME: Final = timedelta(seconds=5)
LONG_GAP: Final = 1000  # slots; the oldest beyond it share one row (design.md §5)
_MOMENT: Final = timedelta(microseconds=1)


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
) -> Owed:
    """Decide about every slot from ``next_run_at`` to ``now``.

    A single slot that is a few seconds late is on time. Of several missed ones the newest
    within its grace runs (`run-once`), all of them up to a cap (`run-all`), or none (`skip`).
    """
    first = _occurrence_at(schedule, next_run_at)
    following = None if isinstance(schedule, At) else schedule.next_after(next_run_at)
    late = now - next_run_at
    if late <= ON_TIME and (following is None or following > now):
        return Owed((first,), Trigger.SCHEDULE, _lost(schedule, next_run_at, following), following)
    missed, folded = _missed(schedule, first, now)
    after = None if isinstance(schedule, At) else schedule.next_after(max(now, next_run_at))
    runs, passed = _split(missed, now, misfire, reason_missed)
    trigger = Trigger.SCHEDULE if late <= ON_TIME else Trigger.CATCHUP
    lost = _lost(schedule, next_run_at, after)
    return Owed(runs, trigger, (*folded, *passed, *lost), after)


def _occurrence_at(schedule: Schedule, instant: datetime) -> Occurrence:
    """Return the slot at an instant; one the schedule no longer names keeps its instant."""
    found = schedule.occurrence_after(instant - _MOMENT)
    return found if found is not None and found.instant == instant else Occurrence(instant)


def _from(schedule: Schedule, first: Occurrence, now: datetime) -> Iterator[Occurrence]:
    slot: Occurrence | None = first
    while slot is not None and slot.instant <= now:
        yield slot
        slot = None if isinstance(schedule, At) else schedule.occurrence_after(slot.instant)


def _missed(
    schedule: Schedule, first: Occurrence, now: datetime
) -> tuple[list[Occurrence], tuple[Passed, ...]]:
    """Return the newest missed slots, and one shared row for older ones if there are too many."""
    slots = _from(schedule, first, now)
    kept = list(islice(slots, LONG_GAP))
    if len(kept) < LONG_GAP:
        return kept, ()
    # A long gap: walk on with a window of the newest, counting what falls out of it.
    oldest, fallen, last = kept[0], 0, kept[0]
    window: list[Occurrence] = kept
    start = 0
    for slot in slots:
        last = window[start]
        window[start] = slot
        start = (start + 1) % LONG_GAP
        fallen += 1
    newest = window[start:] + window[:start]
    if not fallen:
        return newest, ()
    folded = Passed(
        oldest,
        SkipReason.MISSED_DOWNTIME,
        f"{fallen} slots passed while nothing served them; only the newest are listed singly",
        slot_to=last.instant,
        count=fallen,
    )
    return newest, (folded,)


def _split(
    missed: list[Occurrence], now: datetime, misfire: Misfire, reason_missed: SkipReason
) -> tuple[tuple[Occurrence, ...], tuple[Passed, ...]]:
    """Choose among missed slots what still runs (cron.md §7)."""
    grace = misfire.grace
    served = [slot for slot in missed if grace is None or now - slot.instant <= grace]
    on_time = [slot for slot in missed[-1:] if now - slot.instant <= ON_TIME]
    match misfire.policy:
        case "run-all":
            runs = served[-misfire.max_catch_up :]
        case "skip":
            runs = on_time
        case _:
            runs = served[-1:] or on_time
    chosen = {slot.instant for slot in runs}
    in_grace = {slot.instant for slot in served}
    passed = []
    for slot in missed:
        if slot.instant in chosen:
            continue
        if slot.instant not in in_grace and misfire.policy != "skip":
            reason, why = SkipReason.MISSED_GRACE_EXCEEDED, f"missed by more than {grace}"
        else:
            reason, why = reason_missed, "nothing served it at its time"
        passed.append(Passed(slot, reason, why))
    return tuple(runs), tuple(passed)


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
