"""Events and wakes: who is woken when, and what becomes of the words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.decisions.wake import Intent, NewEvent
from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, simulate

LOOK = "- look at the builds\n"
HEARTBEAT: dict[str, Any] = {"every": "30m", "target": "last"}
CONFIG = {"agents": {"defaults": {"heartbeat": HEARTBEAT}}}
BY_DAY = {
    "agents": {
        "defaults": {"heartbeat": HEARTBEAT | {"activeHours": {"start": "08:00", "end": "22:00"}}}
    }
}


async def test_an_event_now_is_told_to_the_person_at_once(engine_sim: EngineSim) -> None:
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", checklist=LOOK)
    await sim.event("The kettle is on.")
    (told,) = (await sim.report()).deliveries
    assert told.text == "Reminder: The kettle is on."
    assert (told.channel, told.state, told.at) == ("local", "delivered", sim.start)


async def test_a_manual_wake_passes_an_empty_file_and_quiet_hours(engine_sim: EngineSim) -> None:
    sim = engine_sim(BY_DAY, start="2026-06-01 03:00", zone="UTC", checklist="")
    await sim.event("Are you there?")
    (beat,) = (await sim.report()).beats.rows
    assert (beat.status, beat.outcome) == ("ok", "alert")
    assert beat.row.facts["outsideActiveHours"] is True


async def test_an_event_of_the_night_waits_until_the_window_opens(engine_sim: EngineSim) -> None:
    sim = engine_sim(BY_DAY, start="2026-06-01 03:00", zone="UTC", checklist=LOOK)
    await sim.open()
    await sim.engine.waking.system_event(
        NewEvent(
            text="A file was changed.", mode="now", source="hook", by="hook", intent=Intent.EVENT
        )
    )
    night = await sim.until("2026-06-01 07:59")
    waiting = [row for row in night.beats.rows if row.status == "deferred"]
    assert [row.reason for row in waiting] == ["quiet-hours"]
    assert night.deliveries == ()
    morning = await sim.until("2026-06-01 08:05")
    assert [one.local for one in morning.deliveries] == ["08:00"]


async def test_two_events_within_half_a_minute_are_told_in_one_beat(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then=lambda request: " / ".join(request.facts["events"]))
    sim = engine_sim(CONFIG, start="2026-06-01 00:01", zone="UTC", agent=agent, checklist=LOOK)
    await sim.open()
    for text in ("first", "second", "third"):
        await sim.engine.waking.system_event(
            NewEvent(text=text, mode="now", source="hook", by="hook", intent=Intent.EVENT)
        )
        await sim.advance(timedelta(seconds=10))
    report = await sim.until("2026-06-01 00:05")
    assert [one.text for one in report.deliveries] == ["first", "second / third"]


async def test_an_event_for_the_next_heartbeat_waits_for_its_slot(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", agent=agent, checklist=LOOK)
    await sim.event("The tide is out.", mode="next-heartbeat")
    assert agent.requests == []
    await sim.until("2026-06-01 00:30")
    (request,) = agent.requests
    assert "The tide is out." in request.prompt
    assert "look at the builds" in request.prompt  # the slot asks for the checklist as well


async def test_a_message_that_takes_an_event_first_is_on_record_at_the_next_beat(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", checklist=LOOK)
    await sim.event("The tide is out.", mode="next-heartbeat")
    answer = await (await sim.say("hello"))
    report = await sim.until("2026-06-01 01:00")
    first, second = report.beats.rows
    (taken,) = first.row.facts["eventsTaken"]
    assert taken["runId"] == answer.run_id
    assert "eventsTaken" not in second.row.facts  # told once


async def test_an_event_is_kept_while_beats_are_off(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", agent=agent, checklist=LOOK)
    await sim.open()
    await sim.engine.beat_jobs.set_enabled(False, by="test")
    await sim.event("The tide is out.")
    rows = (await sim.report()).beats.rows
    assert {row.reason for row in rows} == {"disabled"}
    assert [row.row.next_due_at for row in rows] == [None] * len(rows)  # none comes
    await sim.engine.beat_jobs.set_enabled(True, by="test")
    await sim.until("2026-06-01 00:30")
    assert "The tide is out." in agent.requests[-1].prompt


async def test_an_event_asks_again_after_a_restart(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(takes=timedelta(hours=1))
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", agent=agent, checklist=LOOK)
    await sim.say("talk to me")
    await sim.event("The kettle is on.")  # waits: the agent is busy
    agent.takes = timedelta()
    await sim.restart()
    report = await sim.advance(timedelta(minutes=1))
    told = [row for row in report.beats.rows if row.ran]
    assert len(told) == 1
    assert "The kettle is on." in agent.requests[-1].prompt


async def test_an_event_wakes_an_agent_whose_own_beats_are_off(engine_sim: EngineSim) -> None:
    off = {"agents": {"defaults": {"heartbeat": {"every": "0m", "target": "last"}}}}
    sim = engine_sim(off, start="2026-06-01 00:00", checklist=LOOK)
    await sim.event("The kettle is on.")
    report = await sim.advance(timedelta(hours=2))
    assert (len(report.beats.rows), report.beats.ran) == (1, 1)


async def test_last_leads_to_whoever_wrote_last(engine_sim: EngineSim) -> None:
    config = CONFIG | {"channels": {"telegram": {"botToken": "1:a", "allowFrom": ["42"]}}}
    sim = engine_sim(config, start="2026-06-01 00:00", checklist=LOOK)
    await sim.event("Nobody hears this.")
    await sim.contact("telegram", "42")
    await sim.advance(timedelta(minutes=2))
    await sim.event("The kettle is on.")
    report = await sim.report()
    assert "no-route" in {row.reason for row in report.beats.rows}
    assert {(one.channel, one.to) for one in report.deliveries} == {("telegram", "42")}


async def test_events_of_a_simulation_happen_at_their_instants() -> None:
    report = await simulate(
        CONFIG,
        "2026-06-01 00:00",
        days=1,
        zone="UTC",
        checklist=LOOK,
        events=[("2026-06-01 15:00", "tea"), ("2026-06-01 06:30", "breakfast")],
    )
    told = [(one.local, one.text) for one in report.deliveries]
    assert told == [("06:30", "Reminder: breakfast"), ("15:00", "Reminder: tea")]


async def test_an_event_not_seen_in_its_time_is_told_to_nobody_and_a_row_says_so(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(BY_DAY, start="2026-06-01 03:00", zone="UTC", agent=agent, checklist=LOOK)
    await sim.open()
    event = NewEvent(
        text="The pot boils.",
        mode="now",
        source="hook",
        by="hook",
        intent=Intent.EVENT,
        expires_at=sim.now() + timedelta(hours=1),
    )
    await sim.engine.waking.system_event(event)
    rows = (await sim.until("2026-06-01 08:40")).beats.rows
    (wake,) = [row for row in rows if row.row.slot is None]
    assert (wake.status, wake.reason) == ("skipped", "no-pending-event")
    assert wake.because == "its event expired at 2026-06-01 04:00:00 (UTC) before it was seen"
    told = [row for row in rows if "eventsExpired" in row.row.facts]
    assert told[0].row.facts["eventsExpired"][0]["text"] == "The pot boils."
    assert not any("The pot boils." in request.prompt for request in agent.requests)


async def test_the_first_turn_of_a_new_main_session_is_told_which_channels_there_are(
    engine_sim: EngineSim,
) -> None:
    """heartbeat.md §15: on top of everything, once; another session is told nothing."""
    config = {
        "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}},
        "channels": {
            "telegram": {"accounts": {"default": {"botToken": "1:a"}, "ops": {"botToken": "2:b"}}}
        },
    }
    agent = ScriptedAgent(then="hm")
    sim = engine_sim(config, start="2026-06-01 09:00", zone="UTC", agent=agent, checklist="- a\n")
    await sim.event("the build is red", mode="next-heartbeat")
    await (await sim.say("hello"))
    await sim.contact("telegram", "42")
    await (await sim.say("again"))
    await (await sim.say("elsewhere", session="agent:main:project"))
    first, second, other = (one.system_prompt for one in agent.requests)
    assert first.endswith("\n\nChannels: telegram (default, ops). Nobody has written yet.")
    assert "Channels:" not in second + other


async def test_whoever_tells_of_what_waits_already_hears_that_it_does(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(CONFIG, start="2026-06-01 12:01", zone="UTC", checklist=LOOK)
    await sim.open()

    async def tell(text: str, key: str) -> dict[str, Any]:
        event = NewEvent(text=text, mode="next-heartbeat", source="cli", by="me", dedupe_key=key)
        return await sim.engine.waking.system_event(event)

    first = await tell("disk at 91 %", "disk")
    assert "waitedAlready" not in first
    await sim.advance(timedelta(seconds=1))
    again = await tell("disk at 92 %", "disk")
    assert (again["eventId"], again["waitedAlready"]) == (first["eventId"], True)
    assert "waitedAlready" not in await tell("disk at 92 %", "other")
