"""Paths of keys: one grammar for the file, the command line and messages."""

from __future__ import annotations

import pytest

from engine.config.keypath import Append, ById, Part, dotted, parse_path
from jobs.errors import UsageError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("gateway.port", ("gateway", "port")),
        ("agents.list[0].id", ("agents", "list", 0, "id")),
        ("agents.list[id=ops].every", ("agents", "list", ById("id", "ops"), "every")),
        ('agents.list[id="ops"]', ("agents", "list", ById("id", "ops"))),
        ('channels.qqbot.accounts["a.b"]', ("channels", "qqbot", "accounts", "a.b")),
        ("bindings[]", ("bindings", Append())),
    ],
)
def test_a_path_is_read_part_by_part(text: str, parts: tuple[Part, ...]) -> None:
    assert parse_path(text) == parts


@pytest.mark.parametrize("path", ["", ".a", "a..b", "a[", "a[x"])
def test_a_path_that_means_nothing_is_a_usage_error(path: str) -> None:
    with pytest.raises(UsageError):
        parse_path(path)


def test_what_is_written_reads_back_as_the_same_key() -> None:
    key = ("channels", "qqbot", "accounts", "a.b", 3, "name")
    assert parse_path(dotted(key)) == key
