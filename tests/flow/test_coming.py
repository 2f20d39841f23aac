"""Beats to come: each slot says what will stop it, as the gates will say it (heartbeat.md §20)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.testing import Simulation
from jobs.errors import InvalidInput, NotFound
from jobs.wallclock import at

HOURS = {"start": "08:00", "end": "20:00", "timezone": "UTC"}


def config(**heartbeat: Any) -> dict[str, Any]:
    beat = {"every": "1h", "target": "none", "phase": "00:00", **heartbeat}
    return {"agents": {"defaults": {"userTimezone": "UTC", "heartbeat": beat}}}


async def ahead(sim: Simulation, **params: Any) -> dict[str, Any]:
    told = await sim.engine.coming.next(params, sim.now())
    assert len(told["agents"]) == 1
    agent: dict[str, Any] = told["agents"][0]
    return agent


def gates(agent: dict[str, Any]) -> list[str]:
    return [slot.get("gate", "runs") for slot in agent["slots"]]


async def test_what_is_foretold_is_what_happens() -> None:
    """Hours, an empty file and a pause with an end: the row of each slot says the same."""
    async with Simulation(
        config(activeHours=HOURS), start="2026-06-01 05:30", checklist="- a\n"
    ) as sim:
        until = sim.now() + timedelta(hours=5)
        await sim.engine.beat_jobs.pause(by="test", until=until)
        foretold = await ahead(sim, count=24)
        await sim.advance(timedelta(hours=24))
        rows = (await sim.engine.history.page({"limit": 100}))["entries"][::-1]
        assert [slot["atMs"] for slot in foretold["slots"]] == [row["slotMs"] for row in rows]
        assert gates(foretold) == [row.get("skipReason", "runs") for row in rows]
        assert set(gates(foretold)) == {"paused", "runs", "quiet-hours"}


async def test_tasks_are_due_in_their_turn() -> None:
    tasks = "tasks:\n- name: mail\n  interval: 2h\n  prompt: look\n"
    async with Simulation(config(), start="2026-06-01 05:30", checklist=tasks) as sim:
        foretold = await ahead(sim, count=4)
        assert gates(foretold) == ["runs", "no-tasks-due", "runs", "no-tasks-due"]
        assert foretold["slots"][0]["tasks"] == ["mail"]
        # What is due next is due at the slot that runs, not at the one that waits for it.
        waits = [
            one["because"].partition("; the next is due at ")[2] for one in foretold["slots"][1::2]
        ]
        assert waits == ["08:00:00 (UTC)", "10:00:00 (UTC)"]


async def test_an_event_makes_the_first_slot_run_and_only_that() -> None:
    async with Simulation(config(), start="2026-06-01 05:30", checklist="# nothing\n") as sim:
        await sim.event("Build is red", mode="next-heartbeat")
        assert gates(await ahead(sim, count=3)) == [
            "runs", "empty-heartbeat-file", "empty-heartbeat-file",
        ]  # fmt: skip


async def test_the_next_that_runs_is_found_beyond_those_listed() -> None:
    async with Simulation(
        config(activeHours=HOURS), start="2026-06-01 20:30", checklist="- a\n"
    ) as sim:
        foretold = await ahead(sim, count=2)
        assert gates(foretold) == ["quiet-hours", "quiet-hours"]
        assert at(foretold["nextRunMs"]) == sim.now() + timedelta(hours=11, minutes=30)


async def test_nothing_that_runs_is_told_as_that() -> None:
    async with Simulation(config(), start="2026-06-01 05:30", checklist="") as sim:
        assert (await ahead(sim, count=2))["nextRunMs"] is None


async def test_a_day_on_which_clocks_change_is_remarked_upon() -> None:
    beat = {"heartbeat": {"every": "1h"}}
    berlin = {"agents": {"defaults": {"userTimezone": "Europe/Berlin", **beat}}}
    async with Simulation(berlin, start="2026-03-28T23:45Z", checklist="- a\n") as sim:
        slots = (await ahead(sim, count=4))["slots"]
        noted = [slot.get("note") for slot in slots]
        assert noted[1] == "the clocks have gone forward by 60 minutes"
        assert [one for n, one in enumerate(noted) if n != 1] == [None] * 3
        assert [slot["offset"] for slot in slots] == ["+01:00", "+02:00", "+02:00", "+02:00"]


async def test_what_it_may_cost_follows_what_it_did_cost() -> None:
    async with Simulation(config(), start="2026-06-01 05:30", checklist="- a\n") as sim:
        assert (await ahead(sim, count=3))["cost"] is None

        def priced(tx: Any) -> None:
            usage = '{"input":100,"output":20,"cacheRead":0,"cacheWrite":0,"costUsd":0.5}'
            tx.exec_driver_sql("UPDATE runs SET usage = ?", (usage,))

        await sim.advance(timedelta(hours=2))
        await sim.database.write(priced)
        cost = (await ahead(sim, count=3))["cost"]
        assert (cost["beats"], cost["tokens"], cost["usd"]) == (3, 360, 1.5)


async def test_looking_ahead_changes_nothing() -> None:
    budget = {"runsPerDay": 2, "onExceed": "skip"}
    async with Simulation(
        config(budget=budget), start="2026-06-01 05:30", checklist="- a\n"
    ) as sim:
        before = await sim.engine.coming.next({"count": 30}, sim.now())
        assert await sim.engine.coming.next({"count": 30}, sim.now()) == before
        await sim.advance(timedelta(hours=4))
        counts = (await sim.engine.history.summary({}, sim.now()))["counts"]
        assert counts == {"ok-token": 2, "budget-exhausted": 2}


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"count": 0, "agentId": None}, None),
        ({"count": 201}, InvalidInput),
        ({"agentId": "nobody"}, NotFound),
    ],
)
async def test_what_cannot_be_looked_at_is_refused(
    params: dict[str, Any], error: type[Exception] | None
) -> None:
    async with Simulation(config(), start="2026-06-01 05:30", checklist="- a\n") as sim:
        if error is None:
            assert len((await ahead(sim, **params))["slots"]) == 10
            return
        with pytest.raises(error):
            await sim.engine.coming.next(params, sim.now())


async def test_an_agent_without_beats_says_why() -> None:
    async with Simulation(config(every="0m"), start="2026-06-01 05:30") as sim:
        agent = await ahead(sim)
        assert agent["slots"] == []
        assert "switched off" in agent["because"]
