"""The promises of a channel, and the one taxonomy of platform faults (channels.md §1, §10).

An adapter parses and sends. It never retries, never waits for a rate limit, never writes
a route: the sender and the inbound room do that, once, for all channels.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from engine.messages.address import ChatType, Route
from engine.messages.cargo import Carriage as Carriage
from engine.messages.contact import Reply

# The taxonomy itself is engine.messages.fault's; what follows is decided in
# engine.messages.outbox.
from engine.messages.fault import Fault as Fault, FaultClass as FaultClass
from engine.messages.media import Media
from engine.messages.target import Peer
from gateway.channels.pace import Scope
from gateway.channels.windows import ReplyRules


class ChannelError(Exception):
    """A send that did not succeed, with its class."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.fault}: {fault.code} {fault.detail}".strip())
        self.fault = fault

    def probed(self) -> dict[str, Any]:
        """Return what a probe answers that met it: ``{ok, class, code, detail, fix}``."""
        fault = self.fault
        said = " ".join(part for part in (fault.code, fault.detail) if part)
        return {
            "ok": False,
            "class": str(fault.fault),
            "code": fault.code,
            "detail": f"probe failed: {fault.fault} ({said})",
            "fix": fault.fault.hint,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One chunk on its way out. ``plain`` asks for no markup after a format fault."""

    key: str
    chunk_index: int
    route: Route
    text: str
    plain: bool = False
    silent: bool = False
    kind: str = "message"  # reply | cron | heartbeat | message | test
    agent_id: str | None = None
    run_id: str | None = None
    media: Media | None = None  # the file it carries; ``text`` is its caption then
    reply: Reply | None = None  # the message it answers, where the platform asks for one
    recall: bool = False  # the one message that recalls who has not written for a while


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the platform answered."""

    message_id: str
    accepted: bool = False  # a 2xx without a message id: webhook, apprise
    pending_audit: bool = False  # taken, and shown once somebody has looked at it


class Standing(StrEnum):
    """What a platform tells about writing to a peer unasked (channels.md §8)."""

    WELCOME = "welcome"
    UNWELCOME = "unwelcome"
    GONE = "gone"  # the friendship or the membership ended


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
    calls_others: bool = False  # somebody else was
    chat_type: ChatType = ChatType.DIRECT
    cursor: str | None = None  # platform cursor to store with the admission
    standing: Standing | None = None  # no message: only what it tells about the peer
    media: tuple[Media, ...] = ()  # files that came along; not fetched yet
    answerable: bool = False  # answers to it name it, within a window (channels.md §8)


# The stored platform cursor of (channel, account), if there is one; and how to store it.
LoadCursor = Callable[[str, str], Awaitable[str | None]]
SaveCursor = Callable[[str, str, str], Awaitable[None]]

# Something a person should find in the record: (channel, account, what, detail).
Remark = Callable[[str, str, str, Mapping[str, Any]], Awaitable[None]]
# A chat has a new id: (channel, account, old, new); what was learnt about it holds there.
Move = Callable[[str, str, str, str], Awaitable[None]]

# Returns once the message is durably admitted (or durably refused); raises if it is not.
Admit = Callable[[Inbound], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """Where one account stands (channels.md §12)."""

    account_id: str
    configured: bool
    enabled: bool
    runtime: (
        # stopped starting connecting connected degraded backoff stalled conflict auth-failed fatal
        str
    )
    token_source: str | None = None
    last_error: str | None = None
    last_inbound_at: datetime | None = None
    last_outbound_at: datetime | None = None
    alive_at: datetime | None = None  # when the platform answered the connection last
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def connected(self) -> bool:
        """Whether it can be talked to; it may be shaky all the same."""
        return self.runtime in ("connected", "degraded")


@runtime_checkable
class Restarts(Protocol):
    """A channel whose accounts hold connections of their own, which may have to begin anew."""

    def status(self) -> tuple[AccountStatus, ...]:
        """Every account, configured order."""

    async def restart(self, account_id: str) -> None:
        """Leave the connection of one account and make a new one; the others go on."""


@runtime_checkable
class OneByOne(Restarts, Protocol):
    """A channel whose accounts are started and stopped one by one (protocol.md §10.5)."""

    id: str

    async def start(self, admit: Admit) -> None:
        """Connect every enabled account."""

    async def stop(self) -> None:
        """Close every connection."""

    async def leave(self, account_id: str) -> None:
        """Close the connection of one account; what it should send waits until a restart."""


class Channel(Protocol):
    """One platform, all its accounts."""

    id: str

    async def start(self, admit: Admit) -> None:
        """Connect every enabled account; return at once, connecting goes on behind."""

    async def stop(self) -> None:
        """Close everything; no inbound is reported afterwards."""

    def measure(self, text: str) -> int:
        """Length of ``text`` in the platform's unit."""

    def limit(self, account_id: str) -> int:
        """The most one message may hold, in the unit of `measure`."""

    def carries(self, route: Route) -> Carriage:
        """What it takes of files towards ``route`` (channels.md §6)."""

    def scopes(self, route: Route) -> tuple[Scope, ...]:
        """The limits one message to ``route`` counts against, widest first (channels.md §7)."""

    def ready(self, account_id: str) -> bool:
        """Whether a send through this account can be tried now."""

    def rules(self, route: Route) -> ReplyRules | None:
        """What the platform takes as an answer and what unasked; None: no difference (§8)."""

    def idempotent(self, attempt: Attempt) -> bool:
        """Whether repeating the attempt with the same key cannot repeat the message."""

    async def send(self, attempt: Attempt) -> Sent:
        """Send one chunk, or raise `ChannelError`. One request, no retry."""

    def bring(self, account_id: str, media: Media) -> AsyncGenerator[bytes]:
        """Return a file that came with a message, as it comes. Raises `NotSaved`."""

    async def typing(self, route: Route) -> None:
        """Show for a moment that an answer is being written; nothing where nobody can."""

    def status(self) -> tuple[AccountStatus, ...]:
        """Every account, configured order."""

    async def probe(self, account_id: str) -> Mapping[str, Any]:
        """Ask the platform whether the account works: ``{ok, detail, ...}``."""
