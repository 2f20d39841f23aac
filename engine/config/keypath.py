"""Paths of keys as people write them: `agents.list[id=ops].heartbeat.every` (operations.md §3).

One grammar for the file, the command line and messages. Imports nothing slow: the quick
commands read paths too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from jobs.errors import UsageError

_PART: Final = re.compile(r"""\.?([A-Za-z0-9_$*-]+)|\[(\d*)\]|\["([^"]*)"\]|\[(\w+)=([^\]]+)\]""")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_$*-]+")

Key = tuple[str | int, ...]  # names and positions, as a tree has them


@dataclass(frozen=True, slots=True)
class ById:
    """`[id=ops]`: the list item whose key has that value."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Append:
    """`[]`: one past the end of a list."""


Part = str | int | ById | Append


def parse_path(text: str) -> tuple[Part, ...]:
    """`agents.list[id=ops].heartbeat.every`, `channels.qqbot.accounts["a.b"]`, `bindings[]`."""
    parts: list[Part] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None or (at == 0 and text[0] in ".["):
            raise UsageError(
                f'path "{text}" was not understood',
                why=f"at column {at + 1}",
                fix='write it like agents.list[0].id or channels.qqbot.accounts["a.b"]',
            )
        parts.append(_part(match))
        at = match.end()
    if not parts:
        raise UsageError("no path was given", fix="engine config get gateway.port")
    return tuple(parts)


def _part(match: re.Match[str]) -> Part:
    name, index, quoted, key, value = match.groups()
    if name is not None:
        return str(name)
    if index is not None:
        return int(index) if index else Append()
    if quoted is not None:
        return str(quoted)
    return ById(key, value.strip("\"'"))


def join(path: str, part: str | int) -> str:
    """Extend a written path by one name or position."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    if _PLAIN.fullmatch(part):
        return f"{path}.{part}" if path else part
    return f'{path}["{part}"]'


def dotted(key: Iterable[str | int]) -> str:
    """A key as people write it."""
    path = ""
    for part in key:
        path = join(path, part)
    return path


def written(parts: Iterable[Part]) -> str:
    """A path as `parse_path` reads it."""
    path = ""
    for part in parts:
        match part:
            case ById(key, value):
                path += f"[{key}={value}]"
            case Append():
                path += "[]"
            case _:
                path = join(path, part)
    return path
