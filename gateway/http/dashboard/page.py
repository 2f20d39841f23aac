"""`GET /` and what belongs to it: the form that lets a browser in, the style and the script.

Strict by header: nothing from elsewhere, nothing inline, in no frame. Who is not let in sees
the form and nothing of the engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.peer import Peer
from gateway.auth.policy import Mode
from gateway.auth.visits import PAGE, VISIT
from gateway.auth.web import Stranger
from gateway.connection import peer_of
from gateway.http.dashboard import words
from gateway.http.dashboard.facts import gather
from gateway.http.guard import body
from gateway.http.pages import Page
from gateway.protocol.handshake import Phase
from gateway.protocol.methods import Scope, allows
from gateway.protocol.openai import HttpFault
from gateway.rpc.desk import Desk
from jobs.wallclock import zone

if TYPE_CHECKING:
    from jinja2 import Environment

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FORM_BYTES: Final = 4096
_KINDS: Final = {"dashboard.css": "text/css", "dashboard.js": "text/javascript"}
_TURNED_AWAY: Final = (
    "this code was used, is too old, or was never given; engine dashboard makes one"
)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The status page."""

    desk: Desk
    gatekeeper: Gatekeeper
    phase: Callable[[], Phase]
    served: Callable[[], bool]  # gateway.controlUi.enabled

    def page(self, path: str) -> Page | None:
        """The page behind a path, while the config says there is one."""
        if not self.served():
            return None
        if path == "/":
            return _only(self._look, "GET", "HEAD")
        if path == "/dashboard/visit":
            return _only(self._enter, "POST")
        name = path.removeprefix("/")
        return _only(lambda _: _file(name), "GET", "HEAD") if name in _KINDS else None

    async def _look(self, request: Request) -> Response:
        peer, now = peer_of(request.scope), self.desk.clock.now()
        found = self.gatekeeper.look(peer, now)
        if isinstance(found, Stranger) or not allows(found.scopes, Scope.READ):
            return _form("", 401)
        facts = await gather(self.desk)
        reader = words.Reader(now=now, zone=zone(str(facts.status.get("tz") or "UTC")))
        told = words.page(facts, self.phase(), reader)
        answer = _html("page.html", may_write=allows(found.scopes, Scope.WRITE), **told)
        if self.gatekeeper.policy.mode is Mode.NONE:
            self._welcome(answer, [one for one in PAGE if allows(found.scopes, one)], peer)
        return answer

    async def _enter(self, request: Request) -> Response:
        try:
            sent = parse_qs((await body(request, _FORM_BYTES)).decode("utf-8", "replace"))
        except HttpFault as fault:
            return _form(str(fault), fault.status)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody is left to read it
        peer, now = peer_of(request.scope), self.desk.clock.now()
        found = self.gatekeeper.enter(sent.get("code", [""])[0].strip(), peer, now)
        if isinstance(found, Stranger):
            return _turned_away(found)
        answer = RedirectResponse("/", status_code=303, headers=dict(HEADERS))
        self._welcome(answer, found.scopes, peer)
        return answer

    def _welcome(self, answer: Response, scopes: Any, peer: Peer) -> None:
        policy, now = self.gatekeeper.policy, self.desk.clock.now()
        name, value = self.gatekeeper.visits.cookie(policy, scopes, now)
        answer.set_cookie(
            name,
            value,
            max_age=int(VISIT.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=peer.headers.get("x-forwarded-proto") == "https",
        )


def _only(answer: Page, *methods: str) -> Page:
    async def page(request: Request) -> Response:
        if request.method not in methods:
            allow = {"Allow": ", ".join(methods)}
            return PlainTextResponse("Method Not Allowed", status_code=405, headers=allow)
        return await answer(request)

    return page


def _turned_away(stranger: Stranger) -> Response:
    if stranger.origin is not None:
        return _form("this form was sent by another page", 403)
    if stranger.wait is None:
        return _form(_TURNED_AWAY, 401)
    seconds = max(1, math.ceil(stranger.wait.total_seconds()))
    answer = _form(f"too many wrong codes; try again in {seconds} s", 429)
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _form(said: str, status: int) -> Response:
    return _html("enter.html", status, said=said)


def _html(name: str, status: int = 200, **told: Any) -> Response:
    text = _templates().get_template(name).render(**told)
    return Response(text, status_code=status, headers=dict(HEADERS), media_type="text/html")


async def _file(name: str) -> Response:
    headers = {**HEADERS, "Cache-Control": "no-cache"}
    return Response(_source(name), headers=headers, media_type=_KINDS[name])


@cache
def _source(name: str) -> str:
    return (files(__package__) / "files" / name).read_text("utf-8")


@cache
def _templates() -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    names = ("frame.html", "page.html", "enter.html")
    loader = DictLoader({name: _source(name) for name in names})
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
