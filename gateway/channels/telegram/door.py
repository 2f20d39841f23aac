"""The ports that webhooks of the platform come in at, shared by the accounts of one channel (§9).

A port of their own, open only while an account asks for it: a proxy that leads the world here
never reaches the gateway's. Whoever knows neither path nor secret learns nothing.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gateway.channels.foreign import mapping

log = logging.getLogger(__name__)

LARGEST: Final = 1_048_576  # bytes of one request
SECRET_HEADER: Final = b"x-telegram-bot-api-secret-token"

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Port(Protocol):
    """An open port."""

    port: int

    async def stop(self) -> object:
        """Close it."""


# Opens a port for an ASGI application; raises `EngineError` if it cannot be had.
Listen = Callable[[Asgi, str, int], Awaitable[Port]]
Taken = Callable[[object], Awaitable[None]]  # returns once an update is durable


@dataclass(frozen=True, slots=True)
class Bell:
    """Where one account listens: its path, the word that opens, and who answers."""

    path: str
    secret: str
    taken: Taken


def refused(method: str, headers: Iterable[tuple[bytes, bytes]], secret: str) -> int:
    """Return the status of a request that is not heard, 0 for one that is. Before its body.

    The secret is compared in constant time, as bytes: a header may hold any.
    """
    known = {name.lower(): value for name, value in headers}
    if not hmac.compare_digest(known.get(SECRET_HEADER, b""), secret.encode()):
        return 401
    if method != "POST":
        return 405
    length = known.get(b"content-length", b"0")
    return 413 if length.isdigit() and int(length[:20]) > LARGEST else 0


class Doors:
    """All ports of one channel."""

    def __init__(self, listen: Listen) -> None:
        self._listen = listen
        self._bells: dict[tuple[str, int], dict[str, Bell]] = {}
        self._open: dict[tuple[str, int], Port] = {}

    async def hang(self, bell: Bell, host: str, port: int) -> int:
        """Let an account be rung at; returns the port. Raises `EngineError` if it is taken."""
        bells = self._bells.setdefault((host, port), {})
        bells[bell.path] = bell
        if (host, port) not in self._open:
            self._open[host, port] = await self._listen(_App(bells), host, port)
        return self._open[host, port].port

    async def close(self) -> None:
        """Close every port."""
        ports, self._open = tuple(self._open.values()), {}
        self._bells.clear()
        for port in ports:
            await port.stop()


@dataclass(frozen=True, slots=True)
class _App:
    """What answers at one port."""

    bells: dict[str, Bell]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        status = await self._status(scope, receive)
        await send({"type": "http.response.start", "status": status, "headers": [_LENGTH]})
        await send({"type": "http.response.body", "body": b""})

    async def _status(self, scope: MutableMapping[str, Any], receive: Receive) -> int:
        bell = self.bells.get(scope["path"])
        if bell is None:
            return 404
        if status := refused(scope["method"], scope["headers"], bell.secret):
            return status
        body = await _body(receive)
        if body is None:
            return 413
        update = _read(body)
        if "update_id" not in mapping(update):
            return 400
        try:
            await bell.taken(update)
        except Exception:  # the seam of one request; the platform sends the update again
            log.exception("an update was not admitted")
            return 500
        return 200


_LENGTH: Final = (b"content-length", b"0")


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if it is larger than anything the platform sends."""
    parts, size = list[bytes](), 0
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return b""  # hung up
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST:
            return None
        if not event.get("more_body"):
            return b"".join(parts)


def _read(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
