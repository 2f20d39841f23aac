"""From a path to the page that answers it; what no room has is a small 404 (protocol.md §11)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

COMMON_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(self), geolocation=()",
}

Page = Callable[[Request], Awaitable[Response]]
Room = Callable[[str], Page | None]
"""The page a path leads to, or None. Asked per request: what is open may change with the config."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The ASGI application for HTTP: the first room that knows a path answers."""

    rooms: Sequence[Room]
    transport_security: Callable[[], str | None] = lambda: None  # the HSTS header's value

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        # Not `request.url`: that is put together from the Host header, which anybody may write.
        found = (page for room in self.rooms if (page := room(scope["path"])) is not None)
        page = next(found, _not_found)
        answer = await page(Request(scope, receive))
        answer.headers.update(COMMON_HEADERS)
        if hsts := self.transport_security():
            answer.headers["Strict-Transport-Security"] = hsts
        await answer(scope, receive, send)


async def _not_found(_: Request) -> Response:
    return PlainTextResponse("Not Found", status_code=404)
