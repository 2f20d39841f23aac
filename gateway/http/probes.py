"""Whether the gateway lives, is ready, has started (protocol.md §11, operations.md §6.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from engine.clock import Clock
from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.web import Visitor
from gateway.connection import peer_of
from gateway.http.pages import Page

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
class Probes:
    """The pages a supervisor asks."""

    gatekeeper: Gatekeeper
    clock: Clock
    readiness: Callable[[], Readiness]

    def page(self, path: str) -> Page | None:
        """The probe behind a path."""
        answer = _ROUTES.get(path)
        if answer is None:
            return None

        async def page(request: Request) -> Response:
            if request.method not in ("GET", "HEAD"):
                allow = {"Allow": "GET, HEAD"}
                return PlainTextResponse("Method Not Allowed", status_code=405, headers=allow)
            return answer(self, request)

        return page

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
        """Detail is for the machine itself, or for who is let in; a guess counts here too."""
        peer = peer_of(request.scope)
        if peer.local:
            return True
        return isinstance(self.gatekeeper.visit(peer, self.clock.now()), Visitor)


_ROUTES: Final[Mapping[str, Callable[[Probes, Request], Response]]] = {
    "/healthz": Probes._live,
    "/health": Probes._live,
    "/readyz": Probes._ready,
    "/ready": Probes._ready,
    "/startupz": Probes._started,
}
