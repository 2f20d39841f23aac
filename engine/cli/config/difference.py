"""Two texts of the config side by side, with no secret in them (operations.md §3). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from difflib import unified_diff
from typing import Final

from engine.config.json5 import Json5Error, Node, parse
from engine.config.masks import masked
from engine.log.redaction import HIDDEN, Redactor

_LONG: Final = 8
# Strings are passed over, so that the slashes of an address begin no comment.
_COMMENTS: Final = re.compile(
    r"""//[^\r\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL
)
_PAIR: Final = re.compile(
    r"""(?P<lead>["']?(?P<key>[\w.-]+)["']?\s*[:=]\s*)(?P<quote>["'])(?P<value>[^"'\r\n]+)(?P=quote)"""
)
_LOOKS: Final = Redactor()


def difference(old: str, new: str, name: str, other: str | None = None) -> list[str]:
    """The lines of a unified diff; empty where both say the same."""
    # What is a secret in one of them may stand in a comment of the other: it was commented out.
    known = _known(old) | _known(new)
    before, after = hidden(old, known), hidden(new, known)
    if before == after and old != new:
        return [f"{name}: only hidden values differ"]
    rows = unified_diff(
        before.splitlines(), after.splitlines(), other or f"{name} (now)", name, lineterm="", n=2
    )
    return list(rows)


def hidden(text: str, known: Set[str] = frozenset()) -> str:
    """The text with every secret in it masked, its comments too.

    Of a text that cannot be read it is not known where its secrets are: it is not shown.
    """
    try:
        document = parse(text if text.strip() else "{}")
    except Json5Error as error:
        return f"(this text cannot be read: line {error.line}: {error.message})\n"
    text = document.source.text
    secrets = set(known)
    for start, end in sorted(_spans(document.root, ()), reverse=True):
        secrets.add(text[start + 1 : end - 1])
        text = f'{text[:start]}"{HIDDEN}"{text[end:]}'
    for secret in secrets:
        if len(secret) >= _LONG:  # a secret quoted in a comment is one as well
            text = text.replace(secret, HIDDEN)
    return _COMMENTS.sub(lambda found: _hushed(found[0]), text)


def _known(text: str) -> set[str]:
    try:
        document = parse(text if text.strip() else "{}")
    except Json5Error:
        return set()
    text = document.source.text
    return {text[start + 1 : end - 1] for start, end in _spans(document.root, ())}


def _hushed(piece: str) -> str:
    """A comment without the values of keys that are secrets; a string as it is."""
    if not piece.startswith("/"):
        return piece
    return _PAIR.sub(
        lambda found: f'{found["lead"]}"{HIDDEN}"' if _told(found) else found[0],
        _LOOKS(piece),
    )


def _told(found: re.Match[str]) -> bool:
    value = found["value"]
    return bool(masked(value, found["key"]) != value)


def _spans(node: Node, path: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    for member in node.members:
        yield from _spans(member.node, (*path, member.key))
    for item in node.items:
        yield from _spans(item, path)
    if node.kind == "scalar" and isinstance(node.value, str):
        shown = masked(node.value, *path)
        if shown != node.value:
            yield node.start, node.end
