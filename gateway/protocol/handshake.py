"""connect → hello-ok, or a refusal with words and a close code (protocol.md §3). No sockets.

Who may come in is decided by the ``judge`` that is handed in (`gateway.auth`); this room
knows the order of frames, the versions and the shapes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from gateway.protocol import errors, frames
from gateway.protocol.errors import Code, WireError
from gateway.protocol.frames import BadFrame, Instant, NonEmpty, NotJson, Request
from jobs.wallclock import ms

VERSIONS: Final = (3, 4)
TIMEOUT: Final = timedelta(seconds=15)
# What newer clients ask for before they call: `models.list` tells what there is, with its facts.
CAPABILITIES: Final = ("published-model-catalog",)

ClientId = Literal[
    "webchat-ui",
    "openclaw-control-ui",
    "openclaw-tui",
    "webchat",
    "cli",
    "gateway-client",
    "openclaw-macos",
    "openclaw-ios",
    "openclaw-android",
    "node-host",
    "test",
    "fingerprint",
    "openclaw-probe",
    "openclaw-browser-copilot",
    "openclaw-linux",
    "openclaw-watchos",
    "openclaw-worker",
]
ClientMode = Literal["webchat", "cli", "ui", "backend", "node", "probe", "test", "worker"]
OwnId = Annotated[str, Field(pattern=r"^engine-[a-z0-9-]{1,64}$")]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class Client(_Closed):
    """Who says it is calling."""

    id: ClientId | OwnId
    version: NonEmpty
    platform: NonEmpty
    mode: ClientMode
    display_name: NonEmpty | None = None
    device_family: NonEmpty | None = None
    model_identifier: NonEmpty | None = None
    instance_id: NonEmpty | None = None
    build_id: Annotated[str, Field(max_length=96)] | None = None
    time_zone: Annotated[str, Field(max_length=64)] | None = None


class Device(_Closed):
    """A device's proof (§4.2)."""

    id: str
    public_key: str
    signature: str
    signed_at: Instant
    nonce: str


class Credentials(_Closed):
    """What the client shows."""

    token: str | None = None
    bootstrap_token: str | None = None
    device_token: str | None = None
    password: str | None = None
    approval_runtime_token: str | None = None
    agent_runtime_identity_token: str | None = None


class Connect(_Closed):
    """The params of `connect` (§3.1)."""

    min_protocol: Annotated[int, Field(ge=1)]
    max_protocol: Annotated[int, Field(ge=1)]
    client: Client
    caps: list[str] = Field(default_factory=list)
    commands: list[str] | None = None
    permissions: dict[str, bool] | None = None
    path_env: str | None = None
    role: str = "operator"
    scopes: list[str] = Field(default_factory=list)
    device: Device | None = None
    auth: Credentials = Field(default_factory=Credentials)
    locale: str | None = None
    user_agent: str | None = None
    computer_use: Any = None
    worker_runs: Any = None
    model_catalog: Any = None


class Phase(StrEnum):
    """How far the gateway's own life has come."""

    STARTING = "starting"
    READY = "ready"
    SUSPENDED = "suspended"  # held by a host; goes on by itself (§10.1)
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Send:
    """Write this frame."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection; the reason is never shorter than ten characters (§6)."""

    code: int
    reason: str
    note: str | None = None  # for the log, beside the reason
    quiet: bool = False  # the log has it already


@dataclass(frozen=True, slots=True)
class Do:
    """Finish this before the next step; if it fails, say `Handshake.undone` instead of it."""

    work: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Wait:
    """Hold the next step back: who guesses is answered later and later (§4.7)."""

    length: timedelta


@dataclass(frozen=True, slots=True)
class Issued:
    """A device token for `hello-ok` (§4.4)."""

    token: str = field(repr=False)
    at: datetime
    role: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The judge lets the client in with these rights."""

    scopes: tuple[str, ...]
    method: str
    device_id: str | None = None
    ceiling: tuple[str, ...] = ()  # what it could have asked for: nobody hands out more
    issued: Issued | None = None
    work: Callable[[], Awaitable[None]] | None = None  # what has to be on the disk first


@dataclass(frozen=True, slots=True)
class Refused:
    """The judge does not. The message is the close reason too (§5.2)."""

    error: WireError
    reason: str | None = None  # of the close, where it is more than the message
    work: Callable[[], Awaitable[None]] | None = None
    delay: timedelta = timedelta()
    note: str | None = None  # for the log, once
    quiet: bool = False  # one of many: the log has the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A client that is in."""

    conn_id: str
    protocol: int
    client: Client
    role: str
    scopes: tuple[str, ...]
    caps: frozenset[str]
    auth_method: str
    device_id: str | None = None
    ceiling: tuple[str, ...] = ()
    issued: Issued | None = None

    @property
    def ephemeral(self) -> bool:
        """One-shot clients leave no presence (§7.2)."""
        return (self.client.id, self.client.mode) == ("cli", "cli") or (
            self.client.mode == "probe" or self.client.id == "gateway-client"
        )

    @property
    def name(self) -> str:
        """How records name this caller."""
        return self.client.display_name or self.client.id


Judge = Callable[[Connect, str, datetime], Granted | Refused]  # connect, nonce, now
Step = Send | Close | Do | Wait


@dataclass(slots=True)
class Handshake:
    """One socket before hello. Feed it text; do what it says; read `session` when it is set."""

    conn_id: str
    nonce: str
    judge: Judge
    hello: Callable[[Session], Mapping[str, Any]]
    phase: Callable[[], Phase]
    stands: Callable[[Session], bool] = lambda _: True  # the verdict, after a wait for the disk
    session: Session | None = field(default=None, init=False)
    frame_id: str = field(default="invalid", init=False)  # of the connect

    def challenge(self, now: datetime) -> Send:
        """The first frame, unprompted. Newer clients copy ``ts`` into their signature."""
        payload = {"nonce": self.nonce, "ts": ms(now), "capabilities": []}
        return Send(frames.event("connect.challenge", frames.encode(payload)))

    def receive(self, raw: str | bytes, now: datetime) -> Sequence[Step]:
        """Take one frame."""
        size = len(raw) if isinstance(raw, bytes) else len(raw.encode())
        if size > frames.MAX_FRAME_BEFORE_HELLO:
            return [Close(1009, "preauth payload too large")]
        match frames.decode(raw):
            case NotJson():
                return [Close(1008, "invalid frame: not JSON")]
            case BadFrame(frame_id, reason):
                message = f"invalid request frame: {reason}"
                return _refuse(frame_id, WireError(Code.INVALID_REQUEST, message))
            case Request(frame_id, "connect", params):
                return self._connect(frame_id, params, now)
            case Request(frame_id):
                message = "invalid handshake: first request must be connect"
                return _refuse(frame_id, WireError(Code.INVALID_REQUEST, message))

    def _connect(self, frame_id: str, params: object, now: datetime) -> Sequence[Step]:
        self.frame_id = frame_id
        try:
            connect = Connect.model_validate(params)
        except ValidationError as error:
            message = f"invalid connect params: {frames.reasons(error)}"
            details = {"path": frames.paths(error)[0]}
            return _refuse(frame_id, WireError(Code.INVALID_REQUEST, message, details))
        if (closed := self._not_open(frame_id)) is not None:
            return closed
        protocol = _common(connect)
        if protocol is None:
            return _mismatch(frame_id, connect)
        if connect.role not in ("operator", "node"):
            message = f"invalid role: {connect.role}"
            return _refuse(frame_id, WireError(Code.INVALID_REQUEST, message), "invalid role")
        verdict = self.judge(connect, self.nonce, now)
        if isinstance(verdict, Refused):
            return self._refused(frame_id, verdict)
        if self.phase() is Phase.SUSPENDED and not _may_ask_of_it(verdict):
            return _refuse(frame_id, errors.suspended(), code=1013)
        self.session = Session(
            conn_id=self.conn_id,
            protocol=protocol,
            client=connect.client,
            role=connect.role,
            scopes=verdict.scopes,
            caps=frozenset(connect.caps),
            auth_method=verdict.method,
            device_id=verdict.device_id,
            ceiling=verdict.ceiling or verdict.scopes,
            issued=verdict.issued,
        )
        first = [] if verdict.work is None else [Do(verdict.work)]
        return [*first, Send(frames.response(frame_id, self.hello(self.session)))]

    def _refused(self, frame_id: str, verdict: Refused) -> Sequence[Step]:
        steps: list[Step] = []
        if verdict.work is not None:
            steps.append(Do(verdict.work))
        if verdict.delay:
            steps.append(Wait(verdict.delay))
        said, close = _refuse(frame_id, verdict.error, verdict.reason)
        return [*steps, said, replace(close, note=verdict.note, quiet=verdict.quiet)]

    def undone(self, error: WireError) -> Sequence[Step]:
        """What had to be on the disk first is not: nobody is let in, nothing was promised."""
        self.session = None
        return _refuse(self.frame_id, error, code=1013)

    def _not_open(self, frame_id: str) -> Sequence[Step] | None:
        match self.phase():
            case Phase.STARTING:
                return _refuse(frame_id, errors.starting(), code=1013)
            case Phase.DRAINING:
                return _refuse(frame_id, errors.leaving(), code=1013)
            case Phase.READY | Phase.SUSPENDED:
                return None


def _may_ask_of_it(granted: Granted) -> bool:
    """Whoever may end a suspension, or look at it, is let in during one."""
    return any(f"operator.{right}" in granted.scopes for right in ("admin", "write", "read"))


def _common(connect: Connect) -> int | None:
    """The highest version both speak (§1); never reject 3."""
    spoken = [v for v in VERSIONS if connect.min_protocol <= v <= connect.max_protocol]
    return max(spoken) if spoken else None


def _mismatch(frame_id: str, connect: Connect) -> Sequence[Step]:
    details: dict[str, Any] = {"expectedProtocol": VERSIONS[-1]}
    if connect.max_protocol < VERSIONS[0]:
        details["expectedProtocol"] = VERSIONS[0]
    details |= {
        "code": "PROTOCOL_MISMATCH",
        "clientMinProtocol": connect.min_protocol,
        "clientMaxProtocol": connect.max_protocol,
        "minimumProbeProtocol": VERSIONS[0],
    }
    error = WireError(Code.INVALID_REQUEST, "protocol mismatch", details)
    return _refuse(frame_id, error, code=1002)


def _refuse(
    frame_id: str, error: WireError, reason: str | None = None, *, code: int = 1008
) -> tuple[Send, Close]:
    text = frames.close_reason(reason or error.message)
    return (Send(frames.failure(frame_id, error.to_wire())), Close(code, text))


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloFacts:
    """What `hello-ok` tells that is not in the session."""

    version: str
    boot_id: str
    methods: Sequence[str]
    events: Sequence[str]
    presence: Sequence[Mapping[str, Any]]
    health: Mapping[str, Any]
    state_version: Mapping[str, int]
    uptime_ms: int
    default_agent_id: str
    main_key: str
    config_path: str
    state_dir: str
    auth_mode: str
    config_hash: str | None = None
    suspension: str = "running"  # phase
    event_cursor: int = 0  # of `events.since` (§14)


def hello_ok(session: Session, facts: HelloFacts) -> dict[str, Any]:
    """The `hello-ok` payload (§3.2). No `buildId`: it triggers checks of the Control UI."""
    snapshot: dict[str, Any] = {
        "presence": list(facts.presence),
        "health": dict(facts.health),
        "stateVersion": dict(facts.state_version),
        "uptimeMs": facts.uptime_ms,
        "sessionDefaults": {
            "defaultAgentId": facts.default_agent_id,
            "mainKey": facts.main_key,
            "mainSessionKey": f"agent:{facts.default_agent_id}:{facts.main_key}",
            "scope": "per-sender",
        },
        "suspension": {"phase": facts.suspension},
        "eventCursor": facts.event_cursor,
    }
    if facts.config_hash is not None:
        snapshot["appliedConfigHash"] = facts.config_hash
    if "operator.admin" in session.scopes:
        snapshot |= {
            "configPath": facts.config_path,
            "stateDir": facts.state_dir,
            "authMode": facts.auth_mode,
        }
    auth: dict[str, Any] = {"role": session.role, "scopes": list(session.scopes)}
    if session.protocol >= 4:
        auth["method"] = session.auth_method
    if session.issued is not None:
        auth |= {"deviceToken": session.issued.token, "issuedAtMs": ms(session.issued.at)}
    features: dict[str, Any] = {"methods": list(facts.methods), "events": list(facts.events)}
    if session.protocol >= 4:
        features["capabilities"] = list(CAPABILITIES)
    policy: dict[str, Any] = {
        "maxPayload": frames.MAX_FRAME,
        "maxBufferedBytes": frames.MAX_BUFFERED,
        "tickIntervalMs": frames.TICK_INTERVAL_MS,
    }
    if session.protocol >= 4:
        most = frames.MAX_ATTACHMENT
        policy["attachments"] = {"maxBytes": most, "maxImageBytes": most}
    return {
        "type": "hello-ok",
        "protocol": session.protocol,
        "server": {"version": facts.version, "connId": session.conn_id, "bootId": facts.boot_id},
        "features": features,
        "snapshot": snapshot,
        "auth": auth,
        "policy": policy,
    }
