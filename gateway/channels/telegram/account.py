"""One Telegram account as values, and what its updates say. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from engine.decisions import hb
from engine.messages.address import ChatType, Route
from engine.messages.media import MB, Media
from engine.messages.target import Peer
from gateway.channels.base import Inbound
from gateway.channels.foreign import clean, ident, items, mapping, whole
from gateway.channels.pace import Scope
from gateway.channels.telegram.attached import all_attached

API_ROOT: Final = "https://api.telegram.org"
ALLOWED_UPDATES: Final = ("message", "callback_query", "message_reaction")
# What a reaction says of an alert (heartbeat.md §25 row 21); any other says nothing.
_USEFUL: Final = frozenset("👍❤🔥🎉👏💯🙏👌🤝")
_NOISE: Final = frozenset("👎💩🤮😡🥱🤬")
MEDIA_MOST: Final = 20 * MB  # more the platform does not hand out (channels.md §6)
GENERAL_TOPIC: Final = "1"
# A message without words still tells that its person is there; the agent is told of what kind.
_MEDIA: Final = (
    "photo",
    "video",
    "voice",
    "audio",
    "animation",
    "video_note",
    "sticker",
    "document",
    "location",
    "contact",
    "poll",
)
_LAST_SECOND: Final = 253_402_300_800  # the year 9999 ends there
STALLED_AFTER: Final = timedelta(seconds=120)
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where the platform rings instead of being polled; ``url`` is what the world sees."""

    url: str
    secret: str
    host: str = "127.0.0.1"
    port: int = 8787
    path: str = "/telegram-webhook"

    def __repr__(self) -> str:
        return f"Webhook({self.host}:{self.port}{self.path}, secret=<hidden>)"


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramAccount:
    """One bot. ``token_source`` says where the token came from; the token is never shown."""

    id: str
    token: str
    api_root: str = API_ROOT
    name: str | None = None
    enabled: bool = True
    token_source: str | None = None  # config | env | file
    allow_from: tuple[str, ...] = ()
    chunk: int | None = None  # longest message wished for
    timeout: float | None = None  # seconds of one call
    webhook: Webhook | None = None  # None: polled
    stalled_after: timedelta = STALLED_AFTER  # without a completed poll
    groups: tuple[str, ...] = ()  # groups the config names
    hears_all: bool = False  # the config expects messages that do not mention the bot
    media_most: int = MEDIA_MOST  # bytes of a file that is taken in

    def __repr__(self) -> str:
        return f"TelegramAccount(id={self.id!r}, api_root={self.api_root!r}, token=<hidden>)"


@dataclass(frozen=True, slots=True)
class Me:
    """The bot itself, from `getMe`."""

    id: int
    username: str
    reads_all: bool = True  # False: the platform tells of groups only what concerns the bot


def scopes(route: Route) -> tuple[Scope, ...]:
    """Return Telegram's limits for one message (channels.md §7): bot-wide, then the chat's."""
    bot = Scope(f"telegram/{route.account_id}", 30, _SECOND)
    chat = f"telegram/{route.account_id}/{route.to}"
    if route.to.startswith(("-", "@")):
        return bot, Scope(chat, 20, _MINUTE)
    return bot, Scope(chat, 1, _SECOND)


def send_parameters(route: Route, html: str | None, text: str, *, silent: bool) -> dict[str, Any]:
    """Return the parameters of `sendMessage`; ``html`` None sends ``text`` without markup.

    The General topic (1) is left out: the platform rejects it on sends (channels.md §6).
    """
    values: dict[str, Any] = {"chat_id": _chat_id(route.to), "text": text if html is None else html}
    if html is not None:
        values["parse_mode"] = "HTML"
    if route.thread_id and route.thread_id != GENERAL_TOPIC and route.thread_id.isdecimal():
        values["message_thread_id"] = int(route.thread_id)
    if silent:
        values["disable_notification"] = True
    return values


def typing_parameters(route: Route) -> dict[str, Any]:
    """Return the parameters of `sendChatAction`; it takes the General topic, unlike sends (§6)."""
    values: dict[str, Any] = {"chat_id": _chat_id(route.to), "action": "typing"}
    if route.thread_id and route.thread_id.isdecimal():
        values["message_thread_id"] = int(route.thread_id)
    return values


def _chat_id(to: str) -> int | str:
    return int(to) if to.removeprefix("-").isdecimal() else to


def update_id(update: object) -> int | None:
    """Return the number of an update, by which it is confirmed."""
    return whole(mapping(update).get("update_id"))


def migration(update: object) -> tuple[str, str] | None:
    """Return old and new id of a group that became a supergroup; told in both of them (§9)."""
    message = mapping(mapping(update).get("message"))
    here = _number(mapping(message.get("chat")).get("id"))
    after, before = (_number(message.get(f"migrate_{way}_chat_id")) for way in ("to", "from"))
    if here is None:
        return None
    if after is not None:
        return here, after
    return None if before is None else (before, here)


def parse_update(update: object, account_id: str, me: Me, now: datetime) -> Inbound | None:
    """Return what a person said, or nothing: edits, service messages and bots are not people."""
    fields, number = mapping(update), update_id(update)
    if number is None:
        return None
    query, message = fields.get("callback_query"), mapping(fields.get("message"))
    if isinstance(query, Mapping):
        return _callback(query, account_id, number, now)
    if isinstance(reaction := fields.get("message_reaction"), Mapping):
        return _reaction(reaction, account_id, number, now)
    text = _text(message)
    if not text:
        return None
    return _inbound(
        message,
        sender=mapping(message.get("from")),
        account_id=account_id,
        text=text,
        message_id=ident(message.get("message_id")) or f"update:{number}",
        mentioned=_mentions(message, me),
        calls_others=_calls_others(message),
        number=number,
        now=now,
        media=all_attached(message),
    )


def _text(message: Mapping[str, Any]) -> str:
    """What was said; of a message without words, its kind."""
    said = message.get("text") or message.get("caption")
    if isinstance(said, str) and said:
        return clean(said)
    return next((f"<media:{kind}>" for kind in _MEDIA if message.get(kind)), "")


def _callback(
    query: Mapping[str, Any], account_id: str, number: int, now: datetime
) -> Inbound | None:
    message = mapping(query.get("message"))
    return _inbound(
        message,
        sender=mapping(query.get("from")),
        account_id=account_id,
        text=f"callback_data: {clean(str(query.get('data', '')))}",
        message_id=f"callback:{ident(query.get('id')) or number}",
        mentioned=True,  # a button of the bot's own message was pressed
        number=number,
        now=now,
    )


def _reaction(
    reaction: Mapping[str, Any], account_id: str, number: int, now: datetime
) -> Inbound | None:
    """Return a reaction as the word about an alert that it is; None if it says nothing."""
    given = reaction.get("new_reaction")
    signs = [
        str(one.get("emoji", "")).removesuffix("\ufe0f")
        for one in (given if isinstance(given, list) else ())
        if isinstance(one, Mapping)
    ]
    about = ident(reaction.get("message_id"))
    word = next((hb.Word.NOISE for sign in signs if sign in _NOISE), None)
    word = next((hb.Word.USEFUL for sign in signs if sign in _USEFUL), word)
    if word is None or about is None:
        return None
    return _inbound(
        reaction,
        sender=mapping(reaction.get("user")),
        account_id=account_id,
        text=hb.about(word, about),
        message_id=f"reaction:{number}",
        mentioned=True,  # it is about a message of the bot's own, or of nobody's
        number=number,
        now=now,
    )


def _inbound(
    message: Mapping[str, Any],
    *,
    sender: Mapping[str, Any],
    account_id: str,
    text: str,
    message_id: str,
    mentioned: bool,
    number: int,
    now: datetime,
    calls_others: bool = False,
    media: tuple[Media, ...] = (),
) -> Inbound | None:
    chat = mapping(message.get("chat"))
    to, sender_id = _number(chat.get("id")), _number(sender.get("id"))
    if to is None or sender_id is None or sender.get("is_bot"):
        return None
    kind = _CHAT_TYPES.get(str(chat.get("type")), ChatType.UNKNOWN)
    topical = message.get("is_topic_message") or chat.get("is_forum")
    return Inbound(
        channel="telegram",
        account_id=account_id,
        peer=Peer(
            to=to,
            thread_id=_number(message.get("message_thread_id")) if topical else None,
            chat_type=kind,
        ),
        sender_id=sender_id,
        sender_label=_label(sender),
        message_id=message_id,
        text=text,
        at=_instant(message.get("date")) or now,
        mentioned=mentioned,
        calls_others=calls_others and not mentioned,
        chat_type=kind,
        cursor=str(number + 1),
        media=media,
    )


_CHAT_TYPES: Final[Mapping[str, ChatType]] = {
    "private": ChatType.DIRECT,
    "group": ChatType.GROUP,
    "supergroup": ChatType.GROUP,
    "channel": ChatType.CHANNEL,
}


def _label(sender: Mapping[str, Any]) -> str | None:
    if username := sender.get("username"):
        return clean(f"@{username}")
    names = (str(sender.get(part) or "") for part in ("first_name", "last_name"))
    return clean(" ".join(name for name in names if name)) or None


def _mentions(message: Mapping[str, Any], me: Me) -> bool:
    """A native mention, a command for this bot, or a reply to one of its messages."""
    replied = mapping(mapping(message.get("reply_to_message")).get("from"))
    if replied.get("id") == me.id:
        return True
    text = str(message.get("text") or message.get("caption") or "")
    units = text.encode("utf-16-le", "surrogatepass")  # entities are counted in UTF-16 units
    name = f"@{me.username}".lower()
    entities = message.get("entities") or message.get("caption_entities") or ()
    if not entities:  # the platform always marks them; what imitates it may not
        return bool(me.username) and name in text.lower().split()
    return any(_addresses(mapping(entity), units, name, me) for entity in items(entities))


def _calls_others(message: Mapping[str, Any]) -> bool:
    """Whether anybody is mentioned, whoever it is."""
    entities = message.get("entities") or message.get("caption_entities") or ()
    kinds = {mapping(entity).get("type") for entity in items(entities)}
    return bool(kinds & {"mention", "text_mention"})


def _addresses(entity: Mapping[str, Any], units: bytes, name: str, me: Me) -> bool:
    start, length = whole(entity.get("offset")) or 0, whole(entity.get("length")) or 0
    words = units[start * 2 : (start + length) * 2].decode("utf-16-le", "replace").lower()
    match entity.get("type"):
        case "mention":
            return words == name
        case "text_mention":
            return mapping(entity.get("user")).get("id") == me.id
        case "bot_command":
            return words.endswith(name)
        case _:
            return False


def _number(value: object) -> str | None:
    """The id of a chat, a person or a topic: a number, which some write as text."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return value
    number = whole(value)
    return None if number is None else str(number)


def _instant(value: object) -> datetime | None:
    seconds = whole(value)
    if seconds is None or not 0 < seconds < _LAST_SECOND:
        return None
    return datetime.fromtimestamp(seconds, UTC)
