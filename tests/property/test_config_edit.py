"""An edit does to the text what it would do to the values."""

from __future__ import annotations

from typing import Any

import pyjson5
from hypothesis import given, settings, strategies as st

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


# -- every byte outside the edit survives ----------------------------------------------------------

COMMENTS = st.sampled_from(
    ["", " // a, {b}: [c]\n", "/* d: e, */", "\n/* f\n\t\u00e9 */\n", "\r\n  // 'g\r\n"]
)


@st.composite
def commented(draw: st.DrawFn, value: Any) -> str:
    """The values as a person may write them: comments anywhere, quotes and commas at will."""
    gap = COMMENTS
    if isinstance(value, dict):
        rows = []
        for key, inner in value.items():
            bare = [key] if key.isalpha() else []
            name = draw(st.sampled_from([f"'{key}'", f'"{key}"', *bare]))
            body = draw(commented(inner))
            rows.append(f"{draw(gap)}{name}{draw(gap)}:{draw(gap)}{body}{draw(gap)}")
        tail = draw(st.sampled_from([",", ""])) if rows else ""
        return f"{{{','.join(rows)}{tail}{draw(gap)}}}"
    if isinstance(value, list):
        items = [f"{draw(gap)}{draw(commented(one))}{draw(gap)}" for one in value]
        tail = draw(st.sampled_from([",", ""])) if items else ""
        return f"[{','.join(items)}{tail}{draw(gap)}]"
    return render(value)


FILES = DOCUMENTS.flatmap(
    lambda value: st.tuples(st.just(value), commented(value), COMMENTS, COMMENTS)
).map(lambda made: (made[0], f"{made[2]}{made[1]}{made[3]}"))


@settings(max_examples=60)
@given(FILES, st.sampled_from(["a", "b", "c-d"]), VALUES)
def test_a_set_keeps_every_byte_outside_what_it_changes(
    file: tuple[dict[str, Any], str], key: str, value: Any
) -> None:
    document, text = file
    assert pyjson5.decode(text) == document
    new = set_text(text, key, value)
    assert pyjson5.decode(new) == {**document, key: value}
    if key not in document:  # nothing is replaced: the old text is all there, in order
        letters = iter(new)
        assert all(one in letters for one in text)
        return
    node = next(m.node for m in parse(text).root.members if m.key == key)
    assert new.startswith(text[: node.start])
    assert new.endswith(text[node.end :])


@settings(max_examples=60)
@given(FILES, st.data())
def test_an_unset_writes_nothing_and_takes_out_one_key(
    file: tuple[dict[str, Any], str], data: st.DataObject
) -> None:
    document, text = file
    known = [key for key in document if " " not in key]
    if not known:
        return
    gone = data.draw(st.sampled_from(known))
    new = unset_text(text, gone)
    assert pyjson5.decode(new) == {key: value for key, value in document.items() if key != gone}
    letters = iter(text)
    assert all(one in letters for one in new)
