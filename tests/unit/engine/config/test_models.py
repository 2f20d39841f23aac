"""Names of models: what is misspelt is refused, what is only missing is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.agents import provider
from engine.config.checks import models
from engine.config.load import Loaded, load
from engine.config.models import fault
from engine.config.schema import Config
from jobs.errors import ConfigInvalid

CONFIG = Config.model_validate(
    {
        "models": {"providers": {"local": {"baseUrl": "http://127.0.0.1:1/v1"}}},
        "agents": {"defaults": {"cliBackends": {"codex": {"command": "codex"}}}},
    }
)


@pytest.mark.parametrize("ref", ["local/qwen3", "offline", "codex", "codex/fast", " local/a/b"])
def test_a_model_that_can_be_asked_is_no_fault(ref: str) -> None:
    assert fault(ref, CONFIG) is None


@pytest.mark.parametrize(
    ("ref", "words", "misspelt"),
    [
        ("lcoal/qwen3", 'unknown provider "lcoal" — did you mean "local/qwen3"?', True),
        ("ofline", 'did you mean "offline"?', True),
        ("qwen3", 'names no provider: write "local/qwen3"', True),
        ("local", "names no model: write local/<model>", True),
        ("anthropic/claude", 'models.providers has no "anthropic" (there is codex', False),
    ],
)
def test_a_model_nobody_has_is_told_with_what_there_is(
    ref: str, words: str, misspelt: bool
) -> None:
    found = fault(ref, CONFIG)
    assert found is not None
    assert words in found.text
    assert found.misspelt is misspelt


def loaded(tmp_path: Path, agents: dict[str, Any]) -> Loaded:
    config = {"models": {"providers": {"local": {"baseUrl": "http://h/v1"}}}, "agents": agents}
    return load(tmp_path / "engine.json", {}, home=tmp_path, raw=json.dumps(config).encode())


@pytest.mark.parametrize(
    ("agents", "path"),
    [
        ({"defaults": {"model": "lcoal/x"}}, "agents.defaults.model.primary"),
        (
            {"defaults": {"model": {"primary": "local/x", "fallbacks": ["qwen3"]}}},
            "agents.defaults.model.fallbacks[0]",
        ),
        ({"list": [{"id": "a", "model": "lcoal/x"}]}, "agents.list[0].model.primary"),
        (
            {"list": [{"id": "a", "heartbeat": {"model": "lcoal/x"}}]},
            "agents.list[0].heartbeat.model.primary",
        ),
    ],
)
def test_a_misspelt_model_is_refused_at_its_key(
    tmp_path: Path, agents: dict[str, Any], path: str
) -> None:
    with pytest.raises(ConfigInvalid) as refusal:
        loaded(tmp_path, agents)
    issues = refusal.value.detail["issues"]
    assert isinstance(issues, list)
    assert [issue["path"] for issue in issues] == [path]


def test_a_provider_that_is_missing_is_a_warning_for_a_config_from_elsewhere_loads(
    tmp_path: Path,
) -> None:
    (note,) = loaded(tmp_path, {"defaults": {"model": "anthropic/claude"}}).notes
    assert (note.code, note.level) == ("runner.model_unknown", "warning")
    assert "add models.providers.anthropic" in note.message


# -- short names and dialects ----------------------------------------------------------------

LAB = {"baseUrl": "http://127.0.0.1:9/v1"}


def with_lab(tmp_path: Path, lab: dict[str, Any], **defaults: Any) -> Loaded:
    values = {"models": {"providers": {"lab": {**LAB, **lab}}}, "agents": {"defaults": defaults}}
    return load(tmp_path / "engine.json", {}, raw=json.dumps(values).encode())


def test_a_short_name_names_its_model(tmp_path: Path) -> None:
    entries = {"lab/gpt-x": {"alias": "gx"}}
    assert with_lab(tmp_path, {}, model={"primary": "gx"}, models=entries).notes == ()
    with pytest.raises(ConfigInvalid):
        with_lab(tmp_path, {}, model={"primary": "gy"}, models=entries)


@pytest.mark.parametrize("api", provider.APIS)
def test_what_is_spoken_is_no_note(tmp_path: Path, api: str) -> None:
    assert with_lab(tmp_path, {"api": api}).notes == ()


def test_what_only_the_reference_speaks_is_told(tmp_path: Path) -> None:
    (note,) = with_lab(tmp_path, {"models": [{"id": "x", "api": "ollama"}]}).notes
    assert (note.code, note.path) == ("runner.api_unknown", "models.providers.lab.models[0].api")


def test_what_nobody_speaks_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match='did you mean "openai-completions"'):
        with_lab(tmp_path, {"api": "openai-completion"})


def test_the_check_and_the_agents_speak_the_same() -> None:
    assert models.APIS == provider.APIS
