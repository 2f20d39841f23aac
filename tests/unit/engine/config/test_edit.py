"""One path changes, every other byte stays."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.config.edit import set_text, unset_text, value_of
from engine.config.json5 import parse
from jobs.errors import (
    InvalidInput,
    NotFound,
    UsageError,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TEXT = """// head
{
  gateway: { port: 1 }, // the port
  agents: {
    list: [
      { id: 'main' }, // first
      { id: 'ops', heartbeat: { every: "1h" } }
    ] /* end */
  } // no comma
}
"""


@pytest.mark.parametrize(
    ("path", "value", "old", "new"),
    [
        ("gateway.port", 2, "port: 1", "port: 2"),
        ("gateway.mode", "local", "{ port: 1 }", '{ port: 1, mode: "local" }'),
        ("agents.list[id=ops].heartbeat.every", "2h", '"1h"', '"2h"'),
        ("agents.list[1].id", "x", "'ops'", '"x"'),
        (
            "cron.enabled",
            False,
            "  } // no comma",
            "  }, // no comma\n  cron: {\n    enabled: false,\n  }",
        ),
        (
            "agents.list[]",
            {"id": "new"},
            '{ every: "1h" } }',
            '{ every: "1h" } },\n      {\n        id: "new",\n      }',
        ),
    ],
)
def test_only_the_edited_span_changes(path: str, value: object, old: str, new: str) -> None:
    assert set_text(TEXT, path, value) == TEXT.replace(old, new)


def test_an_empty_file_becomes_an_object() -> None:
    assert parse(set_text("", "gateway.port", 5)).root.plain() == {"gateway": {"port": 5}}


def test_keys_are_quoted_where_the_file_quotes_them() -> None:
    assert set_text('{"a": 1}', "b", 2) == '{"a": 1, "b": 2}'


def test_a_comment_is_kept_in_an_otherwise_empty_object() -> None:
    assert set_text("{\n  // note\n}", "a", 1) == "{\n  // note\n  a: 1,\n}"


def test_setting_what_is_there_changes_nothing() -> None:
    assert set_text(TEXT, "gateway.port", 1) == TEXT


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("{a: 1, b: 2}", "a", "{b: 2}"),
        ("{a: 1, b: 2}", "b", "{a: 1}"),
        ("{\n  a: 1, // x\n  b: 2,\n}", "a", "{\n  b: 2,\n}"),
        ("{\n  a: 1, // x\n  b: 2\n}", "b", "{\n  a: 1, // x\n}"),
        ("{l: [1, 2, 3]}", "l[1]", "{l: [1, 3]}"),
        # The comma at the end of a comment is a word, not the list's.
        ("{ a: 1, // one,\n  b: 2 }", "b", "{ a: 1, // one,\n   }"),
        ("{ a: [1, // one,\n 2], }", "a[1]", "{ a: [1, // one,\n ], }"),
        ("{ // none,\n b: 2 }", "b", "{ // none,\n  }"),
    ],
)
def test_unset_removes_the_entry_and_its_comma(text: str, path: str, expected: str) -> None:
    assert unset_text(text, path) == expected


def test_unset_of_nothing_says_so() -> None:
    with pytest.raises(NotFound, match="nothing changed"):
        unset_text("{}", "a.b")


@pytest.mark.parametrize("marker", ["__ENGINE_REDACTED__", "__OPENCLAW_REDACTED__", "***"])
def test_a_redaction_marker_is_never_written(marker: str) -> None:
    with pytest.raises(InvalidInput):
        set_text("{}", "gateway.auth", {"token": marker})


def test_what_comes_from_an_include_is_changed_there() -> None:
    with pytest.raises(InvalidInput, match=r"edit gw\.json5"):
        set_text("{gateway: {$include: 'gw.json5'}}", "gateway.port", 1)


def test_a_list_index_beyond_the_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="2 items"):
        set_text(TEXT, "agents.list[5]", {})


def test_values_are_json5_or_else_text() -> None:
    assert value_of("19001") == 19001
    assert value_of("{a: 'b'}") == {"a": "b"}
    assert value_of("every day") == "every day"
    with pytest.raises(UsageError):
        value_of("every day", strict=True)
