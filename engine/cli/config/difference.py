"""Two texts of the config side by side, with no secret in them (operations.md §3). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from typing import Final

from engine.config.json5 import Json5Error, Node, parse
from engine.config.masks import masked
from engine.log.redaction import HIDDEN

_LONG: Final = 8


def difference(old: str, new: str, name: str, other: str | None = None) -> list[str]:
    """The lines of a unified diff; empty where both say the same."""
    before, after = hidden(old), hidden(new)
    if before == after and old != new:
        return [f"{name}: only hidden values differ"]
    rows = unified_diff(
        before.splitlines(), after.splitlines(), other or f"{name} (now)", name, lineterm="", n=2
    )
    return list(rows)


def hidden(text: str) -> str:
    """The text with every secret in it masked, its comments too.

    Of a text that cannot be read it is not known where its secrets are: it is not shown.
    """
    try:
        document = parse(text if text.strip() else "{}")
    except Json5Error as error:
        return f"(this text cannot be read: line {error.line}: {error.message})\n"
    text = document.source.text
    secrets: set[str] = set()
    for start, end in sorted(_spans(document.root, ()), reverse=True):
        secrets.add(text[start + 1 : end - 1])
        text = f'{text[:start]}"{HIDDEN}"{text[end:]}'
    for secret in secrets:
        if len(secret) >= _LONG:  # a secret quoted in a comment is one as well
            text = text.replace(secret, HIDDEN)
    return text


def _spans(node: Node, path: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    for member in node.members:
        yield from _spans(member.node, (*path, member.key))
    for item in node.items:
        yield from _spans(item, path)
    if node.kind == "scalar" and isinstance(node.value, str):
        shown = masked(node.value, *path)
        if shown != node.value:
            yield node.start, node.end
