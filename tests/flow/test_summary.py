"""Beats summed: what each came to, expected against recorded, none forgotten (§25-1, -22)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.testing import ScriptedAgent, Simulation
from jobs.store.db import Tx

HOURS = {"start": "08:00", "end": "20:00", "timezone": "UTC"}
CONFIG: dict[str, Any] = {
    "agents": {
        "defaults": {"heartbeat": {"every": "30m", "target": "none", "activeHours": HOURS}},
        "list": [{"id": "main", "default": True}, {"id": "ops"}],
    }
}


async def summed(sim: Simulation, **params: Any) -> dict[str, Any]:
    return await sim.engine.history.summary(params, sim.now())


async def test_a_day_is_accounted_for_slot_by_slot() -> None:
    agent = ScriptedAgent("The disk is full.", then="HEARTBEAT_OK")
    async with Simulation(CONFIG, start="2026-06-01 00:00", agent=agent, checklist="- a\n") as sim:
        await sim.advance(timedelta(days=1))
        told = await summed(sim)
        assert (told["slots"], told["expected"], told["recorded"]) == (96, 96, 96)
        assert told["counts"] == {"quiet-hours": 48, "ok-token": 47, "target-none": 1}
        assert [one["agentId"] for one in told["agents"]] == ["main", "ops"]
        assert sum(sum(c["counts"].values()) for a in told["agents"] for c in a["cells"]) == 96
        assert told["slo"]["ok"]
        hours = told["agents"][0]["activeHours"]
        assert [(h["untilMs"] - h["fromMs"]) // 3_600_000 for h in hours] == [12]


async def test_slots_nobody_served_count_against_the_goal() -> None:
    async with Simulation(CONFIG, start="2026-06-01 08:00", checklist="- a\n") as sim:
        await sim.advance(timedelta(hours=6))
        await sim.restart(down_for=timedelta(hours=6))
        await sim.advance(timedelta(minutes=1))
        told = await summed(sim, agentId="main")
        assert told["expected"] == told["recorded"] == 24
        assert told["slo"]["beats"]["done"] < 24 * 0.95
        assert not told["slo"]["ok"]


async def test_a_row_that_is_gone_is_told_as_a_hole() -> None:
    async with Simulation(CONFIG, start="2026-06-01 08:00", checklist="- a\n") as sim:
        await sim.advance(timedelta(hours=4))

        def forget(tx: Tx) -> None:
            tx.exec_driver_sql(
                "DELETE FROM runs WHERE seq = (SELECT seq FROM runs WHERE agent_id = 'main'"
                " ORDER BY seq LIMIT 1 OFFSET 3)"
            )

        await sim.database.write(forget)
        main = (await summed(sim, agentId="main"))["agents"][0]
        assert (main["expected"], main["recorded"], main["missing"]) == (8, 7, 1)
        assert [hole["count"] for hole in main["holes"]] == [1]


async def test_of_one_reason_only_what_it_befell_is_counted() -> None:
    async with Simulation(CONFIG, start="2026-06-01 00:00", checklist="- a\n") as sim:
        await sim.advance(timedelta(days=1))
        told = await summed(sim, reason="quiet-hours", agentId="ops")
        assert told["sentence"] == "24 slots: 24 quiet-hours"


async def test_a_window_begins_and_ends_where_it_was_asked_to() -> None:
    async with Simulation(CONFIG, start="2026-06-01 00:00", checklist="- a\n") as sim:
        await sim.advance(timedelta(days=1))
        end = round((sim.now() - timedelta(hours=12)).timestamp() * 1000)
        told = await summed(sim, sinceMs=end - 3_600_000, untilMs=end, agentId="main")
        assert told["slots"] == told["expected"] == 2
