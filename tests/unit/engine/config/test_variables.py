"""`${NAME}` in texts."""

from __future__ import annotations

import pytest

from engine.config.variables import expand, is_variable


def test_a_variable_becomes_its_value_and_an_escaped_one_stays() -> None:
    assert expand("a ${X} $${X}", {"X": "1"}) == "a 1 ${X}"


def test_an_empty_variable_is_as_missing_as_an_unset_one() -> None:
    missing: list[str] = []
    assert expand("${A}${B}", {"A": ""}, missing.append) == ""
    assert missing == ["A", "B"]


@pytest.mark.parametrize(
    ("text", "is_one"), [("${A_1}", True), ("$${A}", False), ("x${A}", False), ("${a}", False)]
)
def test_one_variable_and_nothing_else(text: str, is_one: bool) -> None:
    assert is_variable(text) is is_one
