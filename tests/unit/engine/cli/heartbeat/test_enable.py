"""A block of its own, by one command, with what it costs shown first (operations.md §16 L14)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from engine.clock import SystemClock
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

CONFIG = '{\n  // ours\n  agents: { list: [{ id: "main", default: true }, { id: "Ops" }] },\n}\n'


@pytest.fixture
def file(home: Path) -> Path:
    path = home / ".engine" / "engine.json"
    path.write_text(CONFIG)
    return path


def test_the_fan_out_is_shown_the_block_written_and_the_switch_set(
    engine: Engine, gateway: Port, file: Path
) -> None:
    told = engine("heartbeat", "enable", "ops", "--every", "15m", "--target", "last")
    assert (told.status, told.out) == (0, "Heartbeat of ops: on.\n")
    assert "Beats a day, each a model call at most: ops 96; 96 in all." in told.err
    assert "This ends the beats of main" in told.err
    (said,) = gateway.core.said.of("set_enabled")
    assert said[:2] == (True, "ops")
    assert "// ours" in file.read_text()
    got = engine("config", "get", "agents.list[id=Ops].heartbeat", "--json")
    assert json.loads(got.out) == {"every": "15m", "target": "last"}
    assert file.read_text().lower().count('id: "ops"') == 1


def test_what_is_there_already_stays_and_json_tells_it_all(
    engine: Engine, gateway: Port, file: Path
) -> None:
    engine("heartbeat", "enable", "ops", "--every", "1h")
    told = json.loads(engine("heartbeat", "enable", "ops", "--target", "owner", "--json").out)
    assert told["wrote"] == {"agents.list[id=Ops].heartbeat": {"target": "owner"}}
    assert told["fanOut"] == {"beatsPerDay": {"ops": 24.0}, "begins": [], "ends": []}
    assert json.loads(engine("config", "get", "agents.list[id=Ops].heartbeat", "--json").out) == {
        "every": "1h",
        "target": "owner",
    }


@pytest.mark.parametrize(
    "words",
    [("nobody", "--every", "15m"), ("ops", "--every", "banana"), ("--every", "15m")],
    ids=["unknown agent", "no span", "no agent"],
)
def test_a_refusal_changes_nothing(
    engine: Engine, gateway: Port, file: Path, words: tuple[str, ...]
) -> None:
    assert engine("heartbeat", "enable", *words).status != 0
    assert gateway.core.said.of("set_enabled") == []
    assert file.read_text() == CONFIG


def test_without_a_gateway_nothing_is_written(engine: Engine, nobody: None, file: Path) -> None:
    assert engine("heartbeat", "enable", "ops", "--every", "15m").status == 3
    assert file.read_text() == CONFIG


@pytest.mark.parametrize(
    ("words", "off", "told"),
    [
        (("main",), [], "Heartbeat of main: on."),
        (
            ("main",),
            ["*"],
            "Heartbeat of main: on, but those of all agents are off. Fix: engine heartbeat enable",
        ),
        (
            (),
            ["ops"],
            "Heartbeats of all agents: on, but switched off by name: ops.",
        ),
    ],
)
def test_on_is_not_said_of_beats_that_another_switch_keeps_off(
    engine: Engine, gateway: Port, words: tuple[str, ...], off: list[str], told: str
) -> None:
    gateway.core.heartbeats.still_off = off
    said = engine("heartbeat", "enable", *words).out
    assert said.startswith(told)
    assert all(
        f"Fix: engine heartbeat enable{'' if one == '*' else f' {one}'}\n" in said for one in off
    )


def test_a_pause_ends_at_an_hour_of_the_day_to_come_or_a_day_as_its_help_says(
    engine: Engine, gateway: Port
) -> None:
    now = SystemClock().now()
    for until, least, most in (
        ((now - timedelta(minutes=2)).strftime("%H:%M"), 23, 24),
        ((now + timedelta(minutes=2)).strftime("%H:%M"), 0, 1),
        ("2099-12-27", 24, 24 * 366 * 100),
        ("tomorrow", 23, 25),
    ):
        assert engine("heartbeat", "pause", "--until", until).status == 0
        (_, _, end) = gateway.core.said.of("pause")[-1]
        assert timedelta(hours=least) <= end - now <= timedelta(hours=most)
    told = engine("heartbeat", "pause", "--until", "soonish")
    assert (told.status, told.err.splitlines()[0]) == (2, "--until soonish cannot be read")


def test_a_line_for_all_agents_is_counted_before_it_is_written(
    engine: Engine, gateway: Port, file: Path
) -> None:
    engine("config", "set", "agents.defaults.heartbeat.every", "0m")
    told = engine("config", "set", "agents.defaults.heartbeat.every", "30m")
    assert told.status == 0
    counted, started, written = told.err.splitlines()[:3]
    assert counted == "Beats a day, each a model call at most: main 48, ops 48; 96 in all."
    assert started.startswith("This starts the beats of 2 agents. Only one: engine heartbeat")
    assert written.startswith("Config overwrite")


def test_a_change_that_starts_nobody_is_not_counted(
    engine: Engine, gateway: Port, file: Path
) -> None:
    assert "Beats a day" not in engine("config", "set", "gateway.port", "19001").err
