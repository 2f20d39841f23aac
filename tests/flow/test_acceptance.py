"""Two of the promises a heartbeat is accepted by (heartbeat.md §26, points 6 and 8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.agents.base import TurnReply, TurnRequest
from engine.messages.delivery import State
from engine.store import outbox
from engine.testing import ScriptedAgent, Simulation
from engine.vitals import Vitals
from gateway.channels.base import Attempt, ChannelError, Fault, FaultClass, Sent
from gateway.sender import Sender
from tests.fakes.scripted_channel import ScriptedChannel

START = datetime(2026, 6, 1, tzinfo=UTC)
LOOK = "- look at the builds\n"
HOUR = timedelta(hours=1)
WORDS = "The build is red."


class OneHangs:
    """Answers at once, but for one agent, whose first turn takes an hour."""

    def __init__(self) -> None:
        self.sim: Simulation | None = None
        self.hung = False

    async def answer(self, request: TurnRequest) -> TurnReply:
        assert self.sim is not None
        if request.agent_id == "slow" and not self.hung:
            self.hung = True
            await self.sim.clock.sleep_until(self.sim.clock.now() + HOUR)
        return TurnReply(payloads=("HEARTBEAT_OK",))


async def test_an_agent_that_hangs_for_an_hour_costs_the_other_no_slot_and_no_second() -> None:
    agent = OneHangs()
    beat = {"every": "1m", "target": "none", "timeoutSeconds": 7200}
    agents = [{"id": name, "heartbeat": beat} for name in ("slow", "quick")]
    sim = Simulation({"agents": {"list": agents}}, start=START, agent=agent, checklist=LOOK)
    agent.sim = sim
    async with sim:
        report = await sim.advance(HOUR)
    rows = [one.row for one in report.beats.rows]
    quick = [row for row in rows if row.agent_id == "quick"]
    assert len(quick) == 60
    for row in quick:
        assert row.slot is not None
        assert row.started_at is not None
        assert timedelta() <= row.started_at - row.slot <= timedelta(seconds=1)
        assert row.status == "ok"
    held_up = [row for row in rows if row.agent_id == "slow" and row.status == "ok"]
    assert len(held_up) <= 1


class DownUntil(ScriptedChannel):
    """A platform that answers nobody until a given instant."""

    until = START + 24 * HOUR

    async def send(self, attempt: Attempt) -> Sent:
        if self.clock.now() < self.until:
            self.attempts.append((self.clock.now(), attempt))
            raise ChannelError(Fault(fault=FaultClass.NETWORK_PRESEND))
        return await super().send(attempt)


class Posted(Simulation):
    """A simulation whose messages are carried by the gateway's own sender."""

    async def _carried(self) -> bool:
        await self.clock.advance(timedelta(), settle=60)  # it may be at it
        return False


@pytest.mark.parametrize(
    ("down_for", "state"), [(2 * HOUR, State.DELIVERED), (9 * HOUR, State.EXPIRED)]
)
async def test_a_platform_that_is_down_costs_no_second_model_call_and_no_second_message(
    down_for: timedelta, state: State
) -> None:
    agent = ScriptedAgent(WORDS)
    heartbeat = {"every": "6h", "target": "telegram", "to": "42"}
    config: dict[str, Any] = {
        "agents": {"defaults": {"heartbeat": heartbeat}},
        "channels": {"telegram": {"botToken": "1:x", "allowFrom": ["42"]}},
    }
    sim = Posted(config, start=START, agent=agent, checklist=LOOK)
    async with sim:
        channel = DownUntil(sim.clock)
        sender = Sender(
            sim.database,
            {"telegram": channel},
            clock=sim.clock,
            bus=sim.engine.bus,
            resend_unknown=lambda _: False,
            vitals=Vitals(),
        )
        sim.engine.bus.listen(lambda told: sender.poke() if told.name == "outbox" else None)
        await sender.start()
        await sim.advance(6 * HOUR)  # one slot: the agent speaks, the platform does not answer
        (said, *_), _ = await sim.database.read(lambda tx: outbox.page(tx))
        channel.until = said.created_at + down_for
        await sim.advance(down_for + HOUR)
        sent, _ = await sim.database.read(lambda tx: outbox.page(tx))
        await sender.stop()
    (message,) = sent
    assert (message.text, message.state) == (WORDS, state)
    asked = [one.now for one in agent.requests if one.now < said.created_at + 5 * HOUR]
    assert asked == [said.created_at]
    arrived = [at for at, _ in channel.attempts if at >= channel.until]
    assert len(arrived) == (1 if state is State.DELIVERED else 0)
