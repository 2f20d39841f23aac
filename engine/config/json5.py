"""JSON5 with places: every key and value knows where it stands, duplicate keys are found.

json-five reads the grammar and is imported only when a file is validated or edited; the
fast path of the command line is `engine.config.fast`.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.config.keypath import Key, join

MAX_DEPTH: Final = 100  # whoever walks the tree calls itself once for each of them
_WHERE: Final = re.compile(r"line (\d+) column (\d+)")
_NEAR: Final = re.compile(r"(?:Was expecting|Unexpected|Expecting|Illegal)[^\n]*")


class Json5Error(ValueError):
    """The text is not JSON5. ``line`` and ``column`` count from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Source:
    """One file's text, and the way from offsets to lines."""

    name: str
    text: str
    starts: tuple[int, ...]

    @classmethod
    def of(cls, text: str, name: str) -> Source:
        """Index the lines of ``text``."""
        starts = [0, *(m.end() for m in re.finditer(r"\r\n|\r|\n|\u2028|\u2029", text))]
        return cls(name, text, tuple(starts))

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, from 1."""
        row = bisect_right(self.starts, offset) - 1
        return row + 1, offset - self.starts[row] + 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands."""

    file: str
    line: int
    column: int = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One `key: value` of an object."""

    key: str
    start: int  # of the key
    source: Source
    node: Node

    @property
    def place(self) -> Place:
        """Where the key stands."""
        return Place(self.source.name, *self.source.place(self.start))


@dataclass(frozen=True, slots=True)
class Node:
    """One value with its span. Exactly one of members, items and value is meant."""

    kind: str  # object | array | scalar
    source: Source
    start: int
    end: int
    members: tuple[Member, ...] = ()
    items: tuple[Node, ...] = ()
    value: Any = None

    @property
    def place(self) -> Place:
        """Where the value stands."""
        return Place(self.source.name, *self.source.place(self.start))

    def member(self, key: str) -> Member | None:
        """The member of that name; of duplicates the last."""
        return next((m for m in reversed(self.members) if m.key == key), None)

    def plain(self) -> Any:
        """The value without places."""
        if self.kind == "object":
            return {m.key: m.node.plain() for m in self.members}
        if self.kind == "array":
            return [item.plain() for item in self.items]
        return self.value


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A key given twice in one object."""

    path: str
    key: str
    first: Place
    second: Place


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file."""

    source: Source
    root: Node
    duplicates: tuple[Duplicate, ...] = field(default=())


def parse(text: str, name: str = "engine.json") -> Document:
    """Read JSON5; a byte order mark is tolerated."""
    source = Source.of(text, name)
    body = f" {text[1:]}" if text.startswith("\ufeff") else text
    root = _build(_tree(body), source)
    return Document(source, root, tuple(_duplicates(root, "")))


def locate(root: Node, key: Key) -> tuple[Member | None, Node]:
    """The deepest node on the way to a key, and its member when it is one."""
    member: Member | None = None
    node = root
    for part in key:
        if isinstance(part, int):
            if node.kind != "array" or part >= len(node.items):
                break
            member, node = None, node.items[part]
            continue
        found = node.member(part)
        if found is None:
            break
        member, node = found, found.node
    return member, node


def _tree(text: str) -> Any:
    from json5.loader import ModelLoader, loads

    try:
        return loads(text, loader=ModelLoader()).value
    except RecursionError as error:
        raise Json5Error("nested too deeply", 1, 1) from error
    except ValueError as error:
        raise _explained(str(error), text) from error


def _explained(message: str, text: str) -> Json5Error:
    where = _WHERE.search(message)
    near = _NEAR.search(message)
    if where is None:
        line, column = Source.of(text, "").place(len(text))
        return Json5Error("unexpected end of the file", line, column)
    what = near.group(0).split(" at:")[0].rstrip(". ") if near else "not JSON5"
    return Json5Error(f"syntax error: {_words(what)}", int(where[1]), int(where[2]))


def _words(what: str) -> str:
    text = what.replace("Was expecting", "expected").replace(" in or near token ", " near ")
    return text[:1].lower() + text[1:]


def _build(node: Any, source: Source, depth: int = 0) -> Node:
    # The library keeps offsets only on its tokens; lines and columns alone lose CR LF files.
    start, end = node._tok.index, node._end_tok.end if node._end_tok else node._tok.end
    if depth > MAX_DEPTH:
        raise Json5Error(f"nested more than {MAX_DEPTH} deep", *source.place(start))
    kind = type(node).__name__
    if kind == "JSONObject":
        members = tuple(
            Member(_name(k), k._tok.index, source, _build(v, source, depth + 1))
            for k, v in zip(node.keys, node.values, strict=True)
        )
        return Node("object", source, start, end, members=members)
    if kind == "JSONArray":
        items = tuple(_build(v, source, depth + 1) for v in node.values)
        return Node("array", source, start, end, items=items)
    if kind == "UnaryOp":
        inner = _build(node.value, source, depth)
        value = -inner.value if node.op == "-" else inner.value
        return Node("scalar", source, start, inner.end, value=value)
    return Node("scalar", source, start, end, value=_scalar(node, kind))


def _name(node: Any) -> str:
    return str(node.name if type(node).__name__ == "Identifier" else node.characters)


def _scalar(node: Any, kind: str) -> Any:
    match kind:
        case "NullLiteral":
            return None
        case "Infinity":
            return math.inf
        case "NaN":
            return math.nan
        case "DoubleQuotedString" | "SingleQuotedString":
            return str(node.characters)
        case _:
            return node.value


def _duplicates(node: Node, path: str) -> Iterator[Duplicate]:
    seen: dict[str, Member] = {}
    for member in node.members:
        if member.key in seen:
            yield Duplicate(path, member.key, seen[member.key].place, member.place)
        seen.setdefault(member.key, member)
        yield from _duplicates(member.node, join(path, member.key))
    for index, item in enumerate(node.items):
        yield from _duplicates(item, join(path, index))


_BARE: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def render(value: Any, *, indent: str = "", quote_keys: bool = False) -> str:
    """Write a value as JSON5, objects over several lines."""
    deeper = indent + "  "
    if isinstance(value, Mapping):
        rows = [
            f"{deeper}{render_key(str(k), quote=quote_keys)}: "
            f"{render(v, indent=deeper, quote_keys=quote_keys)},\n"
            for k, v in value.items()
        ]
        return f"{{\n{''.join(rows)}{indent}}}" if rows else "{}"
    if isinstance(value, list | tuple):
        flat = [render(v, indent=deeper, quote_keys=quote_keys) for v in value]
        if any("\n" in row for row in flat):
            return "[\n" + "".join(f"{deeper}{row},\n" for row in flat) + f"{indent}]"
        return f"[{', '.join(flat)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return json.dumps(value, ensure_ascii=False)


def render_key(name: str, *, quote: bool) -> str:
    """Write an object key, bare where the grammar and the file's style allow it."""
    return name if not quote and _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
