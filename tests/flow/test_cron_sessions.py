"""Where a job runs: a fresh transcript, a conversation of its own, or the one it was made in.

cron.md §1 (`sessionTarget`) and §8.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.testing import ScriptedAgent, Simulation

HOUR = timedelta(hours=1)


async def asked(job: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Run a job twice after a chat; return its session keys and what each turn remembered."""
    agent = ScriptedAgent(then="noted")
    jobs = {"look": {"schedule": "0 * * * *", "message": "look around", "deliver": "none", **job}}
    config = {"agents": {"defaults": {"heartbeat": {"every": "0"}}}, "cron": {"jobs": jobs}}
    async with Simulation(config, start="2026-06-01 00:30", zone="UTC", agent=agent) as sim:
        await (await sim.say("my cat is called Ada"))
        report = await sim.advance(2 * HOUR)
    keys = [str(run.row.session_key) for run in report.runs("look")]
    return keys, [[one.text for one in turn.history] for turn in agent.requests[1:]]


async def test_an_isolated_job_remembers_nothing_and_has_a_session_for_each_run() -> None:
    (first, second), history = await asked({})
    assert first.startswith("agent:main:cron:cfg:look:run:")
    assert first != second
    assert history == [[], []]


async def test_a_named_session_remembers_its_own_runs() -> None:
    keys, history = await asked({"session": "session:diary"})
    assert keys == ["agent:main:diary"] * 2
    assert history == [[], ["look around", "noted"]]


@pytest.mark.parametrize("key", ["agent:main:main", "main"])
async def test_a_job_of_the_current_session_goes_on_with_that_conversation(key: str) -> None:
    keys, history = await asked({"session": "current", "sessionKey": key})
    assert keys == ["agent:main:main"] * 2
    assert history[0] == ["my cat is called Ada", "noted"]
    assert history[1] == ["my cat is called Ada", "noted", "look around", "noted"]
