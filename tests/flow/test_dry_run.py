"""A beat by hand, and a dry one that leaves no trace (heartbeat.md §20, §25-4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.testing import ScriptedAgent, Simulation
from jobs.errors import NotFound
from jobs.store import runs as run_rows
from jobs.store.base import RunQuery
from jobs.store.db import Tx

CONFIG: dict[str, Any] = {
    "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}},
    "channels": {"telegram": {"botToken": "1:a", "allowFrom": ["42"]}},
}
TABLES = ("runs", "outbox", "messages", "task_state", "system_events")


async def everything(sim: Simulation) -> list[Any]:
    def read(tx: Tx) -> list[Any]:
        return [[*map(tuple, tx.exec_driver_sql(f"SELECT * FROM {name}"))] for name in TABLES]  # noqa: S608 - fixed names

    return await sim.database.read(read)


async def test_a_dry_beat_tells_all_and_leaves_no_trace() -> None:
    agent = ScriptedAgent(then="The disk is full.")
    async with Simulation(CONFIG, start="2026-06-01 07:05", agent=agent, checklist="- a\n") as sim:
        await sim.contact("telegram", "42")
        await sim.event("Build is red", mode="next-heartbeat")
        before = await everything(sim)
        told = await sim.engine.by_hand.rehearse(None, by="test", ask=True)
        assert told["runs"]
        assert told["wouldSend"] == ["The disk is full."]
        assert told["outcome"] == "alert"
        assert told["target"]["channel"] == "telegram"
        assert "Build is red" in told["prompt"]
        assert "cron" in told["withheld"]
        assert await everything(sim) == before


async def test_the_prompt_alone_asks_no_model() -> None:
    agent = ScriptedAgent(then="never said")
    async with Simulation(CONFIG, start="2026-06-01 07:05", agent=agent, checklist="- a\n") as sim:
        await sim.contact("telegram", "42")
        told = await sim.engine.by_hand.rehearse("main", by="test", ask=False)
        assert "- a" in told["prompt"]
        assert "outcome" not in told
        with pytest.raises(NotFound):
            await sim.engine.by_hand.rehearse("nobody", by="test", ask=False)


async def test_what_would_stop_it_is_told_instead() -> None:
    async with Simulation(CONFIG, start="2026-06-01 07:05", checklist="- a\n") as sim:
        await sim.engine.beat_jobs.set_enabled(False, by="test")
        told = await sim.engine.by_hand.rehearse(None, by="test", ask=True)
        assert (told["runs"], told["gate"]) == (False, "disabled")


@pytest.mark.parametrize(("deliver", "reason"), [(True, None), (False, "target-none")])
async def test_a_beat_by_hand_has_its_row_and_says_who_asked(
    deliver: bool, reason: str | None
) -> None:
    agent = ScriptedAgent(then="The disk is full.")
    async with Simulation(CONFIG, start="2026-06-01 07:05", agent=agent, checklist="") as sim:
        await sim.contact("telegram", "42")
        told = await sim.engine.by_hand.run(
            None, by="ada", deliver=deliver, within=timedelta(seconds=5)
        )
        assert told["ended"]
        query = RunQuery(kind="heartbeat")
        (run,) = (await sim.database.read(lambda tx: run_rows.page(tx, query))).entries
        assert (run.wake["by"], run.wake["intent"]) == ("ada", "manual")
        assert (run.reason.value if run.reason else None) == reason
        assert told["record"]["runId"] == run.id
        assert "another agent" not in told["record"]["explain"]
