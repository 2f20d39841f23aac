"""A loopback server that speaks Anthropic's messages, with the same faults on order.

It is as strict as the real one where a client may go wrong: key and version headers, a limit,
turns that alternate and begin with a person's, results for every tool that was used.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from tests.fakes.openai_server import OpenAIServer, Plan

_ENDS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}


class AnthropicServer(OpenAIServer):
    """`async with AnthropicServer() as server:` listens on a free loopback port."""

    def _answer(
        self, headers: Mapping[str, str], body: Mapping[str, Any], plan: Plan
    ) -> tuple[int, Mapping[str, str], object]:
        if headers.get("x-api-key") != self._key:
            return 401, {}, _error("authentication_error", "invalid x-api-key")
        if wrong := _wrong(headers, body):
            return 400, {}, _error("invalid_request_error", wrong)
        if plan.status != 200:
            kind = {429: "rate_limit_error", 404: "not_found_error", 529: "overloaded_error"}
            name = str(plan.error.get("anthropic") or kind.get(plan.status, "api_error"))
            return plan.status, plan.headers, _error(name, str(plan.error.get("message")))
        if plan.body is not None:
            return 200, plan.headers, plan.body
        return 200, plan.headers, _message(str(body["model"]), plan)


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def _wrong(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """What the real service would refuse about a request."""
    turns = body.get("messages") or [{}]
    thinking = body.get("thinking", {})
    if "anthropic-version" not in headers:
        return "anthropic-version: header is required"
    if not isinstance(body.get("max_tokens"), int):
        return "max_tokens: field required"
    if thinking.get("budget_tokens", 0) >= body["max_tokens"]:
        return "max_tokens must be greater than thinking.budget_tokens"
    if turns[0].get("role") != "user":
        return "messages: first message must use the user role"
    if any(one["role"] == two["role"] for one, two in pairwise(turns)):
        return "messages: roles must alternate"
    if any(block.get("text") == "" for turn in turns for block in turn["content"]):
        return "messages: text content blocks must be non-empty"
    for one, two in pairwise(turns):
        used = {block["id"] for block in one["content"] if block["type"] == "tool_use"}
        given = {b["tool_use_id"] for b in two["content"] if b["type"] == "tool_result"}
        if used != given:
            return "tool_use ids were found without tool_result blocks immediately after"
    return ""


def _message(model: str, plan: Plan) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if plan.reasoning is not None:
        content.append({"type": "thinking", "thinking": plan.reasoning, "signature": "sig"})
    if plan.text:
        content.append({"type": "text", "text": plan.text})
    content += [
        {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments}
        for number, (name, arguments) in enumerate(plan.tool_calls)
    ]
    end = "tool_use" if plan.tool_calls else _ENDS.get(plan.finish_reason, plan.finish_reason)
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": end,
        "usage": {
            "input_tokens": plan.prompt_tokens,
            "output_tokens": plan.completion_tokens,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 20,
        },
    }
