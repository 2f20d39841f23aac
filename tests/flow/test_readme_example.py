"""What the README shows under "Testing with frozen time", to the letter."""

from __future__ import annotations

from engine.pytest_plugin import EngineSim

CONFIG = {
    "agents": {
        "defaults": {
            "heartbeat": {
                "every": "30m",
                "target": "last",
                "activeHours": {"start": "08:00", "end": "22:00"},
            }
        }
    },
    "cron": {"jobs": {"morning-brief": {"schedule": "0 9 * * *", "message": "What is new?"}}},
}


async def test_my_morning_brief(engine_sim: EngineSim) -> None:
    sim = engine_sim(CONFIG, start="2026-03-28 00:00", zone="Europe/London")
    week = await sim.until("2026-03-31 00:00")  # across the change to summer time
    assert [run.local for run in week.runs("morning-brief")] == ["09:00", "09:00", "09:00"]
    assert week.beats.skipped["quiet-hours"] > 0
