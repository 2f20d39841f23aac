"""What waits to be sent: the heads of the lanes, when the next can move, how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from engine.messages.delivery import Delivery
from engine.messages.repetition import the_same
from engine.store.outbox.rows import COLUMNS, OPEN, READ, delivery_of
from jobs.store.db import Tx
from jobs.wallclock import instant, ms

_LANE: Final = COLUMNS.index("lane")
# What waits for its peer's next contact keeps nobody behind it waiting.
# One list of ids, so that the index finds them all: an OR beside it reads every message ever sent.
_CONCERNED: Final = (
    f"SELECT min(id) FROM outbox WHERE {OPEN} AND state <> 'held' GROUP BY lane"
    f" UNION ALL SELECT id FROM outbox WHERE {OPEN} AND state = 'held'"
)


def ready(tx: Tx, now: datetime, limit: int) -> list[Delivery]:
    """Return the head of every lane that can move, soonest priority first.

    A lane whose head is being sent or waits for a retry is not in the list, unless its time
    is up. What is held is no head, and in the list when its time is up. Of more than ``limit``
    each account has as many: one that cannot send, with a thousand chats, holds up no other.
    """
    rows = _ready(tx, now, limit, "")
    if len(rows) >= limit:
        whose = [f"{channel}|{account}|" for channel, account in accounts(tx)]
        rows = [row for prefix in whose for row in _ready(tx, now, limit, prefix)]
    one_each: dict[str, Sequence[Any]] = {}
    for row in rows:  # a lane may have both a head and something held whose time is up
        one_each.setdefault(row[_LANE], row)
    return [delivery_of(tx, row) for row in one_each.values()]


def _ready(tx: Tx, now: datetime, limit: int, prefix: str) -> list[Sequence[Any]]:
    """Return the rows of the lanes that begin so."""
    rows = tx.exec_driver_sql(
        f"SELECT {READ} FROM outbox WHERE id IN ({_CONCERNED}) AND (expires_at <= ? OR"
        " (state = 'queued' AND (next_attempt_at IS NULL OR next_attempt_at <= ?)))"
        " AND state <> 'sending' AND substr(lane, 1, ?) = ? ORDER BY priority, id LIMIT ?",
        (ms(now), ms(now), len(prefix), prefix, limit),
    )
    return list(rows)


def next_attempt_at(tx: Tx, now: datetime | None = None) -> datetime | None:
    """Return the earliest instant after ``now`` at which a lane may move, or runs out of time."""
    row = tx.exec_driver_sql(
        "SELECT min(moment) FROM (SELECT CASE WHEN state = 'queued' AND next_attempt_at <"
        f" expires_at THEN next_attempt_at ELSE expires_at END AS moment FROM outbox"
        f" WHERE id IN ({_CONCERNED}) AND state <> 'sending') AS moments WHERE moment > ?",
        (0 if now is None else ms(now),),
    ).first()
    return None if row is None else instant(row[0])


def recover(tx: Tx) -> list[Delivery]:
    """Return messages in `sending`, oldest first: the process died around their request."""
    rows = tx.exec_driver_sql(f"SELECT {READ}, id FROM outbox WHERE {OPEN} AND state = 'sending'")
    return [delivery_of(tx, row[:-1]) for row in sorted(rows, key=itemgetter(-1))]


def still_waits(tx: Tx, lane: str, same: str, *, loosely: bool = False) -> bool:
    """Whether a beat's words wait there and no part of them has been sent.

    A count of earlier repetitions below them makes them no other words.
    """
    rows = tx.exec_driver_sql(
        "SELECT text FROM outbox WHERE lane = ? AND kind = 'heartbeat' AND state = 'queued'"
        " AND cursor_at = 0",
        (lane,),
    )
    return any(the_same(row[0], loosely=loosely) == same for row in rows)


def accounts(tx: Tx) -> list[tuple[str, str]]:
    """Return the (channel, account) pairs for which messages wait."""
    rows = tx.exec_driver_sql(f"SELECT DISTINCT lane FROM outbox WHERE {OPEN}")
    pairs = {tuple(row[0].split("|", 2)[:2]) for row in rows}
    return sorted((pair[0], pair[1]) for pair in pairs)


def waiting_of(tx: Tx, channel: str, account_id: str) -> int:
    """Return how many messages of one account have not ended."""
    head = f"{channel}|{account_id}|"
    row = tx.exec_driver_sql(
        f"SELECT count(*) FROM outbox WHERE {OPEN} AND lane >= ? AND lane < ?",
        (head, head + "\U0010ffff"),
    )
    return int(row.scalar_one())


def depth(tx: Tx) -> dict[str, int]:
    """Return how many messages are in each open state."""
    rows = tx.exec_driver_sql(f"SELECT state, count(*) FROM outbox WHERE {OPEN} GROUP BY state")
    return {row[0]: row[1] for row in rows}
