"""A host holds the gateway: nothing fires, nothing is lost (protocol.md §10.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from engine.agents.base import TurnReply, TurnRequest
from engine.pytest_plugin import EngineSim
from engine.store import audit
from engine.talk.conversation import ChatTurn
from engine.testing import Simulation
from gateway.app.closing import patience
from gateway.front.suspension import FrontSuspension
from jobs.errors import Conflict, StoreUnavailable

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
START = "2026-06-01 00:00"
LOOK = "- look at the builds\n"


def config(**job: Any) -> dict[str, Any]:
    every = {"schedule": "*/10 * * * *", "message": "report", **job}
    return {
        "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}},
        "cron": {"jobs": {"report": every}},
    }


class Host:
    """Whoever suspends the gateway, and what its clients are told."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.leaving = 0
        self.phases: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.desk = FrontSuspension(sim.engine, lambda: self.leaving, self._spawn)
        sim.engine.bus.listen(
            lambda event: (
                self.phases.append(event.payload["phase"])
                if event.name == "gateway.suspension"
                else None
            )
        )

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> object:
        self.tasks.append(asyncio.create_task(work, name=name))
        return self.tasks[-1]

    async def prepare(self, request: str = "r1", *, drain: bool = False) -> dict[str, Any]:
        told = await self.desk.prepare(request, drain=drain, by="host")
        await self.sim.clock.advance(timedelta())
        return told

    async def lines(self) -> list[tuple[str, Any]]:
        def work(tx: Any) -> list[tuple[str, Any]]:
            rows = tx.exec_driver_sql("SELECT action, actor FROM audit ORDER BY id")
            return [(action, actor) for action, actor in rows if action.startswith("gateway.")]

        return await self.sim.database.read(work)


@pytest.fixture
async def host(engine_sim: EngineSim) -> Host:
    sim = engine_sim(config(), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    await sim.advance(9 * MINUTE + 59 * SECOND)
    return Host(sim)


async def test_what_comes_due_is_held_and_decided_on_resume_with_its_reason(host: Host) -> None:
    lease = await host.prepare()
    assert (lease["status"], lease["activeCount"], lease["blockers"]) == ("ready", 0, [])
    held = await host.sim.advance(MINUTE)
    assert not held.runs("report")
    told = await host.desk.resume(lease["suspensionId"], by="host")
    assert told == {"ok": True, "status": "running", "resumed": True}
    (run,) = (await host.sim.advance(SECOND)).runs("report")
    assert (run.status, run.row.trigger.value) == ("ok", "catchup")
    assert run.row.facts["held"]["why"] == "the gateway was suspended by host"
    assert await host.lines() == [("gateway.suspend", "host"), ("gateway.resume", "host")]
    assert host.phases == ["suspended", "running"]


async def test_a_lease_nobody_gives_back_ends_by_itself_after_two_minutes(host: Host) -> None:
    lease = await host.prepare()
    report = await host.sim.advance(119 * SECOND)
    assert host.desk.held
    assert not report.runs("report")
    await host.sim.clock.advance(SECOND)
    assert host.desk.phase == "running"
    (run,) = (await host.sim.advance(SECOND)).runs("report")
    assert run.row.facts["held"]["untilMs"] - run.row.facts["held"]["sinceMs"] == 120_000
    assert host.desk.status(lease["suspensionId"]) == {"status": "running"}
    assert (await host.desk.resume(lease["suspensionId"], by="host"))["resumed"] is False
    assert (await host.lines())[1] == ("gateway.resume", "gateway")


async def test_a_slot_whose_policy_lets_it_go_says_that_the_gateway_was_suspended(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(config(misfire={"policy": "skip"}), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    await sim.advance(9 * MINUTE + 50 * SECOND)
    host = Host(sim)
    lease = await host.prepare()
    await sim.advance(MINUTE)
    await host.desk.resume(lease["suspensionId"], by="host")
    rows = (await sim.advance(SECOND)).rows
    (run,) = [row for row in rows if row.status == "missed"]
    words = "the gateway was suspended by host from 00:09:50 to 00:10:50 UTC"
    assert run.because.endswith(words)


async def test_beats_and_wakes_wait_too_and_no_event_is_lost(host: Host) -> None:
    await host.sim.advance(19 * MINUTE)
    before = (await host.sim.report()).beats.ran
    lease = await host.prepare()
    await host.sim.event("the disk is full")
    held = await host.sim.advance(2 * MINUTE - SECOND)
    assert held.beats.ran == before
    await host.desk.resume(lease["suspensionId"], by="host")
    rows = (await host.sim.advance(SECOND)).beats.rows[before:]
    assert {row.status for row in rows} == {"ok"}
    assert all("held" in row.row.facts for row in rows)
    assert any("the disk is full" in str(row.row.facts) or row.row.wake for row in rows)


async def test_a_message_of_a_person_waits_and_is_answered(host: Host) -> None:
    lease = await host.prepare()
    engine = host.sim.engine
    chat = ChatTurn(run_id="c1", agent_id="main", session_key="agent:main:main", text="hello")
    answer = asyncio.create_task(engine.conversation.receive(chat))
    await host.sim.advance(MINUTE)
    assert not answer.done()
    await host.desk.resume(lease["suspensionId"], by="host")
    await host.sim.advance(SECOND)
    assert (await answer).status == "ok"


async def test_the_same_request_has_the_same_lease_and_another_is_told_who_holds_it(
    host: Host,
) -> None:
    first = await host.prepare("r1")
    assert await host.prepare("r1") == first
    other = await host.prepare("r2")
    assert (other["status"], other["reason"]) == ("busy", "suspension-held")
    assert 0 < other["retryAfterMs"] <= 120_000
    assert "by host until" in other["blockers"][0]["summary"]
    with pytest.raises(Conflict, match="another suspension is in force"):
        await host.desk.resume("not-it", by="somebody")
    assert host.desk.held


class Slow:
    """Takes half a minute."""

    sim: Simulation

    async def answer(self, _: TurnRequest) -> TurnReply:
        await self.sim.clock.sleep_until(self.sim.now() + 30 * SECOND)
        return TurnReply(payloads=("done",))


async def test_what_runs_is_in_the_way_unless_it_may_come_to_its_end(
    engine_sim: EngineSim,
) -> None:
    agent = Slow()
    sim = engine_sim(config(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    agent.sim = sim
    await sim.open()
    await sim.advance(10 * MINUTE + SECOND)
    host = Host(sim)
    busy = await host.prepare()
    assert (busy["status"], busy["reason"], busy["activeCount"]) == ("busy", "active-work", 1)
    assert busy["blockers"][0]["summary"] == "cron of main"
    assert not host.desk.held
    draining = await host.prepare(drain=True)
    assert (draining["status"], draining["activeCount"]) == ("draining", 1)
    await sim.advance(MINUTE)
    assert host.desk.status()["status"] == "ready"
    assert host.phases == ["draining", "suspended"]


async def test_a_stop_waits_for_what_runs_and_not_for_what_is_held(host: Host) -> None:
    engine = host.sim.engine
    assert patience(engine, 0, 25 * SECOND) == 25 * SECOND
    await host.prepare()
    await host.sim.event("the disk is full")  # held, and durable
    assert patience(engine, 0, 25 * SECOND) == timedelta()
    assert patience(engine, 1, 25 * SECOND) == 25 * SECOND
    await host.sim.restart()
    rows = (await host.sim.advance(SECOND)).beats.rows
    assert any(row.status == "ok" for row in rows)  # the next start has it


async def test_a_message_that_is_leaving_is_in_the_way(host: Host) -> None:
    host.leaving = 1
    busy = await host.prepare()
    assert busy["blockers"][0]["summary"] == "1 messages on their way"


async def test_a_suspension_the_disk_does_not_take_is_none(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: Callable[..., None] = _refuse
    monkeypatch.setattr(audit, "note", refused)
    with pytest.raises(StoreUnavailable):
        await host.prepare()
    assert not host.desk.held
    assert not host.sim.engine.suspension.held


def _refuse(*_: object, **__: object) -> None:
    raise StoreUnavailable("the state database cannot be used", why="disk is full")
