"""The README and the first file say what the schema says."""

from __future__ import annotations

from pathlib import Path

import pytest

import engine.config
from engine.config.docs import describe, keys, nearest, readme
from engine.config.keypath import dotted
from engine.config.load import load
from engine.config.reference import knows
from engine.config.schema import Config
from engine.config.setup import minimal_config_text

README = Path(engine.config.__file__).with_name("README.md")


def test_the_readme_holds_every_key_as_it_is() -> None:
    text = README.read_text("utf-8")
    assert readme(text) == text, "run: python -m engine.config"


def test_every_key_has_a_sentence() -> None:
    silent = [path for path, _, _, text in keys() if not text.endswith((".", ")"))]
    assert silent == []


@pytest.mark.parametrize(
    "path",
    [
        ("agents", "list", 0, "heartbeat", "activeHours", "start"),
        ("channels", "telegram", "accounts", "any", "botToken"),
        ("cron", "sessionRetention"),
        ("gateway", "auth", "rateLimit", "exemptLoopback"),
        ("models", "providers", "x", "models", 0, "contextWindow"),
        ("hooks", "mappings", 0, "wakeMode"),
        ("tools", "exec", "notifyOnExitEmptySuccess"),
    ],
)
def test_shared_keys_are_spelt_as_the_reference_spells_them(path: tuple[str | int, ...]) -> None:
    assert knows(path)
    assert describe(dotted(path)) is not None


def test_one_of_several_is_documented_as_the_only_one() -> None:
    several = describe("agents.list[0].heartbeat.activeHours[1].only")
    assert several is not None
    assert several == describe("agents.list[0].heartbeat.activeHours.only")


def test_the_first_file_is_valid_and_beats_to_the_last_conversation(tmp_path: Path) -> None:
    for channel in (None, "telegram"):
        text = minimal_config_text(channel=channel)
        found = load(tmp_path / "engine.json", {"TELEGRAM_BOT_TOKEN": "1:a"}, raw=text.encode())
        assert found.notes == ()
        assert found.config.gateway.mode == "local"
        assert found.config.agents.defaults.heartbeat is not None
        assert found.config.agents.defaults.heartbeat.target == "last"


@pytest.mark.parametrize(
    ("path", "default", "reload"),
    [
        ("gateway.bind", '"loopback"', "restart"),
        ("agents.list[id=ops].heartbeat.ackMaxChars", "300", "hot"),
        ("channels.telegram.accounts.work.dmPolicy", None, "hot"),
        ("cron.orphanRetention", "30d", "hot"),
        ("bindings[0].type", '"route"', "hot"),
    ],
)
def test_a_key_can_be_asked_about(path: str, default: str | None, reload: str) -> None:
    found = describe(path)
    assert found is not None
    assert (found.default, found.reload) == (default, reload)


def test_a_path_that_does_not_exist_has_a_nearest_one() -> None:
    assert describe("gateway.prot") is None
    assert nearest("gateway.prot") == "gateway.port"


def test_there_is_a_json_schema() -> None:
    schema = Config.model_json_schema(by_alias=True)
    assert schema["properties"]["gateway"]
    assert schema["additionalProperties"] is False
