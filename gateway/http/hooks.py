"""The hooks path: who may ask, how much and how often; then the order is taken.

protocol.md §11. The token is one of its own and travels in a header; failures are counted per
address, and loopback is not exempt (§4.7).
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, assert_never

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from engine.config.schema.hooks import Hooks
from gateway.auth.failures import Failures
from gateway.auth.peer import Peer
from gateway.auth.policy import Mode, Policy, same
from gateway.auth.proxy import Networks, client_of
from gateway.connection import peer_of
from gateway.hooks.orders import AgentOrder, Dropped, Order, Refused, WakeOrder, order_of
from gateway.hooks.taking import Taking
from gateway.http.guard import body
from gateway.http.pages import Page
from gateway.protocol.openai import HttpFault
from jobs.errors import EngineError, StoreUnavailable

log = logging.getLogger(__name__)

LONGEST_KEY: Final = 256
_SECRET_HEADERS: Final = ("x-engine-token", "x-openclaw-token")
_NOT_IN_QUERY: Final = (
    "Hook token must be sent as Authorization: Bearer <token> or X-OpenClaw-Token;"
    " the query is not looked at, because it ends up in logs."
)
_MOST: Final = Policy(
    mode=Mode.NONE,
    max_failures=20,
    window=timedelta(seconds=60),
    lockout=timedelta(seconds=60),
    exempt_loopback=False,
)


@dataclass(slots=True)
class HookPages:
    """The room of hooks: closed unless the config opens it, and then under its path."""

    hooks: Callable[[], Hooks]
    open: Callable[[], bool]  # the gateway takes work
    taking: Taking
    proxies: Callable[[], Networks] = Networks
    failures: Failures = field(default_factory=lambda: Failures(_MOST))

    def page(self, path: str) -> Page | None:
        """The page of a path at or below the hooks path."""
        hooks = self.hooks()
        base = "/" + hooks.path.strip("/")
        if not hooks.enabled or hooks.token is None or base == "/":
            return None
        if path != base and not path.startswith(f"{base}/"):
            return None
        below = path[len(base) :].strip("/")

        async def page(request: Request) -> Response:
            return await self._answer(below, hooks, request)

        return page

    async def _answer(self, below: str, hooks: Hooks, request: Request) -> Response:
        peer = peer_of(request.scope)
        if (refusal := self._refused(peer, hooks, request)) is not None:
            return refusal
        if not self.open():
            return _unavailable()
        asked = await _body(request, hooks.max_body_bytes)
        if isinstance(asked, Response):
            return asked
        order = order_of(below, asked, hooks)
        if order is None:
            return PlainTextResponse("Not Found", status_code=404)
        key = request.headers.get("idempotency-key") or asked.get("idempotencyKey")
        if key is not None and (not isinstance(key, str) or len(key) > LONGEST_KEY):
            return _wrong(f"the idempotency key must be a string of at most {LONGEST_KEY}")
        try:
            return await self._taken(below, order, key)
        except StoreUnavailable as error:
            log.warning("a hook was not taken", extra={"path": below, "because": str(error)})
            return _unavailable()
        except EngineError as error:
            log.warning("a hook was refused", extra={"path": below, "because": str(error)})
            return _wrong(str(error))

    def _refused(self, peer: Peer, hooks: Hooks, request: Request) -> Response | None:
        """Why this caller is not heard, or None."""
        if "token" in request.query_params:
            return PlainTextResponse(_NOT_IN_QUERY, status_code=400)
        if request.method != "POST":
            allow = {"Allow": "POST"}
            return PlainTextResponse("Method Not Allowed", status_code=405, headers=allow)
        now, caller = self.taking.clock.now(), client_of(peer, self.proxies())
        if (wait := self.failures.locked(caller, now)) is not None:
            seconds = str(max(1, math.ceil(wait.total_seconds())))
            headers = {"Retry-After": seconds}
            return PlainTextResponse("Too Many Requests", status_code=429, headers=headers)
        shown = _shown(peer)
        if shown is None or hooks.token is None or not same(shown, hooks.token.reveal()):
            self.failures.add(caller, now)
            log.warning("a hook showed no valid token", extra={"from": caller})
            return PlainTextResponse("Unauthorized", status_code=401)
        self.failures.forget(caller)
        return None

    async def _taken(self, below: str, order: Order, key: str | None) -> Response:
        match order:
            case WakeOrder():
                return JSONResponse(await self.taking.wake(order, key))
            case AgentOrder():
                return JSONResponse(await self.taking.agent(order, key))
            case Dropped(because=because):
                await self.taking.dropped(below, because)
                return Response(status_code=204)
            case Refused(error=error):
                return _wrong(error)
            case _:
                assert_never(order)


def _shown(peer: Peer) -> str | None:
    """Return the token a caller shows."""
    scheme, _, bearer = peer.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return bearer.strip()
    return next(
        (peer.headers[name].strip() for name in _SECRET_HEADERS if name in peer.headers), None
    )


async def _body(request: Request, most: int) -> Mapping[str, Any] | Response:
    """Return the JSON object of a request, or why there is none."""
    try:
        data = await body(request, most)
        found = json.loads(data.decode()) if data.strip() else {}
    except HttpFault as fault:
        return _wrong(str(fault), fault.status)
    except ClientDisconnect:
        return Response(status_code=499)  # nobody is left to read it
    except (ValueError, RecursionError):
        return _wrong("the body is no JSON")
    return found if isinstance(found, dict) else _wrong("the body must be one JSON object")


def _wrong(error: str, status: int = 400) -> Response:
    return JSONResponse({"ok": False, "error": error}, status_code=status)


def _unavailable() -> Response:
    error = {
        "message": "the gateway takes no work now",
        "type": "service_unavailable",
        "code": "gateway_unavailable",
    }
    return JSONResponse({"error": error}, status_code=503, headers={"Retry-After": "5"})
