from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gateway.lock import Lock, Owner
from tests.unit.engine.cli.conftest import Engine


@pytest.fixture
def file(home: Path) -> Path:
    """A config with a comment and a secret."""
    path = home / ".engine" / "engine.json"
    path.write_text(
        "{\n  // mine\n  gateway: { mode: 'local', port: 20001, auth: { token: 'hush-hush' } },\n"
        "  agents: { defaults: { heartbeat: { every: '30m' } } },\n}\n"
    )
    return path


def test_setup_makes_what_a_gateway_needs_and_keeps_it_to_its_owner(
    engine: Engine, home: Path
) -> None:
    (home / ".engine").rmdir()
    told = engine("setup")
    state = home / ".engine"
    assert told.status == 0
    assert "Next: engine gateway" in told.out
    assert 'target: "last"' in (state / "engine.json").read_text()
    assert "HEARTBEAT" not in (state / "workspace" / "HEARTBEAT.md").read_text()
    for path, mode in ((state, 0o700), (state / "gateway.token", 0o600)):
        assert path.stat().st_mode & 0o777 == mode
    assert engine("config", "validate").status == 0


def test_setup_again_changes_nothing(engine: Engine, home: Path) -> None:
    engine("setup")
    before = {p: p.read_bytes() for p in (home / ".engine").rglob("*") if p.is_file()}
    told = engine("setup")
    assert "created" not in told.out
    assert {p: p.read_bytes() for p in (home / ".engine").rglob("*") if p.is_file()} == before


def test_setup_makes_no_token_where_the_config_has_one(
    engine: Engine, home: Path, file: Path
) -> None:
    engine("setup")
    assert not (home / ".engine" / "gateway.token").exists()


def test_values_are_read_plain_and_secrets_are_hidden(engine: Engine, file: Path) -> None:
    assert engine("config", "get", "gateway.port").out == "20001\n"
    assert engine("config", "get", "gateway.auth.token").out == "__ENGINE_REDACTED__\n"
    assert "hush" not in engine("config", "get", "gateway").out
    assert json.loads(engine("config", "get", "gateway.mode", "--json").out) == "local"


def test_what_is_not_set_says_its_default_and_what_is_unknown_its_neighbour(
    engine: Engine, home: Path
) -> None:
    told = engine("config", "get", "gateway.port")
    assert (told.status, told.out) == (1, "")
    assert "not set; the default is 18789" in told.err
    assert engine("config", "get", "gateway.port", "--default").out == "18789\n"
    assert "did you mean gateway.port?" in engine("config", "get", "gateway.prt").err


def test_a_change_keeps_the_comments_and_tells_when_it_counts(engine: Engine, file: Path) -> None:
    told = engine("config", "set", "agents.defaults.heartbeat.target", "last")
    assert told.status == 0
    assert "Config overwrite:" in told.err
    assert "Takes effect when the gateway starts." in told.err
    assert "// mine" in file.read_text()
    assert engine("config", "get", "agents.defaults.heartbeat.target").out == "last\n"


def test_with_a_gateway_running_a_change_tells_what_that_one_does(
    engine: Engine, home: Path, file: Path
) -> None:
    owner = Owner(pid=os.getpid(), started_at_ms=1, boot_id="b", version="1", port=1)
    with Lock(home / ".engine", owner):
        hot = engine("config", "set", "agents.defaults.heartbeat.every", "10m")
        cold = engine("config", "set", "gateway.port", "20002")
    assert "takes it over by itself" in hot.err
    assert "is restarted" in cold.err


def test_a_value_that_does_not_fit_leaves_the_file_alone(engine: Engine, file: Path) -> None:
    before = file.read_text()
    told = engine("config", "set", "gateway.port", "abc")
    assert told.status == 78
    assert "expected a whole number" in told.err
    assert file.read_text() == before


def test_a_number_where_text_belongs_is_taken_as_typed(engine: Engine, file: Path) -> None:
    assert engine("config", "set", "agents.defaults.heartbeat.prompt", "42").status == 0
    assert engine("config", "get", "agents.defaults.heartbeat.prompt").out == "42\n"


def test_a_map_of_jobs_is_not_emptied_by_accident(engine: Engine, file: Path) -> None:
    one = '{ a: { schedule: "0 7 * * *", message: "x" } }'
    two = '{ b: { schedule: "0 8 * * *", message: "y" } }'
    assert engine("config", "set", "cron.jobs", one).status == 0
    told = engine("config", "set", "cron.jobs", two)
    assert told.status == 1
    assert "it would drop a" in told.err
    assert engine("config", "set", "cron.jobs", two, "--merge").status == 0
    assert set(json.loads(engine("config", "get", "cron.jobs").out)) == {"a", "b"}


def test_a_dry_run_writes_nothing(engine: Engine, file: Path) -> None:
    before = file.read_text()
    assert engine("config", "set", "gateway.port", "20009", "--dry-run").status == 0
    assert file.read_text() == before


def test_taking_out_what_is_not_there_changes_nothing(engine: Engine, file: Path) -> None:
    assert engine("config", "unset", "gateway.port").status == 0
    told = engine("config", "unset", "gateway.port")
    assert (told.status, told.err) == (1, "gateway.port is not set: nothing changed\n")


def test_a_broken_file_is_told_line_by_line(engine: Engine, file: Path) -> None:
    file.write_text("{\n  gatway: {},\n  cron: { jobs: { a: { schedule: 'x y' } } },\n}\n")
    told = engine("config", "validate")
    assert told.status == 1
    assert "engine.json:2:3" in told.err
    answer = json.loads(engine("config", "validate", "--json").out)
    assert (answer["ok"], answer["valid"]) == (False, False)
    assert answer["error"]["type"] == "config_invalid"
    issues = answer["issues"]
    assert any(issue["path"] == "gatway" for issue in issues)


def test_the_schema_is_json(engine: Engine) -> None:
    assert "properties" in json.loads(engine("config", "schema").out)
    assert json.loads(engine("config", "schema", "gateway.port").out)["reload"] == "restart"
    budget = json.loads(engine("config", "schema", "agents.defaults.heartbeat.budget").out)
    assert "runsPerDay" in budget["keys"]
    told = engine("config", "schema", "agents.defaults.heartbeat.budget.maxRuns")
    assert "Fix: engine config schema agents.defaults.heartbeat.budget" in told.err


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_is_a_script_for_the_shell(engine: Engine, shell: str) -> None:
    assert "_ENGINE_COMPLETE" in engine("completion", shell).out


def test_a_note_names_its_place_once(engine: Engine, file: Path) -> None:
    file.write_text(
        '{channels: {telegram: {accounts: {a: {botToken: "1:x"}, b: {botToken: "2:y"}}}}}'
    )
    told = engine("config", "validate").err
    assert "warning: channels.telegram: multiple accounts are configured" in told


@pytest.mark.parametrize(
    "words", [("get", "gateway.mode"), ("set", "a.b", "1"), ("unset", "gateway.mode")]
)
def test_a_file_nobody_can_read_is_named_with_its_line_whatever_is_asked_of_it(
    engine: Engine, home: Path, words: tuple[str, ...]
) -> None:
    (home / ".engine" / "engine.json").write_text('{ gateway: { mode: "local"  bad')
    told = engine("config", *words)
    assert told.status == 78
    assert "engine.json:1:" in told.err
    assert "not set" not in told.err


def test_a_refused_change_is_not_said_of_the_file_and_tells_where_its_text_lies(
    engine: Engine, file: Path
) -> None:
    told = engine("config", "set", "gateway.port", "99999999")
    (kept,) = file.parent.glob("engine.json.rejected.*")
    assert told.status == 78
    assert "engine config is invalid" not in told.err
    assert "was not changed: the change would make it invalid" in told.err
    assert f"The refused text is in {kept}" in told.err
    dry = engine("config", "set", "gateway.port", "99999999", "--dry-run")
    assert "was not changed" in dry.err
    assert "The refused text" not in dry.err


@pytest.mark.parametrize(
    "words",
    [("setup",), ("status",), ("config", "set", "gateway.port", "1"), ("cron", "list")],
)
def test_a_home_that_is_a_file_is_refused_in_words(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    state = home / "state"
    state.write_text("")
    monkeypatch.setenv("ENGINE_STATE_DIR", str(state))
    told = engine(*words)
    assert (told.status, told.out) == (1, "")
    assert f"{state} cannot be the home of an engine: {state} is not a folder" in told.err


def test_a_home_the_disk_refuses_is_a_sentence(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc/nowhere")
    told = engine("setup")
    assert told.status == 1
    assert told.err.startswith("/proc/nowhere")
