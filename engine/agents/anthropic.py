"""Anthropic's messages, over HTTP: a conversation out, an answer or a classed refusal in.

A small client of our own: one request, one answer, nothing streamed. The conversation comes
in the parts of the model library, so that candidates of other kinds can go on with it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import httpx

from engine.agents.base import FailureClass
from engine.agents.faults import ProviderRefused
from engine.agents.provider import Candidate

HOME: Final = "https://api.anthropic.com"
VERSION: Final = "2023-06-01"
MOST: Final = 8192  # tokens of an answer, where the config does not say
ROOM: Final = 1024  # tokens an answer keeps beside its thinking; also the least of thinking
PATIENCE: Final = 600.0  # seconds for one answer; the turn's own limit is shorter as a rule

# How many tokens a level may think (`thinkingDefault`).
_BUDGETS: Final[Mapping[str, int]] = {
    "minimal": 1024,
    "low": 4096,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 24_576,
    "max": 32_768,
}
_ENDS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_call",
    "refusal": "content_filter",
}
_CLASSES: Final[Mapping[str, FailureClass]] = {
    "authentication_error": FailureClass.AUTH,
    "permission_error": FailureClass.AUTH,
    "billing_error": FailureClass.BILLING,
    "not_found_error": FailureClass.MODEL_NOT_FOUND,
    "rate_limit_error": FailureClass.RATE_LIMIT,
    "overloaded_error": FailureClass.OVERLOADED,
    "timeout_error": FailureClass.TIMEOUT,
    "api_error": FailureClass.SERVER_ERROR,
}
_BROKE: Final = "credit balance"  # an empty account is refused as a bad request


class AnthropicModel:
    """One model of one provider."""

    def __init__(self, candidate: Candidate) -> None:
        provider = candidate.provider
        base = (provider.base_url or HOME).rstrip("/")
        self._url = f"{base if base.endswith('/v1') else f'{base}/v1'}/messages"
        self._model = candidate.model
        self.client = _Client(
            headers={
                "x-api-key": provider.api_key or "none",
                "anthropic-version": VERSION,
                **provider.headers,
            },
            timeout=provider.timeout.total_seconds() if provider.timeout else PATIENCE,
        )

    async def request(
        self,
        kinds: Any,  # the library's `messages`
        conversation: Sequence[Any],
        settings: Mapping[str, Any],
        tools: Sequence[Any],
    ) -> Any:
        """Return the answer as the library has it, or raise `ProviderRefused`."""
        body = {"model": self._model, **asked(conversation, settings, tools)}
        try:
            answer = await self.client.post(self._url, json=body)
        except httpx.TimeoutException as error:
            raise ProviderRefused("no answer in time", FailureClass.TIMEOUT) from error
        except httpx.HTTPError as error:
            raise ProviderRefused(str(error), FailureClass.NETWORK) from error
        try:
            told = answer.json()
        except ValueError:
            told = None
        if answer.status_code != 200:
            raise _refused(answer, told)
        if not isinstance(told, Mapping) or not isinstance(told.get("content"), list):
            raise ProviderRefused("the answer is no message", FailureClass.INVALID)
        return answered(kinds, told)


class _Client(httpx.AsyncClient):
    async def close(self) -> None:
        """As the other clients are closed."""
        await self.aclose()


def asked(
    conversation: Sequence[Any], settings: Mapping[str, Any], tools: Sequence[Any]
) -> dict[str, Any]:
    """Return the body of a request, but for the model."""
    most = int(settings.get("max_tokens") or MOST)
    body: dict[str, Any] = {"messages": _messages(conversation)}
    told = [one.instructions for one in conversation if one.kind == "request" and one.instructions]
    if told:
        body["system"] = told[-1]
    if tools:
        body["tools"] = [
            {
                "name": tool.name,
                "description": tool.description or "",
                "input_schema": tool.parameters_json_schema,
            }
            for tool in tools
        ]
    thinking, most = _thinking(settings, most)
    if thinking:
        body["thinking"] = thinking
    return {"max_tokens": most, **body, **settings.get("extra_body", {})}


def _thinking(settings: Mapping[str, Any], most: int) -> tuple[dict[str, Any], int]:
    """Return how it may think, and how much it may say in all: thinking counts (§ max_tokens)."""
    level = settings.get("thinking")
    if level is True:
        return {"type": "adaptive"}, most
    budget = _BUDGETS.get(str(level))
    if budget is None:
        return {}, most
    if "max_tokens" not in settings:
        return {"type": "enabled", "budget_tokens": budget}, budget + most
    budget = min(budget, most - ROOM)
    return ({"type": "enabled", "budget_tokens": budget}, most) if budget >= ROOM else ({}, most)


def _messages(conversation: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the turns, neighbours of one role joined; the first one is a person's."""
    turns: list[dict[str, Any]] = []
    for one in conversation:
        role = "assistant" if one.kind == "response" else "user"
        blocks = [block for part in one.parts for block in _blocks(part)]
        if not blocks or (not turns and role == "assistant"):
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(part: Any) -> list[dict[str, Any]]:
    """Return the blocks of a part; a question may have pictures beside its words."""
    if part.part_kind == "user-prompt" and not isinstance(part.content, str):
        return [_shown(one) for one in part.content]
    block = _block(part)
    return [] if block is None else [block]


def _shown(one: Any) -> dict[str, Any]:
    if isinstance(one, str):
        return {"type": "text", "text": one}
    data = base64.b64encode(one.data).decode()
    source = {"type": "base64", "media_type": one.media_type, "data": data}
    return {"type": "image", "source": source}


def _block(part: Any) -> dict[str, Any] | None:
    match part.part_kind:
        case "text" | "user-prompt":
            text = str(part.content)
            return {"type": "text", "text": text} if text.strip() else None
        case "thinking":
            # Only with its signature is a thought accepted back, and thoughts of others have none.
            if not part.signature or part.provider_name != "anthropic":
                return None
            if part.id == "redacted":
                return {"type": "redacted_thinking", "data": part.signature}
            return {"type": "thinking", "thinking": part.content, "signature": part.signature}
        case "tool-call":
            return {
                "type": "tool_use",
                "id": part.tool_call_id,
                "name": part.tool_name,
                "input": _arguments(part),
            }
        case "tool-return":
            return {
                "type": "tool_result",
                "tool_use_id": part.tool_call_id,
                "content": str(part.content),
                **({"is_error": True} if part.outcome == "failed" else {}),
            }
        case _:
            return None


def _arguments(part: Any) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = part.args_as_dict(raise_if_invalid=True)
    except (ValueError, AssertionError):
        return {}  # what was no object was answered with that
    return found


def answered(kinds: Any, told: Mapping[str, Any]) -> Any:
    """Return an answer as the library has it."""
    end = str(told.get("stop_reason") or "")
    return kinds.ModelResponse(
        parts=list(_parts(kinds, told["content"])),
        usage=kinds.RequestUsage(**_usage(told.get("usage"))),
        model_name=told.get("model"),
        provider_name="anthropic",
        provider_details={"finish_reason": "incomplete" if end == "pause_turn" else end},
        finish_reason=_ENDS.get(end),
    )


def _parts(kinds: Any, blocks: Sequence[Any]) -> Iterator[Any]:
    for block in blocks:
        match block:
            case {"type": "text", "text": str(text)}:
                yield kinds.TextPart(content=text)
            case {"type": "thinking", "thinking": str(text)}:
                yield kinds.ThinkingPart(
                    content=text, signature=block.get("signature"), provider_name="anthropic"
                )
            case {"type": "redacted_thinking", "data": str(data)}:
                yield kinds.ThinkingPart(
                    content="", id="redacted", signature=data, provider_name="anthropic"
                )
            case {"type": "tool_use", "id": str(ident), "name": str(name)}:
                yield kinds.ToolCallPart(
                    tool_name=name, args=block.get("input") or {}, tool_call_id=ident
                )
            case _:
                pass  # a kind of block that came later than this client


def _usage(told: Any) -> dict[str, int]:
    """Return the tokens; what came from the cache is part of the input, as everywhere here."""
    used: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    count = {
        name: value if isinstance(value := used.get(name), int) else 0
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        )
    }
    read, written = count["cache_read_input_tokens"], count["cache_creation_input_tokens"]
    return {
        "input_tokens": count["input_tokens"] + read + written,
        "output_tokens": count["output_tokens"],
        "cache_read_tokens": read,
        "cache_write_tokens": written,
    }


def _refused(answer: httpx.Response, told: Any) -> ProviderRefused:
    inner = told.get("error") if isinstance(told, Mapping) else None
    error: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    words = str(error.get("message") or "")
    failure = _CLASSES.get(str(error.get("type")))
    if _BROKE in words.lower():
        failure = FailureClass.BILLING
    wait = answer.headers.get("retry-after", "")
    return ProviderRefused(
        words,
        failure,
        status_code=answer.status_code,
        body=told,
        retry_after=float(wait) if wait.replace(".", "", 1).isdigit() else None,
    )
