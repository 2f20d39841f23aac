"""Where words go, as values. How people write it: `engine.messages.target`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from jobs.values import swift


class ChatType(StrEnum):
    """What kind of place a peer is."""

    DIRECT = "direct"
    GROUP = "group"
    CHANNEL = "channel"
    UNKNOWN = "unknown"


REPLY: Final = "reply"  # how a route was found: a person of that channel wrote from there


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where words go, resolved: channel, account, peer, thread; and how that was found."""

    channel: str
    account_id: str
    to: str
    thread_id: str | None = None
    chat_type: ChatType = ChatType.UNKNOWN
    via: str = "explicit"  # explicit | last | last-local | event | owner | reply
    learnt_at: datetime | None = None  # for `last`
    warning: str | None = None  # e.g. several accounts and no default

    @property
    def shown(self) -> str:
        """The recipient as records, lists and logs have it: an address that is called is a secret
        behind its host (channels.md §13).
        """
        scheme, found, rest = self.to.partition("://")
        if not found:
            return self.to
        host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
        return self.to if rest == host else f"{scheme}://{host}/…"

    @property
    def whom(self) -> str:
        """Channel and recipient in a word."""
        return f"{self.channel}:{self.shown}"

    @property
    def heard(self) -> bool:
        """Whether a channel heard words from there: whoever only names a chat is not its person."""
        return self.via == REPLY

    @property
    def lane(self) -> str:
        """Outbox lane: one delivery in flight per lane, in order (channels.md §11)."""
        return "|".join((self.channel, self.account_id, self.to, self.thread_id or ""))
