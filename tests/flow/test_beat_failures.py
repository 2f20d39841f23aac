"""A model that fails: beats spaced out, suspended, told once, taken up again (heartbeat.md §25).

Upstream asked a failing model at every slot, 48 times a day, and told nobody (§21 defect 24).
"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from engine.agents.base import FailureClass
from engine.messages.outbox import Event
from engine.pytest_plugin import EngineSim
from engine.store import outbox
from engine.testing import ScriptedAgent, Simulation

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LOOK = "- look at the builds\n"
START = "2026-06-01 00:00"
REFUSED = FailureClass.AUTH
LOST = FailureClass.NETWORK


def beating(key: str = "one", **heartbeat: Any) -> dict[str, Any]:
    block = {"every": "1h", "target": "last", "model": "own/pro"} | heartbeat
    provider = {"baseUrl": "http://127.0.0.1:9/v1", "apiKey": key}
    return {
        "agents": {"defaults": {"heartbeat": block}},
        "models": {"providers": {"own": provider}},
    }


def texts(sim: Simulation, report: Any) -> list[str]:
    return [one.text.partition("\n")[0] for one in report.deliveries]


def calls(report: Any) -> list[timedelta]:
    """When the model was asked, from the first time on."""
    rows = [row for row in report.beats.rows if row.status in ("ok", "failed")]
    return [row.at - rows[0].at for row in rows]


async def test_a_model_that_refuses_all_day_is_asked_three_times(engine_sim: EngineSim) -> None:
    """heartbeat.md §23.2: model 401 for a day = at most three calls."""
    agent = ScriptedAgent(then=REFUSED)
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    report = await sim.advance(DAY)
    assert len(agent.requests) == 2
    assert report.beats.skipped == {"suspended": 22}
    row = report.beats.rows[-1]
    assert "auth: " in row.because
    assert "it is tried again at 2026-06-02 0" in row.because
    assert row.row.facts["suspended"] == row.because
    (listed,) = await sim.engine.beat_jobs.listing()
    assert (listed["suspended"], listed["failures"]) == (row.because, 2)


async def test_a_suspended_agent_is_tried_once_a_day_until_it_answers(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(REFUSED, REFUSED, REFUSED, then="HEARTBEAT_OK")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    report = await sim.advance(4 * DAY)
    gaps = [later - sooner for sooner, later in pairwise(calls(report))]
    assert gaps[:3] == [HOUR, DAY, DAY]
    assert set(gaps[3:]) == {HOUR}  # it answered: all is as before


async def test_one_alert_tells_of_the_trouble_and_one_of_its_end(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(*[REFUSED] * 4, then="HEARTBEAT_OK")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    report = await sim.advance(5 * DAY)
    assert texts(sim, report) == [
        "Heartbeat of main failed 2 times",
        "Heartbeat of main recovered (in trouble since 2026-06-01 01:39Z)",
    ]
    assert "Cause: auth" in report.deliveries[0].text
    assert "engine system event --agent main --mode now" in report.deliveries[0].text


async def test_what_passes_by_itself_is_told_after_a_while_and_suspended_in_the_end(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then=LOST)
    asked: dict[str, Any] = {"backoff": {"pauseAfter": 5}, "onFailure": {"after": 3}}
    sim = engine_sim(beating(**asked), start=START, zone="UTC", agent=agent, checklist=LOOK)
    report = await sim.advance(2 * DAY)
    gaps = [later - sooner for sooner, later in pairwise(calls(report))]
    assert gaps == [HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR, DAY]
    assert texts(sim, report) == ["Heartbeat of main failed 3 times"]
    assert set(report.beats.skipped) == {"backoff", "suspended"}


@pytest.mark.parametrize(
    ("backoff", "hours"),
    [
        ({"pauseAfter": 0}, [1, 2, 4, 6, 6]),
        ({"base": 2, "factor": 1}, [2, 2, 2, 2, 2]),
        ({"max": "3h"}, [1, 2, 3, 3, 3]),
    ],
)
async def test_the_config_says_how_failing_beats_are_spaced_out(
    engine_sim: EngineSim, backoff: dict[str, Any], hours: list[int]
) -> None:
    agent = ScriptedAgent(then=LOST)
    sim = engine_sim(beating(backoff=backoff), start=START, zone="UTC", agent=agent, checklist=LOOK)
    report = await sim.advance(DAY)
    gaps = [(later - sooner) / HOUR for sooner, later in pairwise(calls(report))]
    assert gaps[: len(hours)] == hours


@pytest.mark.parametrize(
    "change", [beating("two"), beating(model="own/mini"), beating(model="offline")]
)
async def test_another_model_or_key_ends_the_suspension_at_the_next_slot(
    engine_sim: EngineSim, change: dict[str, Any]
) -> None:
    agent = ScriptedAgent(REFUSED, REFUSED, then="HEARTBEAT_OK")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.advance(6 * HOUR)
    await sim.apply(change)
    report = await sim.advance(2 * HOUR)
    assert [row.status for row in report.beats.rows[-2:]] == ["ok", "ok"]


async def test_a_change_of_something_else_does_not(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(REFUSED, REFUSED, then="HEARTBEAT_OK")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.advance(6 * HOUR)
    await sim.apply(beating(ackMaxChars=10))
    await sim.restart()
    assert (await sim.advance(2 * HOUR)).beats.rows[-1].reason == "suspended"


async def test_who_asks_for_a_turn_is_served_and_if_it_answers_the_beats_go_on(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(REFUSED, REFUSED, then="HEARTBEAT_OK")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.advance(6 * HOUR)
    await sim.event("retry")
    report = await sim.advance(2 * HOUR)
    assert [row.status for row in report.beats.rows[-3:]] == ["ok", "ok", "ok"]


async def test_a_trouble_of_one_agent_is_none_of_the_others(engine_sim: EngineSim) -> None:
    config = beating()
    config["agents"]["list"] = [{"id": "main"}, {"id": "ops"}]
    sim = engine_sim(config, start=START, zone="UTC", agent=OnlyMain(), checklist=LOOK)
    rows = (await sim.advance(12 * HOUR)).beats.rows
    ran = {row.row.agent_id for row in rows if row.status == "ok"}
    assert ran == {"main"}
    assert sum(row.status == "ok" for row in rows) == 12


class OnlyMain(ScriptedAgent):
    """Answers for main, and is refused for any other agent."""

    async def answer(self, request: Any) -> Any:
        self._then = "HEARTBEAT_OK" if request.agent_id == "main" else REFUSED
        return await super().answer(request)


# -- which way the alert takes ---------------------------------------------------------------


TWO_CHATS: dict[str, Any] = {
    "channels": {"telegram": {"botToken": "1:a"}},
    "commands": {"ownerAllowFrom": ["telegram:7"]},
}


async def test_the_alert_goes_where_on_failure_says(engine_sim: EngineSim) -> None:
    config = beating(onFailure={"after": 1, "target": "telegram:99"}) | TWO_CHATS
    agent = ScriptedAgent(then=LOST)
    sim = engine_sim(config, start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.contact("telegram", "42")
    (told,) = (await sim.advance(2 * HOUR)).deliveries
    assert (told.channel, told.to) == ("telegram", "99")


async def test_a_way_that_fails_is_passed_over_for_another(engine_sim: EngineSim) -> None:
    config = beating(onFailure={"after": 2}) | TWO_CHATS
    agent = ScriptedAgent("The build is red.", then=LOST)
    sim = Blocked(config, start=START, zone="UTC", agent=agent, checklist=LOOK)
    async with sim:
        await sim.contact("telegram", "42")
        report = await sim.advance(6 * HOUR)
    assert [(one.to, one.state) for one in report.deliveries] == [
        ("42", "failed"),
        ("7", "delivered"),  # the owner's chat
    ]


async def test_with_no_way_out_it_is_in_the_inbox_of_this_machine(engine_sim: EngineSim) -> None:
    config = beating(target="none") | {"channels": {"telegram": {"botToken": "1:a"}}}
    sim = engine_sim(
        config, start=START, zone="UTC", agent=ScriptedAgent(then=REFUSED), checklist=LOOK
    )
    (told,) = (await sim.advance(DAY)).deliveries
    assert told.channel == "local"


class Blocked(Simulation):
    """A platform that refuses whatever is for chat 42."""

    async def _carried(self) -> bool:
        now = self.clock.now()
        waiting = await self.database.read(lambda tx: outbox.ready(tx, now, 100))
        for one in waiting:
            if one.route.to == "42":
                await self.database.write(
                    lambda tx, key=one.key: outbox.move(  # type: ignore[misc]  # bound now
                        tx, key, Event.REJECTED, now, reason="blocked"
                    )
                )
        return await super()._carried()


# -- budgets are told ------------------------------------------------------------------------


async def test_a_budget_is_told_when_it_is_low_and_when_it_is_used_up(
    engine_sim: EngineSim,
) -> None:
    config = beating(budget={"runsPerDay": 10})
    agent = ScriptedAgent(then="HEARTBEAT_OK")
    sim = engine_sim(config, start=START, zone="UTC", agent=agent, checklist=LOOK)
    report = await sim.advance(DAY)
    assert texts(sim, report) == [
        "Heartbeat of main has little left of the budget of today",
        "Heartbeat of main will not run any more today: the budget is used up",
    ]
    assert [one.text.splitlines()[1] for one in report.deliveries] == [
        "80% of today's budget is spent",
        "10 of 10 runs of today are spent",
    ]
    assert len((await sim.advance(DAY)).deliveries) == 4  # each day anew


# -- the dead man's switch -------------------------------------------------------------------


async def test_somebody_is_told_when_no_slot_ended_well_for_so_long(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(*["HEARTBEAT_OK"] * 3, *[LOST] * 4, then="HEARTBEAT_OK")
    asked: dict[str, Any] = {"expectWithin": "4h", "onFailure": {"after": 99}}
    sim = engine_sim(beating(**asked), start=START, zone="UTC", agent=agent, checklist=LOOK)
    report = await sim.advance(DAY)
    assert texts(sim, report) == [
        "Heartbeat of main has not succeeded for 4h",
        "Heartbeat of main recovered (in trouble since 2026-06-01 06:39Z)",
    ]
    assert "engine why --agent main" in report.deliveries[0].text


async def test_a_quiet_night_is_a_sign_of_life_and_a_pause_is_no_death(
    engine_sim: EngineSim,
) -> None:
    hours = {"start": "08:00", "end": "22:00"}
    agent = ScriptedAgent(then="HEARTBEAT_OK")
    sim = engine_sim(
        beating(expectWithin="4h", activeHours=hours),
        start=START,
        zone="UTC",
        agent=agent,
        checklist=LOOK,
    )
    assert (await sim.advance(DAY)).deliveries == ()
    await sim.engine.beat_jobs.pause(by="ana")
    assert (await sim.advance(DAY)).deliveries == ()


async def test_it_is_told_at_the_next_start_that_the_gateway_was_down(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="HEARTBEAT_OK")
    sim = engine_sim(
        beating(expectWithin="4h"), start=START, zone="UTC", agent=agent, checklist=LOOK
    )
    await sim.advance(3 * HOUR)
    await sim.restart(down_for=DAY)
    report = await sim.advance(2 * HOUR)
    told, over = sorted(texts(sim, report))
    assert told == "Heartbeat of main has not succeeded for 4h"
    assert over.startswith("Heartbeat of main recovered")


async def test_each_slot_that_ended_well_is_a_ping_and_a_failure_another(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent("HEARTBEAT_OK", LOST, then="HEARTBEAT_OK")
    hours = {"start": "00:00", "end": "05:00"}
    config = beating(ping="https://hc.example/ping/uuid", activeHours=hours)
    sim = engine_sim(config, start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.advance(7 * HOUR)
    pings = [one for one in await sent(sim) if one.kind == "ping"]
    assert [one.text for one in pings] == ["ok", "failed", *["ok"] * 5]
    assert pings[1].route.to == "https://hc.example/ping/uuid/fail"
    assert pings[0].expires_at - pings[0].created_at == HOUR / 2
    assert pings[0].state == "delivered"  # the result is on record
    (listed,) = await sim.engine.beat_jobs.listing()
    assert (listed["ping"]["said"], listed["ping"]["state"]) == ("ok", "delivered")
    assert "uuid" not in str(listed["ping"])  # its address may be a secret
    # What was not meant to be calm is no sign of life: who waits outside notices.
    await sim.engine.beat_jobs.pause(by="ana")
    await sim.advance(3 * HOUR)
    assert len([one for one in await sent(sim) if one.kind == "ping"]) == 7


async def sent(sim: Simulation) -> list[Any]:
    found, _ = await sim.database.read(lambda tx: outbox.page(tx, limit=100))
    return found[::-1]
