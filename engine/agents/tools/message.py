"""The tool `message`: words to a person besides the answer, through the outbox."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from engine.agents.base import Tool, ToolRefused
from engine.messages.outbox import NewMessage
from jobs.errors import EngineError

LONGEST: Final = 32_000  # characters; a longer message is a file

_PARAMETERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "action": {"type": "string", "enum": ["send"]},
        "message": {"type": "string", "description": "The text to send."},
        "media": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Files to send along: paths of your workspace, or addresses.",
        },
        "channel": {
            "type": "string",
            "description": "telegram, qqbot, local, ...; left out: where the user wrote last.",
        },
        "to": {"type": "string", "description": "The recipient on that channel."},
        "accountId": {"type": "string"},
        "threadId": {"type": "string"},
    },
    "required": [],
}


class Outlet(Protocol):
    """Puts a message into the outbox. The same key twice is one message."""

    async def send(self, message: NewMessage) -> Mapping[str, Any]:
        """Queue it and return what is known about it, or raise an `EngineError`."""


def message_tool(outlet: Outlet, *, agent_id: str, run_id: str) -> Tool:
    """Return the tool for one turn. Its keys are numbered, so a replayed turn repeats nothing."""
    numbers = itertools.count(1)

    async def send(arguments: Mapping[str, Any]) -> str:
        if arguments.get("action", "send") != "send":
            raise ToolRefused(f"action {arguments['action']!r} is not offered; the only one: send")
        text = _text(arguments, "message") or _text(arguments, "text")
        files = _files(arguments.get("media"))
        if not text and not files:
            raise ToolRefused("message must hold the text to send, or media the files")
        if text and len(text) > LONGEST:
            raise ToolRefused(f"the message has {len(text)} characters; the most is {LONGEST}")
        message = NewMessage(
            text=text or "",
            files=files,
            key=f"message:{run_id}:{next(numbers)}",
            channel=_text(arguments, "channel"),
            to=_text(arguments, "to") or _text(arguments, "target"),
            account_id=_text(arguments, "accountId"),
            thread_id=_text(arguments, "threadId"),
            agent_id=agent_id,
        )
        try:
            sent = await outlet.send(message)
        except EngineError as error:
            raise ToolRefused(str(error)) from error
        return json.dumps(sent, ensure_ascii=False, default=str)

    return Tool(
        name="message",
        description="Send a message to the user, besides your answer. "
        "Your answer is delivered by itself: do not repeat it here.",
        parameters=_PARAMETERS,
        call=send,
        side_effects=True,
    )


def _files(value: object) -> tuple[str, ...]:
    """What a model names as files: a list, or a single one as text."""
    many = [value] if isinstance(value, str) else value
    if many is None or many == [""]:
        return ()
    if not isinstance(many, list) or not all(isinstance(one, str) and one.strip() for one in many):
        raise ToolRefused("media must be a list of paths or addresses")
    return tuple(one.strip() for one in many)


def _text(arguments: Mapping[str, Any], name: str) -> str | None:
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ToolRefused(f"{name} must be text; it was {type(value).__name__}")
    return str(value).strip() or None
