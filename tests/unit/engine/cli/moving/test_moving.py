"""`engine import openclaw`: a whole home comes over, whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from engine.cli.moving import people, routes, source
from engine.cli.moving.stage import Stage, overlay
from engine.store import sessions
from gateway import lock
from gateway.store import devices, pairings
from jobs.importing.report import Notes
from jobs.store.db import Database, Tx
from tests.fakes.openclaw_home import OPENAI_KEY, TELEGRAM_TOKEN, openclaw_home
from tests.unit.engine.cli.conftest import Engine

T = TypeVar("T")
BRIEF = "7f9c2a10-0b1d-4c55-9d5a-3f6f0a1b2c3d"
FIXTURES = Path(__file__).parents[4] / "fixtures" / "import"
IMPORT = ("import", "openclaw")


@pytest.fixture
def other(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TELEGRAM_BOT_TOKEN", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return openclaw_home(home / ".openclaw")


def hashes(folder: Path) -> dict[str, str]:
    """Every file and what is in it, with when it was written."""
    return {
        str(path.relative_to(folder)): f"{hashlib.sha256(path.read_bytes()).hexdigest()}"
        f" {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def looked(state: Path, work: Callable[[Tx], T]) -> T:
    async def look() -> T:
        database = await Database.open(state / "state.db", read_only=True)
        try:
            return await database.read(work)
        finally:
            await database.close()

    return asyncio.run(look())


def remarks(told: dict[str, Any]) -> dict[str, str]:
    return {one["where"]: one["weight"] for one in told["remarks"]}


def test_all_of_a_home_comes_over_and_nothing_in_it_changes(
    engine: Engine, home: Path, other: Path
) -> None:
    before = hashes(other)
    answer = engine(*IMPORT, "--json")
    told = json.loads(answer.out)
    assert hashes(other) == before
    assert answer.status == 1  # some of it needs an eye
    assert told["taken"] == {
        "config": "25 keys",
        "variables": 4,
        "workspace": "3 files",
        "workspace-ops": "1 files",
        "jobs": 1,
        "runs": 1,
        "routes": 2,
        "people": 3,
        "devices": 1,
    }
    for secret in (TELEGRAM_TOKEN, OPENAI_KEY, "planted-device-token", "7002:another"):
        assert secret not in answer.out + answer.err
    state = home / ".engine"
    assert engine("config", "validate").status == 0
    text = (state / "engine.json").read_text()
    assert "// the house of ann" in text
    assert "lastTouchedVersion" not in text
    assert ".openclaw" not in text
    assert f"OPENAI_API_KEY={OPENAI_KEY}\n" in (state / ".env").read_text()
    assert (state / ".env").stat().st_mode & 0o077 == 0
    assert (state / "workspace/memory/2026-10-01.md").read_text() == "It rained.\n"
    assert (state / "workspace-ops/HEARTBEAT.md").exists()


def test_who_wrote_last_is_whom_last_leads_to(engine: Engine, home: Path, other: Path) -> None:
    engine(*IMPORT)
    state = home / ".engine"
    route = looked(state, lambda tx: sessions.last_route(tx, "main", "agent:main:main"))
    assert route is not None
    assert (route.channel, route.to, route.peer_label) == ("telegram", "77", "Ann")
    assert looked(state, lambda tx: pairings.let_in(tx, "telegram", "default")) == ("77", "78")
    assert looked(state, lambda tx: pairings.let_in(tx, "telegram", "work")) == ("79",)
    (device,) = looked(state, devices.everybody)
    assert device.approved
    assert device.tokens["operator"].digest == hashlib.sha256(b"planted-device-token").hexdigest()
    assert engine("cron", "show", BRIEF).status == 0
    assert "All quiet." in engine("cron", "runs", "--id", BRIEF, "--json").out


def test_what_is_not_taken_is_named_with_its_reason(engine: Engine, other: Path) -> None:
    told = remarks(json.loads(engine(*IMPORT, "--dry-run", "--json").out))
    assert {where: told[where] for where in told if told[where] != "note"} == {
        "auth-profiles anthropic:me": "left-out",
        "models.providers.openai": "changed",
        "models.providers.anthropic": "changed",
        "models.providers.anthropic.apiKey": "held",
        "nobodyKnows": "left-out",
        "session agent:main:whatsapp:direct:+15550100": "left-out",
        "credentials/telegram-work-allowFrom.json": "left-out",
        "credentials/whatsapp-allowFrom.json": "left-out",
        "devices/paired.json d9": "left-out",
    }
    for inert in ("talk", "wizard", "channels.telegram.accounts.work.streaming", "strange.bin"):
        assert told[inert] == "note"


def test_a_dry_run_says_what_a_run_does_and_leaves_no_trace(
    engine: Engine, home: Path, other: Path
) -> None:
    dry = json.loads(engine(*IMPORT, "--dry-run", "--json").out)
    assert [*(home / ".engine").iterdir()] == []
    real = json.loads(engine(*IMPORT, "--json").out)
    assert {**dry, "dryRun": False, "next": []} == {**real, "next": []}


def test_a_home_in_use_is_not_written_over_unasked(engine: Engine, home: Path, other: Path) -> None:
    assert engine("setup").status == 0
    before = hashes(home / ".engine")
    told = engine(*IMPORT)
    assert told.status == 1
    assert "--merge" in told.err
    assert hashes(home / ".engine") == before


def test_merged_what_is_here_stays_and_twice_is_once(
    engine: Engine, home: Path, other: Path
) -> None:
    engine("setup")
    engine("config", "set", "gateway.port", "19555")
    state = home / ".engine"
    ours = (state / "workspace/HEARTBEAT.md").read_text()
    told = json.loads(engine(*IMPORT, "--merge", "--json").out)
    assert remarks(told)["workspace/HEARTBEAT.md"] == "left-out"
    assert (state / "workspace/HEARTBEAT.md").read_text() == ours
    assert engine("config", "get", "gateway.port").out == "19555\n"
    assert engine("config", "get", "channels.telegram.defaultAccount").out == "default\n"
    assert (Path(told["aside"]) / "engine.json").exists()
    before = hashes(state)
    again = json.loads(engine(*IMPORT, "--merge", "--json").out)
    assert not again["changed"]
    assert {**hashes(state), "gateway.lock": ""} == {**before, "gateway.lock": ""}


def test_by_force_theirs_takes_the_place_and_ours_lies_aside(
    engine: Engine, home: Path, other: Path
) -> None:
    engine("setup")
    engine("config", "set", "gateway.port", "19555")
    told = json.loads(engine(*IMPORT, "--force", "--json").out)
    assert engine("config", "get", "gateway.port").out == "18789\n"
    state = home / ".engine"
    assert (state / "workspace/HEARTBEAT.md").read_text() == "- look at the build\n"
    assert "19555" in (Path(told["aside"]) / "engine.json").read_text()


def test_linked_workspaces_stay_where_they_are(engine: Engine, home: Path, other: Path) -> None:
    engine(*IMPORT, "--link")
    told = engine("config", "get", "agents.defaults.workspace")
    assert told.out.strip() == str(other / "workspace")
    assert not (home / ".engine/workspace-ops").exists()


def test_a_fault_in_the_middle_puts_everything_back(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "home" / ".import-x"
    folder.mkdir(parents=True)
    (home / "a").write_text("old a")
    (home / "b").mkdir()
    stage = Stage(home, folder)
    stage.place("a").write_text("new a")
    stage.place("b").mkdir()
    stage.names.append("c/d")  # cannot be renamed to: there is no folder c
    (folder / "c").mkdir()
    (folder / "c/d").write_text("new")
    with pytest.raises(OSError, match="c/d"):
        stage.commit(home / "aside")
    assert (home / "a").read_text() == "old a"
    assert (home / "b").is_dir()
    assert not (home / "aside").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("/nowhere/at/all",), "is no folder"),
        (("--merge", "--force"), "contradict"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(
    engine: Engine, other: Path, words: tuple[str, ...], says: str
) -> None:
    told = engine(*IMPORT, *words)
    assert told.status == 2
    assert says in told.err


def test_a_folder_that_is_no_such_home_is_refused(engine: Engine, home: Path) -> None:
    (home / "pictures").mkdir()
    told = engine(*IMPORT, home / "pictures")
    assert told.status != 0
    assert "no home of OpenClaw" in told.err


def test_a_config_of_parts_becomes_one(engine: Engine, home: Path, other: Path) -> None:
    (other / "openclaw.json").write_text(
        '{ gateway: { mode: "local" }, channels: { $include: "./channels.json5" } }'
    )
    (other / "channels.json5").write_text('{ telegram: { botToken: "${TELEGRAM_BOT_TOKEN}" } }')
    engine(*IMPORT)
    assert engine("config", "validate").status == 0
    assert "$include" not in (home / ".engine/engine.json").read_text()
    assert engine("config", "get", "channels.telegram.botToken").status == 0


def test_older_keys_move_and_a_variable_nobody_set_is_named(
    engine: Engine, home: Path, other: Path
) -> None:
    (other / "openclaw.json").write_text(
        '{ gateway: { token: "a-token-of-old" },'
        ' channels: { telegram: { botToken: "${NOT_HERE}" } } }'
    )
    told = json.loads(engine(*IMPORT, "--json").out)
    assert told["missingVariables"] == ["NOT_HERE"]
    assert any("NOT_HERE" in step for step in told["next"])
    assert remarks(told)["gateway.token"] == "changed"
    assert "auth" in (home / ".engine/engine.json").read_text()


def test_jobs_of_newer_releases_come_from_their_database(
    engine: Engine, home: Path, other: Path
) -> None:
    (other / "state").mkdir()
    with closing(sqlite3.connect(other / "state/openclaw.sqlite")) as database:
        database.executescript((FIXTURES / "openclaw/state.sql").read_text())
        database.execute("CREATE TABLE flows (id TEXT)")
        database.execute("INSERT INTO flows VALUES ('x')")
        database.commit()
    before = hashes(other)
    told = json.loads(engine(*IMPORT, "--json").out)
    assert hashes(other) == before
    assert told["taken"]["jobs"] > 1
    (said,) = [one for one in told["remarks"] if one["where"] == "state/openclaw.sqlite"]
    assert "not read: flows" in said["why"]


def test_jobs_come_from_where_the_config_says_they_lie(tmp_path: Path) -> None:
    other = openclaw_home(tmp_path / ".openclaw")
    (other / "my").mkdir()
    (other / "cron/jobs.json").rename(other / "my/jobs.json")
    (other / "openclaw.json").write_text('{ cron: { store: "~/.openclaw/my/jobs.json" } }')
    assert source.read(other, Notes()).jobs == other / "my/jobs.json"


def test_nothing_is_imported_under_a_gateway_that_runs(
    engine: Engine, home: Path, other: Path
) -> None:
    state = home / ".engine"
    owner = lock.Owner(
        pid=os.getpid(),
        started_at_ms=1,
        boot_id="b",
        version="0.1.0",
        profile="default",
        config_path=str(state / "engine.json"),
    )
    with lock.Lock(state, owner):
        told = engine(*IMPORT)
    assert told.status == 1
    assert "Fix: engine gateway stop" in told.err
    assert [path.name for path in state.iterdir()] == ["gateway.lock"]


@pytest.mark.parametrize(
    "name",
    [
        "agents/main/sessions/sessions.json",
        "agents/main/agent/auth-profiles.json",
        "credentials/telegram-allowFrom.json",
        "devices/paired.json",
    ],
)
@pytest.mark.parametrize("text", ["{", "[]", "7", '{"a": {"b": []}}', '{"allowFrom": {"x": 1}}'])
def test_a_file_that_is_not_what_it_should_be_holds_up_nothing(
    tmp_path: Path, name: str, text: str
) -> None:
    other = openclaw_home(tmp_path / "other")
    (other / name).write_text(text)
    notes = Notes()
    found = source.read(other, notes)
    now = datetime(2026, 11, 22, tzinfo=UTC)
    routes.routes(found.sessions, notes, now)
    people.people(found.lists, notes)
    people.devices(found.devices, notes, now)
    if text == "{":
        assert any(one.where == Path(name).name for one in notes.all)


def test_links_come_over_as_links_and_what_is_no_file_stays(tmp_path: Path) -> None:
    there, here = tmp_path / "workspace", tmp_path / "new"
    (there / "sub").mkdir(parents=True)
    (there / "link").symlink_to("/etc/hostname")
    (there / "loop").symlink_to(there)
    os.mkfifo(there / "sub/pipe")
    notes = Notes()
    done = overlay(there, here, notes, theirs_win=False)
    assert done.files == 2
    assert (here / "link").readlink() == Path("/etc/hostname")
    assert (here / "loop").is_symlink()
    assert [one.where for one in notes.all] == ["workspace/sub/pipe"]
