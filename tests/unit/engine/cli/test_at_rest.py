"""What a home tells while its gateway is down: from the store, and it says so."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.cli.app import run
from engine.testing import Simulation
from gateway import lock
from jobs.store.db import Database
from tests.unit.engine.cli.conftest import Engine

pytestmark = pytest.mark.usefixtures("nobody")

START = datetime(2026, 6, 1, tzinfo=UTC)
OWNER = lock.Owner(pid=1, started_at_ms=0, boot_id="b", version="0", port=18789)
WATER = {
    "schedule": {"kind": "every", "everyMs": 3_600_000},
    "sessionTarget": "main",
    "payload": {"kind": "systemEvent", "text": "Drink something"},
}


@pytest.fixture
def lived_in(home: Path) -> list[str]:
    """A home in which something happened and whose gateway is gone; the ids of its jobs."""
    (home / ".engine" / "engine.json").write_text("{ gateway: { mode: 'local' } }")
    return asyncio.run(_lived(home / ".engine"))


async def _lived(state: Path) -> list[str]:
    database = await Database.open(state / "state.db")
    async with Simulation(
        state / "engine.json", start=START, zone="UTC", database=database, checklist="- look\n"
    ) as sim:
        names = ("water", "plants", "plants", "two words")
        ids = [
            (await sim.engine.scheduling.add({**WATER, "name": name}, by="cli"))["id"]
            for name in names
        ]
        await sim.until("2026-06-01 02:00")
    await database.close()
    return [str(one) for one in ids]


def test_jobs_runs_and_beats_are_told_from_the_store_and_that_is_said(
    engine: Engine, lived_in: list[str]
) -> None:
    for words, expected in (
        (("cron", "list"), lived_in[0]),
        (("cron", "show", "water"), "every 1h"),
        (("cron", "get", "water"), lived_in[0]),
        (("cron", "runs", "water", "--human"), "by its beat"),
        (("heartbeat", "history"), "2026-06-01"),
    ):
        told = engine(*words)
        assert told.status == 0, told.err
        assert expected in told.out
        assert told.err.startswith("The gateway is not running; answered from the store")
    assert json.loads(engine("cron", "list", "--json").out)["total"] == 4


@pytest.mark.parametrize(
    "words",
    [
        ("cron", "list"),
        ("cron", "runs", "water"),
        ("cron", "audit"),
        ("cron", "timeline"),
        ("cron", "explain", "water"),
        ("heartbeat", "history"),
        ("heartbeat", "next"),
        ("heartbeat", "cost"),
        ("heartbeat", "tasks"),
        ("heartbeat", "inbox"),
        ("outbox", "list"),
        ("inbox", "list"),
    ],
    ids=" ".join,
)
def test_who_answered_is_said_first_and_in_json_as_a_field(
    engine: Engine, lived_in: list[str], words: tuple[str, ...]
) -> None:
    if words[:2] != ("cron", "runs"):  # JSON unless --human
        told = engine(*words)
        assert told.status == 0, told.err
        assert told.err.startswith("The gateway is not running; answered from the store (")
        assert told.err.count("\n") == 1
    as_json = engine(*words, "--json")
    assert json.loads(as_json.out)["gateway"] == {"running": False}
    assert as_json.err == ""


def test_tasks_are_listed_without_a_gateway_and_run_only_with_one(
    engine: Engine, home: Path, lived_in: list[str]
) -> None:
    file = home / ".engine" / "workspace" / "HEARTBEAT.md"
    file.parent.mkdir(exist_ok=True)
    file.write_text("tasks:\n- name: mail\n  interval: 2h\n  prompt: look\n- name: bad\n")
    (agent,) = json.loads(engine("heartbeat", "tasks", "--json").out)["agents"]
    assert [(one["name"], one["schedule"]) for one in agent["tasks"]] == [("mail", "every 2h")]
    assert agent["warnings"]
    assert engine("heartbeat", "tasks", "--check").status == 1
    assert engine("heartbeat", "tasks", "--run", "mail").status == 3


def test_another_gateway_is_not_answered_for(engine: Engine, lived_in: list[str]) -> None:
    told = engine("cron", "list", "--url", "ws://127.0.0.1:1", "--token", "x")
    assert told.status == 3
    assert told.out == ""


def offered(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> set[str]:
    """What the shell shows after these words and a tab."""
    monkeypatch.setenv("_ENGINE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    monkeypatch.setenv("COMP_WORDS", words)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        run([])
    return {line.removeprefix("plain,") for line in capsys.readouterr().out.split()}


def test_a_port_that_was_named_is_not_silently_replaced_by_the_store(
    engine: Engine, home: Path, lived_in: list[str]
) -> None:
    told = engine("cron", "list", "--port", "1")
    assert told.status != 0
    assert "nothing listens on 127.0.0.1:1" in told.err
    with lock.Lock(home / ".engine", OWNER):
        told = engine("cron", "list", "--port", "1")
    assert "the gateway of this home listens on 18789" in told.err


def test_completion_offers_the_jobs_of_the_home_and_the_keys_of_its_config(
    lived_in: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offered("engine cron show w", monkeypatch, capsys) == {"water"}
    assert offered("engine cron rm ", monkeypatch, capsys) == {"water", *lived_in[1:]}
    for words in ("engine cron next w", "engine cron explain w"):
        assert offered(words, monkeypatch, capsys) == {"water"}
    assert "gateway.port" in offered("engine config get gateway.po", monkeypatch, capsys)


def test_completion_offers_what_the_flags_of_a_job_name(
    home: Path,
    lived_in: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = "{ gateway: { mode: 'local' }, cron: { calendars: { holidays: {}, fairs: {} } } }"
    (home / ".engine" / "engine.json").write_text(config)
    for words, expected in (
        ("engine automations add --after w", {"water"}),
        ("engine cron edit water --context-from w", {"water"}),
        ("engine cron add --calendar h", {"holidays"}),
        ("engine cron add --tz europe/lond", {"Europe/London"}),
        ("engine cron explain x --other-tz Asia/Shang", {"Asia/Shanghai"}),
        ("engine cron ba", {"backfill"}),
    ):
        assert offered(words, monkeypatch, capsys) == expected


def test_a_secret_this_shell_does_not_have_keeps_nobody_from_reading(
    engine: Engine, lived_in: list[str], home: Path
) -> None:
    """It is the gateway's to follow; and no program is run only to read what was."""
    ran, program = home / "ran", home / "vault"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n", "utf-8")
    program.chmod(0o700)
    (home / ".engine" / "engine.json").write_text(
        "{gateway: {mode: 'local'}, channels: {telegram: {"
        " botToken: {source: 'env', id: 'NOT_HERE'}, webhookUrl: 'https://example.org/t',"
        " webhookSecret: {source: 'exec', provider: 'v', id: 'a'}}},"
        f" secrets: {{providers: {{v: {{source: 'exec', command: '{program}'}}}}}}}}",
        "utf-8",
    )
    told = engine("cron", "show", "water")
    assert told.status == 0, told.err
    assert "every 1h" in told.out
    assert not ran.exists()
