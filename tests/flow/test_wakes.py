"""Wakes that meet: nothing that happens between an event and its beat loses or doubles either."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.agents.base import AgentFailure, FailureClass
from engine.beats.look import FileRead
from engine.decisions.wake import Intent, NewEvent
from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, Simulation
from jobs.errors import InvalidInput, NotFound
from jobs.store.db import Database
from jobs.wallclock import ms

FEW_MINUTES = timedelta(minutes=5)
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
        await sim.engine.waking.system_event(
            NewEvent(text="The bath is full.", mode="now", source="cli", by="me")
        )

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


async def reminded(sim: Simulation, span: timedelta) -> None:
    """Let time pass as in a gateway: every few minutes what waits may ask again."""
    for _ in range(span // FEW_MINUTES):
        await sim.advance(FEW_MINUTES)
        await sim.engine.waking.remind()
    await sim.advance(FEW_MINUTES)


async def test_an_event_whose_beat_failed_is_told_later_also_without_a_cadence(
    tmp_path: Path,
) -> None:
    agent = ScriptedAgent(AgentFailure(FailureClass.NETWORK, "no network"), then="The kettle.")
    async with Simulation(
        EVENTS_ONLY, start="2026-06-01 00:00", agent=agent, checklist="", home=tmp_path
    ) as sim:
        await sim.event("The kettle is on.")
        await reminded(sim, timedelta(hours=2))
        report = await sim.report()
        assert [row.status for row in report.beats.rows] == ["failed", "ok"]
        assert [one.text for one in report.deliveries] == ["The kettle."]


async def test_an_event_without_a_route_is_told_once_there_is_one(tmp_path: Path) -> None:
    config = EVENTS_ONLY | {"channels": {"telegram": {"botToken": "1:x", "allowFrom": ["42"]}}}
    agent = ScriptedAgent(then="The kettle.")
    async with Simulation(
        config, start="2026-06-01 00:00", agent=agent, checklist="", home=tmp_path
    ) as sim:
        await sim.event("The kettle is on.")
        await reminded(sim, timedelta(hours=1))
        before = (await sim.report()).beats
        assert set(before.skipped) == {"no-route"}
        assert len(before.rows) <= 3
        await sim.contact("telegram", "42")
        await reminded(sim, timedelta(hours=1))
        assert [one.text for one in (await sim.report()).deliveries] == ["The kettle."]


async def test_an_event_of_the_night_is_no_more_urgent_after_a_restart(tmp_path: Path) -> None:
    by_day = {"start": "08:00", "end": "22:00"}
    heartbeat = {"every": "30m", "target": "last", "activeHours": by_day}
    config = {"agents": {"defaults": {"heartbeat": heartbeat}}}
    agent = ScriptedAgent(then="A file was changed.")
    async with Simulation(
        config, start="2026-06-01 03:00", zone="UTC", agent=agent, checklist=LOOK, home=tmp_path
    ) as sim:
        await sim.engine.waking.system_event(
            NewEvent(
                text="A file was changed.",
                mode="now",
                source="hook",
                by="hook",
                intent=Intent.EVENT,
            )
        )
        await sim.advance(FEW_MINUTES)
        await sim.restart()
        await sim.advance(FEW_MINUTES)
        assert agent.requests == []
        report = await sim.until("2026-06-01 08:10")
        assert [one.local for one in report.deliveries][:1] == ["08:00"]


async def test_an_agent_nobody_configured_does_not_exist(engine_sim: EngineSim) -> None:
    sim = engine_sim({}, start="2026-06-01 00:00", zone="UTC")
    with pytest.raises(NotFound, match="have: main") as told:
        await sim.event("look", agent="nobody")
    assert told.value.exit_status == 6
    with pytest.raises(NotFound):
        await sim.engine.beat_jobs.set_enabled(True, agent_id="nobody", by="cli")


async def test_who_wakes_is_told_which_beat_it_is_and_when_one_comes(engine_sim: EngineSim) -> None:
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", checklist=LOOK)
    await sim.open()

    async def event(text: str, mode: str) -> dict[str, Any]:
        made = NewEvent(text=text, mode=mode, source="wake", by="me")
        return await sim.engine.waking.system_event(made)

    later = await event("The kettle is on.", "next-heartbeat")
    (listed,) = await sim.engine.beat_jobs.listing()
    assert later["runsAt"] == listed["nextDueAtMs"]
    assert "tickId" not in later
    woken = await event("The bath is full.", "now")
    assert woken["runsAt"] == ms(sim.now())
    await sim.advance(FEW_MINUTES)
    (row,) = (await sim.report()).beats.rows
    assert row.row.id == woken["tickId"]
    await sim.engine.beat_jobs.set_enabled(False, by="me")
    assert (await event("The door is open.", "next-heartbeat"))["runsAt"] is None


async def test_a_wake_may_name_where_its_beat_tells_its_words(engine_sim: EngineSim) -> None:
    channels = {"telegram": {"botToken": "1:x", "allowFrom": ["42", "43"]}}
    agent = ScriptedAgent(then="The kettle.")
    sim = engine_sim(
        CONFIG | {"channels": channels}, start="2026-06-01 00:00", zone="UTC", agent=agent
    )
    await sim.contact("telegram", "42")
    event = NewEvent(text="Kettle.", mode="now", source="wake", by="me", target="telegram:43")
    await sim.engine.waking.system_event(event)
    await sim.advance(FEW_MINUTES)
    assert [one.to for one in (await sim.report()).deliveries] == ["43"]
    with pytest.raises(InvalidInput, match="unknown channel"):
        await sim.engine.waking.system_event(replace(event, target="telegarm:43"))


async def test_where_a_beat_tells_its_words_is_known_after_a_restart(tmp_path: Path) -> None:
    channels = {"telegram": {"botToken": "1:x", "allowFrom": ["42", "43"]}}
    failing = AgentFailure(FailureClass.NETWORK, "no network")
    agent = ScriptedAgent(failing, then="The kettle.")
    async with Simulation(
        EVENTS_ONLY | {"channels": channels}, start="2026-06-01 00:00", agent=agent, home=tmp_path
    ) as sim:
        await sim.contact("telegram", "42")
        event = NewEvent(text="Kettle.", mode="now", source="wake", by="me", target="telegram:43")
        await sim.engine.waking.system_event(event)
        await sim.advance(FEW_MINUTES)
        await sim.restart()
        await sim.advance(FEW_MINUTES)
        assert [one.to for one in (await sim.report()).deliveries] == ["43"]


async def test_a_sub_agents_session_is_not_woken(engine_sim: EngineSim) -> None:
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC")
    await sim.open()
    event = NewEvent(
        text="x", mode="now", session_key="agent:main:subagent:7", source="wake", by="me"
    )
    with pytest.raises(InvalidInput, match="is a sub-agent's"):
        await sim.engine.waking.system_event(event)
