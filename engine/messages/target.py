"""Targets as people write them, and routes as they are resolved. Pure values and parsing.

Grammar: channels.md §4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

from engine.messages import plugged
from engine.messages.address import ChatType
from engine.messages.unheard import Unheard, way_in
from jobs.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A recipient on one channel, parsed."""

    to: str  # canonical form, as the channel sends to it
    thread_id: str | None = None
    chat_type: ChatType = ChatType.UNKNOWN


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
    unusable_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stranger:
    """Who wrote in person and was not let in: often the owner, before the first set-up is done."""

    channel: str
    account_id: str
    sender_id: str
    reason: str

    @property
    def _where(self) -> tuple[str, str, str]:
        return self.channel, self.account_id, self.sender_id

    @property
    def words(self) -> str:
        """What happened, and how to let them in."""
        return (
            f"{self.sender_id} wrote on {self.channel} and was not let in ({self.reason}):"
            f" to change that: {self.way}"
        )

    @property
    def way(self) -> str:
        """What lets them in."""
        return way_in(Unheard(self.reason), *self._where)


# -- the grammar of targets (channels.md §4, cron.md §10.2) ----------------------------------

_TELEGRAM = re.compile(r"(?P<chat>-?\d+|@[A-Za-z]\w{3,31})(?::(?:topic:)?(?P<topic>\d+))?")
_QQ_BARE = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_QQ_KINDS: Final[Mapping[str, ChatType]] = {
    "c2c": ChatType.DIRECT,
    "group": ChatType.GROUP,
    "channel": ChatType.CHANNEL,
    "dms": ChatType.DIRECT,  # a guild's direct chat
}
PREFIXES: Final[Mapping[str, str]] = {
    "local": "local",
    "webchat": "local",
    "console": "local",
    "telegram": "telegram",
    "tg": "telegram",
    "qqbot": "qqbot",
    "qq": "qqbot",
    "webhook": "webhook",
    "apprise": "apprise",
}
SERVED: Final = (
    "local",
    "telegram",
    "qqbot",
    "webhook",
    "apprise",
)
WORDS: Final = ("last", "owner", "none")  # targets that name no channel


def channel_named(word: str) -> str | None:
    """Return the channel of a name or alias: one of ours, or one that is installed."""
    return PREFIXES.get(word.strip().lower()) or plugged.named(word)


def split_target(text: str) -> tuple[str | None, str]:
    """Return the channel a target names by its prefix, if any, and the rest."""
    head, colon, rest = text.strip().partition(":")
    channel = channel_named(head) if colon else None
    return (channel, rest.strip()) if colon and channel else (None, text.strip())


def parse_target(channel: str, text: str) -> Peer:
    """Return the recipient a target means on a channel.

    Raises `InvalidInput` with the valid forms; a prefix of another channel is one too.
    """
    named, rest = split_target(text)
    if named is not None and named != channel:
        raise _wrong(channel, text, f"it names channel {named}")
    if not rest:
        raise _wrong(channel, text, "it is empty")
    match channel:
        case "telegram":
            return _telegram(text, rest)
        case "qqbot":
            return _qq(text, rest)
        case _:
            return Peer(to=rest, chat_type=ChatType.DIRECT)


def channel_fault(word: str) -> str:
    """Return why no message can go by a channel of that name, or ''."""
    if channel_named(word) is not None:
        return ""
    known = ", ".join(SERVED)
    near = get_close_matches(word.strip().lower(), [*PREFIXES, *WORDS], 1)
    hint = f'did you mean "{near[0]}"?' if near else f"use last, {known}"
    return f'unknown channel "{word}" — {hint}'


def place_fault(place: Mapping[str, Any]) -> str:
    """Return what is wrong with a place as people write it, ``{channel, to}``, or ''."""
    channel = str(place.get("channel") or "last")
    if channel.strip().lower() in WORDS:
        return ""
    if fault := channel_fault(channel):
        return fault
    try:
        if place.get("to"):
            parse_target(channel_named(channel) or channel, str(place["to"]))
    except InvalidInput as error:
        return str(error)
    return ""


def wish_fault(text: str) -> str:
    """Return what is wrong with a target as people write it, `telegram:123` or `last`, or ''."""
    channel, behind = split_target(text)
    return place_fault(
        {"channel": behind} if channel is None else {"channel": channel, "to": behind}
    )


def _telegram(text: str, rest: str) -> Peer:
    found = _TELEGRAM.fullmatch(rest)
    if found is None:
        why = "use a colon before the topic" if "/" in rest else "it is no chat id or @name"
        raise _wrong("telegram", text, why)
    chat = found["chat"]
    kind = ChatType.UNKNOWN
    if not chat.startswith("@"):
        kind = ChatType.GROUP if chat.startswith("-") else ChatType.DIRECT
    return Peer(to=chat, thread_id=found["topic"], chat_type=kind)


def _qq(text: str, rest: str) -> Peer:
    tag, colon, peer = rest.partition(":")
    kind = _QQ_KINDS.get(tag.lower())
    if colon and kind is not None and peer:
        return Peer(to=f"{tag.lower()}:{peer}", chat_type=kind)
    if _QQ_BARE.fullmatch(rest):
        return Peer(to=f"c2c:{rest}", chat_type=ChatType.DIRECT)
    raise _wrong("qqbot", text, "it has no c2c:, group: or channel: before the id")


# How recipients are written, by channel; the first form is the usual one.
FORMS: Final[Mapping[str, str]] = {
    "telegram": "123456, -1001234567890, @name, -1001234567890:topic:42",
    "qqbot": "c2c:OPENID, group:GROUPID, channel:ID",
    "local": "local:inbox",
}


def _wrong(channel: str, text: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"{channel} target {text!r} was not understood",
        why=why,
        fix=f"use one of {FORMS.get(channel, 'the names of its accounts')}",
    )
