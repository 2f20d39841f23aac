"""Wakes that meet: nothing that happens between an event and its beat loses or doubles either."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from engine.look import FileRead
from engine.testing import ScriptedAgent, Simulation
from jobs.store.db import Database

LOOK = "- look at the builds\n"
CONFIG = {"agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}}}
EVENTS_ONLY = {"agents": {"defaults": {"heartbeat": {"every": "0m", "target": "last"}}}}


class Interrupted(Simulation):
    """A simulation in which something happens while a beat looks around."""

    while_looking: Callable[[], Awaitable[object]] | None = None

    async def _read_file(self, workspace: Path) -> FileRead:
        happens, self.while_looking = self.while_looking, None
        if happens is not None:
            await happens()
        return await super()._read_file(workspace)


def told(agent: ScriptedAgent) -> str:
    return "\n".join(request.prompt for request in agent.requests)


async def test_an_event_that_comes_while_a_beat_looks_around_is_served_too(tmp_path: Path) -> None:
    agent = ScriptedAgent()
    sim = Interrupted(
        EVENTS_ONLY, start="2026-06-01 00:00", agent=agent, checklist=LOOK, home=tmp_path
    )

    async def another() -> None:
        await sim.engine.waking.system_event("The bath is full.", mode="now", source="cli", by="me")

    async with sim:
        sim.while_looking = another
        await sim.event("The kettle is on.")
        await sim.advance(timedelta(minutes=5))
        assert "The kettle is on." in told(agent)
        assert "The bath is full." in told(agent)


async def test_events_that_come_at_once_make_one_beat(tmp_path: Path) -> None:
    agent = ScriptedAgent()
    database = await Database.open(tmp_path / "state.db")
    async with Simulation(
        CONFIG, start="2026-06-01 00:00", agent=agent, checklist=LOOK, database=database
    ) as sim:
        texts = ("The kettle is on.", "The bath is full.", "The door is open.")
        await asyncio.gather(*(sim.event(text) for text in texts))
        await sim.advance(timedelta(minutes=1))
        assert all(text in told(agent) for text in texts)
        assert len(agent.requests) <= 2  # the first, and one for what came while it ran
        assert all(request.facts["events"] for request in agent.requests)
    await database.close()
