from __future__ import annotations

import json
from collections.abc import Iterator

import click
import pytest

from engine.cli import app
from tests.fakes.gateway_port import TOKEN, Port
from tests.unit.engine.cli.conftest import Engine


def commands(group: click.Group, path: str = "engine") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield f"{path} {name}", found
        if isinstance(found, click.Group):
            yield from commands(found, f"{path} {name}")


def test_every_command_has_a_sentence_and_an_example_that_names_it() -> None:
    for path, command in commands(app.cli):
        assert command.help, path
        example = command.epilog or ""
        assert example.startswith(("Example: engine ", 'Example: eval "$(engine ')), path


def test_the_list_of_commands_imports_none_of_them(engine: Engine) -> None:
    told = engine()
    assert told.status == 0
    assert "heartbeat" in told.out
    assert "Example: engine onboard" in told.out


def test_an_unknown_command_names_the_nearest(engine: Engine) -> None:
    told = engine("hartbeat")
    assert told.status == 2
    assert "did you mean heartbeat?" in told.err
    assert told.out == ""
    assert "did you mean list?" in engine("cron", "lst").err


@pytest.mark.parametrize("words", [("--profile", "rescue"), ("--profile=rescue",)])
def test_the_profile_may_stand_anywhere(engine: Engine, words: tuple[str, ...]) -> None:
    for line in ((*words, "config", "file"), ("config", "file", *words)):
        assert engine(*line).out.strip().endswith(".engine-rescue/engine.json")
    assert ".engine-dev" in engine("config", "--dev", "file").out


def test_a_bad_profile_and_a_bad_option_are_usage_errors(engine: Engine) -> None:
    assert engine("--profile", "No Good", "config", "file").status == 2
    told = engine("cron", "list", "--colour")
    assert told.status == 2
    assert "Fix: engine cron list --help" in told.err


def test_the_version_is_all_that_is_on_standard_output(engine: Engine) -> None:
    told = engine("config", "--version")
    assert told.out.startswith("engine ")
    assert len(told.out.splitlines()) == 1


WRITES = [
    ("cron", "add", "every 10m", "hello"),
    ("cron", "edit", "x", "--name", "y"),
    ("cron", "enable", "x"),
    ("cron", "disable", "x"),
    ("cron", "rm", "x"),
    ("cron", "run", "x"),
    ("heartbeat", "enable"),
    ("heartbeat", "disable", "main"),
    ("system", "event", "look", "--mode", "now"),
    ("chat", "hello"),
    ("agent", "--message", "hello"),
    ("message", "send", "--to", "42", "--message", "hello"),
    ("inbox", "--ack"),
    ("inbox", "resend", "1"),
    ("inbox", "ack", "1"),
    ("inbox", "snooze", "1", "--for", "2h"),
    ("inbox", "mute", "1"),
    ("inbox", "purge"),
    ("outbox", "retry", "k"),
    ("outbox", "cancel", "k"),
    ("outbox", "purge"),
]


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("words", WRITES, ids=" ".join)
def test_what_needs_the_gateway_ends_with_3_and_the_next_step(
    engine: Engine, words: tuple[str, ...]
) -> None:
    told = engine(*words)
    assert told.status == 3
    assert "gateway is not running (nothing listens on 127.0.0.1:1)" in told.err
    assert "Fix: engine gateway" in told.err
    assert "ok" not in told.out.lower()


@pytest.mark.usefixtures("nobody")
def test_an_error_is_json_too_when_json_was_asked_for(engine: Engine) -> None:
    told = json.loads(engine("cron", "list", "--json").out)
    assert told["ok"] is False
    assert told["error"]["code"] == "gateway-down"
    assert told["error"]["fix"] == "engine gateway"
    assert told["gateway"] == {"url": "ws://127.0.0.1:1", "urlSource": "env"}


def test_an_unknown_job_ends_with_6(engine: Engine, gateway: Port) -> None:
    told = engine("cron", "get", "nothing")
    assert told.status == 6
    assert "nothing" in told.err


def test_a_wrong_token_ends_with_4_and_its_code(engine: Engine, gateway: Port) -> None:
    told = engine("cron", "list", "--token", "wrong-wrong-wrong", "--json")
    assert told.status == 4
    assert json.loads(told.out)["error"]["code"] == "AUTH_TOKEN_MISMATCH"


def test_an_address_by_hand_says_that_no_token_was_sent(engine: Engine, gateway: Port) -> None:
    told = engine("cron", "list", "--url", gateway.url)
    assert told.status == 4
    assert "with --url no token is sent by itself" in told.err
    assert engine("cron", "list", "--url", gateway.url, "--token", TOKEN).status == 0


def test_a_stale_token_of_the_shell_is_forgiven_once_and_said(
    engine: Engine, gateway: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_GATEWAY_TOKEN", "yesterdays-token")
    told = engine("cron", "list")
    assert told.status == 0
    assert "ENGINE_GATEWAY_TOKEN in your shell is stale; used the file token" in told.err
    asks_twice = engine("cron", "doctor")
    assert asks_twice.err.count("is stale") == 1


def test_a_redaction_marker_is_a_usage_error(engine: Engine, gateway: Port) -> None:
    told = engine("cron", "list", "--token", "__ENGINE_REDACTED__")
    assert told.status == 2
    assert "is what a hidden secret prints as" in told.err


def test_the_help_of_cron_next_says_what_until_means(engine: Engine) -> None:
    assert "up to and including" in engine("cron", "next", "--help").out


def test_ctrl_c_ends_with_130(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app.cli, "main", interrupted)
    assert engine("status").status == 130
