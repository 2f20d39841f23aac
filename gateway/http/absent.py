"""Pages that are not built: a 404 that says so, where a plain one would look like a mistake."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from gateway.http.guard import said
from gateway.http.pages import Page
from gateway.protocol.absent import ABSENT, CODE
from gateway.protocol.openai import HttpFault


def absent(path: str) -> Page | None:
    """The page of a path that is not built."""
    return _unavailable if path in ABSENT else None


async def _unavailable(request: Request) -> Response:
    words = ABSENT[str(request.scope["path"])]
    return said(HttpFault(404, words, "not_found", code=CODE))
