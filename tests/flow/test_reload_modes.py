"""An edit of the file in each mode, put in force by the engine that runs (operations.md §4.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.config.keeping import records
from engine.config.load import Loaded
from engine.config.paths import Paths
from engine.log.redaction import Redactor
from engine.log.setup import Log
from engine.store import audit, events
from engine.testing import Simulation
from gateway import settings
from gateway.auth import configured as auth_configured
from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.policy import Policy
from gateway.channels.base import Channel
from gateway.reloading import recovery
from gateway.reloading.force import InForce
from gateway.reloading.reloader import Reloader
from gateway.restarts import Appointment, Restarts, Wanted
from jobs.errors import ConfigInvalid

SECOND = timedelta(seconds=1)


def text(every: str = "30m", port: int = 20001, **reload: Any) -> str:
    given = ", ".join(f"{key}: {value!r}" for key, value in reload.items())
    return (
        f"{{ gateway: {{ mode: 'local', port: {port}, reload: {{ {given} }} }},"
        f" agents: {{ defaults: {{ heartbeat: {{ every: '{every}' }} }} }} }}"
    )


class Running:
    """A reloader over a real engine, and what it asks the process for."""

    def __init__(self, sim: Simulation, paths: Paths) -> None:
        self.sim = sim
        self.paths = paths
        self.restarts: list[Wanted] = []
        self.remembered = Restarts()
        loaded = settings.load_config(paths, {})
        recovery.keep(loaded)
        self.force = InForce(loaded)
        self.reloader = Reloader(
            force=self.force,
            paths=paths,
            environ={},
            logs=Log(settings.log_wish(paths, loaded.config, verbose=False), {}, redact=Redactor()),
            engine=sim.engine,
            channels={},
            gatekeeper=Gatekeeper(self.policy(loaded)),
            policy_of=self.policy,
            startable=lambda: None,
            restart=self.restart,
            send_away=lambda: None,
            connect=self.connect,
            poke=lambda: None,
        )

    def policy(self, loaded: Loaded) -> Policy:
        shared = auth_configured.Shared(token="token-of-the-test", password=None, named=True)
        return auth_configured.policy(loaded.config, shared)

    def restart(self, wanted: Wanted) -> Appointment:
        self.restarts.append(wanted)
        return self.remembered.ask(wanted, self.sim.clock.now())

    async def connect(self, channel: Channel) -> None:
        """Nothing is called."""

    async def edit(self, new: str) -> str:
        self.paths.config.write_text(new)
        return (await self.reloader.reload()).sentence

    @property
    def every(self) -> object:
        heartbeat = self.force.loaded.config.agents.defaults.heartbeat
        return heartbeat.every if heartbeat else None

    async def history(self) -> list[dict[str, Any]]:
        return await self.sim.database.read(lambda tx: audit.latest(tx, records.ACTIONS, 9))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    file = tmp_path / "engine.json"
    file.write_text(text())
    return Paths(os_home=tmp_path, profile="default", state=tmp_path, config=file)


@pytest.fixture
async def running(paths: Paths) -> AsyncIterator[Running]:
    async with Simulation(paths.config, start="2026-06-01 00:00", zone="UTC") as sim:
        yield Running(sim, paths)


async def test_hybrid_applies_what_it_can_and_restarts_for_the_rest(running: Running) -> None:
    assert await running.edit(text("10m")) == "Applied live. The beats were planned anew."
    assert running.every == timedelta(minutes=10)
    assert await running.edit(text("10m", 20002)) == "Restarting gateway (gateway.port)."
    (asked,) = running.restarts
    assert (asked.reason, asked.by) == ("config changed: gateway.port", "file")


async def test_hot_applies_what_it_can_and_says_what_waits(running: Running) -> None:
    told = await running.edit(text("10m", 20002, mode="hot"))
    assert told == "Applied live, but for gateway.port: restart pending (engine gateway restart)."
    assert running.every == timedelta(minutes=10)
    assert running.force.state()["pendingRestart"] == ["gateway.port"]
    await running.edit(text("20m", 20002, mode="hot"))
    assert running.force.pending == ("gateway.port",)
    assert (await running.edit(text("20m", mode="hot"))).startswith("Applied live.")
    taken_back = running.force.state()
    assert taken_back["pendingRestart"] == []
    assert running.restarts == []


async def test_restart_restarts_for_anything_and_off_for_nothing(running: Running) -> None:
    assert "Restarting gateway (" in await running.edit(text("10m", mode="restart"))
    assert len(running.restarts) == 1
    off = await running.edit(text("11m", 20003, mode="off"))
    assert off == "Takes effect when the gateway starts."
    assert running.every == timedelta(minutes=30)
    assert len(running.restarts) == 1


async def test_a_restart_soon_after_another_says_when_it_is_made(running: Running) -> None:
    running.remembered.begin(running.sim.clock.now(), timedelta())
    running.sim.clock.step(10 * SECOND)
    told = await running.edit(text(port=20002))
    assert told == "Restarting gateway in 20s (gateway.port)."


async def test_each_change_that_was_taken_over_is_on_record(running: Running) -> None:
    old = running.force.loaded.hash
    await running.edit(text("10m"))
    (line,) = await running.history()
    assert (line["actor"], line["action"]) == ("file", "config.reload")
    assert line["detail"]["paths"] == ["agents.defaults.heartbeat.every"]
    assert line["detail"]["class"] == "hot"
    assert (line["detail"]["oldHash"], line["detail"]["newHash"]) == (
        old,
        running.force.loaded.hash,
    )


async def test_the_same_file_again_is_no_change(running: Running) -> None:
    first = await running.edit(text("10m"))
    assert (await running.reloader.reload("cli")).sentence == first
    assert len(await running.history()) == 1


async def test_a_bad_edit_changes_nothing(running: Running) -> None:
    with pytest.raises(ConfigInvalid):
        await running.edit("{ gateway: { prot: 1 } }")
    assert running.every == timedelta(minutes=30)
    assert await running.history() == []


async def test_a_bad_edit_that_is_left_alone_for_five_seconds_gives_way(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, clock, stop = running.paths.config, running.sim.clock, asyncio.Event()
    good = file.read_text()

    async def looks(*_: object, **__: object) -> AsyncIterator[object]:
        file.write_text("{ gateway: { prot: 1 } }")
        yield "the edit"
        assert running.force.refused
        await clock.advance(3 * SECOND)
        yield "too early"
        file.write_text("{ gateway: { prot: 1, } }")
        await clock.advance(3 * SECOND)
        yield "typed on"
        await clock.advance(4 * SECOND)
        yield "too early again"
        assert file.read_text() != good
        await clock.advance(1 * SECOND)
        yield "left alone"
        stop.set()

    monkeypatch.setattr("engine.config.watch.looks", looks)
    await running.reloader.follow(stop)
    assert file.read_text() == good
    assert not running.force.refused
    assert running.force.recovered is not None
    (line,) = await running.history()
    assert line["action"] == "config.recover"
    waiting = await running.sim.database.read(
        lambda tx: events.pending(tx, "main", "agent:main:main", clock.now())
    )
    assert next(one.text for one in waiting).startswith("Config recovery warning: ")
