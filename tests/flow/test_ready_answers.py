"""What stands ready in memory tells what the store tells, at every moment (design.md §6)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from engine.pytest_plugin import EngineSim
from engine.testing import Simulation
from gateway.rpc.boards import Board

HOURLY: dict[str, Any] = {
    "agents": {"defaults": {"heartbeat": {"every": "1h", "target": "last"}}},
    "cron": {"jobs": {"look": {"schedule": "0 * * * *", "message": "look"}}},
}
START = "2026-06-01 00:30"


class Both:
    """The boards of a simulated engine beside what is asked anew."""

    def __init__(self, sim: Simulation) -> None:
        self.engine = engine = sim.engine
        facts = lambda: engine.standing  # noqa: E731 - as the desk has it
        self.cron = Board(engine.scheduling.status, facts, engine.clock)
        self.beat = Board(engine.history.last, facts, engine.clock)

    async def agree(self) -> None:
        told = json.loads((await self.cron.answer()).text)
        assert told == json.loads(json.dumps(await self.engine.scheduling.status()))
        beat = json.loads((await self.beat.answer()).text)
        assert beat == json.loads(json.dumps(await self.engine.history.last()))


async def test_they_agree_before_and_after_beats_jobs_and_changes(engine_sim: EngineSim) -> None:
    sim = engine_sim(HOURLY, start=START)
    await sim.advance(timedelta(hours=1))
    both = Both(sim)
    await both.agree()
    await sim.advance(timedelta(hours=1))  # a beat and a job have ended
    await both.agree()
    await sim.engine.scheduling.add(
        {
            "name": "more",
            "schedule": {"kind": "cron", "expr": "0 9 * * *"},
            "payload": {"kind": "systemEvent", "text": "x"},
        },
        by="test",
    )
    before = both.cron.at_hand()
    assert before is None  # it was gone with the commit, not with the next question
    await both.agree()
    sim.engine.scheduling.file_told(["engine.json:3: cron.jobs.look: no schedule"])
    assert both.cron.at_hand() is None  # also what stands in no row
    await both.agree()


async def test_a_config_in_force_takes_the_old_answers_away(engine_sim: EngineSim) -> None:
    sim = engine_sim(HOURLY, start=START)
    await sim.advance(timedelta(hours=1))
    both = Both(sim)
    await both.agree()
    before = sim.engine.standing
    await sim.apply({"agents": {"defaults": {"heartbeat": {"every": "2h"}}}})
    assert sim.engine.standing != before
    await both.agree()
