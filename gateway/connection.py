"""One socket, one protocol object: moves text between them and owns the handshake timeout."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol, assert_never
from uuid import uuid4

from engine.clock import Clock
from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.peer import Peer
from gateway.fanout import Fanout
from gateway.protocol import errors, frames, methods, roles
from gateway.protocol.absent import ABSENT, CODE as ABSENT_CODE
from gateway.protocol.errors import Code, Refusal, WireError
from gateway.protocol.frames import BadFrame, NotJson, Request
from gateway.protocol.handshake import (
    TIMEOUT,
    Close,
    Do,
    Handshake,
    Phase,
    Send,
    Session,
    Step,
    Wait,
)
from gateway.protocol.methods import Scope
from gateway.rpc import table
from gateway.rpc.desk import Call, Desk
from jobs.errors import EngineError

log = logging.getLogger(__name__)

SLOW: Final = timedelta(milliseconds=50)
# These wait: for a turn, a beat, a platform, a person, or for the whole store to be read.
PATIENT: Final = frozenset(
    {
        "agent", "agent.wait", "chat.send", "channels.start", "channels.status", "channels.stop",
        "config.apply", "config.patch", "config.set", "cron.import", "cron.run", "cron.simulate",
        "health", "heartbeat.run", "heartbeat.test", "message.action", "secrets.reload", "send",
        "sessions.create", "sessions.reset", "sessions.send", "status", "tools.invoke", "wake",
    }
)  # fmt: skip
WIRE: Final = "engine.wire"  # where the server puts the `Wire` into the scope

LOGGED: Final = 4_000  # characters of a frame in the log

Scopes = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Transmit = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Wire(Protocol):
    """The socket as the server gives it. Nothing here blocks."""

    def write(self, text: str) -> None:
        """Queue one text frame; a closed socket swallows it."""

    def write_all(self, texts: Sequence[bytes]) -> None:
        """Queue text frames that are bytes already, in one write."""

    def buffered(self) -> int:
        """Bytes the peer has not taken yet."""

    def widen(self) -> None:
        """The client is in: allow frames of the full size."""

    def offer(self, at_hand: Callable[[bytes], bool]) -> None:
        """Ask this of every message first; what it says no to is received as ever."""

    def end(self, code: int, reason: str) -> None:
        """Close with a code and a reason; a peer that does not answer is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """protocol.md §6 and §14."""

    handshake: timedelta = TIMEOUT
    waiting_per_address: int = 32
    wait_for_place: timedelta = timedelta(seconds=1)
    in_flight: int = 64


@dataclass(slots=True)
class Places:
    """Sockets before hello, per address. A storm of honest clients waits; it is not refused.

    Whoever waits is refused once nobody has come through for ``wait``: then the places are
    held by sockets that say nothing, and not by a crowd.
    """

    limit: int
    wait: timedelta
    _free: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _users: dict[str, int] = field(default_factory=dict)
    _through: dict[str, int] = field(default_factory=dict)

    async def take(self, address: str) -> bool:
        """A place, or False after the wait."""
        free = self._free.setdefault(address, asyncio.Semaphore(self.limit))
        self._users[address] = self._users.get(address, 0) + 1
        taken = False
        try:
            seen = -1
            while not taken and seen != self._through.get(address, 0):
                seen = self._through.get(address, 0)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.wait.total_seconds()):
                        taken = await free.acquire()
        finally:
            if not taken:
                self._leave(address)
        return taken

    def give_back(self, address: str) -> None:
        """The client is in, or gone."""
        self._free[address].release()
        self._through[address] = self._through.get(address, 0) + 1
        self._leave(address)

    def _leave(self, address: str) -> None:
        self._users[address] -= 1
        if not self._users[address]:
            del self._users[address], self._free[address]
            self._through.pop(address, None)


@dataclass(slots=True, kw_only=True)
class Door:
    """Lets clients in: the ASGI application for WebSockets."""

    desk: Desk
    gatekeeper: Gatekeeper
    fanout: Fanout
    clock: Clock
    hello: Callable[[Session], Mapping[str, Any]]
    phase: Callable[[], Phase]
    limits: Limits = field(default_factory=Limits)
    ws_log: str = "auto"  # `--ws-log`: compact tells of each frame, full what it says
    _places: Places = field(init=False)
    _waiting: set[Wire] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._places = Places(self.limits.waiting_per_address, self.limits.wait_for_place)

    async def __call__(self, scope: Scopes, receive: Receive, send: Transmit) -> None:
        """Serve one socket from upgrade to close."""
        if scope["path"] in ABSENT:
            await _absent(send, ABSENT[scope["path"]])
            return
        peer = peer_of(scope)
        if not await self._places.take(peer.host):
            await _no_place(send)
            return
        held = True
        wire: Wire = scope["extensions"][WIRE]
        try:
            session = await self._greet(wire, peer, receive, send)
            self._places.give_back(peer.host)
            held = False
            if session is not None:
                await self._talk(session, wire, peer, receive)
        except Exception:
            log.exception("connection failed", extra={"peer": peer.host})
            wire.end(1011, "internal error in the gateway")
        finally:
            if held:
                self._places.give_back(peer.host)

    def close_all(self, code: int, reason: str) -> None:
        """Close every socket, also those that have not said hello."""
        for wire in tuple(self._waiting):
            wire.end(code, reason)
        self.fanout.close_all(code, reason)

    async def _greet(
        self, wire: Wire, peer: Peer, receive: Receive, send: Transmit
    ) -> Session | None:
        await receive()  # websocket.connect
        try:
            await send({"type": "websocket.accept"})
        except OSError:
            return None  # it has hung up before it was let in: nothing of ours is broken
        handshake = Handshake(
            conn_id=str(uuid4()),
            nonce=str(uuid4()),
            judge=lambda connect, nonce, now: self.gatekeeper.judge(connect, nonce, now, peer),
            hello=self.hello,
            phase=self.phase,
            stands=partial(self.gatekeeper.stands, by=self.gatekeeper.policy),
        )
        wire.write(handshake.challenge(self.clock.now()).text)
        self._waiting.add(wire)
        try:
            async with asyncio.timeout(self.limits.handshake.total_seconds()):
                return await self._shake(handshake, wire, peer, receive)
        except TimeoutError:
            log.info("handshake timed out", extra={"peer": peer.host})
            wire.end(1008, "handshake timeout")
            return None
        finally:
            self._waiting.discard(wire)

    async def _shake(
        self, handshake: Handshake, wire: Wire, peer: Peer, receive: Receive
    ) -> Session | None:
        while (session := handshake.session) is None:
            raw = _raw(await receive())
            if raw is None:
                return None
            for step in handshake.receive(raw, self.clock.now()):
                if not await self._step(step, handshake, wire, peer):
                    return None
        wire.widen()
        self.fanout.join(session, wire)
        return session

    async def _step(self, step: Step, handshake: Handshake, wire: Wire, peer: Peer) -> bool:
        """Do one step; False when it was the last."""
        match step:
            case Send(text):
                wire.write(text)
            case Wait(length):
                await self.clock.sleep_until(self.clock.now() + length)
            case Do(work):
                return await self._done(work, handshake, wire, peer)
            case Close(code, reason):
                _log_refusal(step, peer)
                wire.end(code, reason)
                return False
            case _:
                assert_never(step)
        return True

    async def _done(
        self, work: Callable[[], Awaitable[None]], handshake: Handshake, wire: Wire, peer: Peer
    ) -> bool:
        """Write what has to be on the disk before the client is told of it.

        Meanwhile it may have been sent away: nobody could close a socket that was not in yet.
        """
        amiss: WireError | None = None
        try:
            await work()
        except EngineError as error:
            log.warning("a device was not written", extra={"because": str(error)})
            amiss = errors.from_engine_error(error)
        else:
            session = handshake.session
            if session is not None and not handshake.stands(session):
                amiss = errors.changed_meanwhile()
        if amiss is None:
            return True
        for step in handshake.undone(amiss):
            await self._step(step, handshake, wire, peer)
        return False

    async def _talk(self, session: Session, wire: Wire, peer: Peer, receive: Receive) -> None:
        log.debug("client connected", extra={"client": session.name, "conn_id": session.conn_id})
        if self.desk.presence.connected(session, peer.host, self.clock.now()):
            self.desk.announce_presence()
        line = _Line(self, session, wire, peer.host)
        wire.offer(line.at_hand)
        try:
            while (raw := _raw(await receive())) is not None:
                await line.take(raw)
        finally:
            self.fanout.leave(session)
            self.desk.subscriptions.leave(session.conn_id)
            if self.desk.presence.disconnected(session, self.clock.now()):
                self.desk.announce_presence()
            log.debug("client left", extra={"client": session.name, "conn_id": session.conn_id})


@dataclass(slots=True)
class _Line:
    """A client that is in: frames to handlers, answers back, at most 64 at a time."""

    door: Door
    session: Session
    wire: Wire
    address: str
    in_flight: int = 0
    strayed: int = 0  # calls in a row that are not of its role
    garbled: int = 0  # frames that were not JSON

    def at_hand(self, raw: bytes) -> bool:
        """Answer a call whose answer stands ready; False: it has to go the long way.

        Four of five calls a gateway gets are of these few methods, and nobody waits in them:
        no task is woken, and the socket need not be paused meanwhile.
        """
        if self.door.ws_log != "auto":
            return False
        request = frames.decode(raw)
        if not isinstance(request, Request) or request.params:
            return False
        ready = table.AT_HAND.get(request.method)
        if ready is None or self.session.role != "operator":
            return False
        if self._may_not(request.method, methods.METHODS[request.method]) is not None:
            return False
        answer = ready(self.door.desk)
        if answer is None:
            return False
        self.strayed = 0
        self._tell("client asks", raw, method=request.method)
        self.write(frames.response(request.id, answer))
        return True

    async def take(self, raw: str | bytes) -> None:
        """Take one frame; what it asks for runs beside the next."""
        match frames.decode(raw):
            case NotJson():
                self.garbled += 1
                if self.garbled == 1:  # a client that goes on is not told of again
                    log.warning("a frame was not JSON", extra={"conn_id": self.session.conn_id})
            case BadFrame(frame_id, reason):
                message = f"invalid request frame: {reason}"
                self._refuse(frame_id, WireError(Code.INVALID_REQUEST, message))
            case Request() as request:
                self._tell("client asks", raw, method=request.method)
                await self._request(request)

    async def _request(self, request: Request) -> None:
        method = methods.offered(request.method, self.session.protocol)
        if not roles.may_call(self.session.role, request.method):
            self._strays(request)
            return
        self.strayed = 0
        if (error := self._may_not(request.method, method)) is not None:
            self._refuse(request.id, error)
        elif method is None:
            self._refuse(request.id, errors.unknown_method(request.method, methods.METHODS))
        elif method.name in table.AT_HAND:  # soon enough: its place in the line is kept
            await self._answer(request, method)
        elif self.in_flight >= self.door.limits.in_flight:
            self._refuse(request.id, errors.busy())
        else:
            self.in_flight += 1
            task = self.door.desk.tasks.spawn(self._answer(request, method), request.method)
            task.add_done_callback(self._answered)

    def _strays(self, request: Request) -> None:
        message = f"unauthorized role: {self.session.role}"
        self._refuse(request.id, WireError(Code.INVALID_REQUEST, message))
        self.strayed += 1
        if self.strayed > roles.MOST_UNAUTHORIZED:
            self.wire.end(1008, "repeated unauthorized calls")

    def _answered(self, _: asyncio.Task[None]) -> None:
        self.in_flight -= 1

    def _may_not(self, name: str, method: methods.Method | None) -> WireError | None:
        if name == "connect":
            return WireError(Code.INVALID_REQUEST, "connect is only valid as the first request")
        needed = Scope.ADMIN if method is None else method.scope
        if needed is not None and not methods.allows(self.session.scopes, needed):
            return errors.missing_scope(needed, self.session.protocol)
        phase = self.door.phase()
        return _not_now(name, method, phase)

    async def _answer(self, request: Request, method: methods.Method) -> None:
        call = Call(self.session, self.write, request.id, self.address)
        began = self.door.clock.monotonic()
        try:
            params = methods.parse_params(method, request.params)
            payload = await table.answer(self.door.desk, method, call, params)
        except Refusal as refusal:
            self._refuse(request.id, refusal.error)
        except EngineError as error:
            self._refuse(request.id, errors.from_engine_error(error))
        except Exception:
            log.exception("a method failed", extra={"method": method.name})
            self._refuse(request.id, errors.internal(method.name))
        else:
            if payload is not table.ANSWERED:
                self.write(frames.response(request.id, payload))
            if (farewell := self.door.desk.farewells.pop(self.session.conn_id, None)) is not None:
                self.wire.end(4001, farewell)
        self._slow(method.name, self.door.clock.monotonic() - began)

    def _slow(self, method: str, took: timedelta) -> None:
        """Log a call that took long, unless it is one that waits for somebody."""
        if took >= SLOW and method not in PATIENT:
            ms = took // timedelta(milliseconds=1)
            log.info(
                "a call was slow",
                extra={"method": method, "ms": ms, "conn_id": self.session.conn_id},
            )

    def _refuse(self, request_id: str, error: WireError) -> None:
        self.write(frames.failure(request_id, error.to_wire()))

    def _tell(self, what: str, frame: str | bytes, **facts: str) -> None:
        """Log a frame if the operator asked for that; what it says only with `full`."""
        if self.door.ws_log == "auto":
            return
        if self.door.ws_log == "full":
            text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
            facts["frame"] = text[:LOGGED]
        log.info(what, extra={"conn_id": self.session.conn_id, "bytes": len(frame), **facts})

    def write(self, text: str) -> None:
        """Queue an answer; a reader that lets 50 MiB pile up is cut (§6)."""
        self._tell("gateway answers", text)
        self.door.fanout.settle(self.session.conn_id)
        if self.wire.buffered() + len(text) > frames.MAX_BUFFERED:
            self.wire.end(1008, "slow consumer")
        else:
            self.wire.write(text)


def _not_now(name: str, method: methods.Method | None, phase: Phase) -> WireError | None:
    """Why a method is not served in this phase of the gateway's life, if it is not."""
    match phase:
        case Phase.READY:
            return None
        case Phase.SUSPENDED:
            answers = method is not None and method.while_suspended
            return None if answers else errors.suspended(name)
        case Phase.STARTING:
            early = method is None or method.before_ready
            return None if early else errors.starting(name)
        case Phase.DRAINING:
            late = method is None or method.before_ready
            return None if late else errors.leaving(name)
        case _:
            assert_never(phase)


def _log_refusal(refusal: Close, peer: Peer) -> None:
    """Tell of it once: who guesses on while locked out fills no log."""
    facts = {"peer": peer.host, "reason": refusal.reason}
    if refusal.note is not None:
        log.warning("client refused", extra={**facts, "then": refusal.note})
    elif not refusal.quiet:
        log.info("client refused", extra=facts)


def peer_of(scope: Scopes) -> Peer:
    """Address and headers of the request behind a scope."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = bytes(raw_name).decode("latin-1").lower(), bytes(raw_value).decode("latin-1")
        # A header that comes twice is one list: whoever sends it twice hides nothing.
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    client = scope.get("client")
    return Peer(host=client[0] if client else "", headers=headers)


def _raw(message: Mapping[str, Any]) -> str | bytes | None:
    """The message of a socket, or None when it is gone."""
    if message["type"] != "websocket.receive":
        return None
    text: str | None = message.get("text")
    if text is not None:
        return text
    data: bytes = message["bytes"]
    return data


async def _absent(send: Transmit, words: str) -> None:
    told = {"error": {"message": words, "type": "not_found", "code": ABSENT_CODE}}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
    body = frames.encode(told).encode()
    await send({"type": "websocket.http.response.body", "body": body})


async def _no_place(send: Transmit) -> None:
    body = b"too many connections before hello from this address; try again in a moment"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"1")]
    await send({"type": "websocket.http.response.start", "status": 503, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
