"""What a person is told when the engine runs and does not do what it is for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.agents.base import AgentFailure, FailureClass, TurnRequest
from engine.messages.outbox import Event, NewMessage
from engine.store import outbox
from engine.testing import ScriptedAgent, Simulation
from gateway.front.troubles import troubles

MINUTE = timedelta(minutes=1)
LOOK = "- look at the builds\n"
TELEGRAM: dict[str, Any] = {"botToken": "1:a", "allowFrom": ["42"]}


def config(*, jobs: dict[str, Any] | None = None, **telegram: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}},
        "cron": {"jobs": jobs or {}},
    }
    return found | ({"channels": {"telegram": telegram}} if telegram else {})


def down(_: TurnRequest) -> str:
    raise AgentFailure(FailureClass.AUTH, "the server answered 401: bad key. Fix: correct the key")


async def told(sim: Simulation) -> list[tuple[str, str]]:
    found = await troubles(sim.engine)
    return [(one.code, one.what) for one in found]


async def test_a_fresh_engine_has_no_trouble() -> None:
    async with Simulation(config(), start="2026-06-01 00:00", checklist=LOOK) as sim:
        await sim.advance(timedelta(hours=2))
        assert await told(sim) == []


async def test_a_model_that_refuses_is_told_until_it_answers() -> None:
    agent = ScriptedAgent(down, then="fine")
    async with Simulation(config(), start="2026-06-01 00:00", agent=agent, checklist=LOOK) as sim:
        await (await sim.say("hello"))
        assert await told(sim) == [
            ("model.auth", "agent main could not answer: the server answered 401: bad key")
        ]
        await (await sim.say("hello again"))
        assert await told(sim) == []


async def test_beats_that_fail_are_told_after_a_restart_as_well() -> None:
    agent = ScriptedAgent(then=down)
    async with Simulation(config(), start="2026-06-01 00:00", agent=agent, checklist=LOOK) as sim:
        await sim.advance(31 * MINUTE)
        await sim.restart()
        ((code, what),) = await told(sim)
        assert code == "heartbeat.failing"
        assert what == "agent main failed at its beat once: the server answered 401: bad key"


async def test_a_person_who_did_not_get_the_last_message_is_named() -> None:
    async with Simulation(
        config(**TELEGRAM), start="2026-06-01 00:00", agent=ScriptedAgent(then="news")
    ) as sim:
        await sim.contact("telegram", "42")
        key = await sent(sim, "first")
        await ended(sim, key, Event.REJECTED, reason="blocked", last_error={"class": "blocked"})
        assert ("delivery.blocked", "the last message to telegram:42 did not arrive: blocked") in (
            await told(sim)
        )
        await ended(sim, await sent(sim, "second"), Event.ACCEPTED)
        assert await told(sim) == []


async def sent(sim: Simulation, text: str) -> str:
    message = NewMessage(text=text, key=text, channel="telegram", to="42")
    return str((await sim.engine.outlet.send(message))["messageId"])


async def ended(sim: Simulation, key: str, end: Event, **changes: Any) -> None:
    now = sim.clock.now()
    await sim.database.write(lambda tx: outbox.move(tx, key, Event.ATTEMPT, now))
    await sim.database.write(lambda tx: outbox.move(tx, key, end, now, **changes))


async def test_a_job_whose_words_go_nowhere_is_told_and_one_that_is_off_is_not() -> None:
    jobs = {"brief": {"schedule": "every 10m", "message": "What is new?", "deliver": "last"}}
    async with Simulation(
        config(jobs=jobs, **TELEGRAM), start="2026-06-01 00:01", agent=ScriptedAgent(then="news")
    ) as sim:
        await sim.advance(15 * MINUTE)
        ((code, what),) = await told(sim)
        assert code == "cron.unheard"
        assert what.startswith("nobody hears cron job brief: agent main has had no conversation")
        await sim.engine.scheduling.reconcile({}, places={})
        assert await told(sim) == []


async def test_a_job_nobody_can_read_hides_no_other_trouble_and_is_named_once_it_is_due() -> None:
    jobs = {
        "odd": {"schedule": "every 10m", "command": ["true"]},
        "brief": {"schedule": "every 10m", "message": "What is new?", "deliver": "last"},
    }
    spoil = "UPDATE jobs SET {} WHERE id IN ('cfg:odd', 'heartbeat:main')"
    async with Simulation(
        config(jobs=jobs, **TELEGRAM), start="2026-06-01 00:01", agent=ScriptedAgent(then="news")
    ) as sim:
        await sim.advance(15 * MINUTE)
        failed = "UPDATE runs SET status = 'failed', error = NULL WHERE job_id = 'cfg:odd'"
        await sim.database.write(lambda tx: tx.exec_driver_sql(failed))
        broken = spoil.format("last_duration_ms = 'long', definition = '{not json'")
        await sim.database.write(lambda tx: tx.exec_driver_sql(broken))
        assert [code for code, _ in await told(sim)] == ["cron.unheard"]
        await sim.advance(15 * MINUTE)
        found = await told(sim)
    assert sorted(dict(found)) == ["cron.set_aside", "cron.unheard"]
    assert "cron job cfg:odd does not run: Expecting" in "; ".join(what for _, what in found)


async def test_beats_that_somebody_switched_off_are_told() -> None:
    async with Simulation(config(), start="2026-06-01 00:00", checklist=LOOK) as sim:
        await sim.engine.beat_jobs.set_enabled(False, agent_id="main", by="ops")
        assert await told(sim) == [("heartbeat.off", "the heartbeat of main is switched off")]
        await sim.engine.beat_jobs.set_enabled(False, by="ops")
        assert await told(sim) == [("heartbeat.off", "heartbeats are switched off")]
