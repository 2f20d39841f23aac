"""`engine secrets` and `engine security` as one types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.unit.engine.cli.conftest import Engine

CONFIG: Final = """{
  // the bot of the family
  gateway: { mode: "local" },
  channels: { telegram: { botToken: "123456:hush-hush-hush" } }, // asked for by ann
}
"""
TOKEN: Final = "123456:hush-hush-hush"


@pytest.fixture
def state(home: Path) -> Path:
    state = home / ".engine"
    state.chmod(0o700)
    (state / "engine.json").write_text(CONFIG, "utf-8")
    (state / "engine.json").chmod(0o600)
    return state


def plan(state: Path, *, move: bool = True, source: str = "file") -> Path:
    ref = {"source": source, "provider": "local", "id": "/bot"}
    target: dict[str, Any] = {"path": "channels.telegram.botToken", "ref": ref}
    path = state.parent / "plan.json"
    path.write_text(
        json.dumps(
            {
                "version": 1,
                "kind": "engine.secrets.plan",
                "providers": {"local": {"source": "file", "path": "secrets.json"}},
                "targets": [{**target, "move": move}],
            }
        ),
        "utf-8",
    )
    return path


def test_the_audit_ends_as_the_table_says(state: Path, engine: Engine) -> None:
    assert engine("secrets", "audit").status == 0
    found = engine("secrets", "audit", "--check", "--json")
    assert found.status == 1
    told = json.loads(found.out)
    assert (told["status"], told["summary"]["plaintextFoundCount"]) == ("findings", 1)
    assert TOKEN not in found.out + found.err
    (state / "engine.json").write_text("{}", "utf-8")
    assert engine("secrets", "audit", "--check").status == 0
    (state / "engine.json").write_text(
        "{gateway: {auth: {token: {source: 'env', id: 'NOT_THERE'}}}}", "utf-8"
    )
    assert engine("secrets", "audit", "--check").status == 2


def test_a_plan_moves_a_secret_and_leaves_none_behind(state: Path, engine: Engine) -> None:
    (state / "engine.json.bak").write_text(f"// once {TOKEN}\n{CONFIG}", "utf-8")
    (state / "engine.json.clobbered.1").write_text(f"{{ broken {TOKEN}", "utf-8")
    (state / ".env").write_text(f"OLD_TOKEN={TOKEN}\nKEEP=1\n", "utf-8")
    done = engine("secrets", "apply", "--from", plan(state), "--json")
    assert done.status == 0, done.err
    left = {
        path.name: path.read_text("utf-8")
        for path in state.iterdir()
        if path.is_file() and path.name != "secrets.json"
    }
    assert [name for name, text in left.items() if TOKEN in text] == []
    assert json.loads((state / "secrets.json").read_text("utf-8")) == {"bot": TOKEN}
    assert (state / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert "// asked for by ann" in left["engine.json"]
    assert left[".env"] == "KEEP=1\n"
    assert engine("secrets", "audit", "--check").status == 0
    assert TOKEN not in done.out + done.err


def test_a_rehearsal_changes_nothing(state: Path, engine: Engine) -> None:
    before = sorted(path.name for path in state.iterdir())
    told = engine("secrets", "apply", "--from", plan(state), "--dry-run")
    assert (told.status, sorted(path.name for path in state.iterdir())) == (0, before)
    assert (state / "engine.json").read_text("utf-8") == CONFIG


def test_a_reference_that_leads_nowhere_stops_the_plan(state: Path, engine: Engine) -> None:
    told = engine("secrets", "apply", "--from", plan(state, move=False))
    assert told.status == 1
    assert "channels.telegram.botToken" in told.err
    assert (state / "engine.json").read_text("utf-8") == CONFIG


@pytest.mark.parametrize(
    "raw",
    [
        "{}",
        '{"version": 2, "kind": "engine.secrets.plan"}',
        (
            '{"version": 1, "kind": "engine.secrets.plan", "targets": [{"path": "gateway.port",'
            ' "ref": {"source": "env", "id": "A"}}]}'
        ),
        (
            '{"version": 1, "kind": "engine.secrets.plan", "targets":'
            ' [{"path": "gateway.auth.token",'
            ' "ref": "hush-hush"}]}'
        ),
        "no json",
    ],
)
def test_what_is_no_plan_is_refused(state: Path, engine: Engine, raw: str) -> None:
    path = state.parent / "plan.json"
    path.write_text(raw, "utf-8")
    told = engine("secrets", "apply", "--from", path)
    assert told.status == 1
    assert "hush-hush" not in told.err
    assert (state / "engine.json").read_text("utf-8") == CONFIG


def test_questions_need_a_terminal(state: Path, engine: Engine) -> None:
    told = engine("secrets", "configure")
    assert told.status == 2
    assert "terminal" in told.err


# -- security audit --------------------------------------------------------------------------


def test_what_can_be_mended_is_mended_and_listed(state: Path, engine: Engine) -> None:
    state.chmod(0o755)
    (state / "engine.json").write_text(
        "{gateway: {mode: 'local'}, logging: {redactSensitive: 'off'},"
        " channels: {telegram: {groupPolicy: 'open'}}, tools: {exec: {security: 'allowlist'}}}",
        "utf-8",
    )
    (state / "engine.json").chmod(0o644)
    told = engine("security", "audit", "--fail-on", "warn")
    assert told.status == 1
    assert "fs.config.perms_world_readable" in told.out
    fixed = json.loads(engine("security", "audit", "--fix", "--json").out)
    assert fixed["fix"]["ok"]
    assert {one["action"].partition(" ")[0] for one in fixed["fix"]["actions"]} == {"chmod", "set"}
    assert (state / "engine.json").stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    text = (state / "engine.json").read_text("utf-8")
    assert "allowlist" in text.partition("groupPolicy")[2]
    assert "'off'" not in text
    again = engine("security", "audit", "--fail-on", "warn", "--json")
    assert again.status == 0, again.out
    assert set(json.loads(again.out)["summary"]) == {"critical", "warn", "info"}


def test_what_may_lock_somebody_out_needs_a_yes(state: Path, engine: Engine) -> None:
    (state / "engine.json").write_text(
        "{gateway: {mode: 'local', bind: 'lan', auth: {rateLimit: {maxAttempts: 100000}}}}", "utf-8"
    )
    told = engine("security", "audit", "--fix")
    assert "not done: set gateway.auth.rateLimit (it needs --yes)" in told.out
    told = engine("security", "audit", "--fix", "--yes")
    assert "done: set gateway.auth.rateLimit" in told.out


def test_asking_the_gateway_that_is_down_is_a_finding(
    state: Path, engine: Engine, nobody: None
) -> None:
    assert "gateway.probe_failed" in engine("security", "audit", "--deep").out
    assert "gateway.probe_failed" not in engine("security", "audit").out
