"""A test message proves the way of an alert, without a model (operations.md §16 L11)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from engine.messages.delivery import Delivery
from engine.messages.outbox import Event
from engine.store import outbox
from engine.testing import ScriptedAgent, Simulation
from jobs.wallclock import MILLISECOND

SOON = timedelta(seconds=5)
START = "2026-06-01 12:00"


def config(**beat: Any) -> dict[str, Any]:
    return {
        "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last", **beat}}},
        "channels": {"telegram": {"botToken": "1:a", "allowFrom": ["42"]}},
    }


async def posted(sim: Simulation) -> Delivery:
    heard = asyncio.Event()
    stop = sim.engine.bus.listen(lambda _: heard.set())
    await heard.wait()
    stop()
    message = await sim.database.read(lambda tx: outbox.newest(tx, "main"))
    assert message is not None
    return message


async def test_it_goes_where_an_alert_would_go_and_no_model_is_asked() -> None:
    agent = ScriptedAgent()
    async with Simulation(config(), start=START, zone="UTC", agent=agent) as sim:
        await sim.contact("telegram", "42")
        sent = asyncio.create_task(sim.engine.trial.run(None, dry_run=False, within=SOON))
        await posted(sim)
        await sim.advance(timedelta(seconds=2))
        told = await sent
    assert told["ok"]
    assert (told["route"]["channel"], told["route"]["to"]) == ("telegram", "42")
    assert told["receipt"]["status"] == "delivered"
    assert told["receipt"]["messageIds"]
    assert agent.requests == []


async def test_a_refusal_of_the_platform_is_the_answer() -> None:
    async with Simulation(config(), start=START, zone="UTC") as sim:
        await sim.contact("telegram", "42")

        async def refused() -> None:
            message = await posted(sim)
            error = {"class": "blocked", "detail": "bot was blocked by the user"}

            def work(tx: Any) -> None:
                outbox.move(tx, message.key, Event.ATTEMPT, sim.now())
                outbox.move(
                    tx, message.key, Event.REJECTED, sim.now(), reason="blocked", last_error=error
                )

            await sim.database.write(work)
            sim.engine.bus.publish("outbox", {"key": message.key, "state": "failed"})

        sent = asyncio.create_task(sim.engine.trial.run(None, dry_run=False, within=SOON))
        await refused()
        told = await sent
    assert not told["ok"]
    assert (told["receipt"]["status"], told["receipt"]["class"]) == ("failed", "blocked")


async def test_without_a_route_nothing_is_sent_and_the_way_out_is_named() -> None:
    async with Simulation(config(target="none"), start=START, zone="UTC") as sim:
        told = await sim.engine.trial.run(None, dry_run=False, within=SOON)
        message = await sim.database.read(lambda tx: outbox.newest(tx, "main"))
    assert message is None
    assert not told["ok"]
    assert told["route"]["reason"] == "target-none"
    assert told["fix"] == "engine config set agents.defaults.heartbeat.target last"


async def test_a_dry_run_sends_nothing() -> None:
    async with Simulation(config(), start=START, zone="UTC") as sim:
        await sim.contact("telegram", "42")
        told = await sim.engine.trial.run("main", dry_run=True, within=SOON)
        message = await sim.database.read(lambda tx: outbox.newest(tx, "main"))
    assert message is None
    assert (told["ok"], told["sent"]) == (True, False)


async def test_it_goes_to_a_place_that_is_named() -> None:
    async with Simulation(config(target="none"), start=START, zone="UTC") as sim:
        place = {"to": "tg:77", "threadId": "5"}
        told = await sim.engine.trial.run(None, place=place, dry_run=True, within=SOON)
        assert (told["route"]["channel"], told["route"]["to"]) == ("telegram", "77")
        nowhere = {"channel": "pigeon", "to": "1"}
        told = await sim.engine.trial.run(None, place=nowhere, dry_run=False, within=SOON)
        assert not told["ok"]
        assert "pigeon" in told["route"]["because"]


async def test_what_is_still_on_its_way_is_told_when_time_runs_out() -> None:
    async with Simulation(config(), start=START, zone="UTC") as sim:
        await sim.contact("telegram", "42")
        told = await sim.engine.trial.run(None, dry_run=False, within=MILLISECOND)
    assert not told["ok"]
    assert told["receipt"]["status"] == "queued"
