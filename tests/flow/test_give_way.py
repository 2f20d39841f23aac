"""A person's message does not wait for a beat's model (heartbeat.md §10)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from engine.agents.base import TurnReply, TurnRequest, use_tool
from engine.decisions.wake import Intent, NewEvent
from engine.pytest_plugin import EngineSim
from engine.testing import Simulation
from jobs.ledger import SkipReason

START = datetime(2026, 6, 1, tzinfo=UTC)
LOOK = "- look at the builds\n"
CONFIG: dict[str, Any] = {
    "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}},
}
MINUTE = timedelta(minutes=1)


class Slow:
    """Takes five minutes over a beat, and answers a person at once."""

    def __init__(self, *, first: str | None = None) -> None:
        self.chats_take = timedelta()
        self.first = first  # a tool it uses before it thinks
        self.sim: Simulation | None = None
        self.asked: list[tuple[str, datetime]] = []

    async def answer(self, request: TurnRequest) -> TurnReply:
        assert self.sim is not None
        clock = self.sim.clock
        self.asked.append((request.kind, clock.now()))
        if request.kind == "chat":
            await clock.sleep_until(clock.now() + self.chats_take)
            return TurnReply(payloads=("Here I am.",))
        if self.first is not None:
            await use_tool(request.tools, self.first, {"path": "../nowhere", "content": ""})
        await clock.sleep_until(clock.now() + 5 * MINUTE)
        return TurnReply(payloads=(" ".join(request.facts["events"]) or "The build is red.",))


def made(engine_sim: EngineSim, agent: Slow, config: dict[str, Any] = CONFIG) -> Simulation:
    sim = engine_sim(config, start=START, agent=agent, checklist=LOOK)
    agent.sim = sim
    return sim


async def into_the_beat(sim: Simulation) -> None:
    """Let a minute of its turn pass."""
    await sim.open()
    await sim.until(next_beat(sim, "main") + MINUTE)


def next_beat(sim: Simulation, agent_id: str) -> datetime:
    found = sim.engine.lookout.next_beat(sim.engine.roster.agent(agent_id), sim.now())
    assert found is not None
    return found


async def test_a_message_is_answered_at_once_and_the_beat_asks_again_afterwards(
    engine_sim: EngineSim,
) -> None:
    agent = Slow()
    sim = made(engine_sim, agent)
    await into_the_beat(sim)
    answer = await (await sim.say("hello?"))
    assert answer.payloads == ("Here I am.",)
    (chat,) = [at for kind, at in agent.asked if kind == "chat"]
    assert chat == sim.now()
    report = await sim.advance(6 * MINUTE)
    (beat,) = report.beats.rows
    assert (beat.status, beat.outcome) == ("ok", "alert")
    assert beat.row.facts["gaveWay"] == 1
    assert [kind for kind, _ in agent.asked] == ["heartbeat", "chat", "heartbeat"]


async def test_while_it_waits_the_row_says_for_whom(engine_sim: EngineSim) -> None:
    agent = Slow()
    sim = made(engine_sim, agent)
    await into_the_beat(sim)
    agent.chats_take = MINUTE
    await sim.say("hello?")
    (beat,) = (await sim.report()).beats.rows
    assert beat.status == "deferred"
    assert beat.reason in (SkipReason.PREEMPTED, SkipReason.REQUESTS_IN_FLIGHT)


async def test_an_event_in_a_beat_that_gave_way_is_told_all_the_same(
    engine_sim: EngineSim,
) -> None:
    agent = Slow()
    sim = made(engine_sim, agent)
    await sim.open()
    await sim.engine.waking.system_event(_command_ended())
    await sim.advance(MINUTE)
    await (await sim.say("hello?"))
    report = await sim.advance(6 * MINUTE)
    assert report.deliveries[-1].text == "Exec finished: all green"


async def test_a_beat_that_changed_something_finishes_first(engine_sim: EngineSim) -> None:
    agent = Slow(first="write")
    sim = made(engine_sim, agent)
    await into_the_beat(sim)
    chat = await sim.say("hello?")
    report = await sim.advance(6 * MINUTE)
    await chat
    assert [kind for kind, _ in agent.asked] == ["heartbeat", "chat"]
    assert [row.status for row in report.beats.rows] == ["ok"]


async def test_where_all_places_are_taken_by_beats_one_makes_room(engine_sim: EngineSim) -> None:
    agent = Slow()
    agents = {"defaults": {"maxConcurrent": 1, **CONFIG["agents"]["defaults"]}}
    sim = made(engine_sim, agent, {"agents": {**agents, "list": [{"id": "a"}, {"id": "b"}]}})
    await sim.open()
    first, other = sorted(("a", "b"), key=lambda agent_id: next_beat(sim, agent_id))
    await sim.until(next_beat(sim, first) + MINUTE)
    answer = await (await sim.say("hello?", agent=other))
    assert answer.payloads == ("Here I am.",)
    assert agent.asked[-1][1] - agent.asked[0][1] < 2 * MINUTE


def _command_ended() -> NewEvent:
    return NewEvent(
        text="Exec finished: all green",
        mode="now",
        source="exec",
        by="the end of: make",
        context_key="exec:1",
        trusted=False,
        intent=Intent.EVENT,
    )
