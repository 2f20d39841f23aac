"""A laptop that slept, and a loop that stood still: what they missed is as after a restart.

cron.md §6 (clock), §7 (the same policy), §22 row 20.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, Simulation

HOUR = timedelta(hours=1)
START = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)


def config(**jobs: Any) -> dict[str, Any]:
    asked = {"message": "go", "deliver": "none", "tz": "UTC"}
    return {
        "agents": {"defaults": {"heartbeat": {"every": "0"}}},
        "cron": {"jobs": {name: {**asked, **job} for name, job in jobs.items()}},
    }


def sleep(sim: Simulation, span: timedelta) -> None:
    sim.clock.step(span)  # suspended: the monotonic clock stands still, the wall clock does not


def stall(sim: Simulation, span: timedelta) -> None:
    sim.clock.move_to(sim.now() + span)  # nothing of the engine got a turn meanwhile


@pytest.mark.parametrize("lost", [sleep, stall])
async def test_the_last_slot_is_made_up_for_and_the_others_are_on_record(
    engine_sim: EngineSim, lost: Any
) -> None:
    jobs = config(
        last={"schedule": "0 * * * *"},
        none={"schedule": "0 * * * *", "misfire": {"policy": "skip"}},
        every={"schedule": "0 * * * *", "misfire": {"policy": "run-all", "grace": "1d"}},
    )
    sim = engine_sim(jobs, start=START, zone="UTC", agent=ScriptedAgent(then="done"))
    await sim.advance(HOUR)
    lost(sim, 4 * HOUR)
    report = await sim.advance(HOUR)
    assert [run.local for run in report.runs("last")] == ["09:00", "13:00", "14:00"]
    assert [(run.local, run.status) for run in report.skips("last")] == [
        (local, "missed") for local in ("10:00", "11:00", "12:00")
    ]
    assert [run.local for run in report.runs("none")] == ["09:00", "14:00"]
    assert [run.local for run in report.runs("every")] == [f"{hour:02}:00" for hour in range(9, 15)]
