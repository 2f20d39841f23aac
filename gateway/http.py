"""HTTP on the same port: probes, and a small 404 for the rest (protocol.md §11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.peer import Peer

COMMON_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(self), geolocation=()",
}
_PROBE_HEADERS: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How far the gateway is (operations.md §6.3)."""

    ready: bool
    started: bool
    uptime_ms: int
    version: str
    failing: tuple[str, ...] = ()  # what is not ready, by name
    detail: Mapping[str, Any] = field(default_factory=dict)  # scheduler, eventLoop


@dataclass(frozen=True, slots=True)
class Pages:
    """The ASGI application for HTTP."""

    gatekeeper: Gatekeeper
    readiness: Callable[[], Readiness]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        answer = self._answer(Request(scope, receive))
        answer.headers.update(COMMON_HEADERS)
        await answer(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        # Not `request.url`: that is put together from the Host header, which anybody may write.
        route = _ROUTES.get(request.scope["path"])
        if route is None:
            return PlainTextResponse("Not Found", status_code=404)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse(
                "Method Not Allowed", status_code=405, headers={"Allow": "GET, HEAD"}
            )
        return route(self, request)

    def _live(self, _: Request) -> Response:
        return JSONResponse({"ok": True, "status": "live"}, headers=_PROBE_HEADERS)

    def _ready(self, request: Request) -> Response:
        state = self.readiness()
        body: dict[str, Any] = {"ready": state.ready}
        if self._trusted(request):
            body |= {
                "failing": list(state.failing),
                "uptimeMs": state.uptime_ms,
                **state.detail,
            }
        status = 200 if state.ready else 503
        return JSONResponse(body, status_code=status, headers=_PROBE_HEADERS)

    def _started(self, _: Request) -> Response:
        state = self.readiness()
        if not state.started:
            waiting = state.failing[0] if state.failing else "startup"
            body: dict[str, Any] = {"status": "starting", "pendingReason": waiting}
            return JSONResponse(body, status_code=503, headers=_PROBE_HEADERS)
        body = {
            "ok": True,
            "status": "started",
            "version": state.version,
            "uptimeMs": state.uptime_ms,
        }
        return JSONResponse(body, headers=_PROBE_HEADERS)

    def _trusted(self, request: Request) -> bool:
        """Detail is for the machine itself, or for who shows the secret."""
        peer = Peer(
            host=request.client.host if request.client else "",
            headers={name.lower(): value for name, value in request.headers.items()},
        )
        return peer.local or self.gatekeeper.bearer(peer)


_ROUTES: Final[Mapping[str, Callable[[Pages, Request], Response]]] = {
    "/healthz": Pages._live,
    "/health": Pages._live,
    "/readyz": Pages._ready,
    "/ready": Pages._ready,
    "/startupz": Pages._started,
}
