"""Secrets never leave through `config.get`."""

from __future__ import annotations

import pytest

from gateway.rpc.config import REDACTED, mask


@pytest.mark.parametrize(
    "key", ["token", "botToken", "password", "apiKey", "api_key", "clientSecret", "tokens"]
)
def test_a_secret_is_masked_by_its_key(key: str) -> None:
    assert mask({"deep": [{key: "hunter2"}]}) == {"deep": [{key: REDACTED}]}


@pytest.mark.parametrize("key", ["maxTokens", "contextTokens", "name", "mode"])
def test_what_is_no_secret_stays(key: str) -> None:
    assert mask({key: "1000"}) == {key: "1000"}


def test_references_show_where_a_secret_is_and_stay() -> None:
    value = {"token": "${BOT_TOKEN}", "apiKey": {"source": "env", "id": "KEY"}}
    assert mask(value) == value


class Sealed:
    def get_secret_value(self) -> str:
        return "hunter2"


def test_a_value_that_knows_it_is_a_secret_is_masked_anywhere() -> None:
    assert mask({"note": Sealed()}) == {"note": REDACTED}
