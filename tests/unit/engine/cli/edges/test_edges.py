"""The small commands beside the schedule, as a person types them (operations.md §1.1, §13)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.messages import plugged
from tests.unit.engine.cli.conftest import Engine


def configured(home: Path, text: str) -> None:
    (home / ".engine" / "engine.json").write_text(text)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("browser", "status"), 0, "unavailable: not built in"),
        (("browser", "profiles"), 0, "no profile: not built in"),
        (("browser", "start", "--browser-profile", "x"), 1, "no browser was started"),
        (("dns", "setup", "--ip", "100.64.0.9"), 0, "gateway.engine.internal. IN A 100.64.0.9"),
        (("dns", "setup", "--apply"), 1, "nothing was changed"),
        (("plugins", "install", "mine", "--pin", "1.2"), 1, "pip install mine==1.2"),
        (("approvals", "get", "--node", "kitchen"), 6, "there is no node kitchen"),
        (("nodes", "status"), 3, "gateway is not running"),
        (("voicecall",), 2, "is not a command of engine"),
        (("modles", "status"), 2, "did you mean models?"),
        (("docs", "a-word-nobody-wrote"), 6, "no page says"),
    ],
)
def test_what_is_not_there_says_so_and_what_to_do_instead(
    engine: Engine, words: tuple[str, ...], status: int, said: str
) -> None:
    told = engine(*words)
    assert told.status == status
    assert said in told.out + told.err


@pytest.mark.parametrize(
    "words",
    [
        ("browser", "status"),
        ("browser", "profiles"),
        ("dns", "setup"),
        ("plugins", "list"),
        ("plugins", "doctor"),
        ("sandbox", "explain"),
        ("approvals", "get"),
        ("hooks", "list"),
        ("webhooks", "list"),
        ("docs", "heartbeat"),
        ("models", "status"),
        ("infer", "model", "run", "--prompt", "hi"),
        ("reset", "--scope", "full", "--dry-run"),
    ],
)
def test_each_answers_programs_with_one_document(engine: Engine, words: tuple[str, ...]) -> None:
    told = engine(*words, "--json")
    assert told.status == 0
    assert isinstance(json.loads(told.out), dict)


def test_the_rule_that_withholds_a_tool_is_named(engine: Engine, home: Path) -> None:
    configured(
        home,
        '{tools: {deny: ["write"], exec: {security: "full"}},'
        ' agents: {defaults: {sandbox: {mode: "all"}}}}',
    )
    told = json.loads(engine("sandbox", "explain", "--json").out)
    tools = {one["tool"]: one for one in told["tools"]}
    assert tools["write"] == {
        "tool": "write",
        "allowed": False,
        "because": "tools.deny names it",
    }
    assert tools["read"]["allowed"]
    assert told["sandbox"]["mode"] == "all"
    assert "nothing runs on the host instead" in told["sandbox"]["says"]
    assert told["exec"]["security"] == "full"


def test_a_stranger_is_no_agent(engine: Engine) -> None:
    assert engine("sandbox", "explain", "--agent", "nobody").status == 6


def test_models_are_told_with_where_their_key_comes_from_and_never_the_key(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "sk-very-secret-key")
    configured(
        home,
        '{agents: {defaults: {model: {primary: "a/m", fallbacks: ["b/n"]}}},'
        ' models: {providers: {a: {baseUrl: "https://x.example/v1", apiKey: "${A_KEY}"},'
        ' b: {baseUrl: "https://y.example/v1"}, c: {baseUrl: "http://127.0.0.1:1/v1"}}}}',
    )
    told = engine("models", "status", "--json")
    assert "sk-very" not in told.out
    report = json.loads(told.out)
    assert report["agents"] == [{"id": "main", "models": ["a/m", "b/n"]}]
    keys = {one["id"]: (one["keySource"], one["ready"]) for one in report["providers"]}
    assert keys == {"a": ("env A_KEY", True), "b": ("none", False), "c": ("none", True)}
    assert told.status == 1, "a model that is asked has no key"


def test_one_call_tells_a_broken_model_from_a_broken_engine(engine: Engine, home: Path) -> None:
    configured(home, '{models: {providers: {a: {baseUrl: "http://127.0.0.1:9/v1"}}}}')
    assert engine("infer", "model", "run", "--model", "offline", "--prompt", "hi").status == 0
    told = engine("infer", "model", "run", "--model", "b/m", "--prompt", "hi", "--json")
    assert told.status == 1
    assert json.loads(told.out)["error"]["type"] == "model_not_found"


def test_what_is_reset_is_moved_aside_and_the_workspace_stays(engine: Engine, home: Path) -> None:
    state = home / ".engine"
    (state / "workspace").mkdir()
    for name in ("engine.json", "state.db", "gateway.token"):
        (state / name).write_text("{}")
    assert engine("reset", "--scope", "state").status == 2, "nobody was asked"
    told = engine("reset", "--scope", "state", "--yes")
    assert told.status == 0
    assert not (state / "state.db").exists()
    assert (state / "engine.json").exists()
    (aside,) = state.glob("reset-*")
    assert (aside / "state.db").read_text() == "{}"
    assert (state / "workspace").is_dir()


def test_a_plugin_nobody_allowed_is_named(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugged, "installed", lambda: {"filebox": "nowhere_at_all:X"})
    told = engine("plugins", "doctor")
    assert told.status == 1
    assert (
        "plugins.allow is empty; discovered non-bundled plugins may auto-load: filebox" in told.out
    )
    assert "filebox cannot be loaded" in told.out
    configured(home, '{plugins: {allow: ["other"]}}')
    (row,) = json.loads(engine("plugins", "list", "--json").out)["plugins"]
    assert (row["allowed"], row["state"]) == (False, "plugins.allow does not name it")
    assert engine("plugins", "doctor").status == 0


def test_a_hook_is_only_tried_where_one_is_served(engine: Engine, home: Path) -> None:
    assert "hooks are off" in engine("hooks", "test").err
    for step in ("hooks.token NEW_TOKEN", "hooks.enabled true"):
        assert engine("hooks", "list").out.startswith(
            f"Hooks are off. Fix: engine config set {step}"
        )
        assert engine("config", "set", *step.split()).status == 0
    assert engine("hooks", "test").status == 3  # no gateway runs
    configured(home, '{hooks: {enabled: true, token: "a-token-of-its-own-1"}}')
    assert engine("hooks", "test").status == 3


def test_mappings_are_listed_by_their_path(engine: Engine, home: Path) -> None:
    configured(
        home,
        '{hooks: {enabled: true, token: "a-token-of-its-own-1", mappings: ['
        '{id: "gh", match: {path: "github"}, action: "wake", textTemplate: "x"}]}}',
    )
    told = json.loads(engine("hooks", "list", "--json").out)
    assert told["hooks"][-1] == {
        "path": "/hooks/github",
        "action": "wake",
        "agentId": None,
        "name": "gh",
    }
