"""The life of one message as a table (channels.md §11). Pure: the shell is gateway.sender."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Final

from engine.target import Route


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


class Event(StrEnum):
    """What may happen to a delivery."""

    ATTEMPT = "attempt"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RETRY_LATER = "retry-later"
    LOST_SIGHT = "lost-sight"
    HOLD = "hold"
    CONTACT = "contact"
    OUT_OF_TIME = "out-of-time"
    CANCEL = "cancel"


MOVES: Final[Mapping[tuple[State, Event], State]] = {
    (State.QUEUED, Event.ATTEMPT): State.SENDING,
    (State.QUEUED, Event.OUT_OF_TIME): State.EXPIRED,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.REJECTED): State.FAILED,  # refused before the network was asked
    (State.SENDING, Event.ACCEPTED): State.DELIVERED,
    (State.SENDING, Event.REJECTED): State.FAILED,
    (State.SENDING, Event.RETRY_LATER): State.QUEUED,
    (State.SENDING, Event.LOST_SIGHT): State.UNKNOWN,
    (State.SENDING, Event.HOLD): State.HELD,
    (State.HELD, Event.CONTACT): State.QUEUED,
    (State.HELD, Event.OUT_OF_TIME): State.EXPIRED,
    (State.HELD, Event.CANCEL): State.CANCELLED,
}
TERMINAL: Final = frozenset(State) - {state for state, _ in MOVES}


class IllegalMove(AssertionError):
    """A move the table does not list: a bug, never caught to go on."""


def after(state: State, event: Event) -> State:
    """Return the state after ``event``; refuse a move the table does not list."""
    try:
        return MOVES[state, event]
    except KeyError:
        raise IllegalMove(f"{event} while {state}") from None


class Priority(IntEnum):
    """Who goes first on an account (channels.md §7). Lower is sooner."""

    REPLY = 0
    CRON = 1
    HEARTBEAT = 2
    BULK = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message on its way. ``chunks`` are planned before the first send and never change."""

    key: str  # idempotency key: <job or heartbeat>:<run>:<seq>
    route: Route
    text: str
    kind: str  # reply | cron | heartbeat | message | test
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
    last_error: Mapping[str, Any] | None = None  # {class, code, detail}
    notes: Mapping[str, Any] = field(default_factory=dict)  # formatFallback, thread-gone, ...

    @property
    def lane(self) -> str:
        """One in flight per lane."""
        return self.route.lane
