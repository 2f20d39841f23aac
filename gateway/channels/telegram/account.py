"""One Telegram account as values, and what its updates say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from engine.target import ChatType, Peer, Route
from gateway.channels.base import Inbound
from gateway.channels.pace import Scope
from gateway.channels.policy import GroupRule, Policy

API_ROOT: Final = "https://api.telegram.org"
ALLOWED_UPDATES: Final = ("message", "callback_query")
GENERAL_TOPIC: Final = "1"
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)


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
    dm_policy: str = "pairing"
    group_policy: str = "allowlist"
    groups: Mapping[str, GroupRule] | None = None
    group_allow_from: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"TelegramAccount(id={self.id!r}, api_root={self.api_root!r}, token=<hidden>)"

    @property
    def policy(self) -> Policy:
        """Who may talk through it."""
        return Policy(
            dm=self.dm_policy,
            allow_from=self.allow_from,
            group=self.group_policy,
            groups=self.groups,
            group_allow_from=self.group_allow_from,
        )


@dataclass(frozen=True, slots=True)
class Me:
    """The bot itself, from `getMe`."""

    id: int
    username: str


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


def _chat_id(to: str) -> int | str:
    return int(to) if to.removeprefix("-").isdecimal() else to


def parse_update(update: Mapping[str, Any], account_id: str, me: Me) -> Inbound | None:
    """Return what a person said, or nothing: edits, service messages and bots are not people."""
    cursor = str(int(update["update_id"]) + 1)
    query = update.get("callback_query")
    if isinstance(query, Mapping):
        return _callback(query, account_id, cursor)
    message = update.get("message")
    if not isinstance(message, Mapping):
        return None
    text = message.get("text") or message.get("caption")
    if not isinstance(text, str) or not text:
        return None
    return _inbound(
        message,
        sender=_mapping(message.get("from")),
        account_id=account_id,
        text=text,
        message_id=str(message.get("message_id")),
        mentioned=_mentions(message, text, me),
        cursor=cursor,
    )


def _callback(query: Mapping[str, Any], account_id: str, cursor: str) -> Inbound | None:
    message = _mapping(query.get("message"))
    return _inbound(
        message,
        sender=_mapping(query.get("from")),
        account_id=account_id,
        text=f"callback_data: {query.get('data', '')}",
        message_id=f"callback:{query.get('id')}",
        mentioned=True,  # a button of the bot's own message was pressed
        cursor=cursor,
    )


def _inbound(
    message: Mapping[str, Any],
    *,
    sender: Mapping[str, Any],
    account_id: str,
    text: str,
    message_id: str,
    mentioned: bool,
    cursor: str,
) -> Inbound | None:
    chat = _mapping(message.get("chat"))
    if "id" not in chat or "id" not in sender or sender.get("is_bot"):
        return None
    kind = _CHAT_TYPES.get(str(chat.get("type")), ChatType.UNKNOWN)
    topic = message.get("message_thread_id") if message.get("is_topic_message") else None
    thread = None if topic is None else str(topic)
    return Inbound(
        channel="telegram",
        account_id=account_id,
        peer=Peer(to=str(chat["id"]), thread_id=thread, chat_type=kind),
        sender_id=str(sender["id"]),
        sender_label=_label(sender),
        message_id=message_id,
        text=text,
        at=datetime.fromtimestamp(int(message.get("date", 0)), UTC),
        mentioned=mentioned,
        chat_type=kind,
        cursor=cursor,
    )


_CHAT_TYPES: Final[Mapping[str, ChatType]] = {
    "private": ChatType.DIRECT,
    "group": ChatType.GROUP,
    "supergroup": ChatType.GROUP,
    "channel": ChatType.CHANNEL,
}


def _label(sender: Mapping[str, Any]) -> str | None:
    if username := sender.get("username"):
        return f"@{username}"
    names = (str(sender.get(part, "")) for part in ("first_name", "last_name"))
    return " ".join(name for name in names if name) or None


def _mentions(message: Mapping[str, Any], text: str, me: Me) -> bool:
    """A native mention, a command for this bot, or a reply to one of its messages."""
    replied = _mapping(_mapping(message.get("reply_to_message")).get("from"))
    if replied.get("id") == me.id:
        return True
    units = text.encode("utf-16-le")  # the platform counts entities in UTF-16 units
    name = f"@{me.username}".lower()
    entities = message.get("entities") or message.get("caption_entities") or ()
    return any(_addresses(_mapping(entity), units, name, me) for entity in _list(entities))


def _addresses(entity: Mapping[str, Any], units: bytes, name: str, me: Me) -> bool:
    start, length = int(entity.get("offset", 0)), int(entity.get("length", 0))
    words = units[start * 2 : (start + length) * 2].decode("utf-16-le", "replace").lower()
    match entity.get("type"):
        case "mention":
            return words == name
        case "text_mention":
            return _mapping(entity.get("user")).get("id") == me.id
        case "bot_command":
            return words.endswith(name)
        case _:
            return False


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
