"""The life of one message as a table (channels.md §11). Pure: the shell is gateway.sender."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from engine.messages import cargo
from engine.messages.address import Route
from engine.messages.contact import (
    AWAITING,
    REPLY_TO,
    SEQ_CLASH,
    UNASKED_ONLY,
    UNSURE,
    without_reply,
)
from engine.messages.delivery import Delivery, State
from engine.messages.fault import Fault, FaultClass
from jobs.values import changed
from jobs.wallclock import MILLISECOND, ms


class Event(StrEnum):
    """What may happen to a delivery."""

    ATTEMPT = "attempt"
    ACCEPTED = "accepted"
    PART_ACCEPTED = "part-accepted"  # one chunk arrived, more are to follow
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
    (State.QUEUED, Event.HOLD): State.HELD,  # known to be refused: not even asked
    (State.SENDING, Event.ACCEPTED): State.DELIVERED,
    (State.SENDING, Event.PART_ACCEPTED): State.QUEUED,
    (State.SENDING, Event.REJECTED): State.FAILED,
    (State.SENDING, Event.RETRY_LATER): State.QUEUED,
    (State.SENDING, Event.LOST_SIGHT): State.UNKNOWN,
    (State.SENDING, Event.HOLD): State.HELD,
    (State.HELD, Event.CONTACT): State.QUEUED,
    (State.HELD, Event.OUT_OF_TIME): State.EXPIRED,
    (State.HELD, Event.CANCEL): State.CANCELLED,
}
AGAIN: Final = "again:"  # how the keys of repetitions begin
MAY_REPEAT: Final = "mayRepeat"  # note of a message whose words may have arrived before
TERMINAL: Final = frozenset(State) - {state for state, _ in MOVES}


def again_key(base: str, lane: str, number: int) -> str:
    """Return the key of the ``number``-th time that words are sent to a place once more.

    ``base`` may be such a key itself: a repetition of a repetition is one of the first words.
    """
    root = base.split(":", 3)[-1] if base.startswith(AGAIN) else base
    return f"{AGAIN}{number}:{zlib.crc32(lane.encode()):08x}:{root}"


class IllegalMove(AssertionError):
    """A move the table does not list: a bug, never caught to go on."""


def after(state: State, event: Event) -> State:
    """Return the state after ``event``; refuse a move the table does not list."""
    try:
        return MOVES[state, event]
    except KeyError:
        raise IllegalMove(f"{event} while {state}") from None


def moved(current: Delivery, event: Event, now: datetime, **changes: Any) -> Delivery:
    """Return a message after ``event``; ``changes`` are fields of it.

    A terminal state gets its ``ended_at``, the first attempt its ``first_attempt_at``.
    """
    state = after(current.state, event)
    if state in TERMINAL:
        changes.setdefault("ended_at", now)
    if event is Event.ATTEMPT and current.first_attempt_at is None:
        changes.setdefault("first_attempt_at", now)
    return changed(current, state=state, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """Words for somebody, as whoever sends them says it: an agent's tool, an operator, a client."""

    text: str
    key: str  # idempotency key: the same again is the same message
    channel: str | None = None  # None: of `to`, else where the person wrote last
    to: str | None = None
    account_id: str | None = None
    thread_id: str | None = None
    agent_id: str | None = None  # who speaks; None: the default agent
    files: tuple[str, ...] = ()  # addresses, or paths of the agent's workspace
    silent: bool = False  # the person's device makes no sound, where the platform can
    dry_run: bool = False  # say where it would go, and keep nothing
    laid_ready: bool = False  # besides, copies that the command line has laid ready


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """The newest message to somebody, which did not arrive."""

    route: Route
    kind: str  # class of the fault, or the reason of its end
    detail: str = ""


class Mend(StrEnum):
    """What is changed about a message before it is tried once more."""

    PLAIN = "plain"  # without markup
    NO_THREAD = "no-thread"
    NEW_PEER = "new-peer"  # the chat has a new id
    SMALLER = "smaller"  # the chunk is cut again
    NO_LINKS = "no-links"  # addresses are spelt so that nothing links to them


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try once more at ``at``. ``notes`` replace the delivery's notes."""

    at: datetime
    notes: Mapping[str, Any]
    mend: Mend | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """It is over: ``event`` ends it, ``reason`` says why."""

    event: Event
    reason: str
    spoils_route: bool = False


Step = Again | End

# Transport tries, then the queue's (channels.md §11); the last one repeats until expiry.
BACKOFF: Final = tuple(timedelta(seconds=s) for s in (0.4, 0.8, 5, 25, 120, 600))
JITTER: Final = 0.1
FREE_RATE_LIMITS: Final = 3  # a platform's "later" is no failure of ours, up to this many
LONGEST_STATED_WAIT: Final = timedelta(hours=1)
AUTH_RECHECK: Final = timedelta(minutes=1)

_MENDS: Final[Mapping[FaultClass, tuple[Mend, str]]] = {
    FaultClass.FORMAT: (Mend.PLAIN, "formatFallback"),
    FaultClass.THREAD_GONE: (Mend.NO_THREAD, "threadGone"),
    FaultClass.MIGRATED: (Mend.NEW_PEER, "migratedTo"),
    FaultClass.TOO_LONG: (Mend.SMALLER, "rechunked"),
}
# The platform tells answers from the rest, and refuses one of them.
_OF_ANSWERS: Final = frozenset(
    {FaultClass.DUPLICATE, FaultClass.WINDOW_EXPIRED, FaultClass.PROACTIVE_DENIED}
)
_MAY_HAVE_ARRIVED: Final = frozenset({FaultClass.SERVER, FaultClass.NETWORK_AMBIGUOUS})
_RETRIED: Final = frozenset(
    {FaultClass.OFFLINE, FaultClass.SERVER, FaultClass.NETWORK_PRESEND, FaultClass.CONFLICT}
)


def backoff(key: str, failures: int) -> timedelta:
    """Return the wait after the ``failures``-th failure in a row, with 10 % jitter.

    The jitter is a function of key and count, so that a simulation repeats itself.
    """
    base = BACKOFF[min(max(failures, 1), len(BACKOFF)) - 1]
    share = zlib.crc32(f"{key}#{failures}".encode()) / 0xFFFFFFFF
    return base * (1 + JITTER * (2 * share - 1))


def next_step(
    delivery: Delivery, fault: Fault, now: datetime, *, idempotent: bool, holds: bool = False
) -> Step:
    """Decide what follows a failed attempt (the retry column of channels.md §10).

    ``holds``: what a peer takes only as an answer waits until they write (§8).

    A wait never reaches beyond the expiry, so that a message that ran out of time is
    recorded as such when it does.
    """
    kind = fault.fault
    if kind is FaultClass.RATE_LIMITED:
        return _later(delivery, fault, now)
    if (then := _of_media(delivery, fault)) is not None:
        return Again(at=now, notes=then)
    if mend := _mend_of(fault):
        return _mended(delivery, fault, now, *mend)
    if kind in _OF_ANSWERS:
        return _as_answer(delivery, kind, now, holds=holds)
    if kind is FaultClass.AUTH:  # the row waits for new credentials, or for its expiry
        return Again(at=min(now + AUTH_RECHECK, delivery.expires_at), notes=delivery.notes)
    if kind in _RETRIED or (kind is FaultClass.NETWORK_AMBIGUOUS and idempotent):
        return _tried_again(delivery, now, unsure=kind in _MAY_HAVE_ARRIVED)
    if kind is FaultClass.NETWORK_AMBIGUOUS:
        return End(event=Event.LOST_SIGHT, reason=str(kind))
    return End(event=Event.REJECTED, reason=str(kind), spoils_route=kind.spoils_route)


def _of_media(delivery: Delivery, fault: Fault) -> Mapping[str, Any] | None:
    return cargo.otherwise(delivery, fault) if fault.fault is FaultClass.MEDIA_REFUSED else None


def _mend_of(fault: Fault) -> tuple[Mend, str] | None:
    return (Mend.NO_LINKS, "defanged") if fault.links_refused else _MENDS.get(fault.fault)


def _as_answer(delivery: Delivery, kind: FaultClass, now: datetime, *, holds: bool) -> Step:
    """What follows where a platform tells answers from the rest (channels.md §8, msg_seq)."""
    rejected = End(event=Event.REJECTED, reason=str(kind))
    unsure, notes = bool(delivery.notes.get(UNSURE)), without_reply(delivery.notes)
    match kind:
        case FaultClass.DUPLICATE if unsure or REPLY_TO not in delivery.notes:
            return End(event=Event.ACCEPTED, reason="")  # an earlier attempt had arrived
        case FaultClass.DUPLICATE:  # somebody else used that number: the next one, once
            once = SEQ_CLASH not in delivery.notes
            return Again(at=now, notes={**notes, SEQ_CLASH: True}) if once else rejected
        case FaultClass.WINDOW_EXPIRED if unsure:
            return End(event=Event.LOST_SIGHT, reason=str(kind))
        case FaultClass.WINDOW_EXPIRED:
            once = UNASKED_ONLY not in delivery.notes
            return Again(at=now, notes={**notes, UNASKED_ONLY: True}) if once else rejected
        case _:
            return End(event=Event.HOLD, reason=AWAITING) if holds else rejected


def _later(delivery: Delivery, fault: Fault, now: datetime) -> Step:
    count = int(delivery.notes.get("rateLimited", 0)) + 1
    notes: dict[str, Any] = {**delivery.notes, "rateLimited": count}
    failures = int(notes.get("failures", 0))
    if count > FREE_RATE_LIMITS:
        failures += 1
        notes["failures"] = failures
    wait = backoff(delivery.key, max(failures, FREE_RATE_LIMITS))
    if fault.retry_after_seconds is not None:
        stated = timedelta(seconds=max(fault.retry_after_seconds, 0))
        wait = min(stated, LONGEST_STATED_WAIT)
    return Again(at=min(now + wait, delivery.expires_at), notes=notes)


def _mended(delivery: Delivery, fault: Fault, now: datetime, mend: Mend, note: str) -> Step:
    """Once per chunk list and kind: a message that fails mended is refused for good."""
    hopeless = mend is Mend.NEW_PEER and not fault.migrate_to
    hopeless = hopeless or (mend is Mend.NO_THREAD and not delivery.route.thread_id)
    if note in delivery.notes or hopeless:
        return End(event=Event.REJECTED, reason=str(fault.fault))
    value = fault.migrate_to if mend is Mend.NEW_PEER else True
    return Again(at=now, notes={**delivery.notes, note: value}, mend=mend)


def _tried_again(delivery: Delivery, now: datetime, *, unsure: bool) -> Again:
    failures = int(delivery.notes.get("failures", 0)) + 1
    wait = backoff(delivery.key, failures)
    notes = _doubted(delivery.notes) if unsure else delivery.notes
    return Again(at=min(now + wait, delivery.expires_at), notes={**notes, "failures": failures})


def _doubted(notes: Mapping[str, Any]) -> Mapping[str, Any]:
    """An answer that may have arrived: its number is used again, and may turn out to be taken."""
    return {**notes, UNSURE: True} if REPLY_TO in notes else notes


def overdue(delivery: Delivery, now: datetime) -> bool:
    """Whether its time is over; asked before every attempt (channels.md §11)."""
    return now >= delivery.expires_at


LIFETIMES: Final[Mapping[str, timedelta]] = {
    "reply": timedelta(hours=1),
    "cron": timedelta(hours=24),
    "event": timedelta(hours=24),  # a reminder is no periodic noise
    "heartbeat": timedelta(hours=6),
    "message": timedelta(hours=24),
    "test": timedelta(hours=1),
}


def expiry(kind: str, created_at: datetime, *, every: timedelta | None = None) -> datetime:
    """Return when a message stops being worth sending (channels.md §11).

    A heartbeat is stale once the next one is due, so its interval bounds it too.
    """
    life = LIFETIMES.get(kind, LIFETIMES["message"])
    if kind == "heartbeat" and every is not None:
        life = min(life, every)
    return created_at + life


def recover(delivery: Delivery, now: datetime, *, idempotent: bool, resend: bool = False) -> Step:
    """Decide about a row found in `sending` at start: the process died around the request.

    What a key or the platform makes idempotent is tried again; anything else may have
    arrived and is `unknown`, unless the account says ``onUnknown: resend`` (channels.md §11).
    """
    if idempotent:
        return Again(at=now, notes=_doubted(delivery.notes))
    if resend:
        return Again(at=now, notes={**delivery.notes, MAY_REPEAT: True})
    return End(event=Event.LOST_SIGHT, reason="interrupted")


def effective_route(delivery: Delivery) -> Route:
    """Return where the next attempt goes: the route, minus what was mended about it."""
    route = delivery.route
    if delivery.notes.get("threadGone"):
        route = replace(route, thread_id=None)
    if moved := delivery.notes.get("migratedTo"):
        route = replace(route, to=str(moved))
    return route


_WAITING: Final = frozenset({State.QUEUED, State.HELD})
_RECEIPT_NOTES: Final = (
    "formatFallback",
    "threadGone",
    "migratedTo",
    "rechunked",
    MAY_REPEAT,
    "accepted",
    "truncated",
    "warning",
    "defanged",
    "pendingAudit",
    "windowExpired",
    cargo.REFUSED,
)


def receipt(delivery: Delivery) -> dict[str, Any]:
    """Return what a delivery amounts to so far, wire-ready (channels.md §11)."""
    error = delivery.last_error or {}
    route = effective_route(delivery)
    first, ended = delivery.first_attempt_at, delivery.ended_at
    delivered = ended if delivery.state is State.DELIVERED else None
    values: dict[str, Any] = {
        "status": str(delivery.state),
        "channel": route.channel,
        "accountId": route.account_id,
        "to": route.shown,
        "threadId": route.thread_id,
        "via": delivery.notes.get("via", "local" if route.channel == "local" else "proactive"),
        "messageIds": list(delivery.message_ids),
        "chunks": len(delivery.chunks),
        "attempts": delivery.attempts,
        "enqueuedAt": ms(delivery.created_at),
        "firstAttemptAt": ms(first),
        "deliveredAt": ms(delivered),
        "latencyMs": None
        if delivered is None
        else (delivered - delivery.created_at) // MILLISECOND,
        "reason": delivery.reason or None,
        "class": error.get("class"),
        "code": error.get("code"),
        "detail": error.get("detail"),
        "nextAttemptAt": ms(delivery.next_attempt_at) if delivery.state in _WAITING else None,
    }
    optional = {name: delivery.notes.get(name) for name in _RECEIPT_NOTES}
    return {
        name: value
        for name, value in (values | optional).items()
        if value is not None or name == "threadId"
    }
