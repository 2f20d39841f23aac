"""Keys of the heartbeat block and their neighbours do what they say (heartbeat.md §2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent
from jobs.wallclock import ms

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


@pytest.mark.parametrize(
    ("after", "minute", "reasons"),
    [
        # Slots at :09 and :39 (and 19.6 s). A wake at :20 is 19 minutes before the second one.
        ("keep-grid", 20, ["00:09 ran", "00:39 ran"]),
        ("keep-grid", 30, ["00:09 ran", "00:39 recent-run"]),
        ("restart-interval", 20, ["00:09 ran", "00:39 recent-run", "01:09 ran"]),
        ("restart-interval", 5, ["00:09 recent-run", "00:39 ran"]),
    ],
)
async def test_after_a_wake_a_slot_that_is_too_close_is_left_out_and_the_grid_stays(
    engine_sim: EngineSim, after: str, minute: int, reasons: list[str]
) -> None:
    sim = engine_sim(beating(afterWake=after), start=START, zone="UTC", checklist=LOOK)
    await sim.advance(minute * MINUTE)
    await sim.engine.by_hand.run(None, by="ann", deliver=True, within=None)
    await sim.advance(timedelta(seconds=1))
    asked = await sim.engine.history.last(None)
    report = await sim.advance(timedelta(minutes=72 - minute))
    slots = [row for row in report.beats.rows if row.row.slot is not None]
    since = datetime(2026, 6, 1, 0, minute, tzinfo=UTC)
    ran = [row.row.slot for row in slots if row.ran and row.row.slot is not None]
    following = [slot for slot in ran if slot > since]
    assert asked is not None
    assert asked["nextDueAt"] == ms(following[0])  # what is told is the next that runs
    told = [f"{row.local_at:%H:%M} {'ran' if row.ran else row.reason}" for row in slots]
    assert told[: len(reasons)] == reasons


async def test_with_one_scope_for_all_agents_share_their_main_session(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="HEARTBEAT_OK")
    config = beating()
    config["agents"]["list"] = [{"id": "ann"}, {"id": "ben"}]
    config["session"] = {"scope": "global"}
    sim = engine_sim(config, start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.say("hello", agent="ann")
    await sim.advance(HOUR)
    assert {one.session_key for one in agent.requests} == {"global"}
