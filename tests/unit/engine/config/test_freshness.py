"""Trouble with secrets is told once, and its end once (operations.md §5)."""

from __future__ import annotations

import pytest

from engine.config.freshness import Turn, rotated, turn, unresolved
from jobs.errors import ConfigInvalid


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ((), (), None),
        ((), ("a: gone",), Turn.DEGRADED),
        (("a: gone",), ("a: gone", "b: gone"), None),
        (("a: gone",), (), Turn.RECOVERED),
    ],
)
def test_only_a_turn_is_told(
    before: tuple[str, ...], now: tuple[str, ...], told: Turn | None
) -> None:
    assert turn(before, now) is told


def test_only_references_make_a_refusal_one_of_secrets() -> None:
    issues = [
        {"path": "a", "message": "m", "code": "secret"},
        {"path": "b", "message": "n", "code": "type"},
    ]
    assert unresolved(ConfigInvalid("x", issues=issues)) == ("a: m",)
    assert unresolved(ConfigInvalid("x")) == ()


def test_a_value_behind_an_unchanged_reference_may_change() -> None:
    assert rotated({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == ("b", "c")
