"""The first thing that stands in the way: code, sentence and command (operations.md §9). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.errors import EngineError, GatewayDown


def verdict(
    down: EngineError | None,
    invalid: EngineError | None,
    failing: Mapping[str, str],
    troubles: Sequence[Mapping[str, Any]] = (),
) -> tuple[str, str, str]:
    """Code, sentence and command: the first thing that stands in the way."""
    if invalid is not None:
        return "config.invalid", "the config file cannot be used", "engine config validate"
    if isinstance(down, GatewayDown):
        return "gateway.stopped", down.what, down.fix
    if down is not None:
        return f"gateway.{down.code}", f"{down.what}: {down.why}", down.fix
    for part, told in failing.items():
        why, _, fix = told.partition(" Fix: ")
        return f"{part}.failing", f"{part} does not work: {why.removesuffix('.')}", fix
    for one in troubles:
        return str(one.get("code")), str(one.get("message")), str(one.get("fix") or "")
    return "ok", "healthy", ""
