"""`engine onboard` by flags: judged whole before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.engine.cli.conftest import Engine

QUIET = ("--non-interactive", "--no-probe", "--no-start", "--no-service")


@pytest.fixture
def state(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TELEGRAM_BOT_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    return home / ".engine"


def test_flags_make_a_home_and_say_what_is_next(engine: Engine, state: Path) -> None:
    words = ("--channel", "telegram", "--bot-token", "1:abc", "--owner", "77", "--every", "1h")
    told = engine("onboard", *QUIET, *words)
    assert told.status == 0, told.err
    assert "24 a day" in told.err
    assert "Next: engine gateway" in told.err
    text = (state / "engine.json").read_text()
    assert 'botToken: "${TELEGRAM_BOT_TOKEN}"' in text
    assert 'target: "last", //' in text  # the comments of a first file stay
    assert (state / ".env").read_text() == "TELEGRAM_BOT_TOKEN=1:abc\n"
    assert (state / "gateway.token").exists()
    assert (state / "workspace" / "HEARTBEAT.md").exists()
    again = engine("onboard", *QUIET, "--json")
    assert json.loads(again.out)["files"] == {"~/.engine/engine.json": "kept"}
    assert (state / "engine.json").read_text() == text


def test_its_other_name_is_configure(engine: Engine, state: Path) -> None:
    assert engine("configure", *QUIET).status == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--channel", "telegram"), "--bot-token is missing"),
        (("--channel", "telegram", "--bot-token", "x"), "looks different"),
        (("--channel", "qqbot", "--app-id", "1"), "--client-secret is missing"),
        (("--channel", "webhook", "--webhook-url", "ftp://x"), "looks different"),
        (("--provider", "openai"), "--api-key is missing"),
        (("--provider", "openai", "--api-key", "env:NOT_THERE"), "NOT_THERE is not set"),
        (("--provider", "custom", "--base-url", "nowhere", "--model", "m"), "an address such as"),
        (("--every", "soon"), "cannot read"),
        (("--active-hours", "8-22"), "HH:MM-HH:MM"),
        (("--agent", "No Body"), "lower-case"),
        (("--target", "nowhere"), "nowhere"),
        (("--service",), "systemctl"),
    ],
)
def test_a_wrong_answer_is_refused_and_nothing_is_written(
    engine: Engine, state: Path, words: tuple[str, ...], says: str
) -> None:
    quiet = [word for word in QUIET if word != "--no-service" or "--service" not in words]
    told = engine("onboard", *quiet, *words)
    assert told.status != 0
    assert says in told.err
    assert [*state.iterdir()] == []


def test_without_a_terminal_it_says_how_to_be_asked_nothing(engine: Engine, state: Path) -> None:
    told = engine("onboard")
    assert told.status == 2
    assert "--non-interactive" in told.err


def test_a_second_bot_gets_an_account_and_a_variable_of_its_own(
    engine: Engine, state: Path
) -> None:
    words = ("--channel", "telegram", "--account")
    assert engine("onboard", *QUIET, *words, "ann", "--bot-token", "1:a").status == 0
    assert engine("onboard", *QUIET, *words, "bob", "--bot-token", "2:b").status == 0
    text = (state / "engine.json").read_text()
    assert 'botToken: "${TELEGRAM_BOT_TOKEN_BOB}"' in text
    assert 'defaultAccount: "ann"' in text
    assert (state / ".env").read_text() == (
        "TELEGRAM_BOT_TOKEN_ANN=1:a\nTELEGRAM_BOT_TOKEN_BOB=2:b\n"
    )


def test_a_config_that_cannot_be_used_is_not_built_upon(engine: Engine, state: Path) -> None:
    (state / "engine.json").write_text("{ gateway: { prot: 1 } }")
    told = engine("onboard", *QUIET)
    assert told.status == 78
    assert [path.name for path in state.iterdir()] == ["engine.json"]
