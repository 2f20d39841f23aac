"""Whether every slot that should have been served has its row (design.md P2, cron.md §22 row 1).

The expected slots are computed anew from the definition and from when it began to count;
the rows are handed in, oldest first, as many as there are. Pure, and small in memory
however long the ledger is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from jobs.model import StoredJob
from jobs.schedule import At, Repeating, Schedule, nonexistent
from jobs.wallclock import at, ms

MOST: Final = 100  # places of each kind that are named one by one
_MS: Final = timedelta(milliseconds=1)
_MINUTE: Final = 60_000  # ms: an instant that had just passed is due when it is stored (cron.md §5)
_NEARLY: Final = 0.95  # of the rows a job may have: older ones may have been removed


class Bound(StrEnum):
    """Why a job is audited from where it is."""

    SINCE = "since"  # that much was asked for
    ACTIVATED = "activated"  # its schedule counts since then
    KEPT = "kept"  # older rows are not kept


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row of the ledger as far as it matters here. Times in ms since 1970."""

    slot: int
    slot_to: int | None = None  # the row stands for ``count`` slots up to this one
    count: int = 1
    final: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long rows are kept, and how many of one job."""

    since: datetime  # older ones may be gone
    per_job: int | None = None  # None: beats, of which all are kept that long


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What rows of a job there are."""

    rows: int
    oldest: datetime | None  # its first slot on record
    newest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What is asked for: the slots from ``since`` to ``until``, which is now or before."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Gone:
    """A job that was removed, as it was when it went."""

    stored: StoredJob
    at: datetime


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a window in which a job's slots must have rows; both ends belong to it."""

    first: datetime
    last: datetime
    bound: Bound


@dataclass(frozen=True, slots=True)
class Hole:
    """Slots in a row that have no row."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAudit:
    """What the ledger lacks of one job, and what it has too much."""

    job_id: str
    name: str
    kind: str  # cron | heartbeat
    stretch: Stretch | None  # None: no slot of it was due
    expected: int = 0
    recorded: int = 0
    missing: int = 0
    holes: tuple[Hole, ...] = ()  # the first hundred
    duplicates: int = 0
    doubled: tuple[datetime, ...] = ()
    strays: int = 0  # rows for slots that the schedule does not name
    strayed: tuple[datetime, ...] = ()
    moved: int = 0  # rows of slots that a calendar brought forward: those it names are skips
    unfinished: int = 0  # rows of slots that have no end yet
    waiting: int = 0  # slots that nothing has looked at yet: the gateway is down, or paused it
    removed_at: datetime | None = None  # the job is gone since

    @property
    def title(self) -> str:
        """Return its name, and that it is gone."""
        return self.name if self.removed_at is None else f"{self.name} (removed)"

    @property
    def clean(self) -> bool:
        """Whether nothing is missing, nothing twice and nothing from nowhere."""
        return not (self.missing or self.duplicates or self.strays)

    def to_json(self) -> dict[str, Any]:
        """Return it as `cron audit --json` prints it."""
        told: dict[str, Any] = {"jobId": self.job_id, "name": self.name, "kind": self.kind}
        if self.removed_at is not None:
            told["removedAtMs"] = ms(self.removed_at)
        if self.stretch is not None:
            told |= {
                "fromMs": ms(self.stretch.first),
                "untilMs": ms(self.stretch.last),
                "bound": self.stretch.bound.value,
            }
        return {
            **told,
            "expected": self.expected,
            "recorded": self.recorded,
            "missing": self.missing,
            "holes": [
                {"fromMs": ms(one.first), "toMs": ms(one.last), "count": one.count}
                for one in self.holes
            ],
            "duplicates": self.duplicates,
            "duplicateSlotsMs": [ms(slot) for slot in self.doubled],
            "strays": self.strays,
            "straySlotsMs": [ms(slot) for slot in self.strayed],
            "moved": self.moved,
            "unfinished": self.unfinished,
            "waiting": self.waiting,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The whole ledger over a window."""

    window: Window
    kept_since: datetime
    jobs: tuple[JobAudit, ...]
    unreadable: tuple[str, ...] = ()  # jobs whose definition cannot be read

    @property
    def missing(self) -> int:
        """How many slots have no row."""
        return sum(job.missing for job in self.jobs)

    @property
    def ok(self) -> bool:
        """Whether no slot lacks its row, and none has two: proved of every job that there is."""
        return not (self.unreadable or any(job.missing or job.duplicates for job in self.jobs))

    @property
    def clean(self) -> bool:
        """Whether every slot has its one row, and every row its slot."""
        return not self.unreadable and all(job.clean for job in self.jobs)

    def to_json(self) -> dict[str, Any]:
        """Return it as `cron audit --json` prints it."""
        total = {
            key: sum(getattr(job, key) for job in self.jobs)
            for key in (
                "expected",
                "recorded",
                "missing",
                "duplicates",
                "strays",
                "unfinished",
                "waiting",
            )
        }
        return {
            "ok": self.ok,
            "clean": self.clean,
            "sinceMs": ms(self.window.since),
            "untilMs": ms(self.window.until),
            "keptSinceMs": ms(self.kept_since),
            **total,
            "jobs": [job.to_json() for job in self.jobs],
            "unreadable": list(self.unreadable),
        }


# -- which slots must have a row -----------------------------------------------------------------


def stretch(stored: StoredJob, window: Window, retention: Retention, kept: Kept) -> Stretch | None:
    """Return where every slot of a job must have its row; None if nowhere.

    Nothing is expected from before its schedule was activated, from before rows are kept,
    nor after what the scheduler has yet to look at. Of a job that is switched off, or has had
    all its runs, it is not known since when: it is audited up to its newest row.
    """
    first, bound = window.since, Bound.SINCE
    activated = stored.state.schedule_activated_at or stored.job.created_at
    if activated is not None and activated + _MS > first:
        first, bound = activated + _MS, Bound.ACTIVATED
    kept_since = _kept_since(retention, kept)
    if kept_since > first:
        first, bound = kept_since, Bound.KEPT
    last = window.until
    if not stored.job.enabled or _has_had_all(stored):
        if kept.newest is None:
            return None
        last = min(last, kept.newest)
    elif stored.state.next_run_at is not None:
        last = min(last, stored.state.next_run_at - _MS)
    if stored.job.policies.until is not None:
        last = min(last, stored.job.policies.until)
    return Stretch(first, last, bound) if first <= last else None


def _has_had_all(stored: StoredJob) -> bool:
    """Whether a job has ended by the number of its runs. Any other without a next run is lost."""
    return stored.job.policies.max_runs is not None and stored.state.next_run_at is None


def _kept_since(retention: Retention, kept: Kept) -> datetime:
    """Return from when on no row of a job can have been removed."""
    if retention.per_job is None or kept.oldest is None:
        return retention.since
    crowded = kept.rows >= _NEARLY * retention.per_job
    return max(retention.since, kept.oldest) if crowded else retention.since


def waiting(stored: StoredJob, window: Window) -> int:
    """Return how many slots of a job the scheduler has yet to look at."""
    due = stored.state.next_run_at
    if not stored.job.enabled or due is None or due > window.until:
        return 0
    schedule = stored.job.schedule
    return 1 if isinstance(schedule, At) else schedule.count(due - _MS, window.until)


# -- comparing -----------------------------------------------------------------------------------


def audit(
    stored: StoredJob, window: Window, retention: Retention, kept: Kept, rows: Iterable[Recorded]
) -> JobAudit:
    """Compare a job's rows, oldest slot first, with the slots its schedule names."""
    kind = "heartbeat" if stored.job.id.startswith("heartbeat:") else "cron"
    found = stretch(stored, window, retention, kept)
    behind = waiting(stored, window)
    identity: dict[str, Any] = {"job_id": stored.job.id, "name": stored.job.name, "kind": kind}
    if found is None:
        return JobAudit(**identity, stretch=None, waiting=behind)
    if isinstance(stored.job.schedule, At):
        told = _once(stored, stored.job.schedule, found, rows)
    else:
        told = _Comparison(stored.job.schedule, found).told(rows)
    rule = stored.job.policies.calendars
    if rule is not None and rule.on_excluded == "previous-allowed":
        told |= {"moved": told["strays"], "strays": 0, "strayed": ()}
    return JobAudit(**identity, stretch=found, waiting=behind, **told)


def _once(
    stored: StoredJob, schedule: At, found: Stretch, rows: Iterable[Recorded]
) -> dict[str, Any]:
    """A one-shot: the row of its instant, or of the moment it was stored just after it."""
    due = ms(schedule.at)
    expected = stored.job.enabled and found.first <= schedule.at <= found.last
    mine, others, unfinished = 0, [], 0
    for row in rows:
        unfinished += not row.final
        if due <= row.slot <= due + _MINUTE:
            mine += 1
        else:
            others.append(row.slot)
    lost = expected and not mine
    return {
        "expected": int(expected or mine > 0),
        "recorded": mine + len(others),
        "missing": int(lost),
        "holes": (Hole(schedule.at, schedule.at, 1),) if lost else (),
        "duplicates": max(mine - 1, 0),
        "doubled": (schedule.at,) if mine > 1 else (),
        "strays": len(others),
        "strayed": tuple(at(slot) for slot in others[:MOST]),
        "unfinished": unfinished,
    }


class _Comparison:
    """Two lists in order, walked side by side."""

    def __init__(self, schedule: Repeating, found: Stretch) -> None:
        self._slots = _Slots(schedule, found)
        self._expected = self._recorded = self._unfinished = 0
        self._missing = self._duplicates = self._strays = 0
        self._holes: list[Hole] = []
        self._doubled: list[int] = []
        self._strayed: list[int] = []

    def told(self, rows: Iterable[Recorded]) -> dict[str, Any]:
        """Return what the walk finds, as fields of a `JobAudit`."""
        slots = self._slots
        covered = -1  # up to here a row has been seen
        for row in rows:
            end = row.slot_to or row.slot
            if end < slots.first or row.slot > slots.last:
                continue
            self._unfinished += not row.final
            if row.slot <= covered:
                self._double(row)
            elif row.slot_to is not None:
                self._shared(row, row.slot_to)
            elif row.slot == slots.now or self._next_is(row.slot):
                self._expected += 1
                self._recorded += 1
                slots.step()
            else:
                self._recorded += 1
                self._stray(row.slot, 1)
            covered = max(covered, end)
        self._lost(slots.last + 1)
        return {
            "expected": self._expected,
            "recorded": self._recorded,
            "missing": self._missing,
            "holes": tuple(self._holes),
            "duplicates": self._duplicates,
            "doubled": tuple(at(slot) for slot in self._doubled),
            "strays": self._strays,
            "strayed": tuple(at(slot) for slot in self._strayed),
            "unfinished": self._unfinished,
        }

    def _next_is(self, slot: int) -> bool:
        """Whether this is the next slot, once those before it are counted as missing."""
        self._lost(slot)
        return self._slots.now == slot

    def _shared(self, row: Recorded, slot_to: int) -> None:
        """The oldest slots of a long gap share a row: as many as the schedule names there."""
        slots = self._slots
        self._lost(row.slot)
        there = slots.skip(min(slot_to, slots.last) + 1)
        whole = slots.first <= row.slot and slot_to <= slots.last
        count = row.count if whole else there
        self._expected += there
        self._recorded += count
        if there > count:
            self._missing += there - count
            self._hole(row.slot, slot_to, there - count)
        elif count > there:
            self._stray(row.slot, count - there)

    def _double(self, row: Recorded) -> None:
        self._recorded += row.count
        self._duplicates += row.count
        if len(self._doubled) < MOST:
            self._doubled.append(row.slot)

    def _lost(self, before: int) -> None:
        """Count the slots up to an instant that no row is of."""
        slots = self._slots
        first = slots.now
        if first is None or first >= before:
            return
        last = slots.before(before)
        count = slots.skip(before)
        self._expected += count
        self._missing += count
        self._hole(first, last, count)

    def _hole(self, first: int, last: int, count: int) -> None:
        if len(self._holes) < MOST:
            self._holes.append(Hole(at(first), at(last), count))

    def _stray(self, slot: int, count: int) -> None:
        self._strays += count
        if len(self._strayed) < MOST:
            self._strayed.append(slot)


class _Slots:
    """The slots of a stretch in order: one by one where there are rows, counted where not."""

    def __init__(self, schedule: Repeating, found: Stretch) -> None:
        self.first = ms(found.first)
        self.last = ms(found.last)
        self._schedule = schedule
        self._lost_days = _lost_days(schedule, found)
        self._walk: Iterator[int] = iter(())
        self.now: int | None = None
        self._from(self.first)

    def step(self) -> None:
        """Go to the next slot."""
        self.now = next(self._walk, None)

    def skip(self, to: int) -> int:
        """Go to the first slot at or after an instant; returns how many were left behind."""
        if self.now is None or self.now >= to:
            return 0
        end = min(to, self.last + 1)
        count = self._schedule.count(at(self.now - 1), at(end - 1))
        count += sum(self.now <= day < end for day in self._lost_days)
        self._from(end)
        return count

    def before(self, instant: int) -> int:
        """Return the last slot before an instant; there is one."""
        end = min(instant, self.last + 1)
        day = max((day for day in self._lost_days if day < end), default=0)
        found = self._schedule.previous(at(end))
        return day if found is None else max(day, ms(found))

    def _from(self, start: int) -> None:
        self._walk = self._slots(start)
        self.now = next(self._walk, None)

    def _slots(self, start: int) -> Iterator[int]:
        days = iter([day for day in self._lost_days if day >= start])
        day = next(days, None)
        for slot in self._schedule.instants(at(start - 1), at(self.last)):
            while day is not None and day < slot:
                yield day
                day = next(days, None)
            yield slot
        while day is not None:
            yield day
            day = next(days, None)


def _lost_days(schedule: Schedule, found: Stretch) -> list[int]:
    """Return slots whose local day does not exist: they have a row too (cron.md §4.2 rule 6).

    Those before a schedule's first slot have none: nothing has passed them.
    """
    start = found.first - _MS
    if found.bound is Bound.ACTIVATED:
        start = schedule.next_after(start) or found.last
    if start >= found.last:
        return []
    return [ms(slot.instant) for slot in nonexistent(schedule, start, found.last)]
