"""Beats that somebody or something holds back: paused, idle, over budget (heartbeat.md §7, §25)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.agents.base import TurnReply, TurnRequest
from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, Simulation
from jobs.errors import InvalidInput, NotFound
from jobs.ledger import Usage

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LOOK = "- look at the builds\n"
START = "2026-06-01 00:00"


def beating(**heartbeat: Any) -> dict[str, Any]:
    return {"agents": {"defaults": {"heartbeat": {"every": "1h", "target": "last"} | heartbeat}}}


def two(**heartbeat: Any) -> dict[str, Any]:
    config = beating(**heartbeat)
    config["agents"]["list"] = [{"id": "main"}, {"id": "ops"}]
    return config


async def reasons(sim: Simulation, by: timedelta) -> dict[str, int]:
    """What held beats back while so much time passed."""
    before = dict((await sim.report()).beats.skipped)
    after = (await sim.advance(by)).beats.skipped
    return {word: many - before.get(word, 0) for word, many in after.items() if many}


# -- switched off ----------------------------------------------------------------------------


async def test_what_was_switched_on_and_stays_off_names_the_switch_that_keeps_it(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(two(), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    switch = sim.engine.beat_jobs.set_enabled
    assert "stillOff" not in await switch(False, by="ana")
    assert "stillOff" not in await switch(False, agent_id="ops", by="ana")
    assert (await switch(True, agent_id="main", by="ana"))["stillOff"] == ["*"]
    assert (await switch(True, by="ana"))["stillOff"] == ["ops"]
    assert (await switch(True, agent_id="ops", by="ana"))["stillOff"] == []


# -- paused ----------------------------------------------------------------------------------


async def test_a_pause_is_the_reason_of_each_slot_with_who_why_and_until(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(beating(), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    until = sim.now() + 3 * HOUR
    await sim.engine.beat_jobs.pause(by="ana", note="on holiday", until=until)
    report = await sim.advance(6 * HOUR)
    assert report.beats.skipped == {"paused": 3}
    assert report.beats.ran == 3
    row = report.beats.rows[0]
    assert row.because == "it was paused by ana: on holiday; it ends at 2026-06-01 03:00 (UTC)"
    assert row.row.facts["paused"] == row.because


async def test_a_pause_holds_tasks_that_are_jobs_of_their_own_too(engine_sim: EngineSim) -> None:
    text = "tasks:\n- name: report\n  cron: 0 * * * *\n  prompt: write the report\n"
    agent = ScriptedAgent()
    config = beating() | {"cron": {"jobs": {"other": {"schedule": "0 * * * *", "message": "x"}}}}
    sim = engine_sim(config, start=START, zone="UTC", agent=agent, checklist=text)
    await sim.open()
    await sim.engine.beat_jobs.pause(by="ana", note="on holiday", until=sim.now() + 3 * HOUR)
    report = await sim.advance(5 * HOUR)
    rows = [row for row in report.rows if row.job == "task main report"]
    assert [(f"{row.local_at:%H}", row.status, row.reason) for row in rows] == [
        ("01", "skipped", "paused"),
        ("02", "skipped", "paused"),
        ("03", "ok", None),
        ("04", "ok", None),
    ]
    assert rows[0].because == (
        "the heartbeat is held: it was paused by ana: on holiday; it ends at 2026-06-01 03:00 (UTC)"
    )
    assert {row.status for row in report.runs("other")} == {"ok"}


async def test_a_task_that_is_run_by_hand_runs_during_a_pause(engine_sim: EngineSim) -> None:
    text = "tasks:\n- name: report\n  cron: 0 9 * * *\n  prompt: write the report\n"
    agent = ScriptedAgent()
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=text)
    await sim.open()
    await sim.engine.beat_jobs.pause(by="ana")
    await sim.engine.task_jobs.run("report", by="ana")
    (row,) = [row for row in (await sim.advance(HOUR)).rows if row.job == "task main report"]
    assert row.status == "ok"


async def test_a_pause_of_one_agent_leaves_the_others(engine_sim: EngineSim) -> None:
    sim = engine_sim(two(), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    await sim.engine.beat_jobs.pause(agent_id="OPS", by="ana")
    rows = (await sim.advance(2 * HOUR)).beats.rows
    assert {(row.row.agent_id, row.status) for row in rows} == {("main", "ok"), ("ops", "skipped")}


async def test_a_pause_without_an_end_outlives_restarts_until_it_is_ended(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(two(), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    await sim.engine.beat_jobs.pause(by="ana")
    await sim.restart(down_for=HOUR)
    assert (await sim.advance(2 * HOUR)).beats.ran == 0
    told = await sim.engine.beat_jobs.resume(agent_id="ops", by="ana")
    assert told["stillPaused"] is True  # with all others
    assert (await sim.engine.beat_jobs.resume(by="ana"))["resumed"] == 1
    assert (await sim.advance(2 * HOUR)).beats.ran == 4


async def test_an_event_wakes_an_agent_whose_beats_are_paused(engine_sim: EngineSim) -> None:
    sim = engine_sim(beating(), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    await sim.engine.beat_jobs.pause(by="ana")
    await sim.event("the disk is full")
    rows = (await sim.advance(timedelta(minutes=1))).beats.rows
    assert [row.status for row in rows] == ["ok"]


async def test_a_pause_that_makes_no_sense_is_refused_and_changes_nothing(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(beating(), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    with pytest.raises(InvalidInput, match="has passed already"):
        await sim.engine.beat_jobs.pause(by="ana", until=sim.now())
    with pytest.raises(NotFound, match="is not configured"):
        await sim.engine.beat_jobs.pause(agent_id="nobody", by="ana")
    assert (await sim.advance(HOUR)).beats.ran == 1


async def test_switched_off_stays_off_after_a_restart_and_ten_days(engine_sim: EngineSim) -> None:
    """heartbeat.md §26 point 7; upstream forgot the switch (§21 defect 22)."""
    sim = engine_sim(beating(every="6h"), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    await sim.engine.beat_jobs.set_enabled(False, by="ana")
    await sim.restart()
    assert await reasons(sim, 10 * DAY) == {"disabled": 40}
    await sim.engine.beat_jobs.set_enabled(True, by="ana")
    assert (await sim.advance(DAY)).beats.ran == 4


# -- idle ------------------------------------------------------------------------------------


async def test_beats_rest_when_nobody_has_written_for_long(engine_sim: EngineSim) -> None:
    sim = engine_sim(beating(idlePauseAfter="12h"), start=START, zone="UTC", checklist=LOOK)
    await sim.say("hello")
    report = await sim.advance(DAY)
    assert report.beats.ran == 12
    assert report.beats.skipped == {"idle-paused": 12}
    assert "no person has written for 12 h 39 min" in report.beats.rows[12].because
    await sim.say("still there?")
    assert (await sim.advance(2 * HOUR)).beats.ran == 14


async def test_an_agent_nobody_has_written_to_is_idle_from_when_it_began(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(
        beating(idlePauseAfter="12h", target="none"), start=START, zone="UTC", checklist=LOOK
    )
    report = await sim.advance(DAY)
    assert report.beats.ran == 12
    assert report.beats.skipped == {"idle-paused": 12}


# -- over budget -----------------------------------------------------------------------------


class Dear:
    """An agent of which each answer costs ten cents and a thousand tokens."""

    def __init__(self) -> None:
        self.models: list[str | None] = []

    async def answer(self, request: TurnRequest) -> TurnReply:
        self.models.append(request.model)
        usage = Usage(input_tokens=900, output_tokens=100, cost_usd=0.1)
        return TurnReply(payloads=("HEARTBEAT_OK",), usage=usage, model=request.model)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"tokensPerDay": 3000}, "3000 of 3000 tokens of today are spent"),
        ({"costPerDay": 0.3}, "$0.30 of $0.30 of today are spent"),
        ({"runsPerDay": 3}, "3 of 3 runs of today are spent"),
    ],
)
async def test_a_spent_budget_ends_the_beats_of_the_day(
    engine_sim: EngineSim, budget: dict[str, Any], words: str
) -> None:
    sim = engine_sim(beating(budget=budget), start=START, zone="UTC", checklist=LOOK, agent=Dear())
    report = await sim.advance(DAY)
    assert report.beats.ran == 3
    assert set(report.beats.skipped) == {"budget-exhausted"}
    assert report.beats.rows[3].because == words
    assert report.beats.rows[3].row.facts["budget"]["spent"]["tokens"] == 3000
    assert (await sim.advance(DAY)).beats.ran == 6


async def test_a_budget_begins_anew_at_midnight_of_the_person(engine_sim: EngineSim) -> None:
    config = beating(budget={"runsPerDay": 2})
    config["agents"]["defaults"]["userTimezone"] = "Asia/Shanghai"
    sim = engine_sim(config, start="2026-06-01 12:00", zone="UTC", checklist=LOOK, agent=Dear())
    rows = (await sim.advance(DAY)).beats.rows
    ran = [row.at.astimezone(UTC) for row in rows if row.status == "ok"]
    assert len(ran) == 4
    assert ran[2] > datetime(2026, 6, 1, 16, tzinfo=UTC) > ran[1]  # midnight in Shanghai


async def test_agents_have_budgets_of_their_own(engine_sim: EngineSim) -> None:
    sim = engine_sim(
        two(budget={"runsPerDay": 2}), start=START, zone="UTC", checklist=LOOK, agent=Dear()
    )
    rows = (await sim.advance(6 * HOUR)).beats.rows
    ran = [str(row.row.agent_id) for row in rows if row.status == "ok"]
    assert sorted(ran) == ["main", "main", "ops", "ops"]


async def test_a_cheaper_model_answers_once_the_budget_is_spent(engine_sim: EngineSim) -> None:
    agent = Dear()
    budget = {"runsPerDay": 2, "fallbackModel": "cheap/nano"}
    sim = engine_sim(
        beating(budget=budget, model="dear/pro"), start=START, checklist=LOOK, agent=agent
    )
    await sim.advance(4 * HOUR)
    assert agent.models == ["dear/pro", "dear/pro", "cheap/nano", "cheap/nano"]


async def test_a_budget_that_only_warns_stops_nothing(engine_sim: EngineSim) -> None:
    sim = engine_sim(
        beating(budget={"runsPerDay": 2, "onExceed": "warn"}), start=START, checklist=LOOK
    )
    report = await sim.advance(4 * HOUR)
    assert report.beats.ran == 4
    assert "2 of 2 runs" in report.beats.rows[2].row.facts["budget"]["exhausted"]
