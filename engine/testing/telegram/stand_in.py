"""The stand-in itself: a loopback HTTP server over `Platform`, and what a test does with it."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from engine.testing.http import Answer, LoopbackHttp, Request
from engine.testing.telegram.platform import Platform, SentMessage
from engine.testing.telegram.wrong import Refusal, Wrong

TOKEN: Final = "100000001:stand-in-token-AAAAAAAAAAAAAAAAAAAAAAAA"  # noqa: S105 - of no use elsewhere
FILE: Final = "file"  # what `fail` calls the fetching of a file
_FILE = re.compile(r"/file/bot([^/]+)/(.+)")


class TelegramStandIn:
    """The stand-in. An async context manager; every bot token given is accepted."""

    def __init__(self, *tokens: str, username: str = "engine_bot") -> None:
        self.token = tokens[0] if tokens else TOKEN
        self._platform = Platform(tokens or (self.token,), username)
        self.calls: list[tuple[str, Mapping[str, Any]]] = []  # method, parameters; in order
        self._wrong: defaultdict[str, deque[Wrong]] = defaultdict(deque)
        self._standing: dict[str, Wrong] = {}
        self._news = asyncio.Condition()
        self._http = LoopbackHttp(self._handle)
        self._tokens = tokens or (self.token,)
        self._ringing: list[asyncio.Task[None]] = []
        self._seen = 0
        self.root = ""

    @property
    def sent(self) -> list[SentMessage]:
        """What the bots sent, in order."""
        return self._platform.sent

    async def __aenter__(self) -> TelegramStandIn:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; ``root`` is the `apiRoot` to configure."""
        await self._http.start(port)
        self.root = self._http.url
        self._ringing = [
            asyncio.create_task(self._platform.ring_on(token), name="telegram-stand-in-rings")
            for token in self._tokens
        ]

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        for task in self._ringing:
            task.cancel()
        await asyncio.gather(*self._ringing, return_exceptions=True)
        await self._http.stop()

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
        self, text: str, *, chat_id: int = 42, token: str | None = None, **more: Any
    ) -> int:
        """Put a message of a person into the bot's updates; return its message id.

        A negative ``chat_id`` is a supergroup. ``more`` may say ``user_id``, ``chat_type``,
        ``username``, ``thread_id`` and ``date`` (now otherwise), and any further field of the
        Message object.
        """
        return self._platform.user_writes(text, chat_id=chat_id, token=token or self.token, **more)

    def user_sends(
        self, kind: str, content: bytes, *, chat_id: int = 42, token: str | None = None, **more: Any
    ) -> int:
        """Put a file of a person into the bot's updates; return its message id.

        ``kind`` as messages call it (photo, document, voice, ...). ``more`` may say ``caption``,
        ``name``, ``mime``, the ``size`` the platform claims, and what `user_writes` takes.
        """
        token = token or self.token
        return self._platform.user_sends(kind, content, chat_id=chat_id, token=token, **more)

    def update(self, fields: Mapping[str, Any], *, token: str | None = None) -> int:
        """Put any update into the bot's queue; return its update id."""
        return self._platform.update(fields, token=token or self.token)

    def lead(self, url: str, to: str) -> None:
        """Lead a webhook's public address to a port of this machine, as a proxy would."""
        self._platform.led[url] = to

    def ring_again(self, *, token: str | None = None) -> None:
        """Let the platform bring once more what was not taken from its webhook."""
        self._platform.again(token or self.token)

    def leave(self, chat_id: int | str) -> None:
        """The bot is not in a group any more."""
        self._platform.left.add(str(chat_id))

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
        return self._platform.unconfirmed(token or self.token)

    # -- the wire --------------------------------------------------------------------------

    async def _handle(self, request: Request) -> Answer:
        parameters = request.fields()
        token, method = _address(request.path)
        self.calls.append((method, parameters))
        async with self._news:
            self._news.notify_all()
        if method == FILE:
            return self._fetched(request.path)
        status, answer = await self._answer(token, method, parameters)
        return Answer(status, answer, {})

    def _fetched(self, path: str) -> Answer:
        """Answer where files are fetched: the bytes, or what is wrong with them."""
        queue = self._wrong[FILE]
        wrong = queue.popleft() if queue else self._standing.get(FILE)
        match = _FILE.fullmatch(unquote(path))
        try:
            content = self._platform.files.at(match[2] if match else "")
        except Refusal as refusal:
            return Answer(refusal.status, json.dumps(refusal.body).encode(), {})
        if wrong is None:
            return Answer(200, content, {})
        if wrong.dropped:
            return Answer(0, None, {})
        body = content if wrong.raw is None else wrong.raw
        return Answer(wrong.status, body, wrong.headers, wrong.claimed, wrong.until)

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
            result = await self._platform.obey(token, method, parameters)
        except Refusal as refusal:
            return refusal.status, json.dumps(refusal.body).encode()
        finally:
            async with self._news:
                self._news.notify_all()
        return 200, json.dumps({"ok": True, "result": result}).encode()


def _address(path: str) -> tuple[str, str]:
    """``/bot<token>/<method>``; where files are fetched, `FILE`; anything else has neither."""
    if match := _FILE.fullmatch(unquote(path)):
        return match[1], FILE
    match = re.fullmatch(r"/bot([^/]+)/(\w+)", unquote(path))
    return (match[1], match[2]) if match else ("", "")
