"""What the platform keeps and answers, without a wire: bots, updates, messages."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.clock import SystemClock
from engine.testing.telegram.files import (
    LONGEST_CAPTION,
    METHODS,
    Files,
    SentFile,
    file_of,
    shown,
)
from engine.testing.telegram.markup import read_as_platform
from engine.testing.telegram.ringing import ring
from engine.testing.telegram.wrong import THREAD_NOT_FOUND, Refusal

LONGEST_TEXT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """One message that arrived at the platform, as a person would see it."""

    message_id: int
    chat_id: int | str
    text: str  # as sent, markup included
    visible: str  # after the platform's parsing
    thread_id: int | None
    parse_mode: str | None
    token: str
    parameters: Mapping[str, Any]
    file: SentFile | None = None  # ``text`` is its caption then


@dataclass(slots=True, eq=False)
class _Bot:
    """What the platform keeps for one token."""

    token: str
    id: int
    updates: deque[dict[str, Any]] = field(default_factory=deque)
    next_update: int = 1000
    fresh: asyncio.Event = field(default_factory=asyncio.Event)
    webhook: str = ""
    secret: str = ""  # what it rings with
    error: str = ""  # why it could not be rung at last
    error_at: int = 0


class Platform:
    """The Bot API of these tokens; every other one is refused."""

    def __init__(self, tokens: Sequence[str], username: str) -> None:
        self.username = username
        self.sent: list[SentMessage] = []
        self.reads_all = False  # privacy mode is on, as it is with a new bot
        self.left: set[str] = set()  # chats the bot is not in
        self.led: dict[str, str] = {}  # public address → where it leads on this machine
        self._bots = {token: _Bot(token, 100_000_001 + index) for index, token in enumerate(tokens)}
        self._next_message = 1
        self.files = Files()

    # -- from outside ----------------------------------------------------------------------

    def user_writes(
        self,
        text: str,
        *,
        chat_id: int = 42,
        user_id: int | None = None,
        chat_type: str | None = None,
        username: str | None = None,
        thread_id: int | None = None,
        date: int | None = None,
        token: str,
        **more: Any,
    ) -> int:
        """Put a message of a person into the bot's updates; return its message id.

        A negative chat is a supergroup; without a ``date`` it is written now. ``more`` are
        further fields of the Message object.
        A ``@name`` of the bot in the text becomes a mention entity, as on the platform.
        """
        message_id = self._take_message_id()
        kind = chat_type or ("private" if chat_id > 0 else "supergroup")
        sender: dict[str, Any] = {
            "id": user_id if user_id is not None else abs(chat_id),
            "is_bot": False,
            "first_name": username or "Test",
        }
        if username:
            sender["username"] = username
        message: dict[str, Any] = {
            "message_id": message_id,
            "from": sender,
            "chat": {"id": chat_id, "type": kind},
            "date": int(SystemClock().now().timestamp()) if date is None else date,
            **({"text": text} if text else {}),
        }
        if thread_id is not None:
            message |= {"message_thread_id": thread_id, "is_topic_message": True}
        if entities := self._entities(text):
            message["entities"] = entities
        self.update({"message": message | more}, token=token)
        return message_id

    def user_sends(
        self,
        kind: str,
        content: bytes,
        *,
        caption: str = "",
        name: str = "",
        mime: str = "",
        size: int | None = None,
        token: str,
        **more: Any,
    ) -> int:
        """Put a file of a person into the bot's updates; return its message id.

        ``kind`` as messages call it: photo, document, voice, video, audio, animation, sticker.
        ``size`` is what the platform says it has.
        """
        about = self.files.keep(kind, content, name=name, size=size)
        fields = shown(kind, about, name, mime)
        fields |= {"caption": caption} if caption else {}
        return self.user_writes("", token=token, **(more | fields))

    def update(self, fields: Mapping[str, Any], *, token: str) -> int:
        """Put any update into the bot's queue; return its update id."""
        bot = self._bots[token]
        update_id = bot.next_update
        bot.next_update += 1
        bot.updates.append({"update_id": update_id, **fields})
        bot.fresh.set()
        return update_id

    def unconfirmed(self, token: str) -> int:
        """How many updates the bot has not confirmed with an offset."""
        return len(self._bots[token].updates)

    # -- the methods -----------------------------------------------------------------------

    async def obey(self, token: str, method: str, parameters: Mapping[str, Any]) -> Any:
        """Return the result of one method, or raise `Refusal`."""
        bot = self._bots.get(token)
        if bot is None:
            raise Refusal(401, "Unauthorized")
        if method == "getFile" or method in METHODS:
            return self._of_files(bot, method, parameters)
        match method:
            case "getMe":
                return {
                    "id": bot.id,
                    "is_bot": True,
                    "first_name": "Engine",
                    "username": self.username,
                    "can_join_groups": True,
                    "can_read_all_group_messages": self.reads_all,
                    "supports_inline_queries": False,
                }
            case "getUpdates":
                return await self._get_updates(bot, parameters)
            case "sendMessage":
                return self._send(bot, parameters, str(parameters.get("text", "")))
            case "getWebhookInfo":
                return _webhook_info(bot)
            case "setWebhook" | "deleteWebhook":
                return _set_webhook(bot, parameters if method == "setWebhook" else {})
            case "getChatMember":
                return self._member(bot, parameters)
            case "setMyCommands" | "sendChatAction":
                return True
            case _:
                raise Refusal(404, "Not Found: method not found")

    async def ring_on(self, token: str) -> None:
        """Bring a bot with a webhook its updates, one by one, again until each is taken."""
        bot = self._bots[token]
        while True:
            await bot.fresh.wait()
            bot.fresh.clear()
            while bot.webhook and bot.updates:
                url = self.led.get(bot.webhook, bot.webhook)
                bot.error = await ring(url, bot.updates[0], bot.secret)
                if bot.error:
                    bot.error_at += 1
                    break  # until something happens, or `again`
                bot.updates.popleft()

    def again(self, token: str) -> None:
        """Let the platform ring once more."""
        self._bots[token].fresh.set()

    def _member(self, bot: _Bot, parameters: Mapping[str, Any]) -> dict[str, Any]:
        status = "left" if str(parameters.get("chat_id")) in self.left else "member"
        return {"user": {"id": bot.id, "is_bot": True, "first_name": "Engine"}, "status": status}

    async def _get_updates(self, bot: _Bot, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """An offset confirms everything before it; without updates the answer is held."""
        if bot.webhook:
            raise Refusal(409, "Conflict: can't use getUpdates method while webhook is active")
        offset = int(parameters.get("offset", 0))
        while bot.updates and bot.updates[0]["update_id"] < offset:
            bot.updates.popleft()
        if not bot.updates:
            bot.fresh.clear()
            try:
                async with asyncio.timeout(float(parameters.get("timeout", 0))):
                    await bot.fresh.wait()
            except TimeoutError:
                return []
        return list(bot.updates)[: int(parameters.get("limit", 100))]

    def _of_files(self, bot: _Bot, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if method == "getFile":
            return self.files.get(parameters.get("file_id"))
        file = file_of(method, parameters)
        return self._send(bot, parameters, str(parameters.get("caption", "")), file)

    def _send(
        self, bot: _Bot, parameters: Mapping[str, Any], text: str, file: SentFile | None = None
    ) -> dict[str, Any]:
        mode = parameters.get("parse_mode")
        visible = read_as_platform(text) if mode == "HTML" else text
        if not visible.strip() and file is None:
            raise Refusal(400, "Bad Request: message text is empty")
        units = len(visible.encode("utf-16-le")) // 2
        if file is not None and units > LONGEST_CAPTION:
            raise Refusal(400, "Bad Request: message caption is too long")
        if units > LONGEST_TEXT:
            raise Refusal(400, "Bad Request: message is too long")
        if "chat_id" not in parameters:
            raise Refusal(400, "Bad Request: chat_id is empty")
        thread = parameters.get("message_thread_id")
        if thread is not None and int(thread) == 1:
            raise Refusal(400, THREAD_NOT_FOUND)  # the General topic is addressed without it
        message = SentMessage(
            message_id=self._take_message_id(),
            chat_id=parameters["chat_id"],
            text=text,
            visible=visible,
            thread_id=None if thread is None else int(thread),
            parse_mode=None if mode is None else str(mode),
            token=bot.token,
            parameters=dict(parameters),
            file=file,
        )
        self.sent.append(message)
        return {
            "message_id": message.message_id,
            "from": {"id": bot.id, "is_bot": True, "first_name": "Engine"},
            "date": int(SystemClock().now().timestamp()),
            "chat": _chat(message.chat_id),
            "text" if file is None else "caption": visible,
        }

    def _take_message_id(self) -> int:
        self._next_message += 1
        return self._next_message - 1

    def _entities(self, text: str) -> list[dict[str, Any]]:
        return [
            {
                "type": "mention",
                "offset": len(text[: match.start()].encode("utf-16-le")) // 2,
                "length": len(match[0]),
            }
            for match in re.finditer(rf"@{re.escape(self.username)}\b", text, re.IGNORECASE)
        ]


def _chat(chat_id: int | str) -> dict[str, Any]:
    """A chat as answers name it; a form writes its number as text."""
    number = str(chat_id)
    if not number.removeprefix("-").isdecimal():
        return {"id": -1_000_000_000_001, "type": "channel", "title": number}
    kind = "supergroup" if number.startswith("-") else "private"
    named = {"title": "Test"} if kind == "supergroup" else {"first_name": "Test"}
    return {"id": int(number), "type": kind, **named}


def _set_webhook(bot: _Bot, parameters: Mapping[str, Any]) -> bool:
    bot.webhook = str(parameters.get("url", ""))
    bot.secret = str(parameters.get("secret_token", ""))
    bot.fresh.set()
    return True


def _webhook_info(bot: _Bot) -> dict[str, Any]:
    info: dict[str, Any] = {
        "url": bot.webhook,
        "has_custom_certificate": False,
        "pending_update_count": len(bot.updates),
    }
    if bot.error:
        info |= {"last_error_date": bot.error_at, "last_error_message": bot.error}
    return info
