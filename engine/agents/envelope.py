"""What OpenAI-compatible servers leave out around an answer, filled in before it is read.

Compatible is a wide word: one omits ``index``, one ``object`` and ``id``, one half of
``usage``. None of it is needed to read the words, so none of it is a reason to drop them.
The words, the tool calls and why an answer ended are never made up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class NoAnswer(ValueError):
    """The server answered with something that holds no answer."""


def completed(answer: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return a chat completion with every part the protocol asks for.

    Raises `NoAnswer` with the server's own words if there is no answer in it.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise NoAnswer(_instead(answer))
    created = answer.get("created")
    return {
        **answer,
        "id": answer.get("id") or "",
        "object": "chat.completion",
        "created": int(created) if isinstance(created, int | float) else 0,
        "model": answer.get("model") or model,
        "choices": [_choice(number, choice) for number, choice in enumerate(choices)],
        "usage": _usage(answer.get("usage")),
    }


def _instead(answer: Mapping[str, Any]) -> str:
    """Some servers tell their errors under status 200."""
    error = answer.get("error")
    told = error.get("message") if isinstance(error, Mapping) else error
    return f"the answer holds no choices: {told}" if told else "the answer holds no choices"


def _choice(number: int, choice: Any) -> Any:
    if not isinstance(choice, Mapping):
        return choice
    index, logprobs = choice.get("index"), choice.get("logprobs")
    return {
        **choice,
        "index": number if index is None else index,
        "logprobs": logprobs if isinstance(logprobs, Mapping) else None,
        "message": _message(choice.get("message")),
    }


def _message(message: Any) -> Any:
    if not isinstance(message, Mapping):
        return message
    calls = message.get("tool_calls")
    return {
        **message,
        "role": message.get("role") or "assistant",
        "tool_calls": [_call(number, call) for number, call in enumerate(calls)] if calls else None,
    }


def _call(number: int, call: Any) -> Any:
    """A call may come without its id or kind, and its arguments as an object."""
    if not isinstance(call, Mapping) or not isinstance(function := call.get("function"), Mapping):
        return call
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps({} if arguments is None else arguments)
    return {
        **call,
        "id": call.get("id") or f"call_{number}",
        "type": call.get("type") or "function",
        "function": {**function, "arguments": arguments},
    }


def _usage(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, Mapping):
        return None
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {**usage, **{count: usage.get(count) or 0 for count in counts}}
