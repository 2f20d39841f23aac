"""Keys of the heartbeat block and their neighbours do what they say (heartbeat.md §2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
START = "2026-06-01 00:00"
LOOK = "- look at the builds\n"


def beating(*, more: dict[str, Any] | None = None, **beat: Any) -> Any:
    block = {"every": "30m", "target": "last"} | beat
    return {"agents": {"defaults": {"heartbeat": block} | (more or {})}}


@pytest.mark.parametrize(
    ("wait", "reason"), [(True, "lanes-busy"), (False, None)], ids=["skipWhenBusy", "unset"]
)
async def test_a_beat_waits_for_subagents_only_if_it_is_asked_to(
    engine_sim: EngineSim, wait: bool, reason: str | None
) -> None:
    agent = ScriptedAgent(then="HEARTBEAT_OK", takes=3 * HOUR)
    config = beating(skipWhenBusy=wait, maxDeferral="5m")
    sim = engine_sim(config, start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.say("dig", session="agent:main:subagent:dig", run_id="sub")
    agent.takes = timedelta()
    rows = (await sim.advance(2 * HOUR)).beats.rows
    assert {row.reason for row in rows} == {reason}
    assert all(("sub-agents are working: run sub" in row.because) is wait for row in rows)


@pytest.mark.parametrize(
    ("without", "asked", "reason"),
    [(False, 0, "no-route"), (True, 4, "no-route")],
    ids=["unset", "runWithoutRoute"],
)
async def test_an_agent_whose_work_is_what_it_does_runs_without_a_route(
    engine_sim: EngineSim, without: bool, asked: int, reason: str
) -> None:
    """heartbeat.md §7: no route costs no tokens, unless that is wanted; its words are kept."""
    agent = ScriptedAgent(then="the disk is full")
    config = beating(runWithoutRoute=without)
    config["channels"] = {"telegram": {"botToken": "1:a"}}
    sim = engine_sim(config, start=START, zone="UTC", agent=agent, checklist=LOOK)
    report = await sim.advance(2 * HOUR)
    assert len(agent.requests) == asked
    assert {row.reason for row in report.beats.rows} == {reason}
    assert {row.status for row in report.beats.rows} == {"ok" if without else "skipped"}
    kept = await sim.engine.inbox_desk.listing({})
    assert len(kept["entries"]) == (1 if without else 0)
    assert report.deliveries == ()


@pytest.mark.parametrize(
    ("keys", "now", "stamp"),
    [
        ({}, "09:10 (Asia/Tokyo)", "2026-06-01 09:10:00 Asia/Tokyo"),
        ({"timeFormat": "12"}, "09:10 AM (Asia/Tokyo)", "2026-06-01 09:10:00 AM Asia/Tokyo"),
        ({"timeFormat": "24"}, "09:10 (Asia/Tokyo)", "2026-06-01 09:10:00 Asia/Tokyo"),
        ({"envelopeTimezone": "utc"}, "09:10 (Asia/Tokyo)", "2026-06-01 00:10:00 UTC"),
        ({"envelopeTimezone": "user"}, "09:10 (Asia/Tokyo)", "2026-06-01 09:10:00 Asia/Tokyo"),
        (
            {"envelopeTimezone": "local"},
            "09:10 (Asia/Tokyo)",
            "2026-05-31 20:10:00 America/New_York",
        ),
        (
            {"envelopeTimezone": "Europe/Berlin"},
            "09:10 (Asia/Tokyo)",
            "2026-06-01 02:10:00 Europe/Berlin",
        ),
    ],
)
async def test_an_agent_is_told_times_as_the_config_asks(
    engine_sim: EngineSim, keys: dict[str, str], now: str, stamp: str
) -> None:
    agent = ScriptedAgent(then="HEARTBEAT_OK")
    config = beating(more={"userTimezone": "Asia/Tokyo"} | keys)
    sim = engine_sim(
        config, start="2026-06-01T00:10:00Z", zone="America/New_York", agent=agent, checklist=LOOK
    )
    await sim.event("the build is red")
    (asked,) = agent.requests
    assert f"System: [{stamp}] the build is red" in asked.prompt
    assert f"Current time: Monday 2026-06-01 {now} / 2026-06-01T00:10:00Z" in asked.prompt
