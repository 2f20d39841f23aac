"""Whether a message leaves as an answer, unasked, later or not at all (channels.md §8). Pure.

On some platforms a person's message may be answered a few times for a while, and anything
else counts against a quota, or is refused until they write again. The order: the newest
message with an answer left; else unasked; else held for their next contact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from engine.messages.contact import (
    RECALL,
    REPLY_SEQ,
    REPLY_TO,
    UNASKED_ONLY,
    UNSURE,
    Contact,
    Reply,
    Window,
    reply_of,
)
from engine.messages.delivery import Delivery
from engine.messages.fault import FaultClass
from gateway.channels.pace import Scope

_PERIODS: Final = tuple(timedelta(days=days) for days in (3, 7, 30))
DENIED_FOR: Final = timedelta(hours=24)
BEIJING: Final = timezone(timedelta(hours=8))  # where the quotas of a day begin anew
_NEVER_HELD: Final = frozenset({"heartbeat", "test"})  # stale, or asked by somebody who watches


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRules:
    """What a platform takes towards one peer. ``hold``: None leaves it to the kind of message."""

    window: timedelta
    replies: int
    per_day: int | None = None
    unasked: tuple[Scope, ...] = ()  # pace of what nobody asked for
    hold: bool | None = None
    recalls: bool = False  # one message in each of some periods may recall who wrote once

    def holds(self, delivery: Delivery) -> bool:
        """Whether such a message waits for its peer's next contact rather than fail."""
        return delivery.kind not in _NEVER_HELD if self.hold is None else self.hold


@dataclass(frozen=True, slots=True)
class AsReply:
    """Leave as an answer. ``left`` answers are there, this one included."""

    reply: Reply
    left: int


@dataclass(frozen=True, slots=True)
class Unasked:
    """Leave without having been asked."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Leave as the one message that recalls a peer in this period after their last contact."""

    period: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait for the next contact."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Not now and not later, as far as anybody knows."""

    reason: str
    detail: str


Leaving = AsReply | Unasked | Recall
Way = Leaving | Hold | Refuse


def day_of(now: datetime) -> int:
    """Return the platform's day, as a number."""
    return now.astimezone(BEIJING).date().toordinal()


def day_ends(now: datetime) -> datetime:
    """Return when the quotas of a day begin anew."""
    midnight = now.astimezone(BEIJING).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight + timedelta(days=1)).astimezone(UTC)


def way(delivery: Delivery, contact: Contact, rules: ReplyRules, now: datetime) -> Way:
    """Decide how the next chunk leaves. The same facts give the same answer."""
    if contact.elsewhere and not contact.known:
        right = contact.elsewhere[0]
        return Refuse(
            "account-mismatch",
            f"{delivery.route.to} wrote to account {right!r}; ids of another bot mean nobody to"
            f" {delivery.route.account_id!r}",
        )
    if (again := _again(delivery, contact, rules, now)) is not None:
        return again
    if not delivery.notes.get(UNASKED_ONLY):
        found = _open(delivery, contact, rules, now)
        if found is not None:
            return found
    return _unasked(delivery, contact, rules, now)


def _again(
    delivery: Delivery, contact: Contact, rules: ReplyRules, now: datetime
) -> AsReply | None:
    """The same chunk keeps its number: the platform takes it at most once."""
    reply = reply_of(delivery.notes)
    if reply is None:
        return None
    window = next((one for one in contact.windows if one.message_id == reply.message_id), None)
    fresh = window is not None and now < window.at + rules.window
    return AsReply(reply, 1) if fresh or delivery.notes.get(UNSURE) else None


def _open(delivery: Delivery, contact: Contact, rules: ReplyRules, now: datetime) -> AsReply | None:
    """The message it answers, else the newest that has an answer left."""
    reserve = 1 if contact.owed and delivery.kind != "reply" else 0

    def left(window: Window) -> int:
        return rules.replies - window.seq - reserve

    usable = [one for one in contact.windows if now < one.at + rules.window and left(one) > 0]
    mine = [one for one in usable if one.run_id and one.run_id == delivery.run_id]
    chosen = next(iter(mine or usable), None)
    if chosen is None:
        return None
    return AsReply(Reply(chosen.message_id, chosen.seq + 1), left(chosen))


def _unasked(delivery: Delivery, contact: Contact, rules: ReplyRules, now: datetime) -> Way:
    if contact.denied_until is not None and now < contact.denied_until:
        if rules.holds(delivery):
            return _recall(contact, rules, now) or Hold()
        return Refuse(str(FaultClass.PROACTIVE_DENIED), "they take only answers to what they wrote")
    until = contact.spent_until
    if until is not None and now < until:
        return Refuse(str(FaultClass.QUOTA_EXHAUSTED), f"until {until.isoformat()}")
    if rules.per_day is not None and contact.unasked_today >= rules.per_day:
        until = day_ends(now)
        return Refuse(
            str(FaultClass.QUOTA_EXHAUSTED),
            f"{rules.per_day} messages of the day are sent; until {until.isoformat()}",
        )
    return Unasked()


def _recall(contact: Contact, rules: ReplyRules, now: datetime) -> Recall | None:
    """What would have to wait may recall its person, unless they said that they want nothing."""
    told = contact.denied_until is not None and contact.denied_until - now > DENIED_FOR
    if not rules.recalls or told or contact.wrote_at is None:
        return None
    period = period_of(contact.wrote_at, now)
    return None if period is None or contact.recalled >> period & 1 else Recall(period)


def period_of(wrote_at: datetime, now: datetime) -> int | None:
    """Return in which period after a contact we are: the same day, 1-3, 3-7, 7-30 days (§8)."""
    if day_of(now) == day_of(wrote_at):
        return 0
    passed = now - wrote_at
    return next((n for n, end in enumerate(_PERIODS, 1) if passed < end), None)


def worth_recalling(fault: FaultClass, delivery: Delivery, rules: ReplyRules) -> bool:
    """Whether a refusal of what nobody asked for is looked at once more before it waits."""
    refused = fault is FaultClass.PROACTIVE_DENIED and delivery.notes.get("via") == "proactive"
    return refused and rules.recalls and rules.holds(delivery)


def noted(notes: Mapping[str, Any], way: Leaving) -> dict[str, Any]:
    """Return a delivery's notes with the way it takes, as the receipt tells it."""
    match way:
        case AsReply(reply=reply):
            return {**notes, "via": "passive", REPLY_TO: reply.message_id, REPLY_SEQ: reply.seq}
        case Unasked():
            rest = {name: each for name, each in notes.items() if name not in (REPLY_TO, REPLY_SEQ)}
            return {**rest, "via": "proactive"}
        case Recall():
            rest = {name: each for name, each in notes.items() if name not in (REPLY_TO, REPLY_SEQ)}
            return {**rest, "via": RECALL}
