"""`engine setup`: what a gateway needs, made once; what is there stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.engine.cli.conftest import Engine

ALLOW = """Next: engine config set channels.telegram.allowFrom '["YOUR_ID"]'"""


@pytest.fixture
def config(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN", raising=False)
    return home / ".engine" / "engine.json"


def test_the_first_file_says_who_may_write_and_how_to_find_out(
    engine: Engine, config: Path
) -> None:
    told = engine("setup", "--channel", "telegram")
    assert "allowFrom: [], // who may write: numeric ids; @userinfobot" in config.read_text()
    assert [line for line in told.out.splitlines() if line.startswith("Next")] == [
        "Next: put TELEGRAM_BOT_TOKEN=… (from @BotFather) into ~/.engine/.env",
        f"{ALLOW} (@userinfobot tells you yours)",
        "Next: engine gateway",
    ]


def test_telegram_is_added_to_the_file_that_is_there(engine: Engine, config: Path) -> None:
    assert "Telegram" not in engine("setup").out
    before = config.read_text()
    told = engine("setup", "--channel", "telegram")
    assert "changed ~/.engine/engine.json (channels.telegram)" in told.out
    assert ALLOW in told.out
    after = config.read_text()
    assert [line for line in before.splitlines() if line not in after] == []
    assert "/* who may write: numeric ids" in after
    again = engine("setup", "--channel", "telegram")
    assert "kept    ~/.engine/engine.json\n" in again.out
    assert config.read_text() == after


def test_what_is_done_is_no_next_step(
    engine: Engine, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine("setup", "--channel", "telegram")
    (config.parent / ".env").write_text("TELEGRAM_BOT_TOKEN=1:a\n")
    assert engine("config", "set", "channels.telegram.allowFrom", '["42"]').status == 0
    told = engine("setup", "--channel", "telegram")
    assert [line for line in told.out.splitlines() if line.startswith("Next")] == [
        "Next: engine gateway"
    ]


def test_a_file_that_cannot_be_read_is_not_changed(engine: Engine, config: Path) -> None:
    config.write_text("{ gateway: ")
    told = engine("setup", "--channel", "telegram")
    assert told.status != 0
    assert config.read_text() == "{ gateway: "
