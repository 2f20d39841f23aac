"""Which keys the reference product knows, so that its files load here (operations.md §1.6)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

ITEM: Final = "[]"
ANY: Final = "*"


@cache
def _tree() -> dict[str, Any]:
    text = resources.files("engine.config").joinpath("reference_keys.tsv").read_text("utf-8")
    root: dict[str, Any] = {}
    for row in text.splitlines():
        node = root
        for part in _parts(row.partition("\t")[0]):
            node = node.setdefault(part, {})
    return root


def _parts(path: str) -> list[str]:
    return path.replace("[]", ".[]").split(".")


def knows(path: Sequence[str | int]) -> bool:
    """True when the reference has this key; ids of maps match its `*`."""
    return _find(path) is not None


def children(path: Sequence[str | int]) -> tuple[str, ...]:
    """Names the reference knows below a path."""
    node = _find(path)
    return tuple(k for k in node or {} if k not in (ITEM, ANY))


def _find(path: Sequence[str | int]) -> dict[str, Any] | None:
    node: dict[str, Any] | None = _tree()
    for part in path:
        if node is None:
            return None
        name = ITEM if isinstance(part, int) else part
        node = node.get(name, node.get(ANY) if name != ITEM else None)
    return node
