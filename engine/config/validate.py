"""The tree held against the schema: pydantic's verdicts told in our words, with their places.

Pure. What one key cannot know about another is `engine.config.checks`'.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from engine.config.issues import Issue
from engine.config.json5 import Node, locate
from engine.config.keypath import Key, dotted
from engine.config.masks import is_secret
from engine.config.schema import Config
from engine.config.schema.gateway import BIND_ALIASES


def validated(root: Node, issues: list[Issue]) -> tuple[Config | None, bool]:
    """The config; True with it when wrong parts were left out to judge the rest.

    What is wrong is added to ``issues``.
    """
    if root.kind != "object":
        issues.append(
            Issue(path="", message="the file must hold one object { … }", place=root.place)
        )
        return None, True
    data = _finite(root, issues)
    for attempt in range(4):
        try:
            return Config.model_validate_json(json.dumps(data), strict=True), attempt > 0
        except ValidationError as error:
            if not attempt:
                issues += _merged(root, error)
            for row in error.errors(include_url=False):
                _drop(data, _real(root, row["loc"]))
    return None, True


def _drop(data: Any, key: Key) -> None:
    """Take out the smallest member around a wrong value; list items never shift."""
    while key and isinstance(key[-1], int):
        key = key[:-1]
    here: Any = data
    for part in key[:-1]:
        if not isinstance(here, dict | list) or (isinstance(here, dict) and part not in here):
            return
        here = here[part]  # type: ignore[index]  # the part fits: it came from this tree
    if isinstance(here, dict) and key:
        here.pop(key[-1], None)


def _finite(node: Node, issues: list[Issue]) -> Any:
    if node.kind == "object":
        return {m.key: _finite(m.node, issues) for m in node.members}
    if node.kind == "array":
        return [_finite(item, issues) for item in node.items]
    if isinstance(node.value, float) and not math.isfinite(node.value):
        issues.append(
            Issue(path="", message="Infinity and NaN mean nothing here", place=node.place)
        )
        return 0
    return node.value


def _merged(root: Node, error: ValidationError) -> list[Issue]:
    """One issue per place: the branches of a union speak with one voice."""
    found: dict[str, Issue] = {}
    for row in error.errors(include_url=False):
        key = _real(root, row["loc"])
        node = locate(root, key)[1]
        issue = _issue(key, node, row)
        old = found.get(issue.path)
        if old is not None:
            allowed = tuple(dict.fromkeys((*old.allowed, *issue.allowed)))
            issue = replace(old, allowed=allowed) if old.allowed or not issue.allowed else issue
        found[issue.path] = issue
    return list(found.values())


def _real(root: Node, loc: tuple[str | int, ...]) -> Key:
    """The part of pydantic's location that is in the file, and the missing key if that is it."""
    key: list[str | int] = []
    node = root
    for part in loc:
        if isinstance(part, int):
            inside = node.kind == "array" and part < len(node.items)
        else:
            inside = node.kind == "object" and node.member(part) is not None
        if not inside:
            continue
        key.append(part)
        node = locate(node, (part,))[1]
    return tuple(key)


def _issue(key: Key, node: Node, row: Any) -> Issue:
    kind = row["type"]
    hide = any(is_secret(part) for part in key if isinstance(part, str))
    given = "a value that is not shown" if hide and node.kind == "scalar" else _shown(node)
    path = dotted(key)
    if kind == "missing":
        name = str(row["loc"][-1])
        message = f'required key "{name}" is missing'
        return Issue(path=path, message=message, code="required", place=node.place)
    if kind == "literal_error":
        allowed = tuple(a.strip().strip("'") for a in _expected(row["ctx"]["expected"]))
        message = f"expected {row['ctx']['expected'].replace(chr(39), chr(34))}, got {given}"
        message += _bind_hint(path, node)
        return Issue(path=path, message=message, code="value", place=node.place, allowed=allowed)
    if kind == "value_error":
        message = str(row["ctx"]["error"])
        return Issue(path=path, message=message, code="value", place=node.place)
    if kind == "string_pattern_mismatch":
        message = f"{given} is not an id (letters, digits, - and _, at most 64)"
        return Issue(path=path, message=message, code="value", place=node.place)
    wanted = _WANTED.get(kind)
    if wanted in ("an object", "a list") and isinstance(node.value, str):
        given = "a text"  # which may be the token itself: `channels.telegram: "123:AAA"`
    message = f"expected {wanted}, got {given}" if wanted else f"{row['msg']}, got {given}"
    return Issue(path=path, message=message, code="type" if wanted else "value", place=node.place)


def _expected(text: str) -> list[str]:
    return text.replace(" or ", ", ").split(", ")


def _bind_hint(path: str, node: Node) -> str:
    mode = BIND_ALIASES.get(str(node.value))
    return f' — write "{mode}"' if path == "gateway.bind" and mode else ""


def _shown(node: Node) -> str:
    if node.kind == "object":
        return "an object"
    if node.kind == "array":
        return "a list"
    text = json.dumps(node.value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


_WANTED: Final[Mapping[str, str]] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
