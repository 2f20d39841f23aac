"""The promises of a channel, and the one taxonomy of platform faults (channels.md §1, §10).

An adapter parses and sends. It never retries, never waits for a rate limit, never writes
a route: the sender and the inbound room do that, once, for all channels.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from engine.target import ChatType, Peer, Route


class FaultClass(StrEnum):
    """Why a platform did not take a message (channels.md §10)."""

    AUTH = "auth"
    BLOCKED = "blocked"
    CANNOT_INITIATE = "cannot-initiate"
    NOT_MEMBER = "not-member"
    MUTED = "muted"
    NOT_FOUND = "not-found"
    MIGRATED = "migrated"
    THREAD_GONE = "thread-gone"
    FORMAT = "format"
    TOO_LONG = "too-long"
    RATE_LIMITED = "rate-limited"
    QUOTA_EXHAUSTED = "quota-exhausted"
    PROACTIVE_DENIED = "proactive-denied"
    WINDOW_EXPIRED = "window-expired"
    DUPLICATE = "duplicate"
    CONTENT_REJECTED = "content-rejected"
    OFFLINE = "offline"
    SERVER = "server"
    NETWORK_PRESEND = "network-presend"
    NETWORK_AMBIGUOUS = "network-ambiguous"
    CONFLICT = "conflict"
    UNKNOWN_ERROR = "unknown-error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A classified failure. ``detail`` never holds a credential."""

    fault: FaultClass
    code: str = ""
    detail: str = ""
    retry_after_seconds: float | None = None
    migrate_to: str | None = None


class ChannelError(Exception):
    """A send that did not succeed, with its class."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.fault}: {fault.code} {fault.detail}".strip())
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One chunk on its way out. ``plain`` asks for no markup after a format fault."""

    key: str
    chunk_index: int
    route: Route
    text: str
    plain: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the platform answered."""

    message_id: str
    accepted: bool = False  # a 2xx without a message id: webhook, apprise


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One message from a person, as any channel reports it."""

    channel: str
    account_id: str
    peer: Peer  # the chat to answer to
    sender_id: str
    sender_label: str | None
    message_id: str
    text: str
    at: datetime
    mentioned: bool = False  # the bot was addressed (groups)
    chat_type: ChatType = ChatType.DIRECT
    cursor: str | None = None  # platform cursor to store with the admission
    raw: Mapping[str, Any] = field(default_factory=dict)


# Returns once the message is durably admitted (or durably refused); raises if it is not.
Admit = Callable[[Inbound], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """Where one account stands (channels.md §12)."""

    account_id: str
    configured: bool
    enabled: bool
    runtime: str  # stopped starting connecting connected degraded backoff conflict auth-failed fatal
    token_source: str | None = None
    last_error: str | None = None
    last_inbound_at: datetime | None = None
    last_outbound_at: datetime | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Channel(Protocol):
    """One platform, all its accounts."""

    id: str
    chunk_limit: int  # in the unit of `measure`

    async def start(self, admit: Admit) -> None:
        """Connect every enabled account; return at once, connecting goes on behind."""

    async def stop(self) -> None:
        """Close everything; no inbound is reported afterwards."""

    def measure(self, text: str) -> int:
        """Length of ``text`` in the platform's unit."""

    def ready(self, account_id: str) -> bool:
        """Whether a send through this account can be tried now."""

    def idempotent(self, route: Route) -> bool:
        """Whether repeating an attempt with the same key cannot repeat the message."""

    async def send(self, attempt: Attempt) -> Sent:
        """Send one chunk, or raise `ChannelError`. One request, no retry."""

    def status(self) -> tuple[AccountStatus, ...]:
        """Every account, configured order."""

    async def probe(self, account_id: str) -> Mapping[str, Any]:
        """Ask the platform whether the account works: ``{ok, detail, ...}``."""
