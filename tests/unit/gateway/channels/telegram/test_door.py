"""What is heard at a webhook's own port, and what is not (channels.md §9)."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway.channels.telegram.door import LARGEST, Asgi, Bell, Doors, refused

SECRET = "a-secret"
HEADERS = [(b"x-telegram-bot-api-secret-token", SECRET.encode())]


class Port:
    """Remembers what was opened, opens nothing."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, int]] = []
        self.stopped = 0
        self.app: Asgi | None = None
        self.port = 4711

    async def listen(self, app: Asgi, host: str, port: int) -> Port:
        self.opened.append((host, port))
        self.app = app
        return self

    async def stop(self) -> None:
        self.stopped += 1


async def ask(port: Port, *parts: bytes, path: str = "/a", kind: str = "http") -> Any:
    """Send one request with the right word; return its status, or what a socket is told."""
    assert port.app is not None
    events = [
        {"type": "http.request", "body": part, "more_body": n + 1 < len(parts)}
        for n, part in enumerate(parts)
    ]
    told: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def send(event: MutableMapping[str, Any]) -> None:
        told.append(event)

    scope = {"type": kind, "path": path, "method": "POST", "headers": HEADERS}
    await port.app(scope, receive, send)
    return told[0].get("status", told[0]["type"])


async def hung(*paths: str, taken: Any = None) -> tuple[Doors, Port, list[object]]:
    came: list[object] = []

    async def take(update: object) -> None:
        came.append(update)

    port = Port()
    doors = Doors(port.listen)
    for path in paths:
        await doors.hang(Bell(path, SECRET, taken or take), "127.0.0.1", 8787)
    return doors, port, came


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ((b"x" * (LARGEST + 1),), 413),
        ((b"x" * LARGEST, b"x"), 413),
        ((b"x" * LARGEST,), 400),
        ((b"no json",), 400),
        ((b"[" * 100_000,), 400),
        ((b"\xff\xfe",), 400),
        ((b"[]",), 400),
        ((b"",), 400),
        ((), 400),
        ((b'{"update_id": 5, ', b'"poll": {}}'), 200),
    ],
)
async def test_what_is_brought_is_of_a_decent_size_and_shape(
    parts: tuple[bytes, ...], status: int
) -> None:
    _, port, came = await hung("/a")
    assert await ask(port, *parts) == status
    assert len(came) == (status == 200)


async def test_what_could_not_be_taken_is_not_confirmed() -> None:
    async def broken(update: object) -> None:
        raise OSError("disk full")

    _, port, _ = await hung("/a", taken=broken)
    assert await ask(port, b'{"update_id": 5}') == 500


async def test_accounts_of_one_port_share_it_and_are_told_apart_by_their_paths() -> None:
    doors, port, came = await hung("/a", "/b")
    assert port.opened == [("127.0.0.1", 8787)]
    assert await ask(port, b'{"update_id": 1}', path="/b") == 200
    assert await ask(port, b'{"update_id": 2}', path="/c") == 404
    assert came == [{"update_id": 1}]
    await doors.close()
    await doors.close()
    assert port.stopped == 1


async def test_no_socket_is_talked_to_there() -> None:
    _, port, _ = await hung("/a")
    assert await ask(port, kind="websocket") == "websocket.close"


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", [], 401),
        ("POST", [(b"X-Telegram-Bot-Api-Secret-Token", SECRET.encode())], 0),
        ("POST", [(b"x-telegram-bot-api-secret-token", b"")], 401),
        ("POST", [(b"x-telegram-bot-api-secret-token", "schl\xfcssel".encode())], 401),
        ("PUT", HEADERS, 405),
        ("POST", [*HEADERS, (b"content-length", str(LARGEST + 1).encode())], 413),
        ("POST", [*HEADERS, (b"content-length", b"9" * 400)], 413),
        ("POST", [*HEADERS, (b"content-length", b"-1")], 0),
    ],
)
def test_the_word_comes_before_everything_else(
    method: str, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    assert refused(method, headers, SECRET) == status
