"""Who may ask for a page, and what of its body is read (protocol.md §11). Nothing is trusted.

Errors have OpenAI's shape: ``{"error": {"message", "type", "code"?, "param"?}}``.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from engine.clock import Clock
from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.peer import Peer
from gateway.auth.web import Stranger
from gateway.connection import peer_of
from gateway.http.pages import Page
from gateway.protocol.errors import Code, Refusal, WireError, from_engine_error
from gateway.protocol.handshake import Phase
from gateway.protocol.methods import Scope, allows
from gateway.protocol.openai import HttpFault
from jobs.errors import EngineError, NotFound

BODY_SECONDS: Final = 30.0
_LEAVING: Final = "the gateway is restarting; try again in a moment"
_WHY: Final = {
    Phase.STARTING: "the gateway is starting; try again in a moment",
    Phase.SUSPENDED: "the gateway is suspended; try again in a moment",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was let in."""

    peer: Peer
    scopes: tuple[str, ...]

    def header(self, name: str) -> str | None:
        """A header of ours, or of the reference product's spelling."""
        found = self.peer.headers.get(
            f"x-engine-{name}", self.peer.headers.get(f"x-openclaw-{name}")
        )
        return (found or "").strip() or None


Answerer = Callable[[Request, Caller], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Guard:
    """Stands before every page that does something."""

    gatekeeper: Gatekeeper
    clock: Clock
    phase: Callable[[], Phase]

    def page(self, answer: Answerer, *, method: str, scope: Scope) -> Page:
        """The page behind auth, one method and one scope; refusals become error objects."""

        async def page(request: Request) -> Response:
            try:
                return await answer(request, self._let_in(request, method, scope))
            except HttpFault as fault:
                return said(fault)
            except Refusal as refusal:
                return said(of_wire(refusal.error))
            except EngineError as error:
                return said(of_engine(error))
            except ClientDisconnect:
                return Response(status_code=499)  # nobody is left to read it

        return page

    def _let_in(self, request: Request, method: str, scope: Scope) -> Caller:
        if request.method != method and not (method == "GET" and request.method == "HEAD"):
            allow = "GET, HEAD" if method == "GET" else method
            raise HttpFault(
                405, f"use {method}", code="method_not_allowed", headers={"Allow": allow}
            )
        peer = peer_of(request.scope)
        visitor = self.gatekeeper.visit(peer, self.clock.now())
        if isinstance(visitor, Stranger):
            raise _unwelcome(visitor)
        if not allows(visitor.scopes, scope):
            raise HttpFault(403, f"missing scope: {scope}", "forbidden", code="missing_scope")
        return Caller(peer, visitor.scopes)

    def refuse_unready(self) -> None:
        """What needs agents waits until they are there (§6, §11)."""
        phase = self.phase()
        if phase is Phase.READY:
            return
        raise HttpFault(
            503,
            _WHY.get(phase, _LEAVING),
            "service_unavailable",
            code="gateway_unavailable",
            headers={"Retry-After": "1"},
        )


def _unwelcome(stranger: Stranger) -> HttpFault:
    if stranger.origin is not None:
        words = f"origin not allowed: {stranger.origin[:200]}"
        return HttpFault(403, words, "forbidden", code="origin_not_allowed")
    if stranger.wait is not None:
        seconds = max(1, math.ceil(stranger.wait.total_seconds()))
        return HttpFault(
            429,
            "Too many failed authentication attempts. Please try again later.",
            "rate_limited",
            headers={"Retry-After": str(seconds)},
        )
    return HttpFault(401, "Unauthorized", "unauthorized", headers={"WWW-Authenticate": "Bearer"})


def said(fault: HttpFault) -> Response:
    """An error as a response."""
    return JSONResponse({"error": fault.error}, status_code=fault.status, headers=fault.headers)


def of_engine(error: EngineError) -> HttpFault:
    """A deliberate refusal of the engine."""
    if isinstance(error, NotFound) and "agent_id" in error.detail:
        return HttpFault(404, str(error), code="model_not_found", param="model")
    return of_wire(from_engine_error(error))


def of_wire(error: WireError) -> HttpFault:
    """A refusal of a method."""
    code = str(error.details.get("code") or error.code.value).lower()
    match error.code:
        case Code.UNAVAILABLE:
            return HttpFault(503, error.message, "service_unavailable", code=code)
        case Code.FORBIDDEN | Code.NOT_PAIRED:
            return HttpFault(403, error.message, "forbidden", code=code)
        case Code.INVALID_REQUEST:
            return HttpFault(400, error.message, code=code)


async def json_body(request: Request, most: int) -> Mapping[str, Any]:
    """The object in the body: declared as JSON, whole in time, and not too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        words = f"Content-Type is {kind or 'missing'}; send application/json"
        raise HttpFault(415, words, code="unsupported_media_type")
    raw = await body(request, most)
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise HttpFault(400, "the body is not JSON", code="invalid_json") from error
    if not isinstance(found, dict):
        raise HttpFault(400, "the body is not a JSON object", code="invalid_json")
    return found


async def body(request: Request, most: int) -> bytes:
    """The bytes of a request, counted as they come: what is declared is not believed."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > most:
        raise _too_large(most)
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise _too_large(most)
                parts.append(part)
    except TimeoutError as error:
        raise HttpFault(
            408, f"no whole body within {BODY_SECONDS:.0f} s", code="timeout"
        ) from error
    return b"".join(parts)


def _too_large(most: int) -> HttpFault:
    # What is left of the body is not read: the connection cannot be used again.
    return HttpFault(
        413,
        f"the body is larger than {most} bytes",
        code="payload_too_large",
        headers={"Connection": "close"},
    )
