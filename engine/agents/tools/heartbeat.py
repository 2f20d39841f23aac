"""The tool `heartbeat_respond`: a beat's answer as a value (heartbeat.md §13 point 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.agents.base import Tool, ToolRefused

NAME: Final = "heartbeat_respond"
OUTCOMES: Final = ("no_change", "progress", "done", "blocked", "needs_attention")
PRIORITIES: Final = ("low", "normal", "high")

_PARAMETERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "outcome": {"type": "string", "enum": list(OUTCOMES)},
        "notify": {
            "type": "boolean",
            "description": "true if the user should read about it now",
        },
        "summary": {"type": "string", "description": "What was found or done, for the record."},
        "notificationText": {
            "type": "string",
            "description": "The words for the user; the summary if left out.",
        },
        "reason": {"type": "string"},
        "priority": {"type": "string", "enum": list(PRIORITIES)},
        "nextCheck": {
            "type": "string",
            "description": "When to look again once: a duration such as 20m, or an ISO time.",
        },
    },
    "required": ["outcome", "notify", "summary"],
}


def valid_response(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer with only the fields we know, or raise `ToolRefused` with what is wrong."""
    outcome, notify = arguments.get("outcome"), arguments.get("notify")
    if outcome not in OUTCOMES:
        raise ToolRefused(f"outcome must be one of {', '.join(OUTCOMES)}; it was {outcome!r}")
    if not isinstance(notify, bool):
        raise ToolRefused(f"notify must be true or false; it was {notify!r}")
    words = {
        name: _words(arguments, name)
        for name in ("summary", "notificationText", "reason", "nextCheck")
    }
    if not words["summary"]:
        raise ToolRefused("summary must say in a few words what was found or done")
    priority = arguments.get("priority")
    if priority is not None and priority not in PRIORITIES:
        raise ToolRefused(f"priority must be one of {', '.join(PRIORITIES)}; it was {priority!r}")
    answer = {"outcome": outcome, "notify": notify, "priority": priority, **words}
    return {name: value for name, value in answer.items() if value is not None}


def _words(arguments: Mapping[str, Any], name: str) -> str | None:
    value = arguments.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ToolRefused(f"{name} must be text; it was {type(value).__name__}")
    return value.strip() or None


def heartbeat_tool() -> Tool:
    """Return the tool. What it was told is in the reply's tool calls; it writes nothing."""

    async def respond(arguments: Mapping[str, Any]) -> str:
        answer = valid_response(arguments)
        return "noted: the user is told" if answer["notify"] else "noted: nobody is disturbed"

    return Tool(
        name=NAME,
        description="Report the result of this heartbeat. Call it once, as the last thing you do.",
        parameters=_PARAMETERS,
        call=respond,
        ends_turn=True,
    )
