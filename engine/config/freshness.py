"""Whether the secrets in force are those the config asks for now. Pure (operations.md §5).

A reload that cannot resolve a reference changes nothing; that is told once, and its end once.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from jobs.errors import EngineError


class Turn(StrEnum):
    """What is told about it."""

    DEGRADED = "SECRETS_RELOADER_DEGRADED"
    RECOVERED = "SECRETS_RELOADER_RECOVERED"


def unresolved(refusal: EngineError) -> tuple[str, ...]:
    """The references a refusal is about, each with its reason; none where it is about others."""
    issues = refusal.detail.get("issues")
    listed = issues if isinstance(issues, list) else []
    return tuple(
        f"{one.get('path')}: {one.get('message')}"
        for one in listed
        if isinstance(one, Mapping) and one.get("code") == "secret"
    )


def turn(before: tuple[str, ...], now: tuple[str, ...]) -> Turn | None:
    """What is to be told; the same trouble once more is nothing new."""
    if now and not before:
        return Turn.DEGRADED
    return Turn.RECOVERED if before and not now else None


def rotated(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Paths whose reference leads to another value than it did."""
    return tuple(path for path, value in now.items() if before.get(path) != value)


def told(words: Turn, problems: tuple[str, ...]) -> dict[str, Any]:
    """What a log line and an event say of it."""
    return {"code": words.value, "unresolved": list(problems)}
