"""Changes one path of the config file and nothing else in it (operations.md §3).

The text outside the changed span survives byte for byte: comments, order, quoting. Pure:
text in, text out; the file itself is `engine.config.writing`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from engine.config.compose import INCLUDE
from engine.config.json5 import Json5Error, Node, parse, render, render_key
from engine.config.keypath import Append, ById, Part, join, parse_path
from engine.config.masks import is_marker
from jobs.errors import InvalidInput, NotFound, UsageError

_GAP: Final = re.compile(r"(?:\s|//[^\n\r]*|/\*.*?\*/)*", re.DOTALL)
_REST: Final = re.compile(r"[^\S\r\n]*(?:/\*[^\r\n]*?\*/[^\S\r\n]*)*(?://[^\r\n]*)?(?=\r?\n|\Z)")


def find(root: Node, parts: tuple[Part, ...]) -> Node | None:
    """The value at a path, None when there is none."""
    node: Node | None = root
    for part in parts:
        node = _step(node, part) if node is not None else None
    return node


def _step(node: Node, part: Part) -> Node | None:
    match part:
        case str():
            member = node.member(part)
            return member.node if member else None
        case int():
            return node.items[part] if part < len(node.items) else None
        case ById(key, value):
            return next((i for i in node.items if _is(i, key, value)), None)
        case Append():
            return None


def _is(item: Node, key: str, value: str) -> bool:
    member = item.member(key)
    return member is not None and str(member.node.value) == value


def set_text(text: str, path: str, value: Any) -> str:
    """The text with ``value`` at ``path``; missing objects on the way are made.

    The path '' is the whole text.
    """
    refuse_markers(value)
    parts = parse_path(path) if path else ()
    document = parse(text if text.strip() else "{\n}\n")
    text = document.source.text
    quoted = _quotes_keys(document.root)
    _refuse_included(document.root, parts, path)
    present = find(document.root, parts)
    if present is not None:
        if present.plain() == value and type(present.plain()) is type(value):
            return text
        new = render(value, indent=_indent_of(text, present.start), quote_keys=quoted)
        return text[: present.start] + new + text[present.end :]
    depth = len(parts) - 1
    while depth and find(document.root, parts[:depth]) is None:
        depth -= 1
    host = find(document.root, parts[:depth])
    if host is None:
        raise AssertionError("the root is always there")
    for part in reversed(parts[depth + 1 :]):
        value = _wrap(part, value, path)
    return _inserted(text, host, parts[depth], value, path, quoted=quoted)


def merge_text(text: str, path: str, value: Any) -> str:
    """The text with every leaf of ``value`` set below ``path``; what else is there stays."""
    for key, leaf in _leaves(path, value):
        if leaf != {} or not _is_object(text, key):
            text = set_text(text, key, leaf)
    return text


def _is_object(text: str, path: str) -> bool:
    root = parse(text if text.strip() else "{}").root
    there = find(root, parse_path(path) if path else ())
    return there is not None and there.kind == "object"


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves(join(path, key), inner)


def _refuse_included(root: Node, parts: tuple[Part, ...], path: str) -> None:
    """What comes from another file is changed in that file."""
    for depth in range(len(parts)):
        node = find(root, parts[:depth])
        wish = node.member(INCLUDE) if node is not None else None
        if wish is not None:
            files = wish.node.plain()
            shown = files if isinstance(files, str) else ", ".join(map(str, files))
            raise InvalidInput(
                f"{path} was not changed", why=f"it comes from {shown}", fix=f"edit {shown}"
            )


def _wrap(part: Part, value: Any, path: str) -> Any:
    match part:
        case str():
            return {part: value}
        case Append() | 0:
            return [value]
        case ById(key, ident):
            return [{key: ident, **(value if isinstance(value, dict) else {})}]
        case _:
            raise _no_place(path, f"the list before [{part}] is empty")


def _inserted(text: str, host: Node, part: Part, value: Any, path: str, *, quoted: bool) -> str:
    if host.kind == "object" and isinstance(part, str):
        lead = f"{render_key(part, quote=quoted)}: "
        ends = [m.node.end for m in host.members]
        starts = [m.start for m in host.members]
    elif host.kind == "array" and not isinstance(part, str):
        if isinstance(part, int) and part != len(host.items):
            raise _no_place(path, f"the list has {len(host.items)} items")
        if isinstance(part, ById):
            value = {part.key: part.value, **(value if isinstance(value, dict) else {})}
        lead, ends, starts = "", [i.end for i in host.items], [i.start for i in host.items]
    else:
        raise _no_place(path, f"there is a {host.kind} on the way")
    if ends:
        return _after(text, host, (starts[-1], ends[-1]), lead, value, quoted=quoted)
    outer = _indent_of(text, host.start)
    body = render(value, indent=outer + "  ", quote_keys=quoted)
    new = f"\n{outer}  {lead}{body}," if host.kind == "object" else f"{lead}{body}"
    inside = text[host.start + 1 : host.end - 1]
    if inside.strip():  # only comments: keep them, and close on a line of its own
        head = text[: host.end - 1].rstrip()
        return f"{head}\n{outer}  {lead}{body},\n{outer}{text[host.end - 1 :]}"
    close = f"\n{outer}" if host.kind == "object" else ""
    return text[: host.start + 1] + new + close + text[host.end - 1 :]


def _after(
    text: str, host: Node, last: tuple[int, int], lead: str, value: Any, *, quoted: bool
) -> str:
    start, end = last
    gap = _gap(text, end)
    comma = text[gap] == ","
    own_line = "\n" in text[host.start : start] and "\n" in text[end : host.end]
    if not own_line:
        body = render(value, indent=_indent_of(text, host.start), quote_keys=quoted)
        if comma:
            return f"{text[: gap + 1]} {lead}{body}{text[gap + 1 :]}"
        return f"{text[:end]}, {lead}{body}{text[end:]}"
    indent = _indent_of(text, start)
    row = f"\n{indent}{lead}{render(value, indent=indent, quote_keys=quoted)}{',' if comma else ''}"
    if not comma:
        text, gap = f"{text[:end]},{text[end:]}", end
    # A comment behind the last entry on its line belongs to it.
    rest = _REST.match(text, gap + 1)
    at = rest.end() if rest else gap + 1
    return text[:at] + row + text[at:]


def unset_text(text: str, path: str) -> str:
    """The text without the entry at ``path``; `NotFound` when there is none."""
    parts = parse_path(path)
    document = parse(text if text.strip() else "{}")
    text = document.source.text
    _refuse_included(document.root, parts, path)
    host, node = find(document.root, parts[:-1]), find(document.root, parts)
    if host is None or node is None:
        raise NotFound(f"{path} is not set", why="nothing changed", fix="engine config get")
    start = next((m.start for m in reversed(host.members) if m.node is node), node.start)
    ends = [m.node.end for m in host.members] + [i.end for i in host.items]
    return _cut(text, host, start, node.end, max((e for e in ends if e <= start), default=None))


def _cut(text: str, host: Node, start: int, end: int, before: int | None) -> str:
    """The text without an entry; ``before`` is where the one before it ends."""
    gap = _gap(text, end)
    comma = text[gap] == ","
    if comma:
        end = gap + 1
    rest = _REST.match(text, end)
    line = text.rfind("\n", 0, start) + 1
    if rest and rest.end() < host.end and not text[line:start].strip():
        newline = re.compile(r"\r?\n").match(text, rest.end())
        return text[:line] + text[newline.end() if newline else rest.end() :]
    if not comma:  # the last entry of a line: the comma before it goes too
        at = _gap(text, before) if before is not None else start
        if text[at] == "," and not text[at + 1 : start].strip():  # one inside a comment stays
            start = at
    return text[:start] + text[end:].lstrip(" ") if comma else text[:start] + text[end:]


def _gap(text: str, at: int) -> int:
    match = _GAP.match(text, at)
    return match.end() if match else at


def _indent_of(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _quotes_keys(root: Node) -> bool:
    """True when the file writes its keys in quotes."""
    return bool(root.members) and root.source.text[root.members[0].start] in "\"'"


def _no_place(path: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"{path} was not set", why=why, fix=f"engine config get {path.split('.')[0]}"
    )


def refuse_markers(value: Any) -> None:
    """What a hidden secret prints as is never a value (operations.md §3)."""
    match value:
        case str() if is_marker(value):
            raise InvalidInput(
                f'"{value.strip()}" was not written',
                why="it is what a hidden secret prints as",
                fix="give the real value, or ${NAME}",
            )
        case dict():
            for inner in value.values():
                refuse_markers(inner)
        case list() | tuple():
            for inner in value:
                refuse_markers(inner)
        case _:
            pass


def value_of(text: str, *, strict: bool = False) -> Any:
    """A value as typed on the command line: JSON5, else the string itself."""
    try:
        return parse(text, "value").root.plain()
    except Json5Error as error:
        if strict:
            raise UsageError(
                "the value is not JSON5",
                why=f"{error.message} (column {error.column})",
                fix="put a text into quotes, or leave --strict-json out",
            ) from error
        return text


def without_nulls(value: Any) -> Any:
    """What a patch makes anew holds nothing that takes out."""
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    return value
