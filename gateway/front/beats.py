"""Beats as the record tells them, and the events that cause them (heartbeat.md §9, §15)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from engine.agents.configured import prices
from engine.core import Engine
from engine.decisions.wake import NewEvent
from engine.inquiry import hindsight
from engine.inquiry.costs import Costs, query_of
from engine.store import outbox


class FrontHeartbeats:
    """Beats as the record tells them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def last(self, agent_id: str | None = None) -> dict[str, Any] | None:
        """`last-heartbeat`."""
        return await self._engine.history.last(agent_id)

    async def listing(self) -> Sequence[dict[str, Any]]:
        """`heartbeat.list`."""
        return await self._engine.beat_jobs.listing()

    async def history(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`heartbeat.history`."""
        if params.get("summary"):
            return await self._engine.history.summary(params, self._engine.clock.now())
        return await self._engine.history.page(params)

    async def events(self, since: int | None) -> dict[str, Any]:
        """`heartbeat.events`."""
        return self._engine.beats.turn.ring.since(since)

    async def next(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`heartbeat.next`."""
        return await self._engine.coming.next(params, self._engine.clock.now())

    async def replay(self, run_id: str) -> dict[str, Any]:
        """`heartbeat.replay`."""
        engine = self._engine
        return await hindsight.replay(
            run_id, database=engine.database, lookout=engine.lookout, roster=engine.roster
        )

    async def set_enabled(
        self, enabled: bool, *, agent_id: str | None = None, by: str
    ) -> dict[str, Any]:
        """`set-heartbeats`."""
        return await self._engine.beat_jobs.set_enabled(enabled, agent_id=agent_id, by=by)

    async def cost(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`heartbeat.cost`."""
        engine = self._engine
        costs = Costs(
            database=engine.database,
            lookout=engine.lookout,
            roster=engine.roster,
            prices=prices(engine.config),
        )
        return await costs.report(query_of(params), engine.clock.now())

    async def pause(
        self, *, agent_id: str | None = None, by: str, note: str = "", until: datetime | None = None
    ) -> dict[str, Any]:
        """`heartbeat.pause`."""
        return await self._engine.beat_jobs.pause(agent_id=agent_id, by=by, note=note, until=until)

    async def resume(self, *, agent_id: str | None = None, by: str) -> dict[str, Any]:
        """`heartbeat.resume`."""
        return await self._engine.beat_jobs.resume(agent_id=agent_id, by=by)

    async def tasks(self, agent_id: str | None = None) -> dict[str, Any]:
        """`heartbeat.tasks`: what the checklists ask for, and how it went."""
        return await self._engine.task_jobs.listing(agent_id)

    async def run_task(self, name: str, *, agent_id: str | None = None, by: str) -> dict[str, Any]:
        """Run one task now."""
        return await self._engine.task_jobs.run(name, agent_id=agent_id, by=by)

    async def skip_task(self, name: str, *, agent_id: str | None = None, by: str) -> dict[str, Any]:
        """Leave one task out once."""
        return await self._engine.task_jobs.skip(name, agent_id=agent_id, by=by)

    async def run(
        self,
        agent_id: str | None = None,
        *,
        by: str,
        deliver: bool = True,
        within: timedelta | None = None,
    ) -> dict[str, Any]:
        """`heartbeat.run`: a beat now, because a person asked."""
        return await self._engine.by_hand.run(agent_id, by=by, deliver=deliver, within=within)

    async def rehearse(
        self, agent_id: str | None = None, *, by: str, ask: bool = True
    ) -> dict[str, Any]:
        """`heartbeat.run` with ``dryRun``: what a beat would do; nothing is sent or kept."""
        return await self._engine.by_hand.rehearse(agent_id, by=by, ask=ask)

    async def test(
        self,
        agent_id: str | None = None,
        *,
        place: Mapping[str, str] | None = None,
        dry_run: bool = False,
        within: timedelta,
    ) -> dict[str, Any]:
        """`heartbeat.test`: a marked message the way of an alert, and its receipt."""
        return await self._engine.trial.run(agent_id, place=place, dry_run=dry_run, within=within)


class FrontWakes:
    """Events, and the records of the beats that saw them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def system_event(self, event: NewEvent) -> dict[str, Any]:
        """Queue an event; with mode now it also wakes its agent."""
        return await self._engine.waking.system_event(event)

    async def wait(self, event_id: str, within: timedelta) -> dict[str, Any] | None:
        """The record of the beat that took the event up, or nothing in time."""
        run = await self._engine.waking.wait(event_id, within)
        if run is None:
            return None
        delivery = None
        if run.delivery_key is not None:
            key = run.delivery_key
            delivery = await self._engine.database.read(lambda tx: outbox.get(tx, key))
        return self._engine.history.told(run, delivery)
