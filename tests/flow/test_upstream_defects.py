"""Defects of the reference product that must not come back: one test each, by its number.

heartbeat.md §21. Each says what was wrong there and proves that it is right here.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.agents.base import FailureClass
from engine.config.load import load
from engine.config.paths import resolve
from engine.decisions.wake import Intent, NewEvent
from engine.pytest_plugin import EngineSim
from engine.roster.profiles import roster_of
from engine.store import sessions
from engine.testing import ScriptedAgent, Simulation
from engine.wording.outcome import classify
from engine.workspace import checklist
from jobs.errors import ConfigInvalid
from jobs.ledger import Outcome
from jobs.store.db import Database

MINUTE = timedelta(minutes=1)
HALF_HOUR = 30 * MINUTE
HOUR = 60 * MINUTE
START = "2026-06-01 00:00"
LOOK = "- look at the builds\n"
TWO = [{"id": "ann"}, {"id": "ben"}]


def beating(*, agents: Any = None, more: dict[str, Any] | None = None, **beat: Any) -> Any:
    given: dict[str, Any] = {"defaults": {"heartbeat": {"every": "30m", "target": "last"} | beat}}
    if agents is not None:
        given["list"] = agents
    return {"agents": given} | (more or {})


async def bring(sim: Simulation, text: str, **how: Any) -> None:
    """Queue an event as a hook or a finished command does."""
    await sim.open()
    given = {"mode": "now", "source": "exec", "by": "test", "intent": Intent.EVENT} | how
    await sim.engine.waking.system_event(NewEvent(text=text, **given))


async def records(sim: Simulation) -> list[dict[str, Any]]:
    """Return the beats as `heartbeat history --json` tells them, oldest first."""
    return list(reversed((await sim.engine.history.page({}))["entries"]))


TASK = "tasks:\n- name: a\n  interval: 4h\n  prompt: A\n"


@pytest.mark.parametrize(
    ("reason", "config", "text", "busy"),
    [
        ("quiet-hours", beating(activeHours={"start": "22:00", "end": "23:00"}), LOOK, False),
        ("no-tasks-due", beating(), TASK, False),
        ("requests-in-flight", beating(maxDeferral="1m"), LOOK, True),
        ("disabled", beating(), LOOK, False),
        ("empty-heartbeat-file", beating(), "# nothing\n", False),
    ],
)
async def test_01_no_path_is_without_a_record(
    engine_sim: EngineSim, reason: str, config: Any, text: str, busy: bool
) -> None:
    """Quiet hours, no task due, a busy agent, a switch: there they left no trace."""
    agent = ScriptedAgent(takes=3 * HOUR if busy else timedelta())
    sim = engine_sim(config, start=START, zone="UTC", agent=agent, checklist=text)
    if busy:
        await sim.say("hello")
    if reason == "disabled":
        await sim.open()
        await sim.engine.beat_jobs.set_enabled(False, by="ann")
    rows = (await sim.advance(2 * HOUR)).beats.rows
    assert len(rows) == 4
    assert rows[-1].reason == reason
    assert rows[-1].because


async def test_01_a_wake_that_is_held_back_has_its_row(engine_sim: EngineSim) -> None:
    sim = engine_sim(beating(), start=START, zone="UTC", checklist=LOOK)
    await bring(sim, "first")
    await sim.advance(MINUTE / 6)
    await bring(sim, "second")
    await sim.advance(MINUTE / 60)
    (waiting,) = (row for row in (await sim.report()).beats.rows if row.status == "deferred")
    assert waiting.reason == "min-spacing"


async def test_02_the_last_record_is_kept_for_each_agent_and_over_a_restart(
    engine_sim: EngineSim,
) -> None:
    """There was one, in memory, for all agents together."""
    sim = engine_sim(beating(agents=TWO), start=START, zone="UTC", checklist=LOOK)
    await sim.advance(HOUR)
    before = [await sim.engine.history.last(name) for name in ("ann", "ben")]
    await sim.restart()
    assert [await sim.engine.history.last(name) for name in ("ann", "ben")] == before
    assert [(one or {}).get("agentId") for one in before] == ["ann", "ben"]


async def test_03_a_wake_inside_the_interval_is_not_dropped(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then=lambda asked: " / ".join(asked.facts["events"]) or "HEARTBEAT_OK")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await bring(sim, "Exec completed (aaaaaaaa, code 0) :: one")
    await sim.advance(MINUTE / 6)
    await bring(sim, "Exec completed (bbbbbbbb, code 0) :: two")
    sent = (await sim.advance(MINUTE)).deliveries
    assert ["one" in sent[0].text, "two" in sent[1].text] == [True, True]


async def test_03_a_slot_of_the_grid_sees_what_commands_left_behind(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then=lambda asked: " / ".join(asked.facts["events"]) or "HEARTBEAT_OK")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await bring(sim, "Exec completed (aaaaaaaa, code 0) :: one", mode="next-heartbeat")
    (told,) = (await sim.advance(HOUR)).deliveries
    assert "one" in told.text


async def test_04_a_busy_agent_holds_up_no_other(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent("slow", takes=HOUR)
    sim = engine_sim(
        beating(agents=TWO, maxDeferral="2h"), start=START, zone="UTC", agent=agent, checklist=LOOK
    )
    await sim.say("hello", agent="ann")
    agent.takes = timedelta()
    report = await sim.advance(55 * MINUTE)
    assert {row.status for row in report.beats_of("ann").rows} == {"deferred"}
    for row in report.beats_of("ben").rows:
        assert row.status == "ok"
        assert row.row.slot is not None
        assert row.row.started_at is not None
        assert row.row.started_at - row.row.slot < timedelta(seconds=1)


async def test_05_a_beat_that_found_its_agent_busy_is_not_called_empty_nor_its_tasks_done(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent("one moment", takes=45 * MINUTE)
    sim = engine_sim(
        beating(maxDeferral="2h"), start=START, zone="UTC", agent=agent, checklist=TASK
    )
    await sim.say("hello")
    agent.takes = timedelta()
    waiting = (await sim.advance(40 * MINUTE)).beats.rows[0]
    assert (waiting.status, waiting.outcome) == ("deferred", None)
    await sim.advance(HOUR)
    assert sum("- a: A" in asked.prompt for asked in agent.requests) == 1


async def test_06_a_late_start_does_not_halve_the_rate_of_a_task(engine_sim: EngineSim) -> None:
    """Slots are compared: a start five seconds late made the next one 29:55 after it."""
    text = "tasks:\n- name: a\n  interval: 30m\n  prompt: A\n"
    agent = ScriptedAgent("hello", then="HEARTBEAT_OK")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=text)
    first = (await sim.advance(HALF_HOUR)).beats.rows[0].at
    await sim.until(first + HALF_HOUR - timedelta(seconds=5))
    agent.takes = timedelta(seconds=10)
    await sim.say("hello")
    agent.takes = timedelta()
    await sim.until(first + 3 * HALF_HOUR + MINUTE)
    assert sum("- a: A" in asked.prompt for asked in agent.requests) == 4


class Unreachable(Simulation):
    """A simulation whose platform takes nothing."""

    async def _carried(self) -> bool:
        return False


async def test_07_a_message_that_cannot_be_sent_costs_no_second_call(tmp_path: Path) -> None:
    agent = ScriptedAgent(then="red")
    async with Unreachable(
        beating(every="6h"), start=START, agent=agent, checklist=LOOK, home=tmp_path
    ) as sim:
        while not agent.requests:
            await sim.advance(HALF_HOUR)
        report = await sim.advance(2 * HOUR)
        assert len(agent.requests) == 1
        assert [row.status for row in report.beats.rows] == ["ok"]
        assert [one.text for one in report.deliveries] == ["red"]


@pytest.mark.parametrize(
    ("number", "block", "words"),
    [
        (8, {"target": "telegarm"}, 'did you mean "telegram"'),
        (9, {"activeHours": {"start": "25:00", "end": "26:00"}}, "HH:MM"),
        (9, {"activeHours": {"start": "08:00", "end": "08:00"}}, "never opens"),
        (9, {"activeHours": {"start": "08:00"}}, "only one bound"),
    ],
)
def test_08_and_09_a_word_nobody_knows_is_refused_also_without_every(
    tmp_path: Path, number: int, block: dict[str, Any], words: str
) -> None:
    """There an unknown target meant none, and hours were judged only beside `every`."""
    import json

    text = json.dumps({"agents": {"defaults": {"heartbeat": block}}})
    with pytest.raises(ConfigInvalid) as refused:
        load(tmp_path / "engine.json", {}, raw=text.encode())
    assert words in str(refused.value)


async def test_10_a_block_that_is_off_silences_nobody_else(engine_sim: EngineSim) -> None:
    agents = [{"id": "main"}, {"id": "ops", "heartbeat": {"every": "0m"}}]
    sim = engine_sim(beating(agents=agents), start=START, zone="UTC", checklist=LOOK)
    report = await sim.advance(HOUR)
    assert report.beats_of("main").ran == 2
    assert report.beats_of("ops").rows == ()


async def test_11_a_person_and_a_reminder_are_heard_at_night(engine_sim: EngineSim) -> None:
    more = {"cron": {"jobs": {"tea": {"schedule": "30 3 * * *", "systemEvent": "Tea."}}}}
    config = beating(activeHours={"start": "08:00", "end": "22:00"}, more=more)
    sim = engine_sim(config, start="2026-06-01 03:00", zone="UTC", checklist=LOOK)
    await sim.event("Are you there?")
    sent = (await sim.until("2026-06-01 04:00")).deliveries
    assert [one.local for one in sent] == ["03:00", "03:30"]


@pytest.mark.parametrize(
    ("said", "outcome", "text", "dropped"),
    [
        ("HEARTBEAT_OK disk 91 % full", Outcome.ACKNOWLEDGED, "", "disk 91 % full"),
        ("HEARTBEAT_OKAY then", Outcome.ALERT, "HEARTBEAT_OKAY then", ""),
        (f"L1\nL2 {'x' * 300}\nHEARTBEAT_OK", Outcome.ALERT, f"L1\nL2 {'x' * 300}", ""),
    ],
)
def test_12_no_word_is_eaten(said: str, outcome: Outcome, text: str, dropped: str) -> None:
    """What stands beside the token is kept; a longer word is no token; lines stay lines."""
    verdict = classify([said], ack_max_chars=300)
    assert (verdict.outcome, verdict.text, verdict.dropped) == (outcome, text, dropped)


def test_13_a_key_nobody_knows_loses_no_later_task() -> None:
    text = (
        "tasks:\n- name: a\n  interval: 1h\n  prompt: A\n  description: no\n"
        "- name: b\n  interval: 1h\n  prompt: |\n    first\n    second\n"
        "- name: c\n  interval: 1h\n  prompt: C\n"
    )
    read = checklist.parse(text.encode())
    assert [task.name for task in read.tasks] == ["a", "b", "c"]
    assert read.tasks[1].prompt == "first\nsecond\n"
    assert "'description'" in read.warnings[0]


@pytest.mark.parametrize("source", ["task", "notification", "exec", "hook"])
async def test_14_an_empty_file_swallows_no_event(engine_sim: EngineSim, source: str) -> None:
    agent = ScriptedAgent(then="done")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist="")
    await bring(sim, "the work is done", source=source)
    (row,) = (await sim.advance(MINUTE)).beats.rows
    assert (row.status, row.outcome) == ("ok", "alert")
    assert "the work is done" in agent.requests[0].prompt


@pytest.mark.parametrize("isolated", [True, False])
async def test_15_an_event_goes_when_it_was_seen_and_not_before(
    engine_sim: EngineSim, isolated: bool
) -> None:
    """A turn that failed consumed it; a session of its own never showed it."""
    agent = ScriptedAgent(FailureClass.NETWORK, then="seen")
    sim = engine_sim(
        beating(isolatedSession=isolated), start=START, zone="UTC", agent=agent, checklist=""
    )
    await bring(sim, "the door is open", source="hook")
    await sim.advance(HOUR)
    await sim.engine.waking.remind()
    await sim.advance(HOUR)
    asked = [one for one in agent.requests if "the door is open" in one.prompt]
    assert len(asked) == 2
    assert [one.text for one in (await sim.report()).deliveries] == ["seen"]


@pytest.mark.parametrize(("every", "limit"), [("30m", 600), ("2m", 120), ("1s", 1), ("0m", 600)])
def test_16_a_beat_has_a_time_limit_nobody_has_to_set(
    tmp_path: Path, every: str, limit: int
) -> None:
    """There it was that of the agent: 48 hours."""
    paths = resolve({"ENGINE_STATE_DIR": str(tmp_path)})
    text = f'{{agents: {{defaults: {{heartbeat: {{every: "{every}"}}}}}}}}'
    loaded = load(paths.config, {}, raw=text.encode())
    beat = roster_of(loaded.config, paths, "UTC").agent(None).beat
    assert beat.timeout == timedelta(seconds=limit)


async def test_17_why_it_woke_why_it_is_silent_and_what_failed_are_three_things(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent("red", FailureClass.TIMEOUT, then="red")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.advance(2 * HOUR)
    sent, failed, duplicate, _ = await records(sim)
    assert [one["wakeReason"] for one in (sent, failed, duplicate)] == ["interval"] * 3
    assert (sent["status"], sent.get("skipReason"), sent.get("reason")) == ("sent", None, None)
    assert (failed["error"]["class"], failed["status"]) == ("timeout", "failed")
    assert (duplicate["skipReason"], duplicate.get("error")) == ("duplicate", None)


async def test_18_the_same_words_to_another_place_are_no_repetition(engine_sim: EngineSim) -> None:
    more = {"channels": {"telegram": {"botToken": "1:x", "allowFrom": ["42", "43"]}}}
    agent = ScriptedAgent(then="red")
    sim = engine_sim(beating(more=more), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.contact("telegram", "42")
    await sim.advance(HOUR)
    await sim.contact("telegram", "43")
    sent = (await sim.advance(HOUR)).deliveries
    assert [one.to for one in sent] == ["42", "43"]


async def test_19_work_of_one_agent_is_in_the_way_of_its_own_beats_only(
    engine_sim: EngineSim,
) -> None:
    job = {"schedule": "1 0 * * *", "message": "long work", "agentId": "ann", "deliver": "none"}
    agent = ScriptedAgent("done", takes=50 * MINUTE)
    sim = engine_sim(
        beating(agents=TWO, more={"cron": {"jobs": {"long": job}}}),
        start=START,
        zone="UTC",
        agent=agent,
        checklist=LOOK,
    )
    await sim.advance(2 * MINUTE)
    agent.takes = timedelta()
    report = await sim.advance(40 * MINUTE)
    assert {row.reason for row in report.beats_of("ann").rows} == {"cron-in-progress"}
    assert {row.status for row in report.beats_of("ben").rows} == {"ok"}


async def test_20_a_clock_set_back_brings_no_silence(engine_sim: EngineSim) -> None:
    sim = engine_sim(beating(), start="2026-06-01 08:00", zone="UTC", checklist=LOOK)
    await sim.advance(HOUR)
    sim.clock.step(-HOUR)
    put_right = sim.now()
    report = await sim.advance(HALF_HOUR + MINUTE)
    assert [row for row in report.beats.rows if (row.row.started_at or row.at) > put_right]


async def test_21_a_beat_somebody_asked_for_moves_no_other(engine_sim: EngineSim) -> None:
    sim = engine_sim(beating(), start=START, zone="UTC", checklist=LOOK)
    await sim.advance(HALF_HOUR + 7 * MINUTE)
    await sim.event("hello")
    rows = (await sim.advance(2 * HOUR)).beats.rows
    slots = [row.row.slot for row in rows if row.row.slot is not None]
    assert {later - sooner for sooner, later in pairwise(slots)} == {HALF_HOUR}


async def test_22_what_was_switched_off_stays_off(engine_sim: EngineSim) -> None:
    sim = engine_sim(beating(), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    await sim.engine.beat_jobs.set_enabled(False, by="ann")
    await sim.restart(down_for=timedelta(days=10))
    report = await sim.advance(2 * HOUR)
    assert report.beats.ran == 0
    assert report.beats.skipped["disabled"] in (4, 5)  # the last before the start as well


async def test_23_the_model_of_beats_does_not_become_that_of_the_conversation(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="red")
    sim = engine_sim(
        beating(model="cheap/small"), start=START, zone="UTC", agent=agent, checklist=LOOK
    )
    await sim.say("hello")
    await sim.advance(HOUR)
    await sim.say("and now?")
    models = [(one.kind, one.model) for one in agent.requests]
    assert models[0][1] == models[-1][1] != "cheap/small"
    assert {model for kind, model in models if kind == "heartbeat"} == {"cheap/small"}
    key = agent.requests[-1].session_key
    session = await sim.database.read(lambda tx: sessions.get(tx, key))
    assert session is not None
    assert (session.model, session.input_tokens) == (None, 0)


async def test_24_failures_have_a_cap(engine_sim: EngineSim) -> None:
    """There a model that refuses was asked 48 times a day, without a word."""
    agent = ScriptedAgent(then=FailureClass.AUTH)
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    report = await sim.advance(timedelta(days=1))
    assert len(agent.requests) <= 7
    assert len(report.beats.rows) == 48
    assert all(row.reason for row in report.beats.rows if row.status == "skipped")


async def test_25_a_template_of_comments_costs_nothing(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(
        beating(), start=START, agent=agent, checklist="# Beat\n<!-- write\nhere -->\n- [ ]\n"
    )
    report = await sim.advance(2 * HOUR)
    assert agent.requests == []
    assert report.beats.skipped == {"empty-heartbeat-file": 4}


async def test_26_a_text_for_one_agent_wakes_no_other(engine_sim: EngineSim) -> None:
    sim = engine_sim(beating(agents=TWO), start=START, zone="UTC", checklist=LOOK)
    await sim.event("hello", agent="ben")
    rows = (await sim.report()).beats.rows
    assert [row.row.agent_id for row in rows] == ["ben"]


async def test_27_a_message_that_never_arrives_blocks_no_beat(tmp_path: Path) -> None:
    agent = ScriptedAgent("red", then="HEARTBEAT_OK")
    async with Unreachable(
        beating(), start=START, agent=agent, checklist=LOOK, home=tmp_path
    ) as sim:
        report = await sim.advance(timedelta(days=2))
        assert Counter(row.status for row in report.beats.rows) == {"ok": 96}


async def test_28_waiting_for_a_busy_agent_is_no_busy_waiting(engine_sim: EngineSim) -> None:
    """There it looked every second; here when the agent is free, and every 15 s to be safe."""
    agent = ScriptedAgent("slow", takes=25 * MINUTE)
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    while not (await sim.report()).beats.rows:
        await sim.advance(MINUTE)
        if not agent.requests and sim.now() > datetime(2026, 6, 1, 0, 0, 30, tzinfo=UTC):
            await sim.say("hello")
    rows = (await sim.advance(25 * MINUTE)).beats.rows
    assert 0 < rows[0].row.deferrals <= 25 * 4 + 1
    free_at = rows[0].row.started_at
    assert free_at is not None
    assert (free_at - datetime(2026, 6, 1, tzinfo=UTC)) % MINUTE == timedelta()  # as it ended


async def test_29_a_beat_reads_the_config_in_force(engine_sim: EngineSim) -> None:
    """There zone and visibility of the start stayed until another key changed."""
    hours = {"start": "08:00", "end": "22:00"}
    sim = engine_sim(
        beating(activeHours=hours),
        start="2026-06-01 03:00",
        zone="UTC",
        agent=ScriptedAgent(then="red"),
        checklist=LOOK,
    )
    assert (await sim.advance(HALF_HOUR)).beats.skipped == {"quiet-hours": 1}
    eastern = beating(activeHours=hours)
    eastern["agents"]["defaults"]["userTimezone"] = "Asia/Shanghai"  # 11:30 there
    await sim.apply(eastern)
    assert len((await sim.advance(HALF_HOUR)).deliveries) == 1
    hidden = eastern | {"channels": {"defaults": {"heartbeat": {"showAlerts": False}}}}
    await sim.apply(hidden)
    assert (await sim.advance(HALF_HOUR)).beats.unsent["alerts-disabled"] == 1


async def test_a_restart_shorter_than_the_interval_again_and_again_still_beats(
    tmp_path: Path,
) -> None:
    """§19: the first slot lay one interval after the start, so a restart loop never beat."""
    database = await Database.open(tmp_path / "state.db")
    agent = ScriptedAgent()
    async with Simulation(
        beating(), start=START, zone="UTC", agent=agent, checklist=LOOK, database=database
    ) as sim:
        for _ in range(12):
            await sim.advance(10 * MINUTE)
            await sim.restart()
    await database.close()
    assert len(agent.requests) == 4
