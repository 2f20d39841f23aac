"""Tells when one turn has kept an agent's beats out for long (heartbeat.md §6.4 `stuck_lane`).

A chore. Somebody is told once per turn, by the way of the agent's alerts, and once when it is
over; for as long as it lasts it stands among the troubles of `engine status`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from engine.alerts.alerting import Alerting
from engine.clock import Clock
from engine.decisions.heartbeat import job_id
from engine.decisions.troubles import StuckLane
from engine.roster.roster import AgentProfile, Roster
from engine.sessions import subagent
from engine.store import meta
from engine.turns.lanes import Holder, Lanes
from jobs.duration import format_duration
from jobs.ledger import Run, SkipReason
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import RunQuery
from jobs.store.db import Database, Tx
from jobs.wallclock import EPOCH

LONG: Final = timedelta(minutes=15)
_BUSY: Final = frozenset(
    {SkipReason.CRON_IN_PROGRESS, SkipReason.LANES_BUSY, SkipReason.REQUESTS_IN_FLIGHT}
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at an agent found: who holds its lanes, and its newest beat."""

    holders: Sequence[Holder]
    waits_for_subagents: bool
    newest: Run | None


def stuck(seen: Seen, now: datetime) -> Holder | None:
    """Return the turn that has kept a beat out for long; None while there is none. Pure."""
    beat = seen.newest
    if beat is None or beat.reason not in _BUSY:
        return None
    held = [
        one
        for one in seen.holders
        if one.running
        and one.kind != "heartbeat"
        and one.age(now) >= LONG
        and (seen.waits_for_subagents or not subagent(one.session_key))
        and (beat.ended_at or now) >= one.since
    ]
    return min(held, key=lambda one: one.since, default=None)


class StuckLanes:
    """Looks at the lanes of every agent that has beats."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        lanes: Lanes,
        roster: Callable[[], Roster],
        alerting: Alerting,
    ) -> None:
        self._database = database
        self._clock = clock
        self._lanes = lanes
        self._roster = roster
        self._alerting = alerting

    async def found(self) -> list[StuckLane]:
        """Return what is stuck now."""
        now = self._clock.now()
        agents = [one for one in self._roster().agents.values() if one.beat.period is not None]
        held = [(one, await self._held(one, now)) for one in agents]
        return [_told(one.agent_id, by, now) for one, by in held if by is not None]

    async def look(self) -> None:
        """Tell what got stuck since the last look, and what goes on again."""
        now = self._clock.now()
        for agent in self._roster().agents.values():
            if agent.beat.period is not None:
                await self._look_at(agent, now)

    async def _held(self, agent: AgentProfile, now: datetime) -> Holder | None:
        holders = self._lanes.busy(agent.agent_id)
        if not any(one.age(now) >= LONG for one in holders):
            return None  # nothing is read while all is well
        newest = await self._database.read(lambda tx: _newest(tx, agent.agent_id))
        return stuck(Seen(holders, agent.beat.waits_for_subagents, newest), now)

    async def _look_at(self, agent: AgentProfile, now: datetime) -> None:
        by = await self._held(agent, now)
        key = f"stuck:{agent.agent_id}"
        told = await self._database.read(lambda tx: meta.get(tx, key))
        if told == (by.run_id if by is not None else None):
            return
        job = await self._database.read(lambda tx: job_rows.readable(tx, job_id(agent.agent_id)))
        if job is None:
            return
        if by is None:
            words = f"The beats of {agent.agent_id} go on: what kept them waiting is over"
        else:
            lane = _told(agent.agent_id, by, now)
            words = f"{lane.what[0].upper()}{lane.what[1:]}\nTo end it: {lane.fix}"
        await self._alerting.tell(
            job.job,
            words,
            f"alarm:{key}:{now:%Y%m%d%H%M%S}",
            now,
            also=lambda tx: meta.put(tx, key, by.run_id) if by else meta.drop(tx, key),
        )


def _newest(tx: Tx, agent_id: str) -> Run | None:
    query = RunQuery(job_id=job_id(agent_id), since=EPOCH, limit=1)
    return next(iter(run_rows.page(tx, query).entries), None)


def _told(agent_id: str, by: Holder, now: datetime) -> StuckLane:
    age = format_duration(timedelta(minutes=by.age(now) // timedelta(minutes=1)))
    return StuckLane(
        agent_id=agent_id, kind=by.kind, run_id=by.run_id, session_key=by.session_key, age=age
    )
