"""A loopback server that takes webhooks: keeps what it was sent, answers as told."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Hook:
    """One request."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that was posted."""
        found: dict[str, Any] = json.loads(self.raw)
        return found


class HookServer:
    """Answers with the queued ``(status, headers)``, else 200; a repeated key counts once."""

    def __init__(self) -> None:
        self.hooks: list[Hook] = []
        self.looks: list[dict[str, str]] = []  # headers of what was only read
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.detail = "thanks"
        self.arrived = asyncio.Event()  # set by the first request
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where to post."""
        if self._server is None:
            raise AssertionError("the server does not run")
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/hook?secret=hush-hush"

    @property
    def texts(self) -> list[str]:
        """What arrived, each key once."""
        taken = {hook.headers["idempotency-key"]: hook for hook in self.hooks}
        return [hook.body["text"] for hook in taken.values()]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            raw = await reader.readexactly(int(headers.get("content-length", 0)))
            if head[0].startswith("POST"):
                self.hooks.append(Hook(head[0].split()[1], headers, raw))
                self.arrived.set()
            else:
                self.looks.append(headers)
            status, more = self.answers.pop(0) if self.answers else (200, {})
            lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(self.detail)}"]
            lines += [f"{name}: {value}" for name, value in more.items()]
            writer.write("\r\n".join([*lines, "Connection: close", "", self.detail]).encode())
            await writer.drain()
        writer.close()
