"""The gateway's end of a WebSocket: hello, identify, resume, heartbeats, dispatches."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from engine.testing.qq.platform import GatewaySession, Platform
from engine.testing.qq.wrong import Refusal

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection

HEARTBEAT_MS: Final = 41_250
GRANTED: Final = 1 << 25 | 1 << 26 | 1 << 30 | 1 << 12


class Gateway:
    """All connections of all bots."""

    def __init__(self, platform: Platform, tell: Callable[[], None]) -> None:
        self._platform = platform
        self._tell = tell  # something changed that a test may wait for
        self._server: Server | None = None
        self._live: dict[ServerConnection, GatewaySession] = {}
        self.received: list[dict[str, Any]] = []
        self.granted = GRANTED
        self.heartbeat_ms = HEARTBEAT_MS
        self.acks = True
        self.greets = True
        self.says_resumed = True
        self.close_next: list[int] = []  # codes with which the next identifications are refused
        self.url = ""

    async def start(self) -> None:
        """Listen; ``url`` is where."""
        from websockets.asyncio.server import serve

        self._server = await serve(self._serve, "127.0.0.1", 0, ping_interval=None)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/websocket"

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def connections(self, app_id: str | None = None) -> int:
        """Return how many authenticated connections there are."""
        return sum(1 for one in self._live.values() if app_id in (None, one.app_id))

    async def flush(self, app_id: str) -> None:
        """Send what happened last to a bot, if it is connected."""
        for socket, session in tuple(self._live.items()):
            if session.app_id == app_id:
                await self._send(socket, session.events[-1])

    async def say(self, frame: object) -> None:
        """Send any frame to everybody who is connected."""
        for socket in tuple(self._live):
            await self._send(socket, frame)

    async def close(self, code: int, reason: str = "") -> None:
        """Close every connection with a code."""
        for socket in tuple(self._live):
            self._live.pop(socket, None)
            await socket.close(code, reason)

    async def drop(self) -> None:
        """End every connection without a word."""
        for socket in tuple(self._live):
            self._live.pop(socket, None)
            socket.transport.abort()

    async def _serve(self, socket: ServerConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            if self.greets:
                await self._send(socket, {"op": 10, "d": {"heartbeat_interval": self.heartbeat_ms}})
            async for text in socket:
                frame = json.loads(text)
                self.received.append(frame)
                await self._answer(socket, frame)
                self._tell()
        except ConnectionClosed:
            pass
        finally:
            self._live.pop(socket, None)
            self._tell()

    async def _answer(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        data = frame.get("d")
        match frame.get("op"):
            case 1 if self.acks:
                await self._send(socket, {"op": 11})
            case 2 | 6 if isinstance(data, dict):
                await self._admit(socket, data, resume=frame["op"] == 6)
            case _:
                pass

    async def _admit(self, socket: ServerConnection, data: dict[str, Any], *, resume: bool) -> None:
        if self.close_next:
            await socket.close(self.close_next.pop(0))
            return
        try:
            app_id = self._platform.bot_of(str(data.get("token")))
        except Refusal:
            await socket.close(4004, "Authentication fail")
            return
        if resume:
            await self._resume(socket, app_id, data)
            return
        if int(data.get("intents", 0)) & ~self.granted:
            await socket.close(4014, "Disallowed intent(s)")
            return
        session = self._platform.begin(app_id)
        self._live[socket] = session
        await self._send(socket, session.events[0])

    async def _resume(self, socket: ServerConnection, app_id: str, data: dict[str, Any]) -> None:
        session = self._platform.sessions.get(str(data.get("session_id")))
        seq = int(data.get("seq") or 0)
        if session is None or session.app_id != app_id or seq > len(session.events):
            await self._send(socket, {"op": 9, "d": False})
            return
        for event in session.events[seq:]:
            await self._send(socket, event)
        self._live[socket] = session
        if self.says_resumed:
            resumed = {"op": 0, "s": len(session.events), "t": "RESUMED", "d": ""}
            await self._send(socket, resumed)

    async def _send(self, socket: ServerConnection, frame: object) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            await socket.send(json.dumps(frame, ensure_ascii=False))
        await asyncio.sleep(0)
