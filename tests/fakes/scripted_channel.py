"""A channel that answers what a test says, with Telegram's limits and its own."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any

from engine.messages.address import Route
from engine.messages.media import Media
from engine.shelf import NotSaved
from engine.testing.clock import ManualClock
from gateway.channels.base import (
    AccountStatus,
    Admit,
    Attempt,
    Carriage,
    ChannelError,
    Fault,
    Sent,
)
from gateway.channels.pace import Scope
from gateway.channels.telegram.account import scopes
from gateway.channels.windows import ReplyRules


class ScriptedChannel:
    """Answers what the test says, and remembers what was asked and when."""

    id = "telegram"

    def __init__(self, clock: ManualClock, *, idempotent: bool = False) -> None:
        self.clock = clock
        self.attempts: list[tuple[datetime, Attempt]] = []
        self.script: defaultdict[str, deque[Fault | Exception | asyncio.Event]] = defaultdict(deque)
        self.typed: list[tuple[datetime, str]] = []
        self.runtime = "connected"
        self.last_error: str | None = None
        self.enabled = True
        self.files: dict[str, bytes | asyncio.Event] = {}  # what people sent, by ref
        self._idempotent = idempotent
        self.carriage = Carriage(name="links")
        self.reply_rules: ReplyRules | None = None

    async def start(self, admit: Admit) -> None:
        return None

    async def stop(self) -> None:
        return None

    def limit(self, account_id: str) -> int:
        return 40

    def measure(self, text: str) -> int:
        return len(text)

    def carries(self, route: Route) -> Carriage:
        return self.carriage

    def scopes(self, route: Route) -> tuple[Scope, ...]:
        return scopes(route)

    def ready(self, account_id: str) -> bool:
        return account_id == "default" and self.enabled and self.runtime == "connected"

    def rules(self, route: Route) -> ReplyRules | None:
        return self.reply_rules

    def idempotent(self, attempt: Attempt) -> bool:
        return self._idempotent or attempt.reply is not None

    async def send(self, attempt: Attempt) -> Sent:
        self.attempts.append((self.clock.now(), attempt))
        number = len(self.attempts)
        script = self.script[attempt.route.to]
        match script.popleft() if script else None:
            case Fault() as fault:
                raise ChannelError(fault)
            case Exception() as error:
                raise error
            case asyncio.Event() as gate:
                await gate.wait()
            case _:
                pass
        return Sent(message_id=f"m{number}")

    def status(self) -> tuple[AccountStatus, ...]:
        return (
            AccountStatus(
                account_id="default",
                configured=True,
                enabled=self.enabled,
                runtime=self.runtime,
                last_error=self.last_error,
            ),
        )

    async def probe(self, account_id: str) -> Mapping[str, Any]:
        return {"ok": True}

    async def bring(self, account_id: str, media: Media) -> AsyncGenerator[bytes]:
        what = self.files.get(media.ref or "")
        if isinstance(what, asyncio.Event):
            await what.wait()
        if not isinstance(what, bytes):
            raise NotSaved("nobody knows that file")
        yield what

    async def typing(self, route: Route) -> None:
        self.typed.append((self.clock.now(), route.to))

    def texts(self) -> list[str]:
        return [attempt.text for _, attempt in self.attempts]
