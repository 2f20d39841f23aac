"""What people say of alerts is kept and counted, and nothing is muted because of it unasked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.decisions.hb import Word
from engine.messages.address import ChatType, Route
from engine.pytest_plugin import EngineSim
from engine.store import audit, outbox
from engine.testing import ScriptedAgent, Simulation
from jobs.errors import NotFound

HALF_HOUR = timedelta(minutes=30)
CHAT = Route(channel="telegram", account_id="default", to="42", chat_type=ChatType.DIRECT)
CONFIG: dict[str, Any] = {
    "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "telegram", "to": "42"}}},
    "channels": {"telegram": {"botToken": "1:a"}},
}


async def alerted(engine_sim: EngineSim, agent: ScriptedAgent | None = None) -> Simulation:
    agent = agent or ScriptedAgent(then="CPU at 91%")
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", checklist="- x\n", agent=agent)
    await sim.advance(HALF_HOUR)
    return sim


async def said(sim: Simulation, text: str, route: Route | None = CHAT) -> str:
    return (await (await sim.say(text, route=route))).payloads[0]


async def test_a_word_in_the_chat_is_kept_counted_and_costs_no_turn(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="CPU at 91%")
    sim = await alerted(engine_sim, agent)
    assert await said(sim, "/hb useful") == "Noted: useful."
    assert await said(sim, "/hb noise") == "Noted: noise."
    report = await sim.report()
    assert len(agent.requests) == 1  # the beat's own
    assert {one.text for one in report.deliveries} >= {"Noted: useful.", "Noted: noise."}
    summary = await sim.engine.history.summary({}, sim.now())
    assert summary["feedback"] == {"useful": 1, "noise": 1}


async def test_it_is_about_the_last_alert_of_that_chat(engine_sim: EngineSim) -> None:
    sim = await alerted(engine_sim)
    elsewhere = Route(channel="telegram", account_id="default", to="77")
    assert "No alert of main has reached this chat yet" in await said(sim, "/hb noise", elsewhere)
    assert await said(sim, "/hb ack", None) == "Noted: you know."  # a client of this machine


async def test_words_that_are_only_noise_are_muted_when_somebody_says_so_and_not_before(
    engine_sim: EngineSim,
) -> None:
    sim = await alerted(engine_sim)
    answers = [await said(sim, "/hb noise") for _ in range(3)]
    assert answers[1] == "Noted: noise."
    assert "noise 3 times and never useful. To hear them no more: /hb mute" in answers[2]
    listed = await sim.engine.inbox_desk.listing({"state": "muted"})
    assert listed["entries"] == []
    assert "/hb unmute" in await said(sim, "/hb mute")
    report = await sim.advance(HALF_HOUR)
    assert report.beats.rows[-1].reason == "muted"


async def test_a_third_snooze_in_the_chat_mutes_whichever_run_said_it(
    engine_sim: EngineSim,
) -> None:
    sim = await alerted(engine_sim)
    told = []
    for _ in range(3):
        told.append(await said(sim, "/hb snooze 10m"))
        await sim.advance(2 * HALF_HOUR)
    assert told[0] == "Quiet about this until 2026-06-01 00:40."
    assert "Snoozed 3 times, so these words are muted now" in told[2]


async def test_feedback_by_run_id_answers_with_the_count(engine_sim: EngineSim) -> None:
    sim = await alerted(engine_sim)
    run_id = (await sim.report()).beats.rows[-1].row.id
    desk = sim.engine.inbox_desk
    first = await desk.feedback(run_id, Word.NOISE, by="cli")
    assert (first["verdict"], first["useful"], first["noise"]) == ("noise", 0, 1)
    assert "suggestion" not in first
    with pytest.raises(NotFound):
        await desk.feedback("nobody", Word.NOISE, by="cli")


async def test_what_cannot_be_done_is_answered_and_not_broken_off(engine_sim: EngineSim) -> None:
    sim = await alerted(engine_sim)
    answer = await said(sim, "/hb snooze 9999d")
    assert answer.startswith("That was not done: ")
    assert "is not in the coming year" in answer


async def test_a_reaction_is_a_word_about_the_alert_it_is_on_and_gets_no_answer(
    engine_sim: EngineSim,
) -> None:
    """heartbeat.md §25 row 21: of any other message it says nothing."""
    agent = ScriptedAgent("first", "second", then="HEARTBEAT_OK")
    sim = await alerted(engine_sim, agent)
    await sim.advance(HALF_HOUR)
    sent = await sim.database.read(lambda tx: outbox.page(tx, limit=9)[0])
    second, first = (f"sim-{one.key}" for one in sent)
    for word, message in (("useful", first), ("noise", second), ("noise", "nosuch")):
        assert await said(sim, f"/hb {word} message:{message}") == ""
    summary = await sim.engine.history.summary({}, sim.now() + HALF_HOUR)
    assert summary["feedback"] == {"useful": 1, "noise": 1}
    prints = await sim.database.read(lambda tx: audit.feedback(tx, sim.start, sim.now()))
    assert len({one["print"] for one in prints}) == 2
    assert len((await sim.report()).deliveries) == 2
