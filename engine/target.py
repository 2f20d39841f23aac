"""Targets as people write them, and routes as they are resolved. Pure values and parsing.

Grammar: channels.md §4. Channels that are plugins add theirs to `GRAMMARS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ChatType(StrEnum):
    """What kind of place a peer is."""

    DIRECT = "direct"
    GROUP = "group"
    CHANNEL = "channel"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A recipient on one channel, parsed."""

    to: str  # canonical form, as the channel sends to it
    thread_id: str | None = None
    chat_type: ChatType = ChatType.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where words go, resolved: channel, account, peer, thread; and how that was found."""

    channel: str
    account_id: str
    to: str
    thread_id: str | None = None
    chat_type: ChatType = ChatType.UNKNOWN
    via: str = "explicit"  # explicit | last | last-local | event | reply
    learnt_at: datetime | None = None  # for `last`
    warning: str | None = None  # e.g. several accounts and no default

    @property
    def lane(self) -> str:
        """Outbox lane: one delivery in flight per lane, in order (channels.md §11)."""
        return "|".join((self.channel, self.account_id, self.to, self.thread_id or ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRoute:
    """A route learnt from an admitted inbound message (channels.md §4)."""

    agent_id: str
    session_key: str
    channel: str
    account_id: str
    to: str
    thread_id: str | None = None
    chat_type: ChatType = ChatType.UNKNOWN
    peer_label: str | None = None
    set_at: datetime
    set_by: str  # message id
    unusable: str | None = None  # reason, until the next inbound from it
