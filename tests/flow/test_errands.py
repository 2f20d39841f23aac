"""What can wait comes in one message, and what nobody acknowledged reaches somebody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.agents.base import ToolCall, TurnReply
from engine.messages.address import ChatType, Route
from engine.pytest_plugin import EngineSim
from engine.store import audit
from engine.testing import ScriptedAgent, Simulation

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
CHAT = Route(channel="telegram", account_id="default", to="42", chat_type=ChatType.DIRECT)
TELEGRAM = {"telegram": {"botToken": "1:a"}}


def config(**heartbeat: Any) -> dict[str, Any]:
    block = {"every": "1h", "phase": "00:30", "target": "telegram", "to": "42"} | heartbeat
    return {"agents": {"defaults": {"heartbeat": block}}, "channels": TELEGRAM}


def said(text: str, priority: str | None = None) -> TurnReply:
    answer = {"outcome": "needs_attention", "notify": True, "summary": text}
    if priority is not None:
        answer["priority"] = priority
    call = ToolCall(name="heartbeat_respond", arguments=answer)
    return TurnReply(payloads=(), tool_calls=(call,), model="scripted", provider="test")


def begun(engine_sim: EngineSim, agent: ScriptedAgent, **heartbeat: Any) -> Simulation:
    return engine_sim(
        config(**heartbeat), start="2026-06-01 00:00", zone="UTC", checklist="- x\n", agent=agent
    )


async def texts(sim: Simulation) -> list[str]:
    found = (await sim.report()).deliveries
    return [one.text for one in sorted(found, key=lambda one: one.at)]


async def test_what_can_wait_comes_in_one_message_at_its_time_and_what_is_urgent_at_once(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(
        said("Logs grow.", "low"), said("Disk full.", "high"), said("Logs grow.", "low"),
        said("Cert ends soon.", "low"),
    )  # fmt: skip
    sim = begun(engine_sim, agent, digest={"at": ["06:00", "18:00"]})
    report = await sim.until("2026-06-01 05:00")
    assert await texts(sim) == ["Disk full."]
    assert [row.reason for row in report.beats.rows[:4]] == ["digest", None, "digest", "digest"]
    waiting = await sim.engine.inbox_desk.listing({"reason": "digest", "state": "noted"})
    assert [one["text"] for one in waiting["entries"]] == ["Cert ends soon.", "Logs grow."]
    await sim.until("2026-06-01 07:00")
    assert (await texts(sim))[1:] == [
        "Digest: 2 alerts\n• 00:30 Logs grow. (2 times)\n• 03:30 Cert ends soon."
    ]
    await sim.until("2026-06-02 00:00")
    assert len(await texts(sim)) == 2  # nothing twice, and no empty digest
    (evening,) = (await sim.report()).skips("digest main 18:00")
    assert (evening.status, evening.reason) == ("skipped", "no-pending-event")


async def test_at_night_only_what_is_urgent_comes_unless_the_night_is_holy(
    engine_sim: EngineSim,
) -> None:
    hours = {"start": "08:00", "end": "22:00"}
    for urgent, sent in ((True, ["Disk full."]), (False, [])):
        agent = ScriptedAgent(said("Logs grow.", "normal"), said("Disk full.", "high"))
        plan = {"at": ["09:00"], "urgentDuringQuiet": urgent}
        sim = begun(engine_sim, agent, digest=plan, activeHours=hours)
        for text in ("look", "look again"):
            await sim.event(text)
            await sim.advance(HOUR)
        assert await texts(sim) == sent


async def test_a_digest_that_was_due_while_the_gateway_was_down_comes_after_it(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(said("Logs grow.", "low"))
    sim = begun(engine_sim, agent, digest={"at": ["06:00"]})
    await sim.until("2026-06-01 05:00")
    await sim.restart(down_for=5 * HOUR)
    await sim.advance(MINUTE)
    assert await texts(sim) == ["Digest: 1 alert\n• 00:30 Logs grow."]


async def test_what_waits_for_a_digest_that_is_switched_off_is_unread(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(said("Logs grow.", "low"))
    sim = begun(engine_sim, agent, digest={"at": ["06:00"]})
    await sim.until("2026-06-01 05:00")
    await sim.apply(config())
    (one,) = (await sim.engine.inbox_desk.listing({}))["entries"]
    assert (one["text"], one["reason"], one["state"]) == ("Logs grow.", "undigested", "unread")


ESCALATE = {"after": "30m", "target": "telegram:99"}


async def test_an_alert_nobody_acknowledges_goes_to_somebody_else_once_and_on_record(
    engine_sim: EngineSim,
) -> None:
    sim = begun(engine_sim, ScriptedAgent("Disk full."), escalate=ESCALATE)
    await sim.until("2026-06-01 03:00")
    found = sorted((await sim.report()).deliveries, key=lambda one: one.at)
    assert [(one.to, one.at.strftime("%H:%M")) for one in found] == [
        ("42", "00:30"),
        ("99", "01:00"),
    ]
    assert found[1].text == (
        "Nobody has acknowledged this for 30 min (sent to telegram:42 at 00:30):\nDisk full."
    )
    notes = await sim.database.read(lambda tx: audit.of(tx, ["heartbeat.escalate"], sim.start))
    assert notes[0]["detail"]["to"] == "telegram:99"


@pytest.mark.parametrize("how", ["/hb ack", "/hb useful", "/hb snooze 5h", "I saw it", "by run"])
async def test_whoever_says_anything_of_it_has_acknowledged_it(
    engine_sim: EngineSim, how: str
) -> None:
    sim = begun(engine_sim, ScriptedAgent("Disk full."), escalate=ESCALATE)
    await sim.until("2026-06-01 00:40")
    if how == "by run":
        run_id = (await sim.report()).beats.rows[0].row.id
        await sim.engine.inbox_desk.acknowledge(run_id, by="cli")
    elif how.startswith("/hb"):
        await sim.say(how, route=CHAT)
    else:
        await sim.contact("telegram", "42")
    await sim.until("2026-06-01 03:00")
    assert "99" not in {one.to for one in (await sim.report()).deliveries}
    (look,) = (await sim.report()).skips("escalate main")
    assert look.reason == "no-pending-event"
    assert look.because


async def test_only_what_is_urgent_is_passed_on_if_that_is_the_rule(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent("Logs grow.", said("Disk full.", "high"))
    sim = begun(engine_sim, agent, escalate=ESCALATE | {"priority": "high"})
    await sim.until("2026-06-01 04:00")
    passed_on = [one.text for one in (await sim.report()).deliveries if one.to == "99"]
    assert [text.splitlines()[-1] for text in passed_on] == ["Disk full."]


@pytest.mark.parametrize(
    ("asked", "minutes"),
    [("20m", [20]), ("1m", [5]), ("2026-06-01T00:50", [20]), ("9h", []), ("soon", []), ("", [])],
)
async def test_an_agent_that_wants_to_look_again_is_woken_once_before_its_next_beat(
    engine_sim: EngineSim, asked: str, minutes: list[int]
) -> None:
    answer = {"outcome": "progress", "notify": False, "summary": "it builds", "nextCheck": asked}
    call = ToolCall(name="heartbeat_respond", arguments=answer)
    again = TurnReply(payloads=(), tool_calls=(call,), model="scripted", provider="test")
    sim = begun(engine_sim, ScriptedAgent(again))
    rows = (await sim.until("2026-06-01 02:00")).beats.rows
    looks = [row for row in rows if row.row.wake.get("reason") == "next-check"]
    assert [(row.at - rows[0].at) // MINUTE for row in looks] == minutes
    assert all(row.ran for row in rows)
    assert [row.local for row in rows if row not in looks] == ["00:30", "01:30"]
