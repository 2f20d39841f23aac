"""A turn that keeps an agent's beats out for long is told, once (heartbeat.md §6.4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, Simulation

MINUTE = timedelta(minutes=1)
CONFIG: dict[str, Any] = {
    "agents": {"defaults": {"heartbeat": {"every": "10m", "target": "telegram", "to": "42"}}},
    "channels": {"telegram": {"botToken": "1:a"}},
    "cron": {"jobs": {"dig": {"schedule": "0 9 * * *", "message": "dig", "agent": "main"}}},
}


async def looked(sim: Simulation, minutes: int) -> None:
    for _ in range(minutes):
        await sim.advance(MINUTE)
        await sim.engine.stuck_lanes.look()


def told(texts: list[str]) -> list[str]:
    return [text for text in texts if "beats of main" in text]


@pytest.mark.parametrize(
    ("by", "whose", "fix"),
    [
        ("chat", "a conversation", "engine gateway call chat.abort --params"),
        ("cron", "a job", "engine cron cancel "),
    ],
)
async def test_a_turn_of_a_quarter_of_an_hour_is_told_once_and_so_is_its_end(
    engine_sim: EngineSim, by: str, whose: str, fix: str
) -> None:
    agent = ScriptedAgent(then="HEARTBEAT_OK", takes=40 * MINUTE)
    sim = engine_sim(
        CONFIG, start="2026-06-01 08:59:50", zone="UTC", agent=agent, checklist="- a\n"
    )
    if by == "chat":
        await sim.say("dig", run_id="r1")
    else:
        await sim.advance(timedelta(seconds=11))
    agent.takes = timedelta()
    await looked(sim, 14)
    assert await sim.engine.stuck_lanes.found() == []
    await looked(sim, 10)
    (stuck,) = await sim.engine.stuck_lanes.found()
    assert stuck.what.startswith(f"the beats of main wait: {whose} (run ")
    assert stuck.fix.startswith(fix)
    texts = [one.text for one in (await sim.report()).deliveries]
    assert len(told(texts)) == 1
    assert "has kept the agent busy for 15m\nTo end it: engine" in told(texts)[0]
    await looked(sim, 30)
    assert await sim.engine.stuck_lanes.found() == []
    texts = [one.text for one in (await sim.report()).deliveries]
    assert len(told(texts)) == 2
    assert "The beats of main go on: what kept them waiting is over" in texts


async def test_a_long_turn_that_no_beat_waits_for_is_nobodys_trouble(engine_sim: EngineSim) -> None:
    config = {**CONFIG, "agents": {"defaults": {"heartbeat": {"every": "10m", "target": "last"}}}}
    config["agents"]["defaults"]["heartbeat"]["activeHours"] = {"start": "20:00", "end": "21:00"}
    agent = ScriptedAgent(then="HEARTBEAT_OK", takes=40 * MINUTE)
    sim = engine_sim(config, start="2026-06-01 10:00", zone="UTC", agent=agent, checklist="- a\n")
    await sim.say("dig")
    agent.takes = timedelta()
    await looked(sim, 30)
    assert await sim.engine.stuck_lanes.found() == []
    assert told([one.text for one in (await sim.report()).deliveries]) == []
