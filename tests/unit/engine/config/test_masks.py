"""No secret of a config is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from engine.config.masks import hidden, job_shown, masked
from engine.config.schema import Config
from engine.config.secrets import Secret


@pytest.mark.parametrize(
    "key", ["token", "botToken", "password", "apiKey", "api_key", "clientSecret", "tokens"]
)
def test_a_secret_is_hidden_by_its_key(key: str) -> None:
    assert masked({"deep": [{key: "hunter2"}]}, marker="?") == {"deep": [{key: "?"}]}


def test_every_item_of_a_list_of_secrets_is_hidden() -> None:
    assert masked(["hunter2", "hunter3"], "tokens", marker="?") == ["?", "?"]


@pytest.mark.parametrize(
    "path",
    [
        ("env", "vars", "STRIPE_KEY"),
        ("env", "PGPASS"),
        ("agents", "defaults", "cliBackends", "x", "env", "SESSION_COOKIE"),
        ("models", "providers", "x", "request", "tls", "key"),
        ("models", "providers", "x", "request", "tls", "passphrase"),
    ],
)
def test_a_variable_or_a_key_is_hidden_where_only_its_place_tells(path: tuple[str, ...]) -> None:
    assert masked("hunter2", *path, marker="?") == "?"


def test_a_variable_that_names_no_secret_stays() -> None:
    assert masked({"env": {"vars": {"LANG": "C"}, "KEYBOARD": "us"}}) == {
        "env": {"vars": {"LANG": "C"}, "KEYBOARD": "us"}
    }


@pytest.mark.parametrize("key", ["maxTokens", "contextTokens", "name", "mode"])
def test_what_is_no_secret_stays(key: str) -> None:
    assert masked({key: "1000"}) == {key: "1000"}


def test_references_show_where_a_secret_is_and_stay() -> None:
    value = {"token": "${BOT_TOKEN}", "apiKey": {"source": "env", "id": "KEY"}}
    assert masked(value) == value


def test_an_address_with_credentials_is_hidden_whatever_its_key() -> None:
    value = {"store": {"url": "postgresql://engine:hunter2@db/state"}, "base": "https://x/@me"}
    assert masked(value, marker="?") == {"store": {"url": "?"}, "base": "https://x/@me"}


def test_the_address_of_a_webhook_is_a_secret_and_hidden_whole() -> None:
    """Whoever knows it may post there: its path is the password (channels.md §13)."""
    account = {"url": "https://hooks.example/T0/x9", "probeUrl": "https://hooks.example/up/x9"}
    value = {"channels": {"webhook": {**account, "accounts": {"b": account}}}, "url": "ws://x/y"}
    hidden = {"url": "?", "probeUrl": "?"}
    shown = masked(value, marker="?")
    assert shown["channels"]["webhook"] == {**hidden, "accounts": {"b": hidden}}
    assert shown["url"] == "ws://x/y"
    assert masked(account["url"], "channels", "webhook", "url", marker="?") == "?"
    assert masked({"url": "${HOOK}"}, "channels", "webhook") == {"url": "${HOOK}"}


def _secrets_of(model: type[BaseModel], *above: str) -> Iterator[tuple[str, ...]]:
    """The paths of all secrets below a model."""
    for name, field in model.model_fields.items():
        path = (*above, field.alias or name)
        for inner in _inner(field.annotation):
            if inner is Secret:
                yield path
            elif isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _secrets_of(inner, *path)


def _inner(annotation: Any) -> Iterator[Any]:
    found = get_args(annotation)
    yield from (deep for one in found for deep in _inner(one)) if found else iter((annotation,))


@pytest.mark.parametrize("path", sorted(set(_secrets_of(Config))), ids=".".join)
def test_whatever_the_config_holds_as_a_secret_is_hidden(path: tuple[str, ...]) -> None:
    """A path leads through tables and lists, whose keys are left out here."""
    value = "https://hush.example/hush-hush"
    if path == ("store", "url"):
        value = "postgresql://engine:hush@db/state"  # hidden for its credentials
    assert "hush" not in str(masked({"x": value} if path[-1] == "headers" else value, *path))


@pytest.mark.parametrize(
    "job",
    [
        {"deliver": "https://hush.example/hush"},
        {"delivery": {"mode": "webhook", "to": "https://hush.example/hush"}},
        {"failureAlert": {"mode": "webhook", "to": "https://hush.example/hush"}},
        {"payload": {"env": {"API_TOKEN": "hush"}}},
    ],
)
def test_a_job_is_shown_without_what_lets_anybody_post(job: dict[str, Any]) -> None:
    assert "hush" not in str(job_shown(job))
    assert "hush" in set(hidden(job, "cron", "jobs", "x")) or "https://hush.example/hush" in set(
        hidden(job, "cron", "jobs", "x")
    )


def test_a_chat_is_no_secret() -> None:
    assert job_shown({"delivery": {"mode": "announce", "to": "telegram:42"}}) == {
        "delivery": {"mode": "announce", "to": "telegram:42"}
    }
