"""A small HTTP server on loopback: what the stand-ins of platforms speak through."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def fields(self) -> dict[str, Any]:
        """Return what it asks for, however it is written: the query, then JSON or a form."""
        found: dict[str, Any] = dict(self.query)
        if not self.body:
            return found
        if self.headers.get("content-type", "").startswith("multipart/"):
            return found | {part.name: part.value for part in self.parts()}
        if "json" in self.headers.get("content-type", ""):
            decoded = json.loads(self.body)
            return found | decoded if isinstance(decoded, dict) else found
        return found | dict(parse_qsl(self.body.decode()))

    def parts(self) -> list[Part]:
        """Return the fields and files of a multipart form."""
        _, _, boundary = self.headers.get("content-type", "").partition("boundary=")
        pieces = self.body.split(b"--" + boundary.strip('"').encode())[1:-1]
        return [_part(piece[2:-2]) for piece in pieces]


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form; ``filename`` None: plain text."""

    name: str
    filename: str | None
    content: bytes

    @property
    def value(self) -> Any:
        """Text as text, a file as it is."""
        return self if self.filename is not None else self.content.decode()


def _part(piece: bytes) -> Part:
    head, _, content = piece.partition(b"\r\n\r\n")
    names = dict(re.findall(r'(\w+)="([^"]*)"', head.decode()))
    return Part(names["name"], names.get("filename"), content)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; ``body`` None hangs up without a word.

    ``claimed`` is the length it is said to have; ``until`` holds its second half back.
    """

    status: int
    body: bytes | None
    headers: Mapping[str, str]
    claimed: int | None = None
    until: asyncio.Event | None = None


def json_answer(status: int, body: object, **headers: str) -> Answer:
    """Return an answer in JSON."""
    return Answer(status, json.dumps(body, ensure_ascii=False).encode(), headers)


class LoopbackHttp:
    """The server. ``handle`` answers each request; connections are kept alive."""

    def __init__(self, handle: Callable[[Request], Awaitable[Answer]]) -> None:
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.url = ""

    async def start(self, port: int = 0) -> None:
        """Listen; ``url`` is where."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._server is None:
            return
        self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a stream callback runs in a task
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the stand-in is being stopped
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False ends the connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (each.partition(":") for each in rest)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, target, _ = line.split(" ", 2)
        path, _, query = target.partition("?")
        answer = await self._handle(Request(method, path, dict(parse_qsl(query)), headers, body))
        if answer.body is None:
            return False
        length = len(answer.body) if answer.claimed is None else answer.claimed
        kind = "application/json" if answer.body.startswith((b"{", b"[")) else "text/html"
        more = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        writer.write(
            f"HTTP/1.1 {answer.status} -\r\nContent-Type: {kind}\r\n{more}"
            f"Content-Length: {length}\r\nConnection: keep-alive\r\n\r\n".encode()
        )
        half = len(answer.body) // 2 if answer.until is not None else 0
        writer.write(answer.body[:half])
        await writer.drain()
        if answer.until is not None:
            await answer.until.wait()
        writer.write(answer.body[half:])
        await writer.drain()
        return answer.claimed is None
