"""Changes of a running engine, and what time does to it: heartbeat.md §18 and §19, row by row."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.decisions.heartbeat import job_id
from engine.decisions.wake import Intent, NewEvent
from engine.pytest_plugin import EngineSim
from engine.store import events
from engine.testing import ScriptedAgent, Simulation
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import RunQuery
from jobs.store.db import Database

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LOOK = "- look at the builds\n"
START = "2026-06-01 00:00"
THREE: dict[str, Any] = {
    "agents": {
        "defaults": {"heartbeat": {"every": "1h", "target": "last", "agents": "all"}},
        "list": [{"id": "main"}, {"id": "ops"}, {"id": "lab"}],
    }
}


def changed(agent: str, **heartbeat: Any) -> dict[str, Any]:
    """The config of three, with a block of its own for one of them."""
    config = deepcopy(THREE)
    for one in config["agents"]["list"]:
        if one["id"] == agent:
            one["heartbeat"] = heartbeat
    return config


async def due(sim: Simulation) -> dict[str, datetime | None]:
    """When each agent beats next."""

    def work(tx: Any) -> dict[str, datetime | None]:
        found = {name: job_rows.readable(tx, job_id(name)) for name in ("main", "ops", "lab")}
        return {
            name: one.state.next_run_at if one and one.job.enabled else None
            for name, one in found.items()
        }

    return await sim.database.read(work)


def of(report: Any, agent: str) -> list[Any]:
    return [row for row in report.beats.rows if row.row.agent_id == agent]


# -- reload (§18) ----------------------------------------------------------------------------


async def test_a_reload_that_changes_nothing_leaves_every_slot(engine_sim: EngineSim) -> None:
    """heartbeat.md §26 point 9."""
    sim = engine_sim(THREE, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(90 * MINUTE)
    before = await due(sim)
    await sim.apply(deepcopy(THREE))
    assert await due(sim) == before


@pytest.mark.parametrize(
    "block",
    [
        {"every": "20m"},
        {"every": "0m"},
        {"enabled": False},
        {"phase": "09:00"},
        {"activeHours": {"start": "08:00", "end": "22:00"}},
        {"target": "none"},
        {"model": "offline"},
        {"budget": {"runsPerDay": 3}},
        {"expectWithin": "1d"},
    ],
)
async def test_a_change_of_one_agent_moves_no_other(
    engine_sim: EngineSim, block: dict[str, Any]
) -> None:
    sim = engine_sim(THREE, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(90 * MINUTE)
    before = await due(sim)
    await sim.apply(changed("ops", **block))
    after = await due(sim)
    assert (after["main"], after["lab"]) == (before["main"], before["lab"])
    if not {"every", "enabled", "phase"} & block.keys():
        assert after["ops"] == before["ops"]


async def test_a_new_cadence_holds_from_the_next_slot_on(engine_sim: EngineSim) -> None:
    sim = engine_sim(THREE, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(90 * MINUTE)
    await sim.apply(changed("ops", every="10m"))
    rows = of(await sim.advance(HOUR), "ops")
    assert {later.at - sooner.at for sooner, later in pairwise(rows[-6:])} == {10 * MINUTE}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"userTimezone": "Asia/Tokyo"}, "it is 10:"),
        ({"userTimezone": "America/Lima"}, "it is 20:"),
    ],
)
async def test_a_beat_reads_the_config_of_its_own_tick(
    engine_sim: EngineSim, change: dict[str, str], says: str
) -> None:
    """Upstream's beats kept a snapshot: the person's zone did not reach them (§21 defect 29)."""
    config = deepcopy(THREE)
    config["agents"]["defaults"]["heartbeat"]["activeHours"] = {"start": "03:00", "end": "04:00"}
    config["agents"]["defaults"]["userTimezone"] = "UTC"
    sim = engine_sim(config, start="2026-06-01 00:30", zone="UTC", checklist=LOOK)
    await sim.open()
    config["agents"]["defaults"] |= change
    await sim.apply(config)
    rows = (await sim.until("2026-06-01 02:00")).beats.rows
    assert any(row.because.startswith(says) for row in rows)


async def test_what_a_channel_shows_is_asked_at_each_tick(engine_sim: EngineSim) -> None:
    config = deepcopy(THREE)
    agent = ScriptedAgent(*[f"{number} is red" for number in range(6)])
    sim = engine_sim(config, start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.advance(HOUR)
    config["channels"] = {"defaults": {"heartbeat": {"showAlerts": False}}}
    await sim.apply(config)
    rows = (await sim.advance(HOUR)).beats.rows
    assert [row.reason for row in rows] == [*[None] * 3, *["alerts-disabled"] * 3]


async def test_an_agent_that_is_added_does_not_beat_at_once_and_moves_no_other(
    engine_sim: EngineSim,
) -> None:
    config = deepcopy(THREE)
    config["agents"]["list"].pop()
    sim = engine_sim(config, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(90 * MINUTE)
    before = await due(sim)
    await sim.apply(THREE)
    after = await due(sim)
    assert (after["main"], after["ops"]) == (before["main"], before["ops"])
    assert of(await sim.report(), "lab") == []
    assert len(of(await sim.advance(HOUR), "lab")) == 1


async def test_an_agent_that_is_removed_keeps_its_history_and_its_events(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(THREE, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(2 * HOUR)
    event = NewEvent(text="kept", mode="next-heartbeat", source="cli", by="me", agent_id="lab")
    await sim.engine.waking.system_event(event)
    config = deepcopy(THREE)
    config["agents"]["list"].pop()
    await sim.apply(config)
    rows = of(await sim.advance(2 * HOUR), "lab")
    assert len(rows) == 2  # those of before
    key = "agent:lab:main"
    assert [
        one.text
        for one in await sim.database.read(lambda tx: events.pending(tx, "lab", key, sim.now()))
    ] == ["kept"]
    await sim.apply(THREE)
    assert len(of(await sim.advance(HOUR), "lab")) == 3


async def test_a_beat_that_goes_on_keeps_the_config_it_began_with(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then="HEARTBEAT_OK", takes=10 * MINUTE)
    config = changed("main", model="offline")
    config["agents"]["list"] = config["agents"]["list"][:1]
    sim = engine_sim(config, start=START, zone="UTC", agent=agent, checklist=LOOK)
    while not agent.requests:
        await sim.advance(MINUTE)
    config["agents"]["list"][0]["heartbeat"] = {"model": "other/model", "every": "2h"}
    await sim.apply(config)
    rows = (await sim.advance(20 * MINUTE)).beats.rows
    assert [(row.status, agent.requests[0].model) for row in rows] == [("ok", "offline")]
    await sim.advance(2 * HOUR)
    assert agent.requests[-1].model == "other/model"


async def test_a_storm_of_reloads_adds_no_beat(engine_sim: EngineSim) -> None:
    sim = engine_sim(THREE, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(30 * MINUTE)
    for number in range(50):
        await sim.apply(changed("ops", ackMaxChars=number))
    rows = (await sim.until("2026-06-01 02:00")).beats.rows
    assert len(rows) == 6
    assert {row.status for row in rows} == {"ok"}


async def test_a_config_that_is_refused_leaves_the_one_in_force(engine_sim: EngineSim) -> None:
    sim = engine_sim(THREE, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(HOUR)
    before = await due(sim)
    with pytest.raises(Exception, match="activeHours"):
        await sim.apply(changed("ops", activeHours={"start": "25:00", "end": "26:00"}))
    assert await due(sim) == before
    assert len((await sim.advance(HOUR)).beats.rows) == 6


async def test_a_beat_of_a_removed_agent_that_waited_is_over(engine_sim: EngineSim) -> None:
    config = deepcopy(THREE)
    config["agents"]["defaults"]["heartbeat"]["activeHours"] = {"start": "08:00", "end": "22:00"}
    sim = engine_sim(config, start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    event = NewEvent(
        text="of the night",
        mode="now",
        source="hook",
        by="hook",
        agent_id="lab",
        intent=Intent.EVENT,
    )
    await sim.engine.waking.system_event(event)
    await sim.advance(MINUTE)
    assert [row.status for row in of(await sim.report(), "lab")] == ["deferred"]
    config["agents"]["list"].pop()
    await sim.apply(config)
    rows = of(await sim.until("2026-06-01 09:00"), "lab")
    assert [(row.status, row.reason) for row in rows] == [("skipped", "superseded")]


# -- time (§19) ------------------------------------------------------------------------------

ONE: dict[str, Any] = {"agents": {"defaults": {"heartbeat": {"every": "1h", "target": "last"}}}}


async def test_after_a_step_forward_the_newest_slot_runs_and_the_others_are_counted(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(ONE, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(2 * HOUR)
    sim.clock.step(5 * HOUR)
    rows = (await sim.advance(2 * HOUR)).beats.rows
    assert [row.status for row in rows] == [*["ok"] * 2, *["missed"] * 4, *["ok"] * 3]
    assert {later.at - sooner.at for sooner, later in pairwise(rows)} == {HOUR}


@pytest.mark.parametrize("back", [MINUTE * 10, HOUR, 7 * HOUR, 3 * DAY])
async def test_after_a_step_back_the_next_beat_comes_within_one_interval(
    engine_sim: EngineSim, back: timedelta
) -> None:
    """heartbeat.md §26 point 10; upstream was silent until the clock caught up (§21 defect 20)."""
    sim = engine_sim(ONE, start="2026-06-10 00:00", zone="UTC", checklist=LOOK)
    await sim.advance(5 * HOUR)
    before = await sim.database.read(count)
    sim.clock.step(-back)
    stepped = sim.now()
    await sim.advance(HOUR + MINUTE)
    rows = await sim.database.read(job_state)
    assert rows is not None
    assert stepped < rows <= sim.now() + HOUR
    await sim.advance(2 * HOUR)
    # A slot that ran before the step does not run twice: with a small step it has its row.
    assert await sim.database.read(count) >= before + 2


def count(tx: Any) -> int:
    """How many beats are on record."""
    return run_rows.page(tx, RunQuery(kind="heartbeat")).total


def job_state(tx: Any) -> datetime | None:
    found = job_rows.readable(tx, job_id("main"))
    return found.state.next_run_at if found else None


async def test_after_a_sleep_of_the_machine_one_beat_makes_up_for_it(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(ONE, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(HOUR)
    sim.clock.step(timedelta(hours=7, minutes=12))
    rows = (await sim.advance(MINUTE)).beats.rows
    assert [row.status for row in rows] == ["ok", *["missed"] * 6, "ok"]
    assert rows[-1].row.trigger.value == "catchup"


@pytest.mark.parametrize(("catch_up", "made_up"), [("one", 1), ("none", 0)])
async def test_downtime_is_made_up_once_or_not_as_the_config_says(
    engine_sim: EngineSim, catch_up: str, made_up: int
) -> None:
    config = deepcopy(ONE)
    config["agents"]["defaults"]["heartbeat"]["catchUp"] = catch_up
    sim = engine_sim(config, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(2 * HOUR)
    await sim.restart(down_for=6 * HOUR)
    rows = (await sim.advance(MINUTE)).beats.rows
    missed = [row for row in rows if row.status == "missed"]
    assert len(missed) == 6 - made_up
    assert {row.reason for row in missed} == {"missed-downtime"}
    assert sum(row.row.trigger.value == "catchup" for row in rows) == made_up


async def test_restarts_more_frequent_than_beats_leave_the_beats(tmp_path: Path) -> None:
    """Upstream counted from the start of the process and never beat (§21, nb)."""
    database = await Database.open(tmp_path / "state.db")
    now = datetime(2026, 6, 1, tzinfo=UTC)
    rows: list[Any] = []
    for _ in range(12):
        sim = Simulation(ONE, start=now, zone="UTC", checklist=LOOK, database=database)
        async with sim:
            rows = list((await sim.advance(15 * MINUTE)).beats.rows)
            now = sim.now()
    found = await database.read(lambda tx: job_rows.readable(tx, job_id("main")))
    await database.close()
    assert found is not None
    assert found.state.ok_count == 3  # three hours
    assert rows is not None


async def test_a_beat_that_a_crash_cut_off_is_failed_and_its_event_told_later(
    tmp_path: Path,
) -> None:
    database = await Database.open(tmp_path / "state.db")
    agent = ScriptedAgent(then="HEARTBEAT_OK", takes=HOUR)
    sim = Simulation(ONE, start=START, zone="UTC", agent=agent, checklist=LOOK, database=database)
    await sim.open()
    await sim.event("the disk is full")
    assert "the disk is full" in agent.requests[0].prompt
    await sim.close()  # with no time to finish
    agent = ScriptedAgent(then="HEARTBEAT_OK")
    async with Simulation(
        ONE, start="2026-06-01 00:10", zone="UTC", agent=agent, checklist=LOOK, database=database
    ) as again:
        await again.advance(MINUTE)
        assert any("the disk is full" in request.prompt for request in agent.requests)
    query = RunQuery(kind="heartbeat", reasons=("interrupted",))
    (cut,) = await database.read(lambda tx: run_rows.page(tx, query).entries)
    assert cut.status == "failed"
    await database.close()
