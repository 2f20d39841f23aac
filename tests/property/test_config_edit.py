"""An edit does to the text what it would do to the values."""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st

from engine.config.edit import set_text, unset_text
from engine.config.json5 import parse, render

KEYS = st.sampled_from(["a", "b", "c-d", "e f"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)
STYLES = st.sampled_from(["lines", "flat", "quoted", "commented"])


def written(value: dict[str, Any], style: str) -> str:
    """The same values in different hands."""
    text = render(value, quote_keys=style == "quoted")
    if style == "flat":
        return " ".join(text.split("\n")) if "\\n" not in text else text
    return text.replace(",\n", ", // why, {not} this\n") if style == "commented" else text


def dotted(keys: list[str]) -> str:
    return "".join(f'["{k}"]' if i and " " in k else f".{k}" for i, k in enumerate(keys))[1:]


@given(DOCUMENTS, STYLES, st.sampled_from(["a", "b", "c-d"]), st.lists(KEYS, max_size=2), VALUES)
def test_set_then_read(
    document: dict[str, Any], style: str, first: str, rest: list[str], value: Any
) -> None:
    expected: dict[str, Any] = {**document}
    here = expected
    path = [first, *rest]
    for key in path[:-1]:
        inner = here.get(key, {})
        if not isinstance(inner, dict):
            return
        here[key] = {**inner}
        here = here[key]
    here[path[-1]] = value
    assert parse(set_text(written(document, style), dotted(path), value)).root.plain() == expected


@given(DOCUMENTS.filter(bool), STYLES, st.data())
def test_unset_then_read(document: dict[str, Any], style: str, data: st.DataObject) -> None:
    names = [k for k in document if " " not in k]
    if not names:
        return
    gone = data.draw(st.sampled_from(names))
    text = unset_text(written(document, style), gone)
    assert parse(text).root.plain() == {k: v for k, v in document.items() if k != gone}
