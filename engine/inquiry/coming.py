"""Beats to come: each slot with the gate that would stop it, as far as is known (heartbeat.md §20).

Every slot is looked at as it will be looked at, by the real gates on a clock that is ahead:
pauses that end, budgets that begin anew, tasks that come due. What nobody knows yet is left
out: an agent that is busy, an event still to come, a file still to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from engine.beats.look import Lookout
from engine.decisions import heartbeat
from engine.decisions.gates import BeatSnapshot, Decision, Run as Go, decide
from engine.decisions.wake import Intent, Wake
from engine.roster import spending
from engine.roster.roster import AgentProfile, Roster
from engine.roster.view import View
from engine.sessions import main_key
from engine.store import tasks as task_rows
from engine.workspace.tasks import due_tasks, next_task_at
from jobs import remarks
from jobs.errors import InvalidInput
from jobs.ledger import MeanCost, Run, RunStatus, Trigger
from jobs.schedule import Cron, Every, Repeating
from jobs.speech import Language
from jobs.store import slots as slot_rows
from jobs.store.db import Database
from jobs.wallclock import MILLISECOND, ms

COUNT: Final = 10
MOST: Final = 200  # slots of one agent in one answer
_NO_PHASE: Final = "No gateway has run here yet: in its first minute the beats are laid out anew."
_LOOKED_FOR: Final = 50  # slots inside the active hours, for the next that runs


@dataclass(slots=True)
class _Course:
    """What the slots before have changed by the time of the next one."""

    served: dict[str, datetime] = field(default_factory=dict)  # tasks that will have run
    before: Mapping[str, datetime | None] = field(default_factory=dict)  # when tasks ran last
    looked_at: datetime | None = None  # the last slot that will have run
    heard: bool = False  # the events that wait now will have been read


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A slot to come, and what the gates say to it."""

    slot: datetime
    decision: Decision
    tasks: tuple[str, ...] = ()  # that will be due

    @property
    def runs(self) -> bool:
        """Whether nothing known stands in its way."""
        return isinstance(self.decision, Go)


def foreseen(snapshot: BeatSnapshot, view: View, slot: datetime, course: _Course) -> Expected:
    """Judge one slot by the gates, after what those before it will have done. Pure.

    ``view`` was looked at as of the slot; who is busy now will not be then.
    """
    due = tuple(
        task
        for task in view.due
        if task.name not in course.served
        or due_tasks((task,), course.served, slot, slot, view.agent.zone)
    )
    slack, rests = view.agent.beat.slack, snapshot.rests_until
    if slack is not None and rests is not None and course.looked_at is not None:
        rests = course.looked_at + slack.most  # as long as it finds nothing
    snapshot = replace(
        unhindered(snapshot),
        rests_until=rests,
        tasks_due=tuple(task.name for task in due),
        next_task_at=next_task_at(
            view.file.tasks, {**course.before, **course.served}, slot, view.agent.zone
        ),
        has_events=snapshot.has_events and not course.heard,
    )
    found = Expected(
        slot=slot, decision=decide(snapshot, slot), tasks=tuple(task.name for task in due)
    )
    if found.runs:
        course.served |= {task.name: slot for task in due}
        course.heard = True
        course.looked_at = slot
    return found


def unhindered(snapshot: BeatSnapshot) -> BeatSnapshot:
    """Return what was seen without who is busy now: they will not be then."""
    return replace(snapshot, cron_running=(), lanes_busy=(), turns_in_flight=())


class Coming:
    """Looks ahead on behalf of whoever asks; changes nothing.

    ``lookout`` is one of its own: it counts what is spent by a clock that is ahead. Where no
    gateway has run yet nobody is ``phased``: where in the hour the beats lie is not known.
    """

    def __init__(
        self,
        *,
        database: Database,
        lookout: Lookout,
        roster: Callable[[], Roster],
        phased: bool = True,
    ) -> None:
        self._phased = phased
        self._database = database
        self.lookout = lookout
        self._roster = roster

    async def next(self, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`heartbeat.next`: ``{agentId, count}``; of every agent unless one is named."""
        roster = self._roster()
        count = params.get("count") or COUNT
        if not 1 <= count <= MOST:
            raise InvalidInput(
                f"count {count} was refused", why=f"it must be from 1 to {MOST}", fix="fewer"
            )
        named = params.get("agentId")
        if named is not None:
            roster.refuse_stranger(named, "nothing was looked at")
        chosen = [roster.agent(named)] if named else list(roster.agents.values())
        told = [await self._of(agent, now, count) for agent in chosen]
        return {"fromMs": ms(now), "agents": told}

    async def _of(self, agent: AgentProfile, now: datetime, count: int) -> dict[str, Any]:
        cadence = self.lookout.cadence(agent, now)
        told: dict[str, Any] = {"agentId": agent.agent_id, "tz": agent.zone.key}
        if cadence is None:
            return {**told, "because": agent.beat.because, "slots": [], "notes": []}
        found = await self._slots(agent, cadence.schedule, now, count)
        last = found[-1].slot if found else now
        first = next((one.slot for one in found if one.runs), None)
        if first is None:
            first = await self._first(agent, cadence.schedule, last)
        mean = await self._database.read(
            lambda tx: slot_rows.spent(tx, heartbeat.job_id(agent.agent_id))
        )
        hours = agent.beat.active_hours
        return {
            **told,
            "everyMs": agent.beat.period // MILLISECOND if agent.beat.period else None,
            "activeHours": hours.describe() if hours else None,
            "slots": [_words(one, agent, before) for one, before in _with_before(found, now)],
            "nextRunMs": ms(first),
            "cost": _cost(mean, found),
            "notes": [
                *([] if self._phased else [_NO_PHASE]),
                *_notes(cadence.schedule, cadence.warning, agent, now, last),
            ],
        }

    async def _slots(
        self, agent: AgentProfile, schedule: Repeating, after: datetime, count: int
    ) -> list[Expected]:
        found: list[Expected] = []
        ran = await self._database.read(lambda tx: task_rows.last_slots(tx, agent.agent_id))
        course = _Course(before=ran)
        slot = schedule.next_after(after)
        while slot is not None and len(found) < count:
            found.append(await self._judged(agent, slot, course))
            slot = schedule.next_after(slot)
        return found

    async def _first(
        self, agent: AgentProfile, schedule: Repeating, after: datetime
    ) -> datetime | None:
        """Return the first slot that runs; of those outside the active hours none is asked."""
        for _ in range(_LOOKED_FOR):
            slot = heartbeat.next_that_runs(schedule, agent.beat.active_hours, after)
            if slot is None or (await self._judged(agent, slot, _Course())).runs:
                return slot
            after = slot
        return None

    async def _judged(self, agent: AgentProfile, slot: datetime, course: _Course) -> Expected:
        wake = wake_of(agent, slot, self._roster().main_key)
        view = await self.lookout.look(thought_of(agent, slot), wake, slot)
        return foreseen(view.snapshot, view, slot, course)


def wake_of(agent: AgentProfile, slot: datetime, main: str) -> Wake:
    """Return the wake of a slot."""
    return Wake(
        agent_id=agent.agent_id,
        session_key=main_key(agent.agent_id, main=main),
        source="interval",
        intent=Intent.SCHEDULED,
        reason="interval",
        requested_at=slot,
    )


def thought_of(agent: AgentProfile, slot: datetime) -> Run:
    """Return a beat as a run that is on no record."""
    return Run(
        id="",
        job_id=heartbeat.job_id(agent.agent_id),
        kind="heartbeat",
        agent_id=agent.agent_id,
        trigger=Trigger.SCHEDULE,
        status=RunStatus.CLAIMED,
        slot=slot,
    )


# -- in words ------------------------------------------------------------------------------------


def _with_before(found: list[Expected], now: datetime) -> list[tuple[Expected, datetime]]:
    return list(zip(found, [now, *(one.slot for one in found)], strict=False))


def _words(one: Expected, agent: AgentProfile, before: datetime) -> dict[str, Any]:
    local = one.slot.astimezone(agent.zone)
    told: dict[str, Any] = {
        "atMs": ms(one.slot),
        "utc": f"{one.slot.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "local": f"{local:%Y-%m-%dT%H:%M:%S}",
        "offset": local.isoformat()[-6:],
        "runs": one.runs,
    }
    if not isinstance(one.decision, Go):
        told |= {"gate": one.decision.reason.value, "because": one.decision.because}
    elif one.tasks:
        told["tasks"] = list(one.tasks)
    if (moved := _clocks(before.astimezone(agent.zone), local)) is not None:
        told["note"] = moved
    return told


def _clocks(before: datetime, local: datetime) -> str | None:
    """Say that the clocks were changed between two slots."""
    was, now = before.utcoffset() or timedelta(), local.utcoffset() or timedelta()
    if was == now:
        return None
    way = "forward" if now > was else "back"
    return f"the clocks have gone {way} by {abs(now - was) // timedelta(minutes=1)} minutes"


def _cost(mean: MeanCost, found: list[Expected]) -> dict[str, Any] | None:
    told = spending.forecast(mean, sum(one.runs for one in found))
    return None if told is None else told.to_json()


def _notes(
    schedule: Repeating,
    warning: str | None,
    agent: AgentProfile,
    now: datetime,
    last: datetime,
) -> list[str]:
    span = max(last, now + timedelta(days=14))
    counted = schedule if isinstance(schedule, Cron | Every) else schedule.base
    clocks = (
        ()
        if counted is None
        else remarks.of_clocks(counted, agent.zone.key, now, span, Language.ENGLISH)
    )
    return [*([warning] if warning else []), *(one.text for one in clocks)]
