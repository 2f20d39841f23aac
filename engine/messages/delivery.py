"""One message as it stands: a value. What may happen to it: `engine.messages.outbox`. Pure.

Apart from its moves because `engine heartbeat last` tells of messages and moves none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from engine.messages.address import Route
from engine.messages.media import Media
from jobs.values import swift


class State(StrEnum):
    """Where a delivery stands."""

    QUEUED = "queued"
    SENDING = "sending"
    HELD = "held"  # waits for the peer's next contact
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"  # it may have arrived; resending could repeat it


class Priority(IntEnum):
    """Who goes first on an account (channels.md §7). Lower is sooner."""

    REPLY = 0
    CRON = 1
    HEARTBEAT = 2
    BULK = 3


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message on its way. ``chunks`` are planned before the first send and never change."""

    key: str  # idempotency key: <job or heartbeat>:<run>:<seq>
    route: Route
    text: str
    kind: str  # reply | cron | event | heartbeat | message | test
    created_at: datetime
    expires_at: datetime
    agent_id: str | None = None
    run_id: str | None = None
    job_id: str | None = None
    priority: Priority = Priority.CRON
    state: State = State.QUEUED
    reason: str | None = None  # of the terminal state: superseded, overflow, operator, a class
    chunks: tuple[str, ...] = ()
    cursor: int = 0  # first chunk not yet accepted
    attempts: int = 0
    next_attempt_at: datetime | None = None
    first_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    message_ids: tuple[str, ...] = ()
    media: tuple[Media, ...] = ()  # files that go along
    last_error: Mapping[str, Any] | None = None  # {class, code, detail}
    notes: Mapping[str, Any] = field(default_factory=dict)  # formatFallback, thread-gone, ...

    @property
    def lane(self) -> str:
        """One in flight per lane."""
        return self.route.lane
