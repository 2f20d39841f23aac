"""The local channel: a durable inbox on this machine, and an event for whoever listens.

channels.md §13. It needs no account, its sends are idempotent by key, and nothing but the
disk can make one fail.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from engine.clock import Clock
from engine.events import Bus
from engine.messages.address import Route
from engine.messages.media import Media
from engine.shelf import NotSaved
from engine.store import inbox
from gateway.channels.base import (
    AccountStatus,
    Admit,
    Attempt,
    Carriage,
    ChannelError,
    Fault,
    FaultClass,
    Sent,
)
from gateway.channels.pace import Scope
from gateway.channels.text import code_points
from jobs.errors import StoreUnavailable
from jobs.store.db import Database
from jobs.wallclock import ms

ACCOUNT: Final = "default"


class LocalChannel:
    """Keeps the promises of `gateway.channels.base.Channel` with a table."""

    id = "local"

    def __init__(self, db: Database, *, clock: Clock, bus: Bus) -> None:
        self._db = db
        self._clock = clock
        self._bus = bus

    async def start(self, admit: Admit) -> None:
        """Nothing to connect: what clients write comes through the gateway's own port."""

    async def stop(self) -> None:
        """Nothing to close."""

    def measure(self, text: str) -> int:
        """Code points; there is no limit to reach."""
        return code_points(text)

    def limit(self, account_id: str) -> int:  # noqa: ARG002 - the same for all
        """There is none."""
        return sys.maxsize

    def carries(self, route: Route) -> Carriage:  # noqa: ARG002 - the same for all
        """No files: links, and words about them."""
        return Carriage(name="the inbox", here=True)

    def scopes(self, route: Route) -> tuple[Scope, ...]:  # noqa: ARG002 - nobody to spare
        """No limits."""
        return ()

    def ready(self, account_id: str) -> bool:  # noqa: ARG002 - there is only one
        """Always."""
        return True

    def rules(self, route: Route) -> None:
        """No difference between answers and the rest."""

    def idempotent(self, attempt: Attempt) -> bool:  # noqa: ARG002 - the key makes it so
        """Always."""
        return True

    async def send(self, attempt: Attempt) -> Sent:
        """Put it into the inbox, once per key, and tell every client that listens."""
        now = self._clock.now()
        try:
            message_id = await self._db.write(
                lambda tx: inbox.add(
                    tx,
                    key=f"{attempt.key}#{attempt.chunk_index}",
                    agent_id=attempt.agent_id,
                    inbox=attempt.route.to,
                    kind=attempt.kind,
                    text=attempt.text,
                    now=now,
                )
            )
        except StoreUnavailable as error:
            raise ChannelError(Fault(fault=FaultClass.OFFLINE, detail=error.why)) from error
        self._bus.publish("chat", _event(attempt, message_id, ms(now)))
        return Sent(message_id=message_id)

    def bring(self, account_id: str, media: Media) -> AsyncGenerator[bytes]:
        """Nothing comes in here that would have to be fetched."""
        raise NotSaved(f"{media.name} cannot be fetched from {account_id}")

    async def typing(self, route: Route) -> None:
        """Nobody could see it."""

    def status(self) -> tuple[AccountStatus, ...]:
        """One account that needs no configuration."""
        return (
            AccountStatus(account_id=ACCOUNT, configured=True, enabled=True, runtime="connected"),
        )

    async def probe(self, account_id: str) -> Mapping[str, Any]:  # noqa: ARG002 - only one
        """It works if the store does."""
        return {"ok": True, "detail": "works"}


def _event(attempt: Attempt, message_id: str, at_ms: int) -> Mapping[str, Any]:
    """The `chat` event of protocol.md §7.1; ``runId`` is the outbox key."""
    return {
        "runId": attempt.key,
        "sessionKey": f"agent:{attempt.agent_id}:main" if attempt.agent_id else "main",
        "seq": attempt.chunk_index,
        "state": "final",
        "kind": attempt.kind,
        "inboxId": message_id,
        "message": {
            "role": "assistant",
            "content": [{"type": "text", "text": attempt.text}],
            "timestamp": at_ms,
        },
    }
