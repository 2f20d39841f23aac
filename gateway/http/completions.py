"""`POST /v1/chat/completions`, whole and as a stream (protocol.md §11)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.http.guard import Caller, Guard, json_body
from gateway.http.turns import Stream, Turn, Wish, Words, begin
from gateway.protocol.frames import encode
from gateway.protocol.openai import (
    ChatRequest,
    HttpFault,
    conversation,
    parsed,
    refuse_tools,
)
from gateway.rpc.desk import Desk
from jobs.wallclock import ms

MOST_BYTES: Final = 20 * 1024 * 1024
DONE: Final = "data: [DONE]\n\n"
ALIVE: Final = ": the agent is at it\n\n"


@dataclass(frozen=True, slots=True)
class Completions:
    """An agent as a chat model."""

    desk: Desk
    guard: Guard

    async def answer(self, request: Request, caller: Caller) -> Response:
        """Take one turn; nothing is remembered unless the caller names a session or a user."""
        self.guard.refuse_unready()
        asked = parsed(ChatRequest, await json_body(request, MOST_BYTES))
        if asked.n not in (None, 1):
            raise HttpFault(400, "n must be 1", code="unsupported_parameter", param="n")
        refuse_tools(asked.tools, asked.tool_choice)
        said = conversation(asked.messages, field="messages")
        wish = Wish(said=said, model=asked.model, kind="openai", user=asked.user)
        turn = begin(self.desk, caller, wish)
        head = {
            "id": f"chatcmpl-{turn.run.run_id.removeprefix('http:')}",
            "created": (ms(turn.run.started_at) or 0) // 1000,
            "model": asked.model,
        }
        if asked.stream:
            usage = asked.stream_options is not None and asked.stream_options.include_usage
            return Stream(_events(turn, request, head, usage=usage), turn.run.run_id)
        words = await turn.answered(request)
        return JSONResponse(_whole(head, words), headers={"x-request-id": turn.run.run_id})


def _whole(head: dict[str, Any], words: Words) -> dict[str, Any]:
    message = {"role": "assistant", "content": words.text, "refusal": None}
    return {
        **head,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _usage(words),
    }


def _usage(words: Words) -> dict[str, int]:
    return {
        "prompt_tokens": words.input_tokens,
        "completion_tokens": words.output_tokens,
        "total_tokens": words.input_tokens + words.output_tokens,
    }


async def _events(
    turn: Turn, request: Request, head: dict[str, Any], *, usage: bool
) -> AsyncIterator[str]:
    """The role at once, the words when they are there, the end (§11)."""
    yield _chunk(head, {"role": "assistant", "content": ""}, None)
    try:
        async for _ in turn.waiting(request):
            if not turn.run.ended.is_set():
                yield ALIVE
        words = await turn.answered(request)
    except HttpFault as fault:
        if fault.status != 499:
            yield f"data: {encode({'error': fault.error})}\n\n"
            yield DONE
        return
    if words.text:
        yield _chunk(head, {"content": words.text}, None)
    yield _chunk(head, {}, "stop")
    if usage:
        last = {**head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(words)}
        yield f"data: {encode(last)}\n\n"
    yield DONE


def _chunk(head: dict[str, Any], delta: dict[str, Any], finish: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return f"data: {encode({**head, 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"
