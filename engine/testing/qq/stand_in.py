"""The stand-in itself: REST and gateway on loopback over `Platform`, and what a test does."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from engine.clock import Clock, SystemClock
from engine.testing.http import Answer, LoopbackHttp, Request, json_answer
from engine.testing.qq.gateway import Gateway
from engine.testing.qq.platform import GUILD, Platform, SentMessage
from engine.testing.qq.wrong import Refusal, Wrong

APP_ID: Final = "102000001"
SECRET: Final = "stand-in-secret-AAAAAAAAAAAAAAAA"  # noqa: S105 - of no use elsewhere
FILE: Final = "file"  # what `fail` calls the fetching of a file
ANN: Final = "A" * 32
_PLACES: Final = (
    ("c2c", re.compile(r"/v2/users/([^/]+)/messages")),
    ("group", re.compile(r"/v2/groups/([^/]+)/messages")),
    ("channel", re.compile(r"/channels/([^/]+)/messages")),
    ("files:c2c", re.compile(r"/v2/users/([^/]+)/files")),
    ("files:group", re.compile(r"/v2/groups/([^/]+)/files")),
    ("dms", re.compile(r"/dms/([^/]+)/messages")),
)


# What `/gateway/bot` tells besides; `/gateway` may.
_SHARDS: Final = {
    "shards": 1,
    "session_start_limit": {
        "total": 1000,
        "remaining": 1000,
        "reset_after": 86_400_000,
        "max_concurrency": 1,
    },
}


class QqStandIn:
    """The stand-in. An async context manager; ``bots`` are secrets by app id."""

    def __init__(
        self,
        bots: Mapping[str, str] | None = None,
        *,
        clock: Clock | None = None,
        links_allowed: bool = False,
    ) -> None:
        bots = bots or {APP_ID: SECRET}
        self.app_id, self.secret = next(iter(bots.items()))
        self.platform = Platform(bots, clock or SystemClock(), links_allowed=links_allowed)
        self.gateway = Gateway(self.platform, self._tell)
        self.calls: list[tuple[str, Mapping[str, Any]]] = []  # kind, body; in order
        self._http = LoopbackHttp(self._handle)
        self._wrong: defaultdict[str, deque[Wrong]] = defaultdict(deque)
        self._standing: dict[str, Wrong] = {}
        self._news = asyncio.Event()
        self._seen = 0
        self.root = ""

    @property
    def sent(self) -> list[SentMessage]:
        """What the bots sent, in order."""
        return self.platform.sent

    async def __aenter__(self) -> QqStandIn:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; ``root`` is the `apiBase` and the `tokenUrl` to configure."""
        await self.gateway.start()
        await self._http.start(port)
        self.root = self._http.url

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        await self.gateway.stop()
        await self._http.stop()

    # -- what a test does ------------------------------------------------------------------

    def fail(self, kind: str, *wrong: Wrong) -> None:
        """Let the next requests go wrong: token, gateway, me, c2c, group, channel,
        dms, files:c2c, files:group, and file (what people sent)."""
        self._wrong[kind].extend(wrong)

    def fail_always(self, kind: str, wrong: Wrong | None) -> None:
        """Let every request of a kind go wrong until None is given."""
        self._standing.pop(kind, None)
        if wrong is not None:
            self._standing[kind] = wrong

    async def user_writes(
        self, text: str, *, openid: str = ANN, app_id: str | None = None, **more: Any
    ) -> str:
        """Let a person write to a bot; return the message's id. ``more`` are further fields."""
        bot = app_id or self.app_id
        message_id, at = self.platform.asked(bot, f"c2c:{openid}")
        author = {"id": openid, "user_openid": openid, "union_openid": ""}
        fields = {"id": message_id, "content": text, "timestamp": at, "author": author}
        await self.happens("C2C_MESSAGE_CREATE", fields | more, app_id=bot)
        return message_id

    async def user_sends(
        self,
        content: bytes,
        *,
        text: str = "",
        name: str = "file",
        mime: str = "file",
        size: int | None = None,
        url: str | None = None,
        **more: Any,
    ) -> str:
        """Let a person send a file; return the message's id.

        ``size`` is what the platform claims, ``url`` where it says the file lies; ``more`` as for
        `user_writes`.
        """
        path = f"/download/{len(self.platform.kept) + 1}"
        self.platform.kept[path] = content
        attachment = {
            "content_type": mime,
            "filename": name,
            "size": len(content) if size is None else size,
            "url": self.root + path if url is None else url,
        }
        return await self.user_writes(text, attachments=[attachment], **more)

    async def group_writes(
        self,
        text: str,
        *,
        group: str = "G" * 32,
        member: str = "M" * 32,
        mentioned: bool = True,
        app_id: str | None = None,
        **more: Any,
    ) -> str:
        """Let a member of a group write; without a mention only bots in full mode hear it."""
        bot = app_id or self.app_id
        message_id, at = self.platform.asked(bot, f"group:{group}")
        author = {
            "id": member,
            "member_openid": member,
            "member_role": "member",
            "union_openid": "",
            "bot": False,
        }
        fields = {
            "id": message_id,
            "content": f" {text}" if mentioned else text,
            "timestamp": at,
            "author": author,
            "group_id": group,
            "group_openid": group,
        }
        kind = "GROUP_AT_MESSAGE_CREATE" if mentioned else "GROUP_MESSAGE_CREATE"
        await self.happens(kind, fields | more, app_id=bot)
        return message_id

    async def guild_writes(
        self, text: str, *, channel: str = "7001", user: str = "42", app_id: str | None = None
    ) -> str:
        """Let a member of a guild mention the bot in a channel."""
        bot = app_id or self.app_id
        message_id, at = self.platform.asked(bot, f"channel:{channel}")
        me = self.platform.me(bot)
        fields = {
            "id": message_id,
            "channel_id": channel,
            "guild_id": GUILD,
            "content": f"<@!{me['id']}> {text}",
            "timestamp": at,
            "author": {"id": user, "username": "Ann", "bot": False},
            "mentions": [me],
        }
        await self.happens("AT_MESSAGE_CREATE", fields, app_id=bot)
        return message_id

    async def user_presses(
        self,
        value: str,
        *,
        openid: str = ANN,
        group: str | None = None,
        app_id: str | None = None,
    ) -> str:
        """Let a person press a button of the bot's; return the press's id."""
        number = self.platform.number()
        fields: dict[str, Any] = {
            "id": number,
            "application_id": app_id or self.app_id,
            "type": 11,
            "version": 1,
            "data": {"type": 11, "resolved": {"button_data": value, "button_id": "1"}},
        }
        if group is None:
            fields |= {"scene": "c2c", "chat_type": 2, "user_openid": openid}
        else:
            fields |= {"scene": "group", "chat_type": 1, "group_openid": group}
            fields |= {"group_member_openid": openid}
        await self.happens("INTERACTION_CREATE", fields, app_id=app_id)
        return number

    async def happens(
        self, kind: str, data: Mapping[str, Any], *, app_id: str | None = None
    ) -> None:
        """Let any event happen to a bot. One that is away hears of it when it resumes."""
        bot = app_id or self.app_id
        self.platform.event(bot, kind, data)
        await self.gateway.flush(bot)

    def deny(self, peer: str, *, app_id: str | None = None) -> None:
        """A peer takes nothing unasked from now on (`allow` takes it back)."""
        self.platform.denied.add((app_id or self.app_id, peer))

    def allow(self, peer: str, *, app_id: str | None = None) -> None:
        """A peer takes messages it did not ask for again."""
        self.platform.denied.discard((app_id or self.app_id, peer))

    async def close(self, code: int, reason: str = "") -> None:
        """Close every connection with one of the platform's codes."""
        await self.gateway.close(code, reason)

    async def drop(self) -> None:
        """End every connection without a word."""
        await self.gateway.drop()

    async def ask_to_reconnect(self) -> None:
        """Opcode 7."""
        await self.gateway.say({"op": 7})

    async def invalidate(self) -> None:
        """Opcode 9; the session is not known any more."""
        self.platform.sessions.clear()
        await self.gateway.say({"op": 9, "d": False})

    async def connected(self, bots: int = 1, within: float = 5.0) -> None:
        """Return once so many bots are connected."""
        await self._until(lambda: self.gateway.connections() >= bots, within)

    async def next_sent(self, within: float = 5.0) -> SentMessage:
        """Return the next message nobody has waited for yet."""
        await self._until(lambda: len(self.sent) > self._seen, within)
        self._seen += 1
        return self.sent[self._seen - 1]

    async def called(self, kind: str, times: int = 1, within: float = 5.0) -> None:
        """Return once requests of a kind came so often."""
        await self._until(lambda: sum(1 for one, _ in self.calls if one == kind) >= times, within)

    async def received(self, op: int, times: int = 1, within: float = 5.0) -> dict[str, Any]:
        """Return the frame of an opcode, once so many of them came."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.gateway.received if one.get("op") == op]

        await self._until(lambda: len(found()) >= times, within)
        return found()[times - 1]

    async def _until(self, done: Any, within: float) -> None:
        async with asyncio.timeout(within):
            while not done():
                self._news.clear()
                await self._news.wait()

    def _tell(self) -> None:
        self._news.set()

    # -- the wire --------------------------------------------------------------------------

    async def _handle(self, request: Request) -> Answer:
        kind, peer = _kind(request.path)
        body = request.fields()
        self.calls.append((kind, body))
        self._tell()
        queue = self._wrong[kind]
        wrong = queue.popleft() if queue else self._standing.get(kind)
        if kind == FILE:
            return _fetched(self.platform.kept.get(request.path), wrong)
        if wrong is None:
            return self._obey(kind, peer, request, body)
        obeyed = self._obey(kind, peer, request, body) if wrong.obeyed else None
        if wrong.until is not None:
            await wrong.until.wait()
        if wrong.dropped:
            return Answer(0, None, {})
        if wrong.raw is not None:
            return Answer(wrong.status, wrong.raw, {})
        if obeyed is not None:
            return obeyed
        refusal = Refusal(wrong.code, wrong.message, wrong.status)
        headers = {"Retry-After": wrong.retry_after} if wrong.retry_after else {}
        return Answer(refusal.status, json.dumps(refusal.body).encode(), headers)

    def _obey(self, kind: str, peer: str, request: Request, body: Mapping[str, Any]) -> Answer:
        try:
            return json_answer(200, self._result(kind, peer, request, body))
        except Refusal as refusal:
            return json_answer(refusal.status, refusal.body)
        finally:
            self._tell()

    def _result(
        self, kind: str, peer: str, request: Request, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        if kind == "token":
            return self.platform.issue(str(body.get("appId")), str(body.get("clientSecret")))
        app_id = self.platform.bot_of(request.headers.get("authorization", ""))
        match kind:
            case "gateway":
                return {"url": self.gateway.url, **_SHARDS}
            case "interaction":
                self.platform.confirmed.append((peer, int(body.get("code") or 0)))
                return {}
            case "me":
                return self.platform.me(app_id)
            case "c2c" | "group" | "channel" | "dms":
                return self.platform.take(app_id, f"{kind}:{peer}", body)
            case "files:c2c" | "files:group":
                place = kind.partition(":")[2]
                return self.platform.upload(app_id, f"{place}:{peer}", body)
            case _:
                raise Refusal(11281, "no such interface", 404)


def _fetched(content: bytes | None, wrong: Wrong | None) -> Answer:
    """Answer where files are fetched: the bytes, or what is wrong with them."""
    if content is None:
        return Answer(404, b"", {})
    if wrong is None:
        return Answer(200, content, {})
    body = None if wrong.dropped else content if wrong.raw is None else wrong.raw
    status = 200 if wrong.status == 400 else wrong.status
    return Answer(status, body, wrong.headers, wrong.claimed, wrong.until)


def _kind(path: str) -> tuple[str, str]:
    """What a path asks for, and of whom."""
    fixed = {
        "/app/getAppAccessToken": "token",
        "/gateway": "gateway",
        "/gateway/bot": "gateway",
        "/users/@me": "me",
    }
    if path in fixed:
        return fixed[path], ""
    if path.startswith("/download/"):
        return FILE, ""
    if match := re.fullmatch(r"/interactions/([^/]+)", path):
        return "interaction", unquote(match[1])
    for kind, pattern in _PLACES:
        if match := pattern.fullmatch(path):
            return kind, unquote(match[1])
    return "unknown", ""
