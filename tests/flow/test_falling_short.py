"""A day below the goal is told, once, and so is its end (heartbeat.md §25 row 22)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, Simulation
from engine.upkeep.falling_short import FallingShort, news

HOUR = timedelta(hours=1)
CONFIG: dict[str, Any] = {
    "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "telegram", "to": "42"}}},
    "channels": {"telegram": {"botToken": "1:a"}},
}


def chore_of(sim: Simulation) -> FallingShort:
    return FallingShort(
        database=sim.database,
        clock=sim.clock,
        roster=lambda: sim.engine.roster,
        history=sim.engine.history,
        alerting=sim.engine.alerting,
    )


async def test_a_day_below_the_goal_is_told_once_over_a_restart_and_its_end_too(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="HEARTBEAT_OK")
    sim = engine_sim(CONFIG, start="2026-06-01 08:00", zone="UTC", agent=agent, checklist="- a\n")
    await sim.advance(6 * HOUR)
    await chore_of(sim).look()
    assert (await sim.report()).deliveries == ()
    await sim.restart(down_for=6 * HOUR)
    for _ in range(3):
        await sim.advance(HOUR)
        await chore_of(sim).look()
    await sim.restart()
    await chore_of(sim).look()
    (told,) = (await sim.report()).deliveries
    assert told.text.startswith("The beats of main fell short in the last 24 hours: ")
    for _ in range(26):
        await sim.advance(HOUR)
        await chore_of(sim).look()
    await sim.advance(HOUR)
    texts = [one.text for one in (await sim.report()).deliveries]
    assert texts == [told.text, "The beats of main keep their goal again"]


@pytest.mark.parametrize(
    ("misses", "told", "said"),
    [([], False, None), (["x"], True, None), (["x"], False, "fell short"), ([], True, "again")],
)
def test_only_a_change_is_news(misses: list[str], told: bool, said: str | None) -> None:
    words = news("main", misses, told=told)
    assert words is None if said is None else said in (words or "")
