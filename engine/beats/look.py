"""Looks around for a beat before it decides: agent, file, events, route, what is in the way.

Everything is read once and kept as values (`engine.roster.view`).
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from engine.beats.failures import suspended
from engine.decisions import heartbeat
from engine.decisions.adaptive import Lull, rests_until
from engine.decisions.gates import BeatSnapshot
from engine.decisions.heartbeat import Cadence
from engine.decisions.wake import FLOOD_WINDOW, Intent, QueuedEvent, TakenEvent, Wake, guard
from engine.messages.address import Route
from engine.messages.route import LOCAL, NoRoute, TargetWish, found_words, named_wish, resolve
from engine.messages.route_health import RouteHealth, judged
from engine.messages.target import LastRoute, Stranger
from engine.outlet import find_route
from engine.roster.roster import AgentProfile, BeatProfile, Roster
from engine.roster.spending import Purse
from engine.roster.view import Shown, View
from engine.sessions import beat_key, isolated_key, subagent
from engine.store import (
    audit,
    events as event_rows,
    holds,
    outbox,
    route_tests,
    sessions as session_rows,
    tasks as task_rows,
)
from engine.turns.lanes import Holder, Lanes
from engine.wording import prompt
from engine.workspace import checklist
from engine.workspace.checklist import Checklist
from engine.workspace.tasks import Task, due_tasks, next_task_at
from jobs.claims import paused_words
from jobs.ledger import Run, SkipReason
from jobs.model import StoredJob
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.db import Database, Tx
from jobs.store.spendings import Spendings
from jobs.wallclock import EPOCH, MILLISECOND, midnight

FILE: Final = "HEARTBEAT.md"
TASK_REASON: Final = "task:"  # of a wake that is for one task of the checklist
_STAYS: Final = frozenset({SkipReason.TARGET_NONE, SkipReason.DM_BLOCKED})

FileRead = tuple[bytes | None, str | None]  # what is in it, or what is wrong with it
ReadFile = Callable[[Path], Awaitable[FileRead]]


LARGEST: Final = 2**20  # bytes of a checklist: nobody writes more, and no model reads it


class Lookout:
    """Looks on behalf of beats; changes nothing."""

    def __init__(
        self,
        *,
        database: Database,
        lanes: Lanes,
        roster: Callable[[], Roster],
        shown: Callable[[str | None, str | None], Shown],
        seed: str,
        read_file: ReadFile | None = None,
        config_hash: Callable[[], str] = str,
    ) -> None:
        self._config_hash = config_hash
        self._database = database
        self._lanes = lanes
        self._roster = roster
        self._shown = shown
        self._seed = seed
        self._read_file = read_file or read_checklist
        self._wallet = _Wallet()

    async def look(self, run: Run, wake: Wake, now: datetime) -> View:
        """Return all that matters for one decision about a beat."""
        roster = self._roster()
        agent = roster.agent(wake.agent_id)
        base = beat_key(
            agent.agent_id,
            forced=wake.session_key,
            configured=agent.beat.session,
            main=roster.main_key,
        )
        own = bool(run.id)  # its row stands in the ledger already
        known = await self._database.read(
            lambda tx: self._known(tx, agent, base, now, wake, own=own)
        )
        events = tuple(known.events)
        raw, file_error = await self._read_file(agent.workspace)
        file = checklist.parse(raw)
        slot = run.slot or now
        due = chosen_tasks(wake, file.tasks) or due_tasks(
            file.tasks, known.tasks, slot, now, agent.zone
        )
        wish = _wish(agent, wake)
        found = resolve(
            wish,
            roster.route_facts(
                agent.agent_id,
                known.last,
                event=next((e.route for e in reversed(events) if e.route is not None), None),
                stranger=known.stranger,
            ),
        )
        place = (found.channel, found.account_id) if isinstance(found, Route) else (None, None)
        shown = self._shown(*place)
        snapshot = BeatSnapshot(
            **self._standing(run, wake, agent, known, now),
            **_of_the_file(agent, known, file, file_error, due, now),
            has_events=bool(events),
            visible=shown.ok or shown.alerts or shown.indicator,
            no_route=_no_route(agent, found),
        )
        cadence = self.cadence(agent, now)

        def following(poll_at: datetime | None) -> datetime | None:
            after = max(rested(snapshot, now), _spared(poll_at, agent.beat, now))
            return _next_of(cadence, agent, after) if known.enabled else None

        return View(
            agent=agent,
            snapshot=snapshot,
            session_key=isolated_key(base) if agent.beat.isolated else base,
            events=events,
            file=file,
            due=due,
            found=found,
            shown=shown,
            failures=known.failures,
            looked_at=now,
            config_hash=self._config_hash(),
            purse=known.purse,
            job=known.stored.job if known.stored else None,
            next_due_at=following(known.poll_at),
            next_after_poll=following(now),
            expired=known.expired,
            taken=known.taken,
            moved=cadence is not None
            and known.stored is not None
            and known.stored.job.schedule != cadence.schedule,
        )

    @property
    def phased(self) -> bool:
        """Whether it is known where in their interval this installation's beats lie."""
        return bool(self._seed)

    async def marks(self, agent: AgentProfile) -> dict[str, str | None]:
        """Return by what a beat of now would be told from one of then (§25-19)."""
        raw, _ = await self._read_file(agent.workspace)
        return {
            "config": self._config_hash() or None,
            "checklist": checklist.parse(raw).sha256 or None,
            "prompt": prompt.version(),
        }

    def next_beat(self, agent: AgentProfile, after: datetime) -> datetime | None:
        """Return the agent's next slot that lies in its active hours."""
        return _next_of(self.cadence(agent, after), agent, after)

    def cadence(self, agent: AgentProfile, now: datetime) -> Cadence | None:
        """Return when an agent beats; None for one that has no beats of its own."""
        return agent.cadence(self._seed, now)

    async def purse(self, agent: AgentProfile, now: datetime) -> Purse | None:
        """Return how an agent's budget stands; None if it has none."""
        return await self._database.read(lambda tx: self._wallet.of(tx, agent, now, own=False))

    async def lull(self, agent: AgentProfile, now: datetime) -> tuple[Lull, datetime | None]:
        """Return the polls of an agent that found nothing lately, and until when it rests."""

        def work(tx: Tx) -> Lull:
            stored = job_rows.readable(tx, heartbeat.job_id(agent.agent_id))
            return _lull(tx, agent, _heard_at(tx, agent, stored))

        slack = agent.beat.slack
        found = await self._database.read(work)
        return found, rests_until(slack, found, now) if slack else None

    async def next_turn(self, agent: AgentProfile, now: datetime) -> datetime | None:
        """Return when the agent's next beat would run; None while it has none to come."""

        def held(tx: Tx) -> bool:
            paused = holds.paused(tx, agent.agent_id, now) is not None
            return paused or not holds.switched_on(tx, agent.agent_id)

        if await self._database.read(held):
            return None
        _, rests = await self.lull(agent, now)
        return self.next_beat(agent, max(now, rests - MILLISECOND) if rests else now)

    async def route_words(self, agent: AgentProfile) -> dict[str, Any]:
        """Return where an alert of this agent would go now, or why it would go nowhere."""
        found = await find_route(
            self._database, self._roster(), agent.beat.wish, agent_id=agent.agent_id
        )
        return found_words(found)

    async def route_health(self, agent: AgentProfile) -> RouteHealth | None:
        """Return whether the way of an agent's alerts works; None if there is none."""
        found = await find_route(
            self._database, self._roster(), agent.beat.wish, agent_id=agent.agent_id
        )
        if isinstance(found, NoRoute) or found.channel == LOCAL:
            return None
        lane = found.lane
        return await self._database.read(
            lambda tx: judged(outbox.newest_in(tx, lane), route_tests.last(tx, lane))
        )

    def _known(
        self, tx: Tx, agent: AgentProfile, session_key: str, now: datetime, wake: Wake, *, own: bool
    ) -> _Known:
        stored = job_rows.readable(tx, heartbeat.job_id(agent.agent_id))
        before = stored.state.last_run_at if stored else None
        last = session_rows.last_route(tx, agent.agent_id, session_key)
        heard_at = _heard_at(tx, agent, stored)
        return _Known(
            events=event_rows.pending(tx, agent.agent_id, session_key, now),
            expired=tuple(
                event_rows.expired(tx, agent.agent_id, session_key, now, also=wake.event_ids)
            ),
            taken=event_rows.taken_by_turns(tx, agent.agent_id, session_key, before or EPOCH),
            tasks=task_rows.last_slots(tx, agent.agent_id),
            last=last,
            stranger=audit.last_stranger(tx) if last is None else None,
            starts=run_rows.starts_since(tx, agent.agent_id, now - 2 * FLOOD_WINDOW),
            poll_at=run_rows.last_poll(tx, agent.agent_id),
            enabled=holds.switched_on(tx, agent.agent_id),
            paused=holds.paused(tx, agent.agent_id, now),
            heard_at=heard_at,
            lull=_lull(tx, agent, heard_at),
            purse=self._wallet.of(tx, agent, now, own=own),
            stored=stored,
        )

    def _standing(
        self, run: Run, wake: Wake, agent: AgentProfile, known: _Known, now: datetime
    ) -> dict[str, Any]:
        """The facts about the wake and its agent."""
        beat = agent.beat
        starts = [at for run_id, at in known.starts if run_id != run.id]
        holders = [one for one in self._lanes.busy(agent.agent_id) if one.run_id != run.id]
        subagents = [one for one in holders if subagent(one.session_key)]
        own_lanes = [one for one in holders if one not in subagents]
        scheduled = wake.intent is Intent.SCHEDULED
        return {
            "intent": wake.intent,
            "source": wake.source,
            "zone": agent.zone,
            "enabled": known.enabled,
            "enrolled": beat.enrolled and (beat.period is not None or not scheduled),
            "not_enrolled_because": beat.because,
            "paused": None if known.paused is None else paused_words(known.paused, agent.zone),
            "idle_since": known.heard_at,
            "idle_pause_after": beat.idle_pause_after,
            "budget_spent": known.purse.stops if known.purse else None,
            "suspended": suspended(known.stored.state.alarm, agent.model_print, now, agent.zone)
            if known.stored
            else None,
            "backoff_until": known.stored.state.retry_at if known.stored else None,
            "failures": known.failures,
            "held_back": guard(
                wake.intent,
                now,
                next_due=run.slot if scheduled else None,
                last_start=max(starts, default=None),
                starts=starts,
                zone=agent.zone,
            ),
            "recent_run_at": _recent(known.poll_at, run, beat, now),
            "active_hours": beat.active_hours,
            "rests_until": rests_until(beat.slack, known.lull, now) if beat.slack else None,
            "quiet_polls": known.lull.polls,
            "cron_running": _busy_words(own_lanes, now, "cron"),
            "lanes_busy": _busy_words(subagents, now) if beat.waits_for_subagents else (),
            "turns_in_flight": _busy_words(own_lanes, now, "chat"),
        }


def _of_the_file(
    agent: AgentProfile,
    known: _Known,
    file: Checklist,
    file_error: str | None,
    due: tuple[Task, ...],
    now: datetime,
) -> dict[str, Any]:
    return {
        "file": str(agent.workspace / FILE),
        "file_error": file_error,
        "file_empty": file.empty and not file.tasks,
        "tasks": tuple(task.name for task in file.tasks),
        "tasks_due": tuple(task.name for task in due),
        "next_task_at": next_task_at(file.tasks, known.tasks, now, agent.zone),
    }


class _Wallet:
    """What beats have spent today. Readers come from several threads: one counts at a time."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._sums = Spendings("heartbeat")
        self._asked_at = EPOCH

    def of(self, tx: Tx, agent: AgentProfile, now: datetime, *, own: bool) -> Purse | None:
        """Return how an agent's budget stands, its ``own`` run left out; None if it has none."""
        if agent.beat.budget is None:
            return None
        job = heartbeat.job_id(agent.agent_id)
        today = midnight(now.astimezone(agent.zone).date(), agent.zone)
        with self._guard:
            if now < self._asked_at:  # the clock was set back: some of it was of days to come
                self._sums = Spendings("heartbeat")
            self._asked_at = now
            self._sums.catch_up(tx, now, [job])
            spent = self._sums.since(today, job)
        asking = replace(spent, runs=max(0, spent.runs - own))
        return Purse(budget=agent.beat.budget, spent=asking)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the store knows about an agent, read at once."""

    events: list[QueuedEvent]
    expired: tuple[QueuedEvent, ...]  # and no row tells of it yet
    taken: tuple[TakenEvent, ...]  # since the last beat, by other turns
    tasks: dict[str, datetime]
    last: LastRoute | None
    stranger: Stranger | None
    starts: list[tuple[str, datetime]]
    poll_at: datetime | None
    enabled: bool
    paused: Mapping[str, Any] | None
    lull: Lull
    heard_at: datetime | None  # the last word of a person, if that matters
    purse: Purse | None
    stored: StoredJob | None

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self.stored.state.consecutive_errors if self.stored else 0


def rested(beat: BeatSnapshot, now: datetime) -> datetime:
    """Return after when the next slot is worth a look."""
    return now if beat.rests_until is None else max(now, beat.rests_until - MILLISECOND)


def _next_of(cadence: Cadence | None, agent: AgentProfile, after: datetime) -> datetime | None:
    if cadence is None:
        return None
    return heartbeat.next_that_runs(cadence.schedule, agent.beat.active_hours, after)


def _lull(tx: Tx, agent: AgentProfile, heard_at: datetime | None) -> Lull:
    """Return how many polls found nothing since anything last happened."""
    slack = agent.beat.slack
    if slack is None:
        return Lull()
    slots = run_rows.quiet_polls(tx, agent.agent_id, since=heard_at or EPOCH, most=slack.after)
    return Lull(polls=len(slots), last_at=slots[0] if slots else None)


def _heard_at(tx: Tx, agent: AgentProfile, stored: StoredJob | None) -> datetime | None:
    """Return when a person last wrote; of an agent nobody has written to, since when it beats."""
    if agent.beat.idle_pause_after is None and agent.beat.slack is None:
        return None
    known = [one.set_at for one in session_rows.routes(tx, agent_id=agent.agent_id)[:1]]
    if (word := session_rows.last_word(tx, agent.agent_id)) is not None:
        known.append(word)
    began = stored.state.schedule_activated_at if stored else None
    return max(known, default=began)


def chosen_tasks(wake: Wake, tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Return the task a wake is for: `engine heartbeat tasks --run`."""
    name = wake.reason.removeprefix(TASK_REASON) if wake.reason.startswith(TASK_REASON) else None
    return tuple(task for task in tasks if task.name == name)


def _wish(agent: AgentProfile, wake: Wake) -> TargetWish:
    """A wake may name a target of its own: the configured recipient belongs to another."""
    wish = agent.beat.wish
    if wake.target is None:
        return wish
    return replace(named_wish(wake.target), direct_policy=wish.direct_policy)


async def read_checklist(workspace: Path) -> FileRead:
    """Read an agent's HEARTBEAT.md without holding up the others: disks may be slow."""
    return await asyncio.to_thread(read_now, workspace)


def read_now(workspace: Path) -> FileRead:
    """Return the file's bytes and what is wrong with it; a file that is not there is no error."""
    path = workspace / FILE
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(workspace.resolve()):
            return None, f"{path} links outside the workspace"
        # A pipe is not waited for: nobody may ever write into it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                return None, f"{path} is no file"
            if found.st_size > LARGEST:
                return None, f"{path} is larger than {LARGEST // 2**20} MiB"
            return file.read(LARGEST), None
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, f"{path} cannot be read: {error.strerror}"


def _free(beat: BeatProfile, period: timedelta) -> timedelta:
    """How long before a slot a poll that was asked for takes its place (§4)."""
    return period if beat.restarts else period / 2


def _spared(poll_at: datetime | None, beat: BeatProfile, now: datetime) -> datetime:
    """Return after when no slot is too close to a poll that was asked for (§4)."""
    if poll_at is None or beat.period is None or poll_at > now:
        return now
    return max(now, poll_at + _free(beat, beat.period) - MILLISECOND)


def _recent(
    poll_at: datetime | None, run: Run, beat: BeatProfile, now: datetime
) -> datetime | None:
    """A slot closer than half an interval to a poll that was asked for is not due (§4).

    With `afterWake: restart-interval` one closer than a whole one is not.
    """
    if poll_at is None or run.slot is None or beat.period is None:
        return None
    free = _free(beat, beat.period)
    # One after the slot was written by a clock that has been set back since.
    return poll_at if run.slot - free < poll_at <= max(run.slot, now) else None


def _no_route(agent: AgentProfile, found: Route | NoRoute) -> tuple[SkipReason, str] | None:
    """Why an alert could go nowhere, if that decides whether the model is asked (§7)."""
    if not isinstance(found, NoRoute) or found.reason in _STAYS or agent.beat.without_route:
        return None
    return found.reason, found.because


def _busy_words(holders: Sequence[Holder], now: datetime, *kinds: str) -> tuple[str, ...]:
    return tuple(
        f"run {holder.run_id}, {holder.age(now).total_seconds():.0f} s"
        for holder in holders
        if not kinds or holder.kind in kinds
    )
