"""A turn for an HTTP caller: asked once, waited for, given up with the caller (protocol.md §11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from engine.sessions import Message
from gateway.http.guard import Caller, of_engine
from gateway.protocol.methods import Scope as Right, allows
from gateway.protocol.openai import HttpFault, Said, target_of, user_key
from gateway.rpc.agent import verdict
from gateway.rpc.core import ChatOrder
from gateway.rpc.desk import ClientRun, Desk
from jobs.errors import EngineError

ALIVE_SECONDS: Final = 15.0  # a stream that says nothing for longer is cut by proxies
# A turn that failed is not asked again by the client's own retry: it may have acted already.
FINAL: Final = {"x-should-retry": "false"}
_STATUS: Final[Mapping[str, int]] = {"rate_limit": 429, "timeout": 504, "internal": 500}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a request asks for."""

    said: Said
    model: str
    kind: str  # of the endpoint; part of the session key
    user: str | None = None
    session: str | None = None  # a conversation that goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """An answer, in the terms of these endpoints."""

    text: str
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """One run and whoever waits for it."""

    desk: Desk
    run: ClientRun
    session_key: str
    keep: bool  # it goes on when the caller has left: a repeat gets its answer

    async def answered(self, request: Request) -> Words:
        """Wait for the end; a caller that leaves ends it, unless it gave a key."""
        async for _ in self.waiting(request):
            pass
        return outcome(self.run)

    async def waiting(self, request: Request) -> AsyncIterator[None]:
        """Give a sign now and then until the run has ended."""
        gone = asyncio.ensure_future(_left(request))
        ended = asyncio.ensure_future(self.run.ended.wait())
        try:
            while not ended.done():
                await asyncio.wait(
                    (gone, ended), timeout=ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if gone.done() and not ended.done():
                    raise HttpFault(499, "the caller has left", "client_closed_request")
                yield
        finally:
            gone.cancel()
            ended.cancel()
            if not self.run.ended.is_set() and not self.keep:
                stop = self.desk.core.conversation.abort(self.session_key, self.run.run_id)
                self.desk.tasks.spawn(_done(stop), "the caller has left")


async def _done(work: Any) -> None:
    await work


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def begin(desk: Desk, caller: Caller, wish: Wish) -> Turn:
    """Start the turn, or join the one that runs under the same `Idempotency-Key`."""
    key = caller.peer.headers.get("idempotency-key", "").strip()[:200]
    run_id = f"http:{key}" if key else f"http:{uuid4().hex}"
    agent_id, session_key, kept = where(desk, caller, wish)
    run = desk.runs.find(run_id)
    if run is None:
        order = ChatOrder(
            run_id=run_id,
            agent_id=agent_id,
            session_key=session_key,
            text=wish.said.text,
            model=_model(caller),
            extra_system_prompt=wish.said.system,
            earlier=None if kept else _messages(wish.said),
        )
        desk.core.conversation.check(order)
        run = desk.runs.start(run_id, desk.core.conversation.converse(order))
    return Turn(desk, run, session_key, keep=bool(key))


def _messages(said: Said) -> tuple[Message, ...]:
    return tuple(Message(role=line.role, text=line.text) for line in said.earlier)


def where(desk: Desk, caller: Caller, wish: Wish) -> tuple[str, str, bool]:
    """Agent, session, and whether the session remembers: only one that was named does."""
    agent = caller.header("agent-id") or target_of(wish.model)
    named = caller.header("session-key")
    if named is None and wish.user:
        named = f"{wish.kind}-user:{user_key(wish.user)}"
    elif named is None and wish.session:
        named = f"{wish.kind}:{wish.session}"
    kept = named is not None
    if named is None:
        named = f"{wish.kind}:{uuid4().hex}"
    if agent is not None and not named.startswith("agent:") and named not in ("main", "global"):
        named = f"agent:{agent.lower()}:{named}"
    return (*desk.core.sessions.resolve(agent, named), kept)


def _model(caller: Caller) -> str | None:
    """The backend's model, for who may choose it: it is the owner's money."""
    model = caller.header("model")
    if model is not None and not allows(caller.scopes, Right.ADMIN):
        words = "missing scope: operator.admin (x-engine-model chooses the backend's model)"
        raise HttpFault(403, words, "forbidden", code="missing_scope")
    return model


def outcome(run: ClientRun) -> Words:
    """The words of a run that has ended, or its failure."""
    task = run.task
    error = None if task is None or task.cancelled() else task.exception()
    if isinstance(error, EngineError):
        fault = of_engine(error)
        fault.headers |= FINAL
        raise fault
    status, answer, wire = verdict(run)
    if status == "timeout" and answer.get("stopReason") == "aborted":
        raise HttpFault(503, "the turn was aborted", "aborted", code="aborted", headers=FINAL)
    if status != "ok":
        said = answer.get("error") or {}
        kind = str(said.get("class") or status) if isinstance(said, Mapping) else status
        text = wire.message if wire is not None else "the agent did not answer in time"
        raise HttpFault(_STATUS.get(kind, 502), text, "agent_error", code=kind, headers=FINAL)
    usage = (answer.get("meta") or {}).get("agentMeta", {}).get("usage", {})
    texts = [one if isinstance(one, str) else one["text"] for one in answer.get("payloads") or ()]
    return Words(
        text="\n\n".join(texts),
        input_tokens=int(usage.get("input") or 0),
        output_tokens=int(usage.get("output") or 0),
    )


class Stream(StreamingResponse):
    """Server-sent events; who watches the caller is the generator, not the framework."""

    def __init__(self, events: AsyncIterator[str], run_id: str) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "x-request-id": run_id}
        super().__init__(events, media_type="text/event-stream", headers=headers)

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send until the events end."""
        await self.stream_response(send)
