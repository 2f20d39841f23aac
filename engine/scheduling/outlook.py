"""What is to come, told: one schedule in words, and the coming hours of everything (cron.md §14).

Reads and never writes. The gateway asks it, and the command line where no gateway runs.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import Any, Final

from engine.clock import Clock
from engine.scheduling import reading, writing
from jobs.audit import Audit, Retention, Window
from jobs.calendar import Calendar
from jobs.errors import InvalidInput
from jobs.explain import MOST, Question, explain, explain_job, schedule_of
from jobs.ledger import MeanCost
from jobs.model import Job, StoredJob
from jobs.schedule import Cron
from jobs.speech import Language
from jobs.store import jobs as job_rows, slots
from jobs.store.base import JobPage, JobQuery
from jobs.store.db import Database, Tx
from jobs.timeline import LONGEST, Open, timeline
from jobs.wallclock import at, ms, zone
from jobs.windows import Hours
from jobs.written import parse_at

COUNT: Final = 5
HOURS: Final = 24
_KINDS: Final = ("cron", "heartbeat")
_NAMING: Final = frozenset({"expr", "jobId", "name", "tz"})
_WEEK: Final = timedelta(days=7)
_HOUR: Final = timedelta(hours=1)
_CELL: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long rows of the ledger are kept, and how many of one job."""

    beats: timedelta = timedelta(days=90)
    jobs: timedelta = timedelta(days=30)
    per_job: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the config says about time to come."""

    tz: str  # cron.tz, or the person's, or the host's
    default_agent: str
    most_at_once: int
    hours_of: Callable[[str | None], Hours | None]
    kept: Keeping = Keeping()
    calendars: Mapping[str, Calendar] = field(default_factory=dict)


class Outlook:
    """Looks ahead."""

    def __init__(self, *, database: Database, clock: Clock, sight: Callable[[], Sight]) -> None:
        self._database = database
        self._clock = clock
        self._sight = sight
        self._laying_out = asyncio.Lock()

    async def explain(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`cron.explain`: ``{expr | id, tz, from, count, otherTz, lang}``.

        The zone of an expression is ``tz``. A job has its own: there ``tz`` is the other one
        its runs are told in.
        """
        now = self._clock.now()
        sight = self._sight()
        if (expr := params.get("expr")) is not None:
            question = asked(params, now, sight.tz)
            schedule = schedule_of(str(expr), now=now, tz=question.tz)
            return {"expr": expr, **explain(schedule, question).to_json()}
        ref = str(params.get("id") or params.get("jobId"))
        stored, spent = await self._database.read(lambda tx: _known(tx, ref))
        others = {**params, "tz": None, "otherTz": params.get("otherTz") or params.get("tz")}
        schedule = stored.job.schedule
        tz = schedule.tz if isinstance(schedule, Cron) else sight.tz
        question = replace(asked(others, now, tz), spent=spent, calendars=sight.calendars)
        identity = {"jobId": stored.job.id, "name": stored.job.name}
        return {**identity, **explain_job(stored, question).to_json()}

    async def next(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`cron.next`: ``{expr | id, tz, from, until, count}``, or ``{count}`` of all jobs."""
        sight = self._sight()
        if params.keys() & {"expr", "id", "jobId"}:
            most = MOST if params.get("until") is not None else COUNT
            told = await self.explain({**params, "count": params.get("count") or most})
            kept = {key: told[key] for key in _NAMING & told.keys()}
            last = _last(params, self._clock.now(), str(told["tz"]))
            slots = [slot for slot in told["occurrences"] if last is None or slot["atMs"] <= last]
            return {**kept, "occurrences": slots}
        now = self._clock.now()
        count = asked(params, now, sight.tz).count
        return await self._database.read(lambda tx: _coming(tx, sight, now, count))

    async def audit(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`cron.audit`: ``{sinceMs, id}``; whether every slot has its row (§22 row 1)."""
        now, sight = self._clock.now(), self._sight()
        since = params.get("sinceMs")
        window = Window(since=now - _WEEK if since is None else at(since), until=now)
        ref = params.get("id") or params.get("jobId")
        found = await self._database.read(lambda tx: audited(tx, window, sight.kept, ref=ref))
        return found.to_json()

    async def timeline(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`cron.timeline`: ``{fromMs, hours, cellMinutes}``."""
        now = self._clock.now()
        sight = self._sight()
        start = now if params.get("fromMs") is None else at(params["fromMs"])
        span = min((params.get("hours") or HOURS) * _HOUR, LONGEST)
        minutes = params.get("cellMinutes")
        cell = _CELL if minutes is None else timedelta(minutes=minutes)
        query = JobQuery(kinds=_KINDS, enabled=True)
        # Many jobs have many slots: neither the event loop nor a reader of the store waits for
        # them, and however many ask, one thread is busy with it.
        async with self._laying_out:
            page = await self._database.read(lambda tx: job_rows.select(tx, query))
            return await asyncio.to_thread(_laid_out, page, sight, now, start, span, cell)


def audited(
    tx: Tx,
    window: Window,
    kept: Keeping,
    *,
    ref: str | None = None,
    on_job: Callable[[int, int], None] = lambda _done, _total: None,
) -> Audit:
    """Audit every job, those that were removed too, or one; ``on_job`` is told how far it is."""
    return slots.audited(
        tx,
        window,
        cron=Retention(since=window.until - kept.jobs, per_job=kept.per_job),
        beats=Retention(since=window.until - kept.beats),
        removed=writing.gone(tx, window.since),
        ref=ref,
        on_job=on_job,
    )


def _coming(tx: Tx, sight: Sight, now: datetime, count: int) -> dict[str, Any]:
    """Return the next slots of all jobs that are waited for, soonest first."""
    page = job_rows.select(tx, JobQuery(enabled=True))
    waiting = [one for one in page.jobs if one.state.paused is None]
    due = heapq.merge(*(_slots_of(one, now, count) for one in waiting), key=itemgetter(0))
    told = []
    for instant, job in islice(due, count):
        local = instant.astimezone(zone(sight.tz))
        told.append(
            {
                "jobId": job.id,
                "name": job.name,
                "agentId": job.agent_id or sight.default_agent,
                "atMs": ms(instant),
                "utc": f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
                "local": f"{local:%Y-%m-%dT%H:%M:%S}",
            }
        )
    return {"tz": sight.tz, "occurrences": told}


def _slots_of(stored: StoredJob, now: datetime, most: int) -> Iterator[tuple[datetime, Job]]:
    """Yield the coming slots of a job, the one that is stored first."""
    slot, until = stored.state.runs_next_at, stored.job.policies.until
    while slot is not None and most and (until is None or slot <= until):
        yield slot, stored.job
        slot, most = stored.job.schedule.next_after(max(slot, now)), most - 1


def _last(params: Mapping[str, Any], now: datetime, tz: str) -> int | None:
    until = params.get("until")
    return None if until is None else ms(parse_at(str(until), now=now, tz=tz))


def _laid_out(
    page: JobPage, sight: Sight, now: datetime, start: datetime, span: timedelta, cell: timedelta
) -> dict[str, Any]:
    agents = {stored.job.agent_id or sight.default_agent for stored in page.jobs}
    found = timeline(
        page.jobs,
        start=start,
        until=start + span,
        cell=cell,
        most_at_once=sight.most_at_once,
        hours=_windows(sight, sorted(agents), start, start + span),
        default_agent=sight.default_agent,
        after=max(start, now) if start <= now < start + span else start,
        calendars=sight.calendars,
        tz=sight.tz,
    )
    return {**found.to_json(), "tz": sight.tz, "unreadable": list(page.unreadable)}


def asked(params: Mapping[str, Any], now: datetime, tz: str) -> Question:
    """Return what a caller wants explained, its texts read."""
    tz = str(params.get("tz") or tz)
    zone(tz)
    other = str(params.get("otherTz") or "UTC")
    zone(other)
    if other == tz:  # it is told in two zones, or in UTC alone
        other = "UTC"
    begin = params.get("from")
    count = params.get("count") or COUNT
    if not 1 <= count <= MOST:
        raise InvalidInput(
            f"count {count} was refused", why=f"it must be from 1 to {MOST}", fix="ask for fewer"
        )
    return Question(
        after=now if begin is None else parse_at(str(begin), now=now, tz=tz),
        tz=tz,
        other_tz=other,
        count=count,
        language=Language(params.get("lang") or Language.ENGLISH),
    )


def _known(tx: Tx, ref: str) -> tuple[StoredJob, MeanCost]:
    stored = reading.find(tx, ref)
    return stored, slots.spent(tx, stored.job.id)


def _windows(
    sight: Sight, agents: list[str], start: datetime, until: datetime
) -> dict[str, tuple[Open, ...]]:
    """Return the active hours of the agents that have any."""
    found = {}
    for agent in agents:
        hours = sight.hours_of(agent)
        if hours is not None:
            found[agent] = tuple(Open(*window) for window in hours.windows(start, until))
    return found
