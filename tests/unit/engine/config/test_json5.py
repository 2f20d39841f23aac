"""JSON5 with places."""

from __future__ import annotations

import pytest

from engine.config.json5 import Json5Error, parse, render


def test_every_json5_form_is_read() -> None:
    text = "{a: 'x', \"b.c\": [1, +2.5, 0x1F, -3, true, null,], /* n */ d: Infinity, // e\n e: {}}"
    assert parse(text).root.plain() == {
        "a": "x",
        "b.c": [1, 2.5, 31, -3, True, None],
        "d": float("inf"),
        "e": {},
    }


def test_keys_and_values_know_line_and_column() -> None:
    document = parse("// c\r\n{\r\n  a: {\r\n    bc: 7 } }")
    member = document.root.members[0].node.members[0]
    assert (member.place.line, member.place.column) == (4, 5)
    assert (member.node.place.line, member.node.place.column) == (4, 9)


def test_a_byte_order_mark_is_tolerated() -> None:
    assert parse("\ufeff{a: 1}").root.plain() == {"a": 1}


def test_duplicate_keys_are_found_with_both_places() -> None:
    twice = parse("{a: {b: 1,\n b: 2}}").duplicates[0]
    assert (twice.path, twice.key, twice.first.line, twice.second.line) == ("a", "b", 1, 2)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("{a:1,\n b: ,}", 2, 5), ("", 1, 1), ("{a:1", 1, 5), ("{a 1}", 1, 4), ("{a:1} x", 1, 7)],
)
def test_a_syntax_error_names_its_place(text: str, line: int, column: int) -> None:
    with pytest.raises(Json5Error) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize("deep", [102, 400, 20_000])
def test_a_text_nested_without_end_is_refused_with_a_sentence(deep: int) -> None:
    with pytest.raises(Json5Error, match="nested"):
        parse("[" * deep + "]" * deep)


def test_what_is_rendered_is_read_back() -> None:
    value = {"a": [1, 2.5, 'x\n"中'], "b-c": {"d": None, "e": []}, "f": [{"g": True}]}
    assert parse(render(value)).root.plain() == value
