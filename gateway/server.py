"""The port: bind, accept, and give each WebSocket its two frame limits and a decent end.

uvicorn runs inside our loop. Its WebSocket class is extended where the contract asks for
more than ASGI can say: a limit before hello, the size of the outbound buffer, and a close
that also reaches a peer that is still sending, or has stopped reading.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Generator, MutableMapping, Sequence
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, State
from websockets.utils import apply_mask

from gateway import lock
from gateway.connection import WIRE
from gateway.protocol.frames import (
    MAX_BUFFERED,
    MAX_FRAME,
    MAX_FRAME_BEFORE_HELLO,
    close_reason,
)
from jobs.errors import OwnershipRefused

log = logging.getLogger(__name__)

BACKLOG: Final = 2048
_LAST_PORT: Final = 65_535
_IF_THERE: Final = frozenset({"::1", "::"})
LINGER_SECONDS: Final = 5.0  # how long a peer may take to answer a close
_WHOLE_TEXT, _MASKED, _LONG = 0x81, 0x80, 126  # of a frame's first two bytes
_LONGER: Final = 65_536
HEADER_BYTES: Final = 14  # the longest frame header
MOST_PENDING: Final = 15  # frames behind a connect that is being judged (protocol.md §3)
REQUEST_SECONDS: Final = 15.0  # from a connection to its first whole request, and between two
REQUEST_BYTES: Final = 65_536  # of one request line with its headers
_FLAWS: Final = {1002: "protocol error", 1007: "a text frame is not UTF-8"}

App = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]


class GatewaySocket(WebSocketsSansIOProtocol):
    """One WebSocket; it is the `gateway.connection.Wire` of its connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.close_timeout = LINGER_SECONDS
        self._limit = MAX_FRAME_BEFORE_HELLO
        self._unfinished = 0  # bytes of the message that is still coming in
        self._finished = False
        self._deaf = False
        self._at_hand: Callable[[bytes], bool] | None = None

    def offer(self, at_hand: Callable[[bytes], bool]) -> None:
        """Ask this of every whole message before it is queued."""
        self._at_hand = at_hand

    def write(self, text: str) -> None:
        """Queue one text frame; a closed socket swallows it."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self.transport.write(Frame(Opcode.TEXT, text.encode()).serialize(mask=False))

    def write_all(self, texts: Sequence[bytes]) -> None:
        """Queue text frames that were encoded elsewhere, in one write."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self.transport.write(b"".join([part for text in texts for part in (_head(text), text)]))

    def buffered(self) -> int:
        """Bytes the peer has not taken yet."""
        return 0 if self.disconnected else self.transport.get_write_buffer_size()

    def widen(self) -> None:
        """The client is in: the parser's own limit of 25 MiB is the only one left."""
        self._limit = MAX_FRAME

    def end(self, code: int, reason: str) -> None:
        """Close frame now; the socket follows when the peer has answered, or after a while."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.conn.send_close(code, close_reason(reason))
        self._end_with(code, reason)

    def _end_with(self, code: int, reason: str) -> None:
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        # Not close(): that would wait for ever for a reader that has stopped reading.
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def handle_connect(self, event: Any) -> None:
        """Put this socket where the connection finds it."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            scope: dict[str, Any] = dict(self.scope)
            extensions = {**scope["extensions"], WIRE: self}
            self.scope["extensions"] = extensions  # ASGI lets a server add its own

    def data_received(self, data: bytes) -> None:
        """Watch the size of the message that is coming in; deaf after a breach."""
        if self._deaf or self._answered(data):
            return
        self._finished = False
        super().data_received(data)
        self._unfinished = 0 if self._finished else self._unfinished + len(data)
        if self.handshake_complete and self._unfinished > self._limit + HEADER_BYTES:
            self._cut(1009, "preauth payload too large")

    def _answered(self, data: bytes) -> bool:
        """Whether this is one short call, whole, and got its answer where it came in.

        The parser takes 20 us for what these lines see in one; it gets everything else, and
        this too if it stands inside a frame or a message, or if another message waits.
        """
        if self._at_hand is None or (text := lone_text(data)) is None:
            return False
        conn = self.conn
        between = conn.state is State.OPEN and conn.current_size is None and at_start(conn)
        return between and self.queue.empty() and not self.close_sent and self._at_hand(text)

    def send_receive_event_to_app(self) -> None:
        """Pass a whole message on, unless it is larger than this phase allows, or no text."""
        self._finished = True
        if sum(len(part) for part in self.frames) > self._limit:
            self._cut(1009, "preauth payload too large")
        elif self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self._cut(1007, _FLAWS[1007])
        elif self._limit < MAX_FRAME and self.queue.qsize() > MOST_PENDING:
            self._cut(1008, "too many pending handshake frames")
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer, unless the peer asks and asks and never reads what it is told."""
        if self._deaf:
            return  # it stood behind what it was cut for, in one piece: our side has ended
        if self.buffered() > MAX_BUFFERED:
            self._cut(1008, "slow consumer")
        else:
            super().handle_ping()

    def handle_parser_exception(self) -> None:
        """A frame that breaks the protocol or is too large: say so, then listen no more.

        Closing at once would reset the connection while the peer is still sending, and
        the close frame would be lost with it.
        """
        if self.close_sent:
            self.transport.abort()
            return
        sent = self.conn.close_sent
        code, reason = (1002, "") if sent is None else (sent.code, sent.reason)
        reason = reason or _FLAWS.get(code, "bad frame")
        self._deaf = True
        self.stop_keepalive()
        self._end_with(code, reason)
        self._half_close()

    def _cut(self, code: int, reason: str) -> None:
        if not self.close_sent:
            self._deaf = True
            self.end(code, reason)
            self._half_close()

    def _half_close(self) -> None:
        # What still comes is read and thrown away; the peer sees the end of our side.
        with contextlib.suppress(OSError, NotImplementedError, RuntimeError):
            self.transport.write_eof()

    def shutdown(self) -> None:
        """The server stops: never without a reason (§6)."""
        if self.handshake_complete and not self.close_sent:
            self.end(1012, "service restart")
        else:
            super().shutdown()


def _head(text: bytes) -> bytes:
    """What stands before a whole text frame of a server (RFC 6455 §5.2)."""
    size = len(text)
    if size < _LONG:
        return bytes((_WHOLE_TEXT, size))
    if size < _LONGER:
        return b"\x81\x7e" + size.to_bytes(2)
    return b"\x81\x7f" + size.to_bytes(8)


def lone_text(data: bytes) -> bytes | None:
    """The payload, if these bytes are exactly one short text frame of a client (RFC 6455 §5.2)."""
    size = len(data) - 6
    if not (0 < size < _LONG and data[0] == _WHOLE_TEXT and data[1] == _MASKED | size):
        return None
    return apply_mask(data[6:], data[2:6])


def at_start(conn: Protocol) -> bool:
    """Whether the parser waits for the first byte of a frame.

    Its buffer does not tell: a head it took out may be all that came of a frame. Not knowing
    is no: then the parser gets everything.
    """
    at: object = conn.parser
    while (further := getattr(at, "gi_yieldfrom", None)) is not None:
        at = further
    return getattr(at, "__name__", "") == "at_eof"


def _is_text(parts: Sequence[bytes]) -> bool:
    whole = parts[0] if len(parts) == 1 else b"".join(parts)
    try:
        whole.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Patience:
    """Mixed into uvicorn's HTTP class: a request has to be whole in time, and of a decent size.

    uvicorn itself waits for ever for the first request of a connection, and its faster parser
    puts no limit on headers.
    """

    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        """Start the watch."""
        super().connection_made(transport)  # type: ignore[misc]  # of the class it is mixed into
        self._answered: object = None
        self._heard, self._tail = 0, b""
        self.loop.call_later(REQUEST_SECONDS, self._look)

    def data_received(self: Any, data: bytes) -> None:
        """Count what comes of a request's head; what its body may hold is its page's business."""
        if self.cycle is self._answered or self.cycle.response_complete:
            end = (self._tail + data).find(b"\r\n\r\n")  # it may come in two parts
            self._heard += len(data) if end < 0 else max(end - len(self._tail), 0)
            self._tail = data[-3:]
            if self._heard > REQUEST_BYTES:
                self._refuse("431 Request Header Fields Too Large", "the request is too large")
                return
        before = self.cycle
        super().data_received(data)  # type: ignore[misc]  # as above
        if self.cycle is not before:
            self._heard, self._tail = 0, b""

    def _look(self: Any) -> None:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # gone, or a WebSocket by now
        if self.cycle is self._answered:
            self._refuse("408 Request Timeout", f"no request within {REQUEST_SECONDS:.0f} s")
            return
        if self.cycle.response_complete:
            self._answered = self.cycle
        self.loop.call_later(REQUEST_SECONDS, self._look)

    def _refuse(self: Any, status: str, words: str) -> None:
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
            body = f"Content-Length: {len(words)}\r\n\r\n{words}"
            self.transport.write((head + body).encode())
            self.transport.close()


_Http: Final = type("GatewayHttp", (_Patience, AutoHTTPProtocol), {})


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own signals and its ten wake-ups a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.bound = asyncio.Event()
        self.stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to `gateway.app.leaving`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept from now on."""
        await super().startup(sockets)
        self.bound.set()

    async def main_loop(self) -> None:
        """Nothing to do until the end."""
        await self.on_tick(0)
        await self.stopping.wait()


class Server:
    """Listens until stopped; use as an async context manager."""

    def __init__(self, *, websocket: App, http: App, sockets: Sequence[socket.socket]) -> None:
        self._sockets = list(sockets)
        self.port: int = self._sockets[0].getsockname()[1]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await (websocket if scope["type"] == "websocket" else http)(scope, receive, send)

        config = uvicorn.Config(
            app,
            http=_Http,
            ws=GatewaySocket,
            ws_max_size=MAX_FRAME,
            ws_per_message_deflate=False,  # offered by clients, optional, and slow
            ws_ping_interval=30,
            ws_ping_timeout=60,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,  # the judge reads them itself (§4.3)
            lifespan="off",
            backlog=BACKLOG,
            timeout_graceful_shutdown=2,
        )
        self._uvicorn = _Uvicorn(config)
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Server:
        self._serving = asyncio.create_task(
            self._uvicorn.serve(sockets=self._sockets), name="server"
        )
        bound = asyncio.create_task(self._uvicorn.bound.wait(), name="server bound")
        await asyncio.wait({self._serving, bound}, return_when=asyncio.FIRST_COMPLETED)
        bound.cancel()
        if self._serving.done():
            self._serving.result()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close what is still open (1012), then the port."""
        self._uvicorn.stopping.set()
        if self._serving is not None:
            await self._serving


def bind(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Open the port on every host; port 0 picks one and uses it for all.

    IPv6 may be absent from a machine, so its own names for itself are passed over where they
    do not exist; an address somebody named never is, nor a port that is taken.
    """
    sockets: list[socket.socket] = []
    try:
        for host in hosts:
            try:
                bound = _bind_one(host, sockets[0].getsockname()[1] if sockets else port)
            except OSError as error:
                if host not in _IF_THERE or not sockets or error.errno == errno.EADDRINUSE:
                    raise _not_bound(host, port, error) from error
                log.info("address is not available", extra={"host": host})
            else:
                sockets.append(bound)
    except OwnershipRefused:
        for bound in sockets:
            bound.close()
        raise
    return sockets


def _bind_one(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol left at 0 asyncio does not switch Nagle's delay off: 40 ms an answer.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)  # it is ours from here on; who connects now is answered in a moment
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _not_bound(host: str, port: int, error: OSError) -> OwnershipRefused:
    if error.errno == errno.EADDRINUSE:
        owner = lock.listener(port)
        whose = f" by pid {owner[0]} ({owner[1]})" if owner else ""
        return OwnershipRefused(
            f"port {port} is in use{whose}. Choose --port, or --force to stop it",
            fix=f"engine gateway --port {port % _LAST_PORT + 1}",
            port=port,
        )
    url = f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"
    return OwnershipRefused(
        f"failed to bind gateway socket on {url}",
        why=error.strerror or str(error),
        fix="engine config set gateway.bind loopback"
        if error.errno == errno.EADDRNOTAVAIL
        else "engine gateway --port 18789",
        port=port,
    )
