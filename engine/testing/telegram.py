"""A Bot API of your own on loopback: the real wire format, and every way it can go wrong.

Point `channels.telegram.accounts.<id>.apiRoot` at `TelegramStandIn.root` and test your
agent with no account. What the bot sent is in ``sent``; ``user_writes`` speaks to it;
``fail`` makes the next calls of a method go wrong.

    async with TelegramStandIn() as telegram:
        telegram.user_writes("hello", chat_id=42)
        message = await telegram.next_sent()
        assert message.chat_id == 42
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from engine.clock import SystemClock

TOKEN: Final = "100000001:stand-in-token-AAAAAAAAAAAAAAAAAAAAAAAA"  # noqa: S105 - of no use elsewhere
LONGEST_TEXT: Final = 4096
BLOCKED: Final = "Forbidden: bot was blocked by the user"
CHAT_NOT_FOUND: Final = "Bad Request: chat not found"
THREAD_NOT_FOUND: Final = "Bad Request: message thread not found"
CANNOT_PARSE: Final = "Bad Request: can't parse entities: unexpected end tag at byte offset 3"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One call that goes wrong. The named constructors are the usual ways."""

    status: int = 200
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    raw: bytes | None = None  # an answer that is not the API's JSON
    obeyed: bool = False  # the platform did it all the same
    dropped: bool = False  # the connection ends without an answer
    until: asyncio.Event | None = None  # the answer waits for this

    @classmethod
    def too_many(cls, retry_after: int) -> Wrong:
        """429 with `retry_after`."""
        return cls(
            status=429,
            description=f"Too Many Requests: retry after {retry_after}",
            parameters={"retry_after": retry_after},
        )

    @classmethod
    def unauthorized(cls) -> Wrong:
        """401: the token is refused."""
        return cls(status=401, description="Unauthorized")

    @classmethod
    def blocked(cls) -> Wrong:
        """403: the person blocked the bot."""
        return cls(status=403, description=BLOCKED)

    @classmethod
    def bad_request(cls, description: str) -> Wrong:
        """400 with these words."""
        return cls(status=400, description=description)

    @classmethod
    def migrated(cls, new_chat_id: int) -> Wrong:
        """400: the group became a supergroup."""
        return cls(
            status=400,
            description="Bad Request: group chat was upgraded to a supergroup chat",
            parameters={"migrate_to_chat_id": new_chat_id},
        )

    @classmethod
    def conflict(cls) -> Wrong:
        """409: somebody else polls with this token."""
        return cls(
            status=409,
            description="Conflict: terminated by other getUpdates request; make sure that only "
            "one bot instance is running",
        )

    @classmethod
    def server_error(cls, status: int = 500) -> Wrong:
        """5xx, with the API's JSON."""
        return cls(status=status, description="Internal Server Error")

    @classmethod
    def not_json(cls, status: int = 502) -> Wrong:
        """A page of some proxy instead of an answer."""
        return cls(status=status, raw=b"<html><body>Bad Gateway</body></html>")

    @classmethod
    def lost_answer(cls) -> Wrong:
        """The message is delivered, and the connection ends before the answer."""
        return cls(obeyed=True, dropped=True)

    @classmethod
    def slow(cls, until: asyncio.Event) -> Wrong:
        """The message is delivered, and the answer waits for ``until``."""
        return cls(obeyed=True, until=until)


@dataclass(slots=True, eq=False)
class _Bot:
    """What the platform keeps for one token."""

    token: str
    id: int
    updates: deque[dict[str, Any]] = field(default_factory=deque)
    next_update: int = 1000
    fresh: asyncio.Event = field(default_factory=asyncio.Event)
    webhook: str = ""


class Refusal(Exception):
    """An API answer with ``ok: false``."""

    def __init__(self, status: int, description: str, parameters: Mapping[str, Any] | None = None):
        super().__init__(description)
        self.status = status
        self.body = {"ok": False, "error_code": status, "description": description}
        if parameters:
            self.body["parameters"] = dict(parameters)


class TelegramStandIn:
    """The stand-in. An async context manager; every bot token given is accepted."""

    def __init__(self, *tokens: str, username: str = "engine_bot") -> None:
        self.token = tokens[0] if tokens else TOKEN
        self.username = username
        self.sent: list[SentMessage] = []
        self.calls: list[tuple[str, Mapping[str, Any]]] = []  # method, parameters; in order
        self._bots = {
            token: _Bot(token, 100_000_001 + index)
            for index, token in enumerate(tokens or (self.token,))
        }
        self._wrong: defaultdict[str, deque[Wrong]] = defaultdict(deque)
        self._standing: dict[str, Wrong] = {}
        self._next_message = 1
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._seen = 0
        self.root = ""

    async def __aenter__(self) -> TelegramStandIn:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; ``root`` is the `apiRoot` to configure."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.root = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._server is None:
            return
        self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    # -- what a test does ------------------------------------------------------------------

    def fail(self, method: str, *wrong: Wrong) -> None:
        """Let the next calls of ``method`` go wrong, one after the other."""
        self._wrong[method].extend(wrong)

    def fail_always(self, method: str, wrong: Wrong | None) -> None:
        """Let every call of ``method`` go wrong until None is given."""
        self._standing.pop(method, None)
        if wrong is not None:
            self._standing[method] = wrong

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
        token: str | None = None,
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
            "text": text,
        }
        if thread_id is not None:
            message |= {"message_thread_id": thread_id, "is_topic_message": True}
        if entities := self._entities(text):
            message["entities"] = entities
        self.update({"message": message | more}, token=token)
        return message_id

    def update(self, fields: Mapping[str, Any], *, token: str | None = None) -> int:
        """Put any update into the bot's queue; return its update id."""
        bot = self._bots[token or self.token]
        update_id = bot.next_update
        bot.next_update += 1
        bot.updates.append({"update_id": update_id, **fields})
        bot.fresh.set()
        return update_id

    async def next_sent(self, within: float = 5.0) -> SentMessage:
        """Return the next message nobody has waited for yet."""
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(lambda: len(self.sent) > self._seen)
        self._seen += 1
        return self.sent[self._seen - 1]

    async def called(self, method: str, times: int = 1, within: float = 5.0) -> None:
        """Return once ``method`` was called so often."""
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(
                lambda: sum(1 for name, _ in self.calls if name == method) >= times
            )

    def unconfirmed(self, *, token: str | None = None) -> int:
        """How many updates the bot has not confirmed with an offset."""
        return len(self._bots[token or self.token].updates)

    # -- the wire --------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a stream callback runs in a task
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the stand-in is being stopped
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False ends the connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (each.partition(":") for each in rest)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        target = line.split(" ")[1]
        path, _, query = target.partition("?")
        parameters = dict(parse_qsl(query)) | _parameters(headers.get("content-type", ""), body)
        token, method = _address(path)
        self.calls.append((method, parameters))
        async with self._news:
            self._news.notify_all()
        status, answer = await self._answer(token, method, parameters)
        if answer is None:
            return False
        kind = "application/json" if answer.startswith(b"{") else "text/html"
        writer.write(
            f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(answer)}\r\nConnection: keep-alive\r\n\r\n".encode()
            + answer
        )
        await writer.drain()
        return True

    async def _answer(
        self, token: str, method: str, parameters: Mapping[str, Any]
    ) -> tuple[int, bytes | None]:
        queue = self._wrong[method]
        wrong = queue.popleft() if queue else self._standing.get(method)
        if wrong is None:
            return await self._obey(token, method, parameters)
        obeyed = await self._obey(token, method, parameters) if wrong.obeyed else None
        if wrong.until is not None:
            await wrong.until.wait()
        if wrong.dropped:
            return 0, None
        if wrong.raw is not None:
            return wrong.status, wrong.raw
        if obeyed is not None:
            return obeyed
        refusal = Refusal(wrong.status, wrong.description, wrong.parameters)
        return refusal.status, json.dumps(refusal.body).encode()

    async def _obey(
        self, token: str, method: str, parameters: Mapping[str, Any]
    ) -> tuple[int, bytes]:
        try:
            result = await self._method(token, method, parameters)
        except Refusal as refusal:
            return refusal.status, json.dumps(refusal.body).encode()
        return 200, json.dumps({"ok": True, "result": result}).encode()

    # -- the methods -----------------------------------------------------------------------

    async def _method(self, token: str, method: str, parameters: Mapping[str, Any]) -> Any:
        bot = self._bots.get(token)
        if bot is None:
            raise Refusal(401, "Unauthorized")
        match method:
            case "getMe":
                return {"id": bot.id, "is_bot": True, "first_name": "Engine"} | {
                    "username": self.username
                }
            case "getUpdates":
                return await self._get_updates(bot, parameters)
            case "sendMessage":
                return await self._send(bot, parameters)
            case "getWebhookInfo":
                return {"url": bot.webhook, "pending_update_count": len(bot.updates)}
            case "deleteWebhook":
                bot.webhook = ""
                return True
            case "setWebhook":
                bot.webhook = str(parameters.get("url", ""))
                return True
            case "setMyCommands" | "sendChatAction":
                return True
            case _:
                raise Refusal(404, "Not Found: method not found")

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

    async def _send(self, bot: _Bot, parameters: Mapping[str, Any]) -> dict[str, Any]:
        text = str(parameters.get("text", ""))
        mode = parameters.get("parse_mode")
        visible = read_as_platform(text) if mode == "HTML" else text
        if not visible.strip():
            raise Refusal(400, "Bad Request: message text is empty")
        if len(visible.encode("utf-16-le")) // 2 > LONGEST_TEXT:
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
        )
        self.sent.append(message)
        async with self._news:
            self._news.notify_all()
        return {
            "message_id": message.message_id,
            "date": 0,
            "chat": {"id": message.chat_id, "type": "private"},
            "text": visible,
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


def _address(path: str) -> tuple[str, str]:
    """``/bot<token>/<method>``; anything else has neither."""
    match = re.fullmatch(r"/bot([^/]+)/(\w+)", unquote(path))
    return (match[1], match[2]) if match else ("", "")


def _parameters(content_type: str, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    if "json" in content_type:
        decoded = json.loads(body)
        return dict(decoded) if isinstance(decoded, dict) else {}
    return dict(parse_qsl(body.decode()))


_ALLOWED_TAGS: Final = frozenset(
    {"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre"}
    | {"blockquote", "tg-spoiler", "span", "tg-emoji"}
)


class _Html(HTMLParser):
    """The platform's parser, as strict as the platform: known tags, closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.visible: list[str] = []

    def handle_starttag(
        self,
        tag: str,
        attrs: list[tuple[str, str | None]],  # noqa: ARG002 - the base class passes them
    ) -> None:
        if tag not in _ALLOWED_TAGS:
            raise Refusal(400, f'Bad Request: can\'t parse entities: Unsupported start tag "{tag}"')
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise Refusal(400, CANNOT_PARSE)

    def handle_data(self, data: str) -> None:
        self.visible.append(data)


def read_as_platform(text: str) -> str:
    """Return what a person sees of HTML text; raises `Refusal` where the platform would."""
    parser = _Html()
    parser.feed(text)
    parser.close()
    if parser.open:
        raise Refusal(400, "Bad Request: can't parse entities: can't find end tag")
    return "".join(parser.visible)
