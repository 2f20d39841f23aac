"""Any beat of the past can be decided again from its row, and comes to the same (design.md P4)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from engine.agents.base import AgentFailure, FailureClass
from engine.inquiry import hindsight
from engine.inquiry.replay import replayed
from engine.testing import ScriptedAgent, Simulation
from jobs.errors import NotFound
from jobs.ledger import Run, RunStatus, SkipReason
from jobs.store import runs as run_rows
from jobs.store.base import RunQuery
from jobs.wallclock import MILLISECOND

LONG = "Hm. " * 200
CONFIG: dict[str, Any] = {
    "agents": {
        "defaults": {
            "userTimezone": "Europe/Berlin",
            "heartbeat": {
                "every": "30m",
                "target": "last",
                "agents": "all",
                "activeHours": {"start": "08:00", "end": "18:00"},
                "budget": {"runsPerDay": 14},
            },
        },
        "list": [
            {"id": "main", "default": True},
            {"id": "mute", "heartbeat": {"target": "none"}},
            {"id": "lazy"},
        ],
    },
    "channels": {"telegram": {"botToken": "1:a", "allowFrom": ["42"]}},
}


async def rows(sim: Simulation) -> list[Run]:
    query = RunQuery(kind="heartbeat", limit=1000, descending=False)
    return list((await sim.database.read(lambda tx: run_rows.page(tx, query))).entries)


@pytest.fixture(scope="module")
def day() -> list[Run]:
    """The rows of a day of many kinds."""
    return asyncio.run(lived())


async def lived() -> list[Run]:
    """A day with words said, repeated, dropped and refused, failures, a pause and events."""
    down = AgentFailure(FailureClass.TIMEOUT, "503")
    agent = ScriptedAgent(
        *["The disk is full."] * 4, "", f"HEARTBEAT_OK {LONG}", down,
        "HEARTBEAT_OK fine", "error: {}", then="HEARTBEAT_OK",
    )  # fmt: skip
    checklist = {"main": "- look\n", "mute": "- look\n", "lazy": "# nothing\n"}
    async with Simulation(
        CONFIG, start="2026-06-01 05:00", zone="Europe/Berlin", agent=agent, checklist=checklist
    ) as sim:
        await sim.contact("telegram", "42")
        await sim.advance(timedelta(hours=6))
        await sim.event("Build is red")
        await sim.engine.beat_jobs.pause(by="test", until=sim.now() + timedelta(hours=1))
        await sim.advance(timedelta(hours=4))
        await sim.restart(down_for=timedelta(hours=2))
        await sim.event("At night", mode="now")
        await sim.advance(timedelta(hours=9))
        return await rows(sim)


def test_every_beat_of_a_day_is_decided_the_same_again(day: list[Run]) -> None:
    found = [replayed(run) for run in day]
    different = [one.to_json() for one in found if one.same is False]
    assert different == []
    decided = [one for one in found if one.same]
    assert {one.run.status for one in found if one.same is None} <= {RunStatus.MISSED}
    reasons = {one.run.reason for one in decided if one.run.reason}
    assert reasons >= {
        SkipReason.QUIET_HOURS, SkipReason.EMPTY_HEARTBEAT_FILE, SkipReason.PAUSED,
        SkipReason.BUDGET_EXHAUSTED, SkipReason.DUPLICATE, SkipReason.TARGET_NONE,
        SkipReason.AGENT_RUNNER_FAILURE,
    }  # fmt: skip
    assert {step.what for one in decided for step in one.steps} == {"gates", "reply", "delivery"}


def test_a_row_somebody_changed_is_found_out(day: list[Run]) -> None:
    quiet = next(run for run in day if run.reason is SkipReason.QUIET_HOURS)
    told = replayed(replace(quiet, reason=SkipReason.PAUSED))
    assert told.same is False
    assert (told.steps[0].recorded, told.steps[0].replayed) == ("skip: paused", "skip: quiet-hours")
    said = next(run for run in day if run.reply.get("preview"))
    told = replayed(replace(said, reply={**said.reply, "rawText": "HEARTBEAT_OK"}))
    assert [step.what for step in told.steps if not step.same] == ["reply"]


async def test_a_replay_says_who_woke_it_and_what_has_changed_since() -> None:
    async with Simulation(CONFIG, start="2026-06-01 09:00Z", checklist="- look\n") as sim:
        await sim.advance(timedelta(minutes=31))
        run = (await rows(sim))[0]

        async def look(run_id: str) -> dict[str, Any]:
            engine = sim.engine
            return await hindsight.replay(
                run_id, database=engine.database, lookout=engine.lookout, roster=engine.roster
            )

        told = await look(run.id)
        assert (told["same"], told["changedSince"]) == (True, [])
        known = told["provenance"]
        assert known["wake"]["source"] == "interval"
        assert known["configHash"]
        assert known["checklistHash"]
        await sim.apply({**CONFIG, "logging": {"level": "debug"}})
        assert (await look(run.id))["changedSince"] == ["the config"]
        with pytest.raises(NotFound):
            await look("nothing")


def test_an_event_wake_tells_its_event_and_by_whom(day: list[Run]) -> None:
    woken = next(run for run in day if run.wake.get("eventIds"))
    assert (woken.wake["by"], woken.facts["events"]) == ("simulation", woken.wake["eventIds"])
    assert set(woken.facts["prompt"]) == {"version", "sha256"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": RunStatus.RUNNING}, "not over yet"),
        ({"status": RunStatus.MISSED}, "found missed"),
        ({"kind": "cron"}, "not a beat"),
        ({"facts": {}}, "keeps no snapshot"),
    ],
)
def test_what_no_gate_decided_cannot_be_decided_again(
    day: list[Run], changes: dict[str, Any], why: str
) -> None:
    told = replayed(replace(day[0], **changes))
    assert told.same is None
    assert why in told.impossible
    assert told.to_json()["steps"] == []


def test_a_slot_that_gave_up_waiting_gives_up_again(day: list[Run]) -> None:
    run = day[0]
    held = {
        **run.facts,
        "snapshot": {"turns_in_flight": ["run x, 3 s"]},
        "waitedMs": timedelta(minutes=30) // MILLISECOND,
        "maxDeferralMs": timedelta(minutes=30) // MILLISECOND,
    }
    busy = replace(run, reason=SkipReason.REQUESTS_IN_FLIGHT, facts=held, deferrals=1)
    assert replayed(busy).same
    still = replace(busy, facts={**held, "waitedMs": 1000})
    assert replayed(still).steps[0].replayed == "wait: requests-in-flight"
