"""A loopback server that speaks OpenAI's chat completions, with faults on order.

It keeps what it was asked, checks the key, and answers from a queue; the last plan of the
queue goes on answering. Real wire format, so the real client is under test.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

KEY = "sk-test-1234567890abcdef"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to answer to one request."""

    text: str | None = "fine"
    status: int = 200
    error: Mapping[str, Any] = field(default_factory=dict)  # body of a status that is not 200
    headers: Mapping[str, str] = field(default_factory=dict)
    finish_reason: str = "stop"
    reasoning: str | None = None
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    hang: bool = False  # never answers
    drop: bool = False  # closes the connection instead
    prompt_tokens: int = 11
    completion_tokens: int = 7
    body: object = None  # the whole answer, for servers that are only similar


def rate_limited(retry_after: float | None = None) -> Plan:
    """429, as OpenAI words it."""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    error = {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}
    return Plan(status=429, error=error, headers=headers)


def out_of_credit() -> Plan:
    """429 that no waiting mends."""
    error = {"message": "You exceeded your current quota", "code": "insufficient_quota"}
    return Plan(status=429, error={**error, "type": "insufficient_quota"})


def broken() -> Plan:
    """500."""
    return Plan(status=500, error={"message": "The server had an error", "type": "server_error"})


def unknown_model() -> Plan:
    """404."""
    error = {"message": "The model `m` does not exist", "type": "invalid_request_error"}
    return Plan(status=404, error={**error, "code": "model_not_found"})


class OpenAIServer:
    """`async with OpenAIServer() as server:` listens on a free loopback port."""

    def __init__(self, *plans: Plan, key: str = KEY) -> None:
        self.plans = list(plans) or [Plan()]
        self.requests: list[dict[str, Any]] = []
        self.asked = asyncio.Event()  # set when a request has arrived
        self._key = key
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """What goes into a provider's baseUrl."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for talk in tuple(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
        self.requests.append({"path": lines[0].split()[1], "headers": headers, "body": body})
        plan = self.plans[0] if len(self.plans) == 1 else self.plans.pop(0)
        self.asked.set()
        if plan.hang:
            await asyncio.Event().wait()
        if plan.drop:
            return False
        status, extra, answer = self._answer(headers, body, plan)
        data = json.dumps(answer).encode()
        fields = {"content-type": "application/json", "content-length": str(len(data)), **extra}
        top = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items())
        writer.write(top.encode() + b"\r\n" + data)
        await writer.drain()
        return True

    def _answer(
        self, headers: Mapping[str, str], body: Mapping[str, Any], plan: Plan
    ) -> tuple[int, Mapping[str, str], object]:
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if given != self._key:
            # The real service echoes the key it was given.
            message = f"Incorrect API key provided: {given}."
            code = {"type": "invalid_request_error", "code": "invalid_api_key"}
            return 401, {}, {"error": {"message": message, **code}}
        if plan.status != 200:
            return plan.status, plan.headers, {"error": dict(plan.error)}
        if plan.body is not None:
            return 200, plan.headers, plan.body
        return 200, plan.headers, _completion(str(body["model"]), plan)


def _completion(model: str, plan: Plan) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": plan.text}
    if plan.reasoning is not None:
        message["reasoning_content"] = plan.reasoning
    if plan.tool_calls:
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": args if isinstance(args, str) else json.dumps(args),
                },
            }
            for number, (name, args) in enumerate(plan.tool_calls)
        ]
    finish = "tool_calls" if plan.tool_calls and plan.finish_reason == "stop" else None
    choice = {"index": 0, "message": message, "finish_reason": finish or plan.finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": plan.prompt_tokens,
            "completion_tokens": plan.completion_tokens,
            "total_tokens": plan.prompt_tokens + plan.completion_tokens,
        },
    }
