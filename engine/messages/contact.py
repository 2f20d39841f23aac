"""Who has written to us, and what of that can still be answered. Values; pure (channels.md §8).

Some platforms take an answer to a message for a while, and what nobody asked for hardly or
never. What follows from that for a message on its way is decided in `gateway.channels.windows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

# What a message notes about the answer one part of it leaves as.
REPLY_TO: Final = "replyTo"
REPLY_SEQ: Final = "replySeq"
UNSURE: Final = "replyUnsure"  # the platform may have taken it already
SEQ_CLASH: Final = "seqClash"
OF_ONE_PART: Final = frozenset({REPLY_TO, REPLY_SEQ, UNSURE, SEQ_CLASH})
UNASKED_ONLY: Final = "windowExpired"  # the platform said so: no answer any more
AWAITING: Final = "awaiting-contact"
RECALL: Final = "recall"  # how a message left that recalls who has not written for a while


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer to one message: the platform takes each (message, seq) at most once."""

    message_id: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A message that may be answered. ``seq`` is the last number that was given out."""

    message_id: str
    at: datetime
    seq: int = 0
    run_id: str = ""  # the turn it started


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """What is known about one peer of one account."""

    known: bool = False
    elsewhere: tuple[str, ...] = ()  # other accounts of the channel that met this peer
    windows: tuple[Window, ...] = ()  # newest first
    owed: bool = False  # a message of theirs waits for its answer
    denied_until: datetime | None = None  # they take nothing they did not ask for
    spent_until: datetime | None = None  # the platform's quota is used up
    unasked_today: int = 0
    wrote_at: datetime | None = None  # when they wrote last, as far as it is known
    recalled: int = 0  # a bit for each period since then in which they were recalled


def reply_of(notes: Mapping[str, Any]) -> Reply | None:
    """Return the answer that a message's notes say it leaves as; None if nobody asked for it."""
    message_id, seq = notes.get(REPLY_TO), notes.get(REPLY_SEQ)
    return Reply(message_id, seq) if isinstance(message_id, str) and isinstance(seq, int) else None


def without_reply(notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return notes of a message whose next attempt looks for a new way."""
    return {name: each for name, each in notes.items() if name not in OF_ONE_PART}
