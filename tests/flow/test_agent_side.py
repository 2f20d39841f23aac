"""What an agent is shown and what its beats leave behind (heartbeat.md §12, §17, §18)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.agents.base import FailureClass, TurnReply
from engine.pytest_plugin import EngineSim
from engine.store import sessions
from engine.testing import ScriptedAgent

START = datetime(2026, 6, 1, tzinfo=UTC)
LOOK = "- look at the builds\n"
KEY = "agent:main:main"


def config(**beat: Any) -> dict[str, Any]:
    heartbeat = {"every": "30m", "target": "last", **beat}
    return {"agents": {"defaults": {"heartbeat": heartbeat}}}


async def test_a_beat_of_another_model_leaves_the_conversation_as_it_was(
    engine_sim: EngineSim,
) -> None:
    """Upstream defect 23: the heartbeat's model leaked into the session (#22133)."""
    agent = ScriptedAgent("Hello.", "The build is red.")
    sim = engine_sim(config(model="cheap/small"), start=START, agent=agent, checklist=LOOK)
    await (await sim.say("hi"))
    before = await sim.database.read(lambda tx: sessions.get(tx, KEY))
    await sim.advance(timedelta(minutes=31))
    after = await sim.database.read(lambda tx: sessions.get(tx, KEY))
    assert before is not None
    assert after is not None
    assert (after.model, after.input_tokens) == (before.model, before.input_tokens)
    assert after.session_id == before.session_id
    await (await sim.say("and now?"))
    kinds = [(one.kind, one.model) for one in agent.requests]
    assert kinds == [("chat", None), ("heartbeat", "cheap/small"), ("chat", None)]


async def test_an_acknowledged_beat_is_no_sign_of_life_and_not_shown_again(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent("Hello.")
    sim = engine_sim(config(), start=START, agent=agent, checklist=LOOK)
    await (await sim.say("hi"))
    await sim.advance(timedelta(hours=2))
    session = await sim.database.read(lambda tx: sessions.get(tx, KEY))
    assert session is not None
    assert session.updated_at == sim.start
    await (await sim.say("still there?"))
    told = [(one.role, one.text) for one in agent.requests[-1].history]
    assert told == [("user", "hi"), ("assistant", "Hello.")]
    everything = await sim.database.read(lambda tx: sessions.history(tx, KEY, with_hidden=True))
    assert [one.text for one in everything].count("[heartbeat]") == 4  # never truncated


async def test_a_beat_apart_sees_no_conversation_and_is_seen_by_none(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent("Hello.", "The build is red.")
    sim = engine_sim(config(isolatedSession=True), start=START, agent=agent, checklist=LOOK)
    await (await sim.say("hi"))
    await sim.advance(timedelta(minutes=31))
    await (await sim.say("and now?"))
    chat, beat, again = agent.requests
    assert (beat.session_key, beat.history) == (f"{KEY}:heartbeat", ())
    assert [one.text for one in again.history] == ["hi", "Hello."]
    assert chat.session_key == again.session_key == KEY


async def test_the_files_of_the_workspace_are_shown_but_to_a_light_beat(
    engine_sim: EngineSim, tmp_path: Path
) -> None:
    (tmp_path / "SOUL.md").write_text("Be kind.")
    agent = ScriptedAgent()
    heavy = config()
    heavy["agents"]["defaults"]["workspace"] = str(tmp_path)
    sim = engine_sim(heavy, start=START, agent=agent, checklist=LOOK)
    await (await sim.say("hi"))
    await sim.advance(timedelta(minutes=31))
    light = config(lightContext=True)
    light["agents"]["defaults"]["workspace"] = str(tmp_path)
    await sim.apply(light)
    await sim.advance(timedelta(minutes=30))
    assert ["Be kind." in one.system_prompt for one in agent.requests] == [True, True, False]
    assert all(LOOK.strip() in one.prompt for one in agent.requests[1:])


async def test_chats_know_of_the_beats_unless_they_are_not_to(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(config(), start=START, agent=agent, checklist=LOOK)
    await (await sim.say("hi"))
    await sim.apply(config(includeSystemPromptSection=False))
    await (await sim.say("hi"))
    told = ["Every 30 minutes you get a heartbeat" in one.system_prompt for one in agent.requests]
    assert told == [True, False]


async def test_reasoning_is_sent_before_the_alert_and_with_an_acknowledgement_if_asked_for(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(
        TurnReply(payloads=("The build is red.",), reasoning="I looked."),
        TurnReply(payloads=("HEARTBEAT_OK",), reasoning="All green."),
    )
    sim = engine_sim(config(includeReasoning=True), start=START, agent=agent, checklist=LOOK)
    report = await sim.advance(timedelta(hours=1))
    assert [one.text for one in report.deliveries] == [
        "Reasoning:\nI looked.",
        "The build is red.",
        "Reasoning:\nAll green.",
    ]
    assert [row.outcome for row in report.beats.rows] == ["alert", "acknowledged"]


async def test_a_tool_answer_is_asked_for_where_replies_are_tools(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent("Nobody sees this.")
    by_tool = {**config(), "messages": {"visibleReplies": "message_tool"}}
    sim = engine_sim(by_tool, start=START, agent=agent, checklist=LOOK)
    await (await sim.say("hi"))
    report = await sim.advance(timedelta(minutes=31))
    assert report.deliveries == ()
    assert "call heartbeat_respond with notify false" in agent.requests[-1].prompt
    assert "HEARTBEAT_OK" not in agent.requests[-1].prompt


async def test_a_beat_has_no_tool_to_send_with(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(config(), start=START, agent=agent, checklist=LOOK)
    await sim.advance(timedelta(minutes=31))
    names = [tool.name for tool in agent.requests[0].tools]
    assert "message" not in names
    assert "heartbeat_respond" in names


async def test_what_is_edited_about_an_agent_holds_from_its_next_beat_on(
    engine_sim: EngineSim,
) -> None:
    """Upstream defect 29: beats ran on with a snapshot of the config."""
    agent = ScriptedAgent()
    sim = engine_sim(config(), start=START, agent=agent, checklist=LOOK)
    await sim.advance(timedelta(minutes=31))
    edited = config(model="other/big", prompt="Look only at the sky.", session="night")
    edited["agents"]["defaults"]["userTimezone"] = "Asia/Shanghai"
    edited["agents"]["defaults"]["thinkingDefault"] = "high"
    await sim.apply(edited)
    report = await sim.advance(timedelta(minutes=30))
    before, after = agent.requests
    assert (before.model, before.thinking, before.session_key) == (None, None, KEY)
    assert (after.model, after.thinking) == ("other/big", "high")
    assert after.session_key == "agent:main:night"
    assert "Look only at the sky." in after.prompt
    assert "(Asia/Shanghai)" in after.prompt
    slots = [row.row.slot for row in report.beats.rows]
    assert slots[1] is not None
    assert slots[0] is not None
    assert slots[1] - slots[0] == timedelta(minutes=30)  # and the grid has not moved


async def test_a_failed_turn_keeps_its_events_for_the_next(engine_sim: EngineSim) -> None:
    """§26 point 11: nothing leaves the queue that no model saw."""
    agent = ScriptedAgent(FailureClass.SERVER_ERROR, then=lambda one: one.facts["events"][0])
    sim = engine_sim(config(), start=START, agent=agent, checklist=LOOK)
    await sim.event("The tide is out.")
    report = await sim.advance(timedelta(minutes=61))
    assert [one.text for one in report.deliveries][:1] == ["The tide is out."]
