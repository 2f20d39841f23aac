"""Beats as the record tells them, and the events that cause them (heartbeat.md §9, §15)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from engine.core import Engine
from engine.store import outbox
from engine.wake import NewEvent


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
        return await self._engine.history.page(params)

    async def set_enabled(
        self, enabled: bool, *, agent_id: str | None = None, by: str
    ) -> dict[str, Any]:
        """`set-heartbeats`."""
        return await self._engine.beat_jobs.set_enabled(enabled, agent_id=agent_id, by=by)


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
