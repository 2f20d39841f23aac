"""`POST /v1/responses`, whole and as a stream (protocol.md §11).

A response is kept as its session: its id names the conversation, so that the next request may
go on from it (`previous_response_id`) also after a restart. With ``store: false`` nothing is.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.http.completions import ALIVE, DONE, MOST_BYTES
from gateway.http.guard import Caller, Guard, json_body
from gateway.http.turns import Stream, Turn, Wish, Words, begin, where
from gateway.protocol.frames import encode
from gateway.protocol.openai import (
    ChatMessage,
    HttpFault,
    ResponsesRequest,
    conversation,
    parsed,
    refuse_tools,
)
from gateway.rpc.desk import Desk
from jobs.wallclock import ms

_ID: Final = re.compile(r"resp_(?P<conversation>[0-9a-f]{32})\.[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Responses:
    """An agent as a model of the newer shape."""

    desk: Desk
    guard: Guard

    async def answer(self, request: Request, caller: Caller) -> Response:
        """Take one turn."""
        self.guard.refuse_unready()
        asked = parsed(ResponsesRequest, await json_body(request, MOST_BYTES))
        if asked.background:
            why = "background responses are not kept here; call the method `agent` instead"
            raise HttpFault(400, why, code="unsupported_parameter", param="background")
        refuse_tools(asked.tools, asked.tool_choice)
        conversation_id = _conversation(asked)
        lines = asked.input
        if isinstance(lines, str):
            lines = [ChatMessage(role="user", content=lines)]
        said = conversation(lines, field="input", instructions=asked.instructions)
        wish = Wish(
            said=said,
            model=asked.model,
            kind="responses",
            user=asked.user,
            session=None if asked.store is False else conversation_id,
        )
        if asked.previous_response_id is not None:
            await self._refuse_forgotten(caller, wish, asked.previous_response_id)
        turn = begin(self.desk, caller, wish)
        head: dict[str, Any] = {
            "id": f"resp_{conversation_id}.{uuid4().hex[:8]}",
            "object": "response",
            "created_at": (ms(turn.run.started_at) or 0) // 1000,
            "model": asked.model,
            "instructions": asked.instructions,
            "metadata": asked.metadata or {},
            "previous_response_id": asked.previous_response_id,
            "error": None,
            "incomplete_details": None,
            "parallel_tool_calls": False,
            "tool_choice": "none",
            "tools": [],
            "store": asked.store is not False,
        }
        if asked.stream:
            return Stream(_events(turn, request, head), turn.run.run_id)
        words = await turn.answered(request)
        done = _response(head, "completed", words, _message(words.text))
        return JSONResponse(done, headers={"x-request-id": turn.run.run_id})

    async def _refuse_forgotten(self, caller: Caller, wish: Wish, before: str) -> None:
        """Going on from nothing would be answered, and nobody would know what is missing."""
        _, key, kept = where(self.desk, caller, wish)
        if kept and await self.desk.core.sessions.describe(key) is None:
            raise _unknown(before)


def _unknown(before: str) -> HttpFault:
    words = f"previous_response_id {before[:80]!r} is none of this gateway's, or it was forgotten"
    return HttpFault(404, words, code="response_not_found", param="previous_response_id")


def _conversation(asked: ResponsesRequest) -> str:
    before = asked.previous_response_id
    if before is None:
        return uuid4().hex
    found = _ID.fullmatch(before)
    if found is None:
        raise _unknown(before)
    return found["conversation"]


def _response(
    head: dict[str, Any], status: str, words: Words | None = None, *output: dict[str, Any]
) -> dict[str, Any]:
    usage = None
    if words is not None:
        usage = {
            "input_tokens": words.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": words.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": words.input_tokens + words.output_tokens,
        }
    return {**head, "status": status, "output": list(output), "usage": usage}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _message(text: str, ident: str | None = None, status: str = "completed") -> dict[str, Any]:
    return {
        "id": ident or f"msg_{uuid4().hex}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [_part(text)] if status == "completed" else [],
    }


async def _events(turn: Turn, request: Request, head: dict[str, Any]) -> AsyncIterator[str]:
    """The events in their order (§11), each numbered."""
    numbered = _Numbered()
    item = f"msg_{uuid4().hex}"
    at = {"item_id": item, "output_index": 0, "content_index": 0}
    going = _response(head, "in_progress")
    yield numbered("response.created", response=going)
    yield numbered("response.in_progress", response=going)
    yield numbered(
        "response.output_item.added", output_index=0, item=_message("", item, "in_progress")
    )
    yield numbered("response.content_part.added", **at, part=_part(""))
    try:
        async for _ in turn.waiting(request):
            if not turn.run.ended.is_set():
                yield ALIVE
        words = await turn.answered(request)
    except HttpFault as fault:
        if fault.status != 499:
            error = {"code": fault.error.get("code") or "server_error", "message": str(fault)}
            yield numbered(
                "response.failed", response={**_response(head, "failed"), "error": error}
            )
            yield DONE
        return
    if words.text:
        yield numbered("response.output_text.delta", **at, delta=words.text, logprobs=[])
    yield numbered("response.output_text.done", **at, text=words.text, logprobs=[])
    yield numbered("response.content_part.done", **at, part=_part(words.text))
    whole = _message(words.text, item)
    yield numbered("response.output_item.done", output_index=0, item=whole)
    yield numbered("response.completed", response=_response(head, "completed", words, whole))
    yield DONE


class _Numbered:
    """Events of one stream, counted from 0."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self, name: str, **facts: Any) -> str:
        event = {"type": name, "sequence_number": self._next, **facts}
        self._next += 1
        return f"event: {name}\ndata: {encode(event)}\n\n"
