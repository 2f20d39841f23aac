"""RPC client for the command line and tests: one socket, one call after another.

It speaks plain JSON and imports neither pydantic nor asyncio, because every command pays
for what is imported here. Which address and credential to use is the caller's business.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event as Pause
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import jobs.errors
from gateway.protocol.address import host_of, is_loopback
from jobs.errors import (
    AccessRefused,
    EngineError,
    GatewayDown,
    InvalidInput,
    NotFound,
    Suspended,
    TimedOut,
)

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

PROTOCOLS: Final = (3, 4)
MAX_FRAME: Final = 26_214_400
ALL_SCOPES: Final = (
    "operator.admin",
    "operator.read",
    "operator.write",
    "operator.approvals",
    "operator.pairing",
)
DEFAULT_TIMEOUT: Final = timedelta(seconds=30)
START: Final = "engine gateway"
STATUS: Final = "engine gateway status"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event frame."""

    name: str
    payload: Any
    seq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How the client introduces itself (protocol.md §3.1). `cli`/`cli` keeps its scopes."""

    id: str = "cli"
    mode: str = "cli"
    version: str = "0.1.0"
    platform: str = "python"
    scopes: tuple[str, ...] = ALL_SCOPES
    caps: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)  # displayName, instanceId …


CLI: Final = Identity()


class Client:
    """A connection to a running gateway; use it as a context manager.

    Every refusal is an `EngineError` with its exit status: `GatewayDown` (3),
    `AccessRefused` (4), `TimedOut` (5), `NotFound` (6), and for anything else the class
    the gateway named. Events nobody has asked for yet are kept up to ``MOST_KEPT``, the newest;
    their ``seq`` shows what is gone.
    """

    MOST_KEPT: ClassVar[int] = 10_000

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        password: str | None = None,
        timeout: timedelta = DEFAULT_TIMEOUT,
        greeting: timedelta | None = None,  # how long it may take to get in; None: as an answer
        identity: Identity = CLI,
    ) -> None:
        self.url = url
        self.hello: Mapping[str, Any] = {}
        self._auth = {k: v for k, v in (("token", token), ("password", password)) if v}
        self._timeout = timeout
        self._greeting = greeting or timeout
        self._identity = identity
        self._socket: ClientConnection | None = None
        self._hold = ExitStack()
        self._events: deque[ServerEvent] = deque(maxlen=self.MOST_KEPT)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connect and say hello; waits out a gateway that is still starting."""
        deadline = _Deadline(self._greeting)
        while True:
            self._socket = _dial(self.url, deadline, self._hold)
            try:
                self.hello = self._greet(deadline)
            except _Later as later:
                self.close()
                if deadline.left() <= later.wait:
                    raise later.error from None
                Pause().wait(later.wait)
            except BaseException:
                self.close()
                raise
            else:
                return

    def close(self) -> None:
        """Hang up; safe to call twice."""
        self._socket = None
        with suppress(OSError):
            self._hold.close()

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: timedelta | None = None,
        final: bool = False,
    ) -> Any:
        """Ask and return the payload. ``final`` waits for the second answer of `agent`."""
        deadline = _Deadline(timeout or self._timeout)
        request_id = self._ask(method, params)
        while True:
            frame = self._answer(request_id, deadline, f"{method} did not answer")
            if not frame.get("ok"):
                raise _refused(method, frame.get("error") or {})
            payload = frame.get("payload")
            if final and isinstance(payload, Mapping) and payload.get("status") == "accepted":
                continue
            return payload

    def events(
        self, names: Collection[str] | None = None, *, timeout: timedelta | None = None
    ) -> Iterator[ServerEvent]:
        """Yield events as they come; ends when ``timeout`` passes in silence.

        A gateway that leaves raises `GatewayDown` with its reason (`service restart`).
        """
        while True:
            while self._events:
                event = self._events.popleft()
                if names is None or event.name in names:
                    yield event
            try:
                frame = self._receive(None if timeout is None else _Deadline(timeout), "no event")
            except TimedOut:
                return
            self._keep(frame)

    def _ask(self, method: str, params: Mapping[str, Any] | None) -> str:
        request_id = str(uuid.uuid4())
        frame: dict[str, Any] = {"type": "req", "id": request_id, "method": method}
        if params is not None:
            frame["params"] = params
        self._send(json.dumps(frame, ensure_ascii=False))
        return request_id

    def _send(self, text: str) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            self._open_socket().send(text)
        except ConnectionClosed as gone:
            raise _closed(self.url, gone) from gone

    def _answer(self, request_id: str, deadline: _Deadline, what: str) -> Mapping[str, Any]:
        while True:
            frame = self._receive(deadline, what)
            if frame.get("type") == "res" and frame.get("id") == request_id:
                return frame
            self._keep(frame)

    def _keep(self, frame: Mapping[str, Any]) -> None:
        if frame.get("type") == "event":
            self._events.append(
                ServerEvent(str(frame.get("event")), frame.get("payload"), frame.get("seq"))
            )

    def _receive(self, deadline: _Deadline | None, what: str) -> Mapping[str, Any]:
        from websockets.exceptions import ConnectionClosed

        try:
            text = self._open_socket().recv(None if deadline is None else deadline.left())
        except TimeoutError as late:
            raise TimedOut(
                what,
                why=f"no answer from {self.url} within {self._seconds(deadline)}",
                fix=STATUS,
            ) from late
        except ConnectionClosed as gone:
            raise _closed(self.url, gone) from gone
        frame = json.loads(text)
        if not isinstance(frame, dict):
            raise GatewayDown(
                f"{self.url} is not a gateway", why="it sent a frame that is no object", fix=STATUS
            )
        return frame

    @staticmethod
    def _seconds(deadline: _Deadline | None) -> str:
        return "the wait" if deadline is None else f"{deadline.length.total_seconds():g} s"

    def _open_socket(self) -> ClientConnection:
        if self._socket is None:
            raise GatewayDown("the connection is closed", why="close() was called", fix="open()")
        return self._socket

    def _greet(self, deadline: _Deadline) -> Mapping[str, Any]:
        challenge = self._receive(deadline, "the gateway did not greet")
        if challenge.get("event") != "connect.challenge":
            raise GatewayDown(
                f"{self.url} is not a gateway", why="it did not send a challenge", fix=STATUS
            )
        who = self._identity
        request_id = self._ask(
            "connect",
            {
                "minProtocol": min(PROTOCOLS),
                "maxProtocol": max(PROTOCOLS),
                "client": {
                    "id": who.id,
                    "mode": who.mode,
                    "version": who.version,
                    "platform": who.platform,
                    **who.extra,
                },
                "role": "operator",
                "scopes": list(who.scopes),
                "caps": list(who.caps),
                "auth": self._auth,
            },
        )
        frame = self._answer(request_id, deadline, "the gateway did not say hello")
        if frame.get("ok"):
            return dict(frame.get("payload") or {})
        error = frame.get("error") or {}
        if error.get("retryable") and error.get("code") == "UNAVAILABLE":
            wait = min(max(int(error.get("retryAfterMs") or 500), 100), 2000) / 1000
            raise _Later(wait, _refused("connect", error))
        raise _not_admitted(self.url, error)


class LastingClient(Client):
    """A `Client` that comes back: after a restart of the gateway it connects again by itself.

    A call that was cut off is repeated if that can do no harm: what only reads, and what
    carries an ``idempotencyKey`` (protocol.md §8). Of anything else nobody knows whether it
    was done: `GatewayDown` is raised. `events` goes on, after an event `reconnected`: what
    was told meanwhile is not replayed (§7.1).
    """

    FIRST_WAIT: ClassVar[float] = 0.1  # seconds; doubled up to the longest
    LONGEST_WAIT: ClassVar[float] = 5.0

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: timedelta | None = None,
        final: bool = False,
    ) -> Any:
        """Ask and return the payload; connects again if need be, within ``timeout``."""
        deadline = _Deadline(timeout or self._timeout)
        while True:
            if self._socket is None:
                self._again(deadline)
            left = timedelta(seconds=deadline.left())
            try:
                return super().call(method, params, timeout=left, final=final)
            except GatewayDown:
                self.close()
                if not repeatable(method, params):
                    raise

    def events(
        self, names: Collection[str] | None = None, *, timeout: timedelta | None = None
    ) -> Iterator[ServerEvent]:
        """Yield events as they come, over restarts; ends when ``timeout`` passes in silence."""
        while True:
            if self._socket is None:
                self._again(_Deadline(timeout or self._timeout))
                yield ServerEvent("reconnected", dict(self.hello), None)
            try:
                yield from super().events(names, timeout=timeout)
            except GatewayDown:
                self.close()
            else:
                return

    def _again(self, deadline: _Deadline) -> None:
        wait = self.FIRST_WAIT
        while True:
            try:
                self.open()
            except GatewayDown:
                if deadline.left() <= wait:
                    raise
                Pause().wait(wait)
                wait = min(2 * wait, self.LONGEST_WAIT)
            else:
                return


_READS: Final = (".list", ".get", ".status", ".history", ".show", ".explain", ".next", ".audit")
_READ: Final = frozenset({"health", "status", "system-presence", "last-heartbeat", "logs.tail"})


def repeatable(method: str, params: Mapping[str, Any] | None) -> bool:
    """Whether a call may be made twice without being done twice."""
    keyed = bool(params and params.get("idempotencyKey"))
    return keyed or method in _READ or method.endswith(_READS)


def call(
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    url: str,
    token: str | None = None,
    password: str | None = None,
    timeout: timedelta = DEFAULT_TIMEOUT,
    final: bool = False,
) -> Any:
    """Open, ask one thing, hang up."""
    with Client(url, token=token, password=password, timeout=timeout) as client:
        return client.call(method, params, timeout=timeout, final=final)


class _Deadline:
    """Time left of one wait. Monotonic, for timeouts only: nothing is scheduled by it."""

    def __init__(self, length: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self.length = length
        self._clock = clock
        self._end = clock() + length.total_seconds()

    def left(self) -> float:
        return max(0.0, self._end - self._clock())


class _Later(Exception):
    """The gateway is starting or leaving and says when to try again."""

    def __init__(self, wait: float, error: EngineError) -> None:
        super().__init__(str(error))
        self.wait = wait
        self.error = error


def _dial(url: str, deadline: _Deadline, hold: ExitStack) -> ClientConnection:
    from websockets.exceptions import InvalidHandshake, InvalidURI
    from websockets.sync.client import connect

    try:
        connecting = connect(
            url,
            open_timeout=deadline.left(),
            max_size=MAX_FRAME,
            compression=None,
            proxy=None if is_loopback(host_of(url)) else True,
            ping_interval=None,
            close_timeout=1,
        )
        return hold.enter_context(connecting)
    except (InvalidURI, ValueError) as error:
        raise InvalidInput(
            "the gateway address was refused", why=str(error), fix="use ws://HOST:PORT"
        ) from error
    except TimeoutError as error:
        raise TimedOut(
            "the gateway did not answer", why=f"no handshake from {url} in time", fix=STATUS
        ) from error
    except OSError as error:
        why = f"nothing listens on {url} ({error.strerror or error})"
        raise GatewayDown("the gateway is not reachable", why=why, fix=START) from error
    except InvalidHandshake as error:
        raise GatewayDown(
            "the gateway is not reachable", why=f"{url} answered: {error}", fix="engine doctor"
        ) from error


def _closed(url: str, gone: Exception) -> EngineError:
    """Translate an unexpected end of the connection (protocol.md §6)."""
    received = getattr(gone, "rcvd", None)
    if received is None:  # a gateway that ends by itself says so: this one was killed
        return GatewayDown(
            "the gateway went away without a word",
            why=f"{url} hung up: it was killed or its machine lost; what it had accepted is kept",
            fix="engine gateway, which goes on with it, then engine heartbeat last",
        )
    why = f"{url} closed with {received.code}: {received.reason or 'it told nothing more'}"
    if received.code == 1008:
        return AccessRefused("the gateway closed the connection", why=why, fix=STATUS)
    return GatewayDown("the connection was lost", why=why, fix=STATUS)


_ACCESS_FIXES: Final[Mapping[str, str]] = {
    "AUTH_TOKEN_MISSING": "set ENGINE_GATEWAY_TOKEN, or pass --token",
    "AUTH_TOKEN_MISMATCH": "unset ENGINE_GATEWAY_TOKEN, or pass the token of this gateway",
    "AUTH_TOKEN_NOT_CONFIGURED": "set gateway.auth.token, or take it out: then one is made",
    "AUTH_PASSWORD_MISSING": "set ENGINE_GATEWAY_PASSWORD, or pass --password",
    "AUTH_PASSWORD_MISMATCH": "pass the password of this gateway",
    "AUTH_RATE_LIMITED": "wait five minutes, then try again with the right credential",
    "PAIRING_REQUIRED": "approve this device on the gateway's host",
}


def _not_admitted(url: str, error: Mapping[str, Any]) -> EngineError:
    details = error.get("details") or {}
    fix = details.get("fix") or _ACCESS_FIXES.get(str(details.get("code")), STATUS)
    message = str(error.get("message") or error.get("code"))
    return AccessRefused(
        "the gateway refused the connection", why=f"{url}: {message}", fix=str(fix), error=error
    )


_BY_CODE: Final[Mapping[str, type[EngineError]]] = {
    cls.code: cls
    for cls in vars(jobs.errors).values()
    if isinstance(cls, type) and issubclass(cls, EngineError)
}


def _refused(method: str, error: Mapping[str, Any]) -> EngineError:
    """The `EngineError` behind a wire error: the class the gateway named, else by code."""
    details = error.get("details") or {}
    message = str(error.get("message") or error.get("code") or "refused")
    if (cls := _BY_CODE.get(str(details.get("engineCode")))) is not None:
        return cls(
            str(details.get("what") or message),
            why=str(details.get("why") or ""),
            fix=str(details.get("fix") or ""),
            error=error,
        )
    what = f"{method} was refused"
    fix = str(details.get("fix") or "")
    code = str(details.get("code") or error.get("code"))
    if error.get("code") == "FORBIDDEN" or message.startswith("missing scope"):
        return AccessRefused(what, why=message, fix=fix, error=error)
    if details.get("reason") == "gateway-restarting":  # it answers nobody any more
        return GatewayDown("the gateway is leaving", why=message, fix=fix or STATUS, error=error)
    if details.get("reason") == "gateway-suspending":
        return Suspended(what, why=message, fix=fix, error=error)
    if code.endswith("NOT_FOUND") or code == "UNKNOWN_AGENT_ID":
        return NotFound(what, why=message, fix=fix, error=error)
    if error.get("code") == "INVALID_REQUEST":
        return InvalidInput(what, why=message, fix=fix, error=error)
    if error.get("code") == "AGENT_TIMEOUT":
        return TimedOut(what, why=message, fix=fix, error=error)
    return EngineError(what, why=message, fix=fix, error=error)
