"""Tasks of HEARTBEAT.md: with the beat, or as jobs of their own (heartbeat.md §11, §25-14)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from engine.agents.base import FailureClass
from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, Simulation
from jobs.errors import NotFound

HOUR = timedelta(hours=1)
DAY = 24 * HOUR
CONFIG = {"agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}}}
HEAD = "tasks:\n- name: inbox\n  interval: 1h\n  prompt: read the inbox\n"


def own(*lines: str) -> str:
    """A checklist with a task that rides on the beat, and one that asks for more."""
    return (
        HEAD
        + "- name: report\n  prompt: write the report\n"
        + "".join(f"  {line}\n" for line in lines)
    )


async def told(sim: Simulation, name: str = "report") -> dict[str, Any]:
    (agent,) = (await sim.engine.task_jobs.listing())["agents"]
    return next(task for task in agent["tasks"] if task["name"] == name)


def asked(agent: ScriptedAgent, words: str) -> int:
    return sum(words in one.prompt for one in agent.requests)


async def test_a_task_with_a_schedule_is_a_job_and_no_beat_asks_for_it(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent()
    text = own("cron: 0 9 * * 1-5", "model: big/one")
    sim = engine_sim(CONFIG, start="2026-06-05 08:00", zone="UTC", agent=agent, checklist=text)
    report = await sim.until("2026-06-09 00:00")
    ran = [f"{row.local_at:%a %H:%M}" for row in report.rows if row.job == "task main report"]
    assert ran == ["Fri 09:00", "Mon 09:00"]
    models = Counter((one.kind, one.model) for one in agent.requests if "report" in one.prompt)
    assert models == {("cron", "big/one"): 2}
    assert asked(agent, "- inbox:") == 88
    assert (await told(sim))["runs"] == 2


async def test_it_has_a_place_a_budget_and_retries_of_its_own(engine_sim: EngineSim) -> None:
    config = CONFIG | {"channels": {"telegram": {"botToken": "1:x", "allowFrom": ["42"]}}}
    text = own("interval: 1h", "target: telegram:42", "budget: 3 runs", "retry: 1")
    agent = ScriptedAgent(then=lambda one: "the report" if one.kind == "cron" else "HEARTBEAT_OK")
    sim = engine_sim(config, start="2026-06-01 00:00", zone="UTC", agent=agent, checklist=text)
    report = await sim.advance(6 * HOUR)
    rows = [row for row in report.rows if row.job == "task main report"]
    assert Counter(row.reason for row in rows if not row.ran) == {"budget-exhausted": 3}
    assert {(one.channel, one.to) for one in report.deliveries} == {("telegram", "42")}
    assert [one.text for one in report.deliveries].count("the report") == 3


async def test_its_failures_are_its_own(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(FailureClass.NETWORK, then="HEARTBEAT_OK")
    sim = engine_sim(
        CONFIG, start="2026-06-01 08:59", zone="UTC", agent=agent,
        checklist="tasks:\n- name: report\n  cron: 0 9 * * *\n  prompt: write\n",
    )  # fmt: skip
    rows = (await sim.advance(HOUR)).rows
    assert {row.status for row in rows if row.job == "task main report"} >= {"failed"}
    beats = [row for row in rows if row.row.kind == "heartbeat"]
    assert {row.reason for row in beats} == {"empty-heartbeat-file"}  # nothing else to do


async def test_a_task_keeps_to_its_window_or_to_its_agents_hours(engine_sim: EngineSim) -> None:
    config = {"agents": {"defaults": {"heartbeat": {
        "every": "30m", "target": "none", "activeHours": {"start": "08:00", "end": "20:00"},
    }}}}  # fmt: skip
    text = (
        "tasks:\n- name: beat\n  interval: 0\n  prompt: one\n  activeHours: 10:00-12:00\n"
        "- name: job\n  interval: 1h\n  prompt: two\n  model: a/b\n  activeHours: 21:00-23:00\n"
        "- name: plain\n  interval: 6h\n  prompt: three\n  model: a/b\n"
    )
    agent = ScriptedAgent()
    sim = engine_sim(config, start="2026-06-01 00:00", zone="UTC", agent=agent, checklist=text)
    report = await sim.advance(DAY)
    assert asked(agent, "- beat: one") == 4
    job = [row.local_at.hour for row in report.rows if row.job == "task main job"]
    assert job == [21, 22]
    plain = [row for row in report.rows if row.job == "task main plain"]
    assert Counter(row.reason for row in plain) == {None: 2, "quiet-hours": 2}


async def test_a_task_that_left_the_file_runs_no_more(engine_sim: EngineSim) -> None:
    file = {"main": own("interval: 1h", "model: a/b")}
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", checklist=file)
    before = await sim.advance(3 * HOUR)
    file["main"] = HEAD
    await sim.engine.task_jobs.follow()
    after = await sim.advance(3 * HOUR)
    for rows in (before.rows, after.rows):
        assert sum(row.job == "task main report" for row in rows) == 3


async def test_a_beat_that_finds_a_changed_file_plans_its_tasks(engine_sim: EngineSim) -> None:
    file = {"main": HEAD}
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", checklist=file)
    await sim.advance(HOUR)
    file["main"] = own("cron: */10 * * * *")
    report = await sim.advance(HOUR)
    assert any(row.job == "task main report" for row in report.rows)


async def test_beats_that_are_off_switch_their_tasks_off(engine_sim: EngineSim) -> None:
    sim = engine_sim(
        CONFIG, start="2026-06-01 00:00", zone="UTC", checklist=own("interval: 1h", "retry: 1")
    )
    await sim.open()
    await sim.engine.beat_jobs.set_enabled(False, by="ann")
    assert not (await told(sim))["enabled"]
    assert not [r for r in (await sim.advance(3 * HOUR)).rows if r.job == "task main report"]
    await sim.engine.beat_jobs.set_enabled(True, by="ann")
    assert [r for r in (await sim.advance(3 * HOUR)).rows if r.job == "task main report"]


async def test_tasks_whose_names_no_id_can_be_spelt_with_are_told_apart(
    engine_sim: EngineSim,
) -> None:
    names = {"喝水": 9, "吃药": 10, "a b": 11, "a-b": 12}
    text = "tasks:\n" + "".join(
        f"- name: {name}\n  cron: 0 {hour} * * *\n  prompt: do it\n" for name, hour in names.items()
    )
    sim = engine_sim(CONFIG, start="2026-06-05 08:30", zone="UTC", checklist=text)
    report = await sim.until("2026-06-05 13:00")
    ran = [(row.job, row.local_at.hour) for row in report.rows if row.row.kind == "cron"]
    assert ran == [(f"task main {name}", hour) for name, hour in names.items()]
    assert (await told(sim, "喝水"))["schedule"].startswith("cron 0 9")


@pytest.mark.parametrize("line", ["interval: 100ms", "cron: '* * * * * *'"])
async def test_a_task_that_would_come_all_the_time_is_left_out_and_that_is_told(
    engine_sim: EngineSim, line: str
) -> None:
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", checklist=own(line, "retry: 1"))
    report = await sim.advance(timedelta(minutes=1))
    assert [row for row in report.rows if row.job == "task main report"] == []
    (agent,) = (await sim.engine.task_jobs.listing())["agents"]
    assert "once in 1m at most" in agent["warnings"][0]


async def test_a_task_is_run_or_left_out_by_name(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(
        CONFIG, start="2026-06-01 00:00", zone="UTC", agent=agent,
        checklist=own("interval: 6h", "retry: 1") + "- name: disk\n  interval: 6h\n  prompt: df\n",
    )  # fmt: skip
    await sim.advance(HOUR)
    agent.requests.clear()
    tasks = sim.engine.task_jobs
    await tasks.run("inbox", by="ann")
    await sim.advance(timedelta(seconds=5))
    (beat,) = agent.requests
    assert "- inbox: read" in beat.prompt
    assert "- disk" not in beat.prompt
    assert (await tasks.run("report", by="ann"))["ok"]
    await sim.advance(timedelta(seconds=5))
    assert agent.requests[-1].kind == "cron"
    await tasks.skip("inbox", by="ann")
    assert (await told(sim, "inbox"))["lastStatus"] == "skipped"
    with pytest.raises(NotFound) as refused:
        await tasks.run("inboks", by="ann")
    assert "disk, inbox, report" in refused.value.why


async def test_what_is_wrong_with_a_task_is_told(engine_sim: EngineSim) -> None:
    text = own("interval: 1h", "target: telegarm") + "- name: x\n  intervl: 1h\n  prompt: X\n"
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", checklist=text)
    await sim.open()
    (agent,) = (await sim.engine.task_jobs.listing())["agents"]
    words = " ".join(agent["warnings"])
    assert "did you mean 'interval'?" in words
    assert 'did you mean "telegram"?' in words
