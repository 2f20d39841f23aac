"""No secret of a config is shown."""

from __future__ import annotations

import pytest

from engine.config.masks import masked


@pytest.mark.parametrize(
    "key", ["token", "botToken", "password", "apiKey", "api_key", "clientSecret", "tokens"]
)
def test_a_secret_is_hidden_by_its_key(key: str) -> None:
    assert masked({"deep": [{key: "hunter2"}]}, marker="?") == {"deep": [{key: "?"}]}


def test_every_item_of_a_list_of_secrets_is_hidden() -> None:
    assert masked(["hunter2", "hunter3"], "tokens", marker="?") == ["?", "?"]


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
