"""The coming hours of all jobs and beats, and where too many meet (cron.md §22 row 10).

Pure: the jobs, the agents' active hours and the limit on runs at once are handed in; how it
is drawn is the command line's business.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from jobs.calendar import Calendar
from jobs.due import excluded
from jobs.model import SYSTEMS_OWN, HeartbeatBeat, StoredJob
from jobs.schedule import At, Repeating
from jobs.wallclock import at as instant_at, ms

LONGEST: Final = timedelta(days=14)
MOST: Final = 500  # slots of one job that are named one by one
MOST_HOT: Final = 100
_MS: Final = timedelta(milliseconds=1)
_MINUTE: Final = 60_000
_MOST_WALKED: Final = 5000  # slots of one job that are walked; more are counted by arithmetic
_MOST_JUDGED: Final = 50_000  # slots that calendars are asked about; beyond it they stay put


@dataclass(frozen=True, slots=True)
class Open:
    """A stretch of an agent's active hours."""

    opens: datetime
    closes: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One job's coming slots."""

    job_id: str
    name: str
    kind: str  # cron | heartbeat
    agent_id: str
    slots: tuple[datetime, ...]  # the first of them
    total: int
    cells: tuple[int, ...]  # how many in each stretch of the timeline
    quiet: tuple[int, ...]  # how many of them lie outside the active hours
    overdue: bool = False  # a slot before the timeline has not been served yet
    paused: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as `cron timeline --json` prints it."""
        return {
            "jobId": self.job_id,
            "name": self.name,
            "kind": self.kind,
            "agentId": self.agent_id,
            "total": self.total,
            "slotsMs": [ms(slot) for slot in self.slots],
            "cells": list(self.cells),
            "quiet": list(self.quiet),
            "overdue": self.overdue,
            "paused": self.paused,
        }


@dataclass(frozen=True, slots=True)
class HotSpot:
    """A minute in which more jobs are due than may run at once."""

    minute: datetime
    jobs: tuple[str, ...]  # their names

    def to_json(self) -> dict[str, Any]:
        """Return it as `cron timeline --json` prints it."""
        return {"atMs": ms(self.minute), "due": len(self.jobs), "jobs": list(self.jobs)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The coming hours."""

    start: datetime
    until: datetime
    cell: timedelta
    most_at_once: int
    rows: tuple[Row, ...]
    hours: Mapping[str, tuple[Open, ...]]  # agents with active hours
    hot_spots: tuple[HotSpot, ...]  # the first hundred
    hot: int  # how many there are
    shared: int  # minutes in which more than one job or beat is due

    def to_json(self) -> dict[str, Any]:
        """Return it as `cron timeline --json` prints it."""
        return {
            "fromMs": ms(self.start),
            "untilMs": ms(self.until),
            "cellMs": self.cell // _MS,
            "maxConcurrentRuns": self.most_at_once,
            "jobs": [row.to_json() for row in self.rows],
            "activeHours": {
                agent: [{"fromMs": ms(one.opens), "untilMs": ms(one.closes)} for one in windows]
                for agent, windows in self.hours.items()
            },
            "hotSpots": [spot.to_json() for spot in self.hot_spots],
            "hotMinutes": self.hot,
            "sharedMinutes": self.shared,
        }


def timeline(
    jobs: Sequence[StoredJob],
    *,
    start: datetime,
    until: datetime,
    cell: timedelta,
    most_at_once: int,
    hours: Mapping[str, tuple[Open, ...]],
    default_agent: str = "main",
    after: datetime | None = None,
    calendars: Mapping[str, Calendar] | None = None,
    tz: str = "UTC",
) -> Timeline:
    """Lay out the slots after ``start`` (or ``after``) up to ``until`` of jobs switched on.

    A slot that a calendar excludes is where the calendar puts it, if anywhere (row 7); ``tz``
    is the zone of jobs without one.

    Beats are not limited by how many jobs may run at once (design.md §1).
    """
    span = _Span(start, after or start, until, calendars or {}, tz)
    rows = []
    due: dict[int, list[str]] = defaultdict(list)  # of each minute, jobs that count
    shared: dict[int, int] = defaultdict(int)
    for stored in jobs:
        if not stored.job.enabled:
            continue
        agent = stored.job.agent_id or default_agent
        row, minutes = _row(stored, agent, span, cell, hours.get(agent))
        rows.append(row)
        for minute in minutes:
            shared[minute] += 1
            if row.kind == "cron":
                due[minute].append(row.name)
    rows.sort(key=lambda row: (row.kind != "cron", not row.slots, row.slots[:1], row.name))
    hot = sorted(minute for minute, names in due.items() if len(names) > most_at_once)
    return Timeline(
        start=start,
        until=until,
        cell=cell,
        most_at_once=most_at_once,
        rows=tuple(rows),
        hours=hours,
        hot_spots=tuple(
            HotSpot(instant_at(minute * _MINUTE), tuple(sorted(due[minute])))
            for minute in hot[:MOST_HOT]
        ),
        hot=len(hot),
        shared=sum(count > 1 for count in shared.values()),
    )


@dataclass(frozen=True, slots=True)
class _Span:
    start: datetime  # of the first cell
    after: datetime  # slots after this instant count
    until: datetime
    calendars: Mapping[str, Calendar]
    tz: str


def _row(
    stored: StoredJob,
    agent: str,
    span: _Span,
    cell: timedelta,
    windows: tuple[Open, ...] | None,
) -> tuple[Row, set[int]]:
    """Return a job's row and the minutes in which it is due."""
    load = _Load(span, cell, windows if _mind_hours(stored) else None)
    last = _last(stored, span)
    if _has_many(stored, span, last):
        _count(stored, span, last, load)
    else:
        for at in _instants(stored, span, last):
            load.take(at)
    due = stored.state.next_run_at
    row = Row(
        job_id=stored.job.id,
        name=stored.job.display_name or stored.job.name,
        kind="heartbeat" if isinstance(stored.job.payload, SYSTEMS_OWN) else "cron",
        agent_id=agent,
        slots=tuple(load.slots),
        total=sum(load.cells),
        cells=tuple(load.cells),
        quiet=tuple(load.quiet),
        overdue=due is not None and due <= span.after,
        paused=stored.state.paused is not None,
    )
    return row, load.minutes


class _Load:
    """What a job puts into the timeline."""

    def __init__(self, span: _Span, cell: timedelta, windows: tuple[Open, ...] | None) -> None:
        self._start, self._width, self._windows = ms(span.start), cell // _MS, windows
        self.cells = [0] * -(-(ms(span.until) - self._start) // self._width)
        self.quiet = [0] * len(self.cells)
        self.slots: list[datetime] = []
        self.minutes: set[int] = set()

    def take(self, at: int) -> None:
        """Put in one slot."""
        self.minutes.add(at // _MINUTE)
        if len(self.slots) < MOST:
            self.slots.append(instant_at(at))
        self.add(at, 1)

    def add(self, at: int, many: int) -> None:
        """Put in so many slots at the place of one, or take them out."""
        cell = min((at - self._start) // self._width, len(self.cells) - 1)
        self.cells[cell] += many
        if self._windows is not None and not _open(self._windows, at):
            self.quiet[cell] += many

    def stretches(self, after: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield ``(first, last)`` of the stretches in one cell, and in or outside the hours."""
        ends = {last + 1, *range(self._start, last + 1, self._width)}
        for one in self._windows or ():
            ends |= {ms(one.opens), ms(one.closes)}
        first = after + 1
        for end in sorted(ends):
            if first < end <= last + 1:
                yield first, end - 1
                first = end


def _last(stored: StoredJob, span: _Span) -> datetime:
    ends = stored.job.policies.until
    return span.until if ends is None else min(span.until, ends)


def _has_many(stored: StoredJob, span: _Span, last: datetime) -> bool:
    """Whether a job has too many slots to walk: ten a second are twelve million in two weeks."""
    schedule = stored.job.schedule
    if isinstance(schedule, At) or stored.state.paused or stored.job.policies.calendars:
        return False  # calendars have a bound of their own
    return schedule.count(span.after, last) > _MOST_WALKED


def _count(stored: StoredJob, span: _Span, last: datetime, load: _Load) -> None:
    """Put in slots by arithmetic: what it costs grows with the cells and minutes only."""
    schedule = stored.job.schedule
    if isinstance(schedule, At):
        raise AssertionError("a one-shot has one slot")
    after, end = ms(span.after), ms(last)
    load.slots = [instant_at(at) for at in islice(_instants(stored, span, last), MOST)]
    for first, until in load.stretches(after, end):
        load.add(first, schedule.count(instant_at(first - 1), instant_at(until)))
    load.minutes = set(_minutes(schedule, span.after, last))
    left_out = [
        at
        for at in map(int, stored.state.skips)
        if after < at <= end and schedule.count(instant_at(at - 1), instant_at(at))
    ]
    for at in left_out:
        load.add(at, -1)
    for minute, gone in Counter(at // _MINUTE for at in left_out).items():
        begin, close = max(after, minute * _MINUTE - 1), min(end, (minute + 1) * _MINUTE - 1)
        if schedule.count(instant_at(begin), instant_at(close)) == gone:
            load.minutes.discard(minute)


def _minutes(schedule: Repeating, after: datetime, last: datetime) -> Iterator[int]:
    at = schedule.next_after(after)
    while at is not None and at <= last:
        minute = ms(at) // _MINUTE
        yield minute
        at = schedule.next_after(instant_at((minute + 1) * _MINUTE) - _MS)


def _instants(stored: StoredJob, span: _Span, last: datetime) -> Iterator[int]:
    """Yield the slots to come, in ms: none while paused, none that are left out once."""
    if stored.state.paused is not None:
        return
    schedule = stored.job.schedule
    if isinstance(schedule, At):
        due = stored.state.next_run_at
        if due is not None and span.after < due <= last:
            yield ms(due)
        return
    left_out = stored.state.skips
    if stored.job.policies.calendars is not None:
        yield from _placed(stored, span, last)
        return
    for at in schedule.instants(span.after, last):
        if str(at) not in left_out:
            yield at


def _placed(stored: StoredJob, span: _Span, last: datetime) -> list[int]:
    """Return the slots where calendars put them; some come from outside the timeline."""
    schedule, rule = stored.job.schedule, stored.job.policies.calendars
    if isinstance(schedule, At) or rule is None:
        return []
    around = timedelta() if rule.on_excluded == "skip" else LONGEST
    if schedule.count(span.after - around, last + around) > _MOST_JUDGED:
        return list(schedule.instants(span.after, last))
    found = set()
    for at in schedule.instants(span.after - around, last + around):
        slot = instant_at(at)
        away = excluded(stored.job, slot, span.calendars, span.tz)
        runs = slot if away is None else away.instead
        if runs is not None and span.after < runs <= last and str(at) not in stored.state.skips:
            found.add(ms(runs))
    return sorted(found)


def _mind_hours(stored: StoredJob) -> bool:
    """Whether a job keeps to its agent's active hours."""
    beats = isinstance(stored.job.payload, HeartbeatBeat)
    return beats or stored.job.policies.active_hours is not None


def _open(windows: Sequence[Open], at: int) -> bool:
    return any(ms(one.opens) <= at < ms(one.closes) for one in windows)
