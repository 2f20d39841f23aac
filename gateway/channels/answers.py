"""Reads what a message's way depends on, and writes down what it taught (channels.md §8).

Who decides is `gateway.channels.windows`. All writes are made inside the transaction that
moves the message, so that a number is never given out twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, assert_never

from engine.messages.address import ChatType, Route
from engine.messages.delivery import Delivery
from engine.messages.fault import Fault, FaultClass
from engine.store import contacts, outbox, sessions
from gateway.channels.base import Inbound, Standing
from gateway.channels.windows import (
    DENIED_FOR,
    AsReply,
    Leaving,
    Recall,
    ReplyRules,
    Way,
    day_ends,
    day_of,
    way,
)
from jobs.store.db import Database, Tx

UNTIL_THEY_SAY_SO: Final = timedelta(days=3650)


async def way_of(
    database: Database, delivery: Delivery, route: Route, rules: ReplyRules, now: datetime
) -> Way:
    """Return how the next part of a message leaves."""
    contact = await database.read(lambda tx: contacts.contact(tx, route, day_of(now)))
    return way(delivery, contact, rules, now)


def leaves(tx: Tx, route: Route, taken: Leaving | None) -> None:
    """With its `sending`: the number of an answer is given out, a recall is used up."""
    if isinstance(taken, AsReply):
        contacts.answer(tx, route, taken.reply)
    if isinstance(taken, Recall):
        contacts.recall(tx, route, taken.period)


def arrived(tx: Tx, delivery: Delivery, route: Route, now: datetime) -> None:
    """With what was taken: a message nobody asked for counts against the day."""
    if delivery.notes.get("via") == "proactive":
        contacts.unasked(tx, route, day_of(now), now)


def refused(tx: Tx, route: Route, fault: Fault, now: datetime) -> None:
    """With a refusal: what it says about the peer is believed for a while."""
    match fault.fault:
        case FaultClass.PROACTIVE_DENIED:
            contacts.deny(tx, route, now, now + DENIED_FOR)
        case FaultClass.QUOTA_EXHAUSTED:
            contacts.spend(tx, route, now, day_ends(now))
        case _:
            pass


def heard(tx: Tx, message: Inbound, run_id: str, now: datetime, *, let_in: bool) -> list[str]:
    """With an arrival: it may be answered from now on, and lets go what waited for it.

    A stranger's message can be answered too: that is how they get their pairing code.
    """
    if not message.answerable:
        return []
    here = (message.channel, message.account_id, message.peer.to)
    contacts.met(tx, *here, now, message_id=message.message_id, run_id=run_id, said_at=message.at)
    return outbox.contacted(tx, *here, now) if let_in else []


def told(tx: Tx, message: Inbound, standing: Standing, now: datetime) -> list[str]:
    """With what a platform tells about a peer: whether it takes what it did not ask for."""
    here = (message.channel, message.account_id, message.peer.to)
    route = Route(channel=here[0], account_id=here[1], to=here[2], chat_type=message.chat_type)
    match standing:
        case Standing.WELCOME:
            contacts.deny(tx, route, now, None)
            return outbox.contacted(tx, *here, now)
        case Standing.UNWELCOME:
            contacts.deny(tx, route, now, now + UNTIL_THEY_SAY_SO)
        case Standing.GONE:
            reason = (
                FaultClass.BLOCKED
                if message.chat_type is ChatType.DIRECT
                else FaultClass.NOT_MEMBER
            )
            sessions.mark_unusable(tx, route, str(reason), now)
        case _:
            assert_never(standing)
    return []
