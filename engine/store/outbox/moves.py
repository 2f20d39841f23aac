"""A message accepted, moved and deleted. Every move is conditional on the state it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from engine.messages.delivery import Delivery, State
from engine.messages.kept import SAID_AGAIN, of_delivery
from engine.messages.outbox import MOVES, TERMINAL, Event, again_key, moved
from engine.messages.repetition import the_same, uncounted
from engine.store import kept, sent
from engine.store.outbox.rows import COLUMNS, OPEN, READ, delivery_of, row_of
from jobs.store.db import Tx
from jobs.store.rows import text_of
from jobs.values import changed
from jobs.wallclock import MILLISECOND, ms

_ADD: Final = (
    f"INSERT INTO outbox ({READ}) VALUES ({', '.join('?' for _ in COLUMNS)})"
    " ON CONFLICT (key) DO NOTHING"
)
# What a move may change. To name the others too would have SQLite write their indexes anew.
_MOVING: Final = (
    "state",
    "reason",
    "chunks",
    "cursor_at",
    "attempts",
    "next_attempt_at",
    "first_attempt_at",
    "ended_at",
    "last_error",
    "notes",
)
_MOVED: Final = itemgetter(*(COLUMNS.index(column) for column in _MOVING))
_MOVE: Final = (
    f"UPDATE outbox SET {', '.join(f'{c} = ?' for c in _MOVING)} WHERE key = ? AND state = ?"
)
_RECEIVE: Final = "INSERT INTO receipts (delivery_key, chunk, message_id, at) VALUES (?, ?, ?, ?)"
MOST: Final = 1000  # waiting messages of one account
# It did not arrive, so saying it again is no repetition (heartbeat.md §13.2).
_UNSAID: Final = frozenset({State.FAILED, State.EXPIRED, State.CANCELLED})


def add(tx: Tx, delivery: Delivery) -> Delivery:
    """Accept a message. The same key twice is the first message (channels.md §11)."""
    if tx.exec_driver_sql(_ADD, row_of(delivery)).rowcount:
        _receive(tx, delivery, (), delivery.created_at)
        return delivery
    known = get(tx, delivery.key)
    return delivery if known is None else known


def again(tx: Tx, delivery: Delivery, base: str) -> tuple[Delivery, bool]:
    """Accept words that were accepted before as ``base``, once more; and whether that is news.

    A repetition that is on its way, arrived, or may have arrived, is the answer to every
    further one: nobody is told twice because somebody asked twice.
    """
    number = 1
    while known := get(tx, again_key(base, delivery.lane, number)):
        if known.state not in _UNSAID:
            return known, False
        number += 1
    return add(tx, changed(delivery, key=again_key(base, delivery.lane, number))), True


def get(tx: Tx, key: str) -> Delivery | None:
    """Return one message."""
    row = tx.exec_driver_sql(f"SELECT {READ} FROM outbox WHERE key = ?", (key,)).first()
    return None if row is None else delivery_of(tx, row)


def move(tx: Tx, key: str, event: Event, now: datetime, **changes: Any) -> Delivery | None:
    """Move a message along the table; None if it is gone or stands where the move is illegal.

    ``changes`` are fields of `Delivery`. A terminal state gets its ``ended_at``.
    """
    current = get(tx, key)
    return None if current is None else move_on(tx, current, event, now, **changes)


def move_on(
    tx: Tx, current: Delivery, event: Event, now: datetime, **changes: Any
) -> Delivery | None:
    """Move a message that was read just now; see `move`."""
    if (current.state, event) not in MOVES:
        return None
    return put(tx, current, moved(current, event, now, **changes), now)


def put(tx: Tx, current: Delivery, then: Delivery, now: datetime) -> Delivery | None:
    """Write where a message that was read just now has moved; None if it stands elsewhere.

    Not written is what no move changes: who says what to whom.
    """
    done = tx.exec_driver_sql(_MOVE, (*_MOVED(row_of(then)), current.key, current.state.value))
    if not done.rowcount:
        return None
    _receive(tx, then, current.message_ids, now)
    if then.state in _UNSAID:
        for loosely in (False, True):  # however its beat compared it
            sent.forget(tx, then.lane, the_same(then.text, loosely=loosely))
    if words := of_delivery(then, now):
        kept.keep(tx, words)
    return then


def note_wait(tx: Tx, key: str, error: Mapping[str, Any]) -> None:
    """Note on a message that waits what it waits for; one that moved on keeps what it has."""
    tx.exec_driver_sql(
        "UPDATE outbox SET last_error = ? WHERE key = ? AND state = 'queued'",
        (text_of(error), key),
    )


def purge(tx: Tx, states: Sequence[State], before: datetime) -> int:
    """Delete messages of these ended states, and their receipts; open ones stay."""
    ended = [state.value for state in states if state in TERMINAL]
    if not ended:
        return 0
    return tx.exec_driver_sql(
        f"DELETE FROM outbox WHERE state IN ({', '.join('?' for _ in ended)}) AND ended_at < ?",
        (*ended, ms(before)),
    ).rowcount


def hurry(tx: Tx, key: str) -> bool:
    """Let a message that waits for its next try wait no longer."""
    return bool(
        tx.exec_driver_sql(
            "UPDATE outbox SET next_attempt_at = NULL WHERE key = ? AND state = 'queued'", (key,)
        ).rowcount
    )


def contacted(tx: Tx, channel: str, account_id: str, peer: str, now: datetime) -> list[str]:
    """Let go what waited for this peer's next contact, oldest first (channels.md §8)."""
    prefix = f"{channel}|{account_id}|{peer}|"
    rows = tx.exec_driver_sql(  # sorted here: an ORDER BY has every message ever sent looked at
        f"SELECT id, key FROM outbox WHERE {OPEN} AND state = 'held' AND substr(lane, 1, ?) = ?",
        (len(prefix), prefix),
    )
    keys = [key for _, key in sorted(row[:] for row in rows)]
    for key in keys:
        move(tx, key, Event.CONTACT, now, reason=None, next_attempt_at=None)
    return keys


def supersede(tx: Tx, lane: str, now: datetime, *, keep: Sequence[str]) -> list[str]:
    """Cancel heartbeat messages of a lane that still wait: ``keep`` is newer (channels.md §11)."""
    rows = tx.exec_driver_sql(
        "SELECT key, text FROM outbox WHERE lane = ? AND kind = 'heartbeat' AND state = 'queued'"
        " AND cursor_at = 0",
        (lane,),
    )
    waiting = {row[0]: uncounted(row[1]) for row in rows}
    newer = {text for key, text in waiting.items() if key in keep}
    keys = [key for key in waiting if key not in keep]
    for key in keys:
        same = {"notes": {SAID_AGAIN: True}} if waiting[key] in newer else {}
        move(tx, key, Event.CANCEL, now, reason="superseded", **same)
    return keys


def sooner(tx: Tx, now: datetime, by: timedelta) -> None:
    """The clock was set back by so much: what waits for a retry waits no longer for that."""
    tx.exec_driver_sql(
        "UPDATE outbox SET next_attempt_at = next_attempt_at - ?"
        " WHERE state = 'queued' AND next_attempt_at > ?",
        (by // MILLISECOND, ms(now)),
    )


def overflow(
    tx: Tx, channel: str, account_id: str, now: datetime, *, most: int = MOST
) -> list[str]:
    """Cancel what waits beyond the cap of an account: beats first, oldest first (channels.md §11).

    A message that has begun to arrive is not cut off.
    """
    prefix = f"{channel}|{account_id}|"
    of_account = f"{OPEN} AND substr(lane, 1, ?) = ?"
    count = tx.exec_driver_sql(
        f"SELECT count(*) FROM outbox WHERE {of_account}", (len(prefix), prefix)
    ).scalar_one()
    if count <= most:
        return []
    rows = tx.exec_driver_sql(
        f"SELECT key FROM outbox WHERE {of_account} AND state <> 'sending' AND cursor_at = 0"
        " ORDER BY CASE kind WHEN 'heartbeat' THEN 0 ELSE 1 END, id LIMIT ?",
        (len(prefix), prefix, count - most),
    )
    keys = [row[0] for row in rows]
    for key in keys:
        move(tx, key, Event.CANCEL, now, reason="overflow")
    return keys


def call_off(tx: Tx, now: datetime, *, reason: str) -> list[str]:
    """Cancel whatever waits to be sent and return the keys; what is being sent stays."""
    rows = tx.exec_driver_sql(f"SELECT key FROM outbox WHERE {OPEN} AND state <> 'sending'")
    keys = [row[0] for row in rows]
    return [key for key in keys if move(tx, key, Event.CANCEL, now, reason=reason) is not None]


def prune(tx: Tx, before: datetime) -> int:
    """Delete ended messages older than an instant, and their receipts with them."""
    return tx.exec_driver_sql("DELETE FROM outbox WHERE ended_at < ?", (ms(before),)).rowcount


def _receive(tx: Tx, delivery: Delivery, known: Sequence[str], now: datetime) -> None:
    """Write down what the platform answered to the parts it has taken since."""
    rows = [
        (delivery.key, chunk, delivery.message_ids[chunk], ms(now))
        for chunk in range(len(known), len(delivery.message_ids))
    ]
    if rows:
        tx.exec_driver_sql(_RECEIVE, rows)
