"""`engine status`: the verdict is never green while a part does not work (operations.md §9)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.clock import SystemClock
from gateway.protocol.handshake import Phase
from jobs.errors import StoreUnavailable
from jobs.wallclock import ms
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

FULL = "the state database cannot be used: disk is full. Fix: free space on that disk"


def test_a_part_that_fails_is_the_verdict_with_its_remedy(engine: Engine, gateway: Port) -> None:
    gateway.core.failing = {"store": FULL}
    told = engine("status")
    assert told.status == 1
    assert told.out.startswith(
        "Verdict:   store does not work: the state database cannot be used: disk is full."
        " Fix: free space on that disk\n"
    )
    assert f"Failing:   store: {FULL}" in told.out
    answer = json.loads(engine("status", "--json").out)
    assert (answer["ok"], answer["verdict"]["code"]) == (False, "store.failing")


def test_gateway_status_says_so_too(engine: Engine, gateway: Port) -> None:
    assert engine("gateway", "status").status == 0
    gateway.core.failing = {"sender": FULL}
    told = engine("gateway", "status")
    assert told.status == 1
    assert "sender does not work" in told.out.splitlines()[0]


def test_health_names_what_fails(engine: Engine, gateway: Port) -> None:
    gateway.core.failing = {"store": FULL}
    told = engine("health", "--verbose")
    assert told.status == 1
    assert "not well" in told.out
    assert FULL in told.out


def test_what_does_not_answer_is_not_told_as_nothing(
    engine: Engine, gateway: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> Any:
        raise StoreUnavailable("the state database cannot be reached", fix="start the server")

    monkeypatch.setattr(gateway.core.heartbeats, "last", away)
    told = engine("status")
    assert told.status == 1
    assert "none yet" not in told.out
    assert "Last beat: unknown (it did not answer)" in told.out
    assert "Failing:   last: the state database cannot be reached" in told.out


NEW_TOKEN = "engine config set channels.telegram.accounts.work.botToken NEW_ONE"


@pytest.mark.parametrize(
    ("runtime", "error", "fix"),
    [
        ("auth-failed", "auth: 401 Unauthorized", NEW_TOKEN),
        ("backoff", "network-presend: ConnectError refused", "engine channels status --probe"),
        ("conflict", "conflict: 409 other getUpdates", "elsewhere: end the other program"),
    ],
)
def test_an_account_that_does_not_work_is_no_green_light(
    engine: Engine, gateway: Port, runtime: str, error: str, fix: str
) -> None:
    account = {"enabled": True, "configured": True, "connected": False, "runtime": runtime}
    gateway.core.accounts = {"work": {**account, "lastError": error}}
    told = engine("status")
    assert told.status == 1
    first = told.out.splitlines()[0]
    assert first.startswith(f"Verdict:   telegram/work does not work: {error}. Fix: {fix}")
    assert f"telegram/work {runtime}" in told.out


def test_an_account_that_is_switched_off_is_no_fault(engine: Engine, gateway: Port) -> None:
    gateway.core.accounts = {"work": {"enabled": False, "lastError": "auth: 401"}}
    told = engine("status")
    assert told.status == 0
    assert "telegram/work disabled" in told.out


def test_what_does_not_work_for_a_person_is_no_green_light(engine: Engine, gateway: Port) -> None:
    blocked = {"code": "delivery.blocked", "message": "it did not arrive", "fix": "unblock the bot"}
    off = {"code": "heartbeat.off", "message": "it is off", "fix": "engine heartbeat enable"}
    gateway.core.troubles = [blocked, off]
    told = engine("status")
    assert told.status == 1
    assert told.out.startswith("Verdict:   it did not arrive. Fix: unblock the bot\n")
    assert told.out.count("it did not arrive") == 1
    assert "  also: it is off. Fix: engine heartbeat enable" in told.out
    answer = json.loads(engine("status", "--json").out)
    assert (answer["ok"], answer["verdict"]["code"]) == (False, "delivery.blocked")


def test_beats_that_are_paused_are_no_promise_of_a_next_one(
    engine: Engine, gateway: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = ms(SystemClock().now())
    beat = {"enabled": True, "everyMs": 3_600_000, "nextDueAtMs": now + 8_000}
    beats: list[dict[str, Any]] = [
        {**beat, "agentId": "main", "paused": {"by": "ana", "untilMs": now + 9 * 60_000 + 30_000}},
        {**beat, "agentId": "ops", "paused": None},
    ]

    async def listing() -> list[dict[str, Any]]:
        return beats

    monkeypatch.setattr(gateway.core.heartbeats, "listing", listing)
    told = engine("status")
    assert (told.status, told.out.splitlines()[0]) == (0, "Verdict:   healthy; main paused")
    held = "heartbeat main: every 1h, paused, ends in 9m. Fix: engine heartbeat resume\n"
    assert held in told.out
    assert "heartbeat ops: every 1h, next in " in told.out


def test_a_gateway_that_refuses_this_command_is_not_told_to_be_down(
    engine: Engine, gateway: Port
) -> None:
    told = engine("status", "--token", "wrong")
    assert told.status == 4
    assert "gateway down" not in told.out
    assert "not reachable" not in told.out
    assert "Agents:    unknown (refused)" in told.out


def test_a_gateway_its_host_holds_is_told_to_be_held_and_not_to_be_broken(
    engine: Engine, gateway: Port
) -> None:
    gateway.phase = Phase.SUSPENDED
    told = engine("status")
    assert told.status == 1
    assert told.out.startswith(
        "Verdict:   the gateway is suspended: its host holds it: nothing begins, and nothing is"
        " lost. Fix: wait: it goes on within two minutes\n"
    )
    assert "does not work" not in told.out
    assert "Gateway:   suspended at ws://" in told.out
    assert "Agents:    unknown (refused)" in told.out
    answer = json.loads(engine("status", "--json").out)
    assert answer["verdict"]["code"] == "gateway.suspended"


def test_a_long_silence_points_to_the_command_that_explains_it(
    engine: Engine, gateway: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    """operations.md §16 L20: longer than two beats without a word."""
    now = ms(SystemClock().now())
    hour = 3_600_000
    beat = {"enabled": True, "everyMs": hour, "last": {"status": "skipped"}}
    beats = [
        {**beat, "agentId": "main", "lastArrivedAtMs": now - 3 * hour},
        {**beat, "agentId": "ops", "lastArrivedAtMs": now - hour},
        {**beat, "agentId": "new", "lastArrivedAtMs": None},
        {**beat, "agentId": "off", "lastArrivedAtMs": None, "enabled": False},
        {**beat, "agentId": "young", "lastArrivedAtMs": None, "last": None},
    ]

    async def listing() -> list[dict[str, Any]]:
        return beats

    monkeypatch.setattr(gateway.core.heartbeats, "listing", listing)
    last = engine("status").out.splitlines()[-1]
    assert last == "Nothing has come of main for 3h, new yet. Why: engine why"


def test_with_deep_every_platform_is_asked(
    engine: Engine, gateway: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[bool]()
    status = gateway.core.channels_status

    async def counted(*, probe: bool = False, channel: str | None = None) -> Any:
        asked.append(probe)
        return await status(probe=probe, channel=channel)

    monkeypatch.setattr(gateway.core, "channels_status", counted)
    engine("status")
    engine("status", "--deep")
    assert asked == [False, True]


def test_what_beats_cost_is_told_when_it_is_asked_for(
    engine: Engine, gateway: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cost(params: Any) -> dict[str, Any]:
        assert params["by"] == "agent"
        return {"rows": [{"key": "main", "runs": 48, "tokens": 900, "costUsd": 0.0125}]}

    monkeypatch.setattr(gateway.core.heartbeats, "cost", cost)
    assert "usage" not in engine("status").out
    told = engine("status", "--usage").out
    assert "usage main: 48 runs, 900 tokens, 0.0125 USD" in told


def test_nothing_is_green_while_what_it_hangs_on_is_down(
    engine: Engine, nobody: None, home: Path
) -> None:
    """operations.md §16 L1."""
    text = '{ gateway: { mode: "local" }, channels: { telegram: { botToken: "1:x" } } }'
    (home / ".engine" / "engine.json").write_text(text)
    told = engine("status")
    assert told.status == 3
    assert "telegram configured (gateway down)" in told.out
    assert "connected" not in told.out
    assert "healthy" not in told.out


def test_health_of_nobody_is_refused_at_once_or_waited_for(engine: Engine, nobody: None) -> None:
    assert engine("health").status == 3
    assert engine("health", "--wait", "1").status == 3


def test_health_tells_of_the_timer_the_beats_and_the_disk(engine: Engine, gateway: Port) -> None:
    gateway.core.more_health = {
        "gateway": {"version": "0.1.0", "uptimeMs": 60_000},
        "config": {"valid": False, "restored": False},
        "scheduler": {"armed": True, "nextWakeAt": None, "lagMs": 3, "missed24h": 2},
        "heartbeats": [{"agentId": "main", "enabled": True, "every": "30m", "nextDueAt": None}],
        "secrets": {"degraded": True},
        "disk": {"freeBytes": 71_000_000_000, "dbBytes": 4096},
    }
    told = engine("health", "--verbose").out
    for said in (
        "the one before stays in force",
        "armed, next wake -, lag 3 ms, 2 missed in 24 h",
        "Heartbeat main: every 30m",
        "degraded",
        "71 GB free, database 4.1 kB",
    ):
        assert said in told


def test_a_change_that_waits_for_a_restart_is_a_row_of_its_own(
    engine: Engine, gateway: Port
) -> None:
    """operations.md §4.1, reload mode `hot`."""
    assert "Restart pending" not in engine("status").out
    config = {"valid": True, "restored": False, "pendingRestart": ["gateway.port"]}
    gateway.core.more_health = {"config": config}
    assert "Restart pending: gateway.port. Fix: engine gateway restart" in engine("status").out
    assert "Restart pending: gateway.port" in engine("health", "--verbose").out
    assert json.loads(engine("health", "--json", "--verbose").out)["config"] == config


def test_agents_and_the_port_they_share_are_told_of_a_gateway_that_is_down(
    engine: Engine, nobody: None, home: Path
) -> None:
    """operations.md §16 L18: asked in the first sentence, answered five times."""
    text = '{ gateway: { mode: "local" }, agents: { list: [{ id: "main" }, { id: "ops" }] } }'
    (home / ".engine" / "engine.json").write_text(text)
    told = engine("status").out
    assert "2 agents share one gateway on port" in told
    assert "(gateway down): main, ops" in told
