"""A whole file, or a merge patch, as edits of the text of the config (protocol.md §10.7). Pure.

What a masked secret prints as is restored from the file, so that a client may send back what
it was shown; comments and order outside the change survive.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from engine.config.edit import find, set_text, unset_text, without_nulls
from engine.config.json5 import Node, parse
from engine.config.keypath import join, parse_path
from engine.config.masks import is_marker
from jobs.errors import InvalidInput


def restored(raw: str, before: Any) -> str:
    """Return the text with each masked secret as the file has it.

    Items of a list are known by their ``id``, else by their place. A mask where the file has
    no secret is refused: it is never a value.
    """
    for path, value in _masks(parse(raw).root, before, ""):
        if value is None or (isinstance(value, str) and is_marker(value)):
            raise InvalidInput(
                f"{path} was not written",
                why="it is what a hidden secret prints as, and the file has none there",
                fix="give the real value, or ${NAME}",
            )
        raw = set_text(raw, path, value)
    return raw


def _masks(node: Node, before: Any, path: str) -> list[tuple[str, Any]]:
    if node.kind == "object":
        return [
            found
            for member in node.members
            for found in _masks(member.node, _inner(before, member.key), join(path, member.key))
        ]
    if node.kind == "array":
        return [
            found
            for number, item in enumerate(node.items)
            for found in _masks(item, _item(before, number, item), join(path, number))
        ]
    plain = node.plain()
    return [(path, before)] if isinstance(plain, str) and is_marker(plain) else []


def _inner(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None


def _item(value: Any, number: int, node: Node) -> Any:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    own = node.plain()
    ident = own.get("id") if isinstance(own, Mapping) else None
    if ident is not None:
        named = (one for one in value if isinstance(one, Mapping) and one.get("id") == ident)
        return next(named, None)
    return value[number] if number < len(value) else None


def merged(text: str, patch: Mapping[str, Any], *, whole: Collection[str] = ()) -> str:
    """Return the text after a JSON merge patch (RFC 7396): null takes out, objects merge.

    A masked secret in the patch means what is there. Objects at the paths in ``whole`` are
    replaced.
    """
    return _merged(text, patch, "", frozenset(whole))


def _merged(text: str, patch: Mapping[str, Any], path: str, whole: frozenset[str]) -> str:
    for key, value in patch.items():
        here = join(path, key)
        there = find(parse(text if text.strip() else "{}").root, parse_path(here))
        if value is None:
            text = unset_text(text, here) if there is not None else text
        elif isinstance(value, str) and is_marker(value) and there is not None:
            continue
        elif _merges(value, there) and here not in whole:
            text = _merged(text, value, here, whole)
        else:
            text = set_text(text, here, without_nulls(value))
    return text


def _merges(value: Any, there: Node | None) -> bool:
    return isinstance(value, Mapping) and there is not None and there.kind == "object"
