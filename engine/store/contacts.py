"""Peers that wrote to an account, and their messages that may still be answered (channels.md §8).

An answer's number is given out in the transaction that commits its `sending`, so that no two
answers ever carry the same one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from engine.messages.address import Route
from engine.messages.contact import Contact, Reply, Window
from jobs.store.db import Tx
from jobs.wallclock import at, instant, ms

KEPT: Final = timedelta(hours=2)  # beyond any platform's window
MOST: Final = 8  # newest messages of one peer that are looked at
_HERE: Final = "channel = ? AND account_id = ? AND peer = ?"


def met(
    tx: Tx,
    channel: str,
    account_id: str,
    peer: str,
    now: datetime,
    *,
    message_id: str = "",
    run_id: str = "",
    said_at: datetime | None = None,
) -> None:
    """Note that a peer wrote; ``message_id`` is what may be answered, if anything may."""
    tx.exec_driver_sql(
        "INSERT INTO peers (channel, account_id, peer, first_seen_at, last_seen_at)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (channel, account_id, peer)"
        " DO UPDATE SET last_seen_at = excluded.last_seen_at, recalled = 0",
        (channel, account_id, peer, ms(now), ms(now)),
    )
    if not message_id:
        return
    here = (channel, account_id, peer)
    tx.exec_driver_sql(
        f"DELETE FROM reply_windows WHERE {_HERE} AND at < ?", (*here, ms(now - KEPT))
    )
    tx.exec_driver_sql(
        "INSERT INTO reply_windows (channel, account_id, peer, message_id, run_id, at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (*here, message_id, run_id, ms(said_at or now)),
    )


def contact(tx: Tx, route: Route, day: int) -> Contact:
    """Return what is known about the peer of a route; ``day`` is the platform's today."""
    here = (route.channel, route.account_id, route.to)
    row = tx.exec_driver_sql(
        f"SELECT denied_until, spent_until, unasked_day, unasked, last_seen_at, recalled"
        f" FROM peers WHERE {_HERE}",
        here,
    ).first()
    rows = tx.exec_driver_sql(
        f"SELECT message_id, at, seq, run_id FROM reply_windows WHERE {_HERE}"
        " ORDER BY at DESC LIMIT ?",
        (*here, MOST),
    ).all()
    runs = tuple(each[3] for each in rows)
    return Contact(
        known=row is not None,
        elsewhere=() if row is not None else _elsewhere(tx, route),
        windows=tuple(
            Window(message_id=each[0], at=at(each[1]), seq=each[2], run_id=each[3]) for each in rows
        ),
        owed=_owed(tx, runs),
        denied_until=None if row is None else instant(row[0]),
        spent_until=None if row is None else instant(row[1]),
        unasked_today=row[3] if row is not None and row[2] == day else 0,
        wrote_at=None if row is None else instant(row[4]),
        recalled=0 if row is None else int(row[5]),
    )


def _elsewhere(tx: Tx, route: Route) -> tuple[str, ...]:
    rows = tx.exec_driver_sql(
        "SELECT account_id FROM peers WHERE channel = ? AND peer = ? AND account_id <> ?"
        " ORDER BY last_seen_at DESC",
        (route.channel, route.to, route.account_id),
    )
    return tuple(row[0] for row in rows)


def _owed(tx: Tx, runs: tuple[str, ...]) -> bool:
    marks = ", ".join("?" for _ in runs)
    return (
        bool(runs)
        and tx.exec_driver_sql(
            f"SELECT 1 FROM inbound_turns WHERE run_id IN ({marks}) LIMIT 1", runs
        ).first()
        is not None
    )


def answer(tx: Tx, route: Route, reply: Reply) -> None:
    """Give out the number of an answer: it is never given out again."""
    tx.exec_driver_sql(
        f"UPDATE reply_windows SET seq = ? WHERE {_HERE} AND message_id = ? AND seq < ?",
        (reply.seq, route.channel, route.account_id, route.to, reply.message_id, reply.seq),
    )


def unasked(tx: Tx, route: Route, day: int, now: datetime) -> None:
    """Count a message nobody asked for against the day's quota."""
    tx.exec_driver_sql(
        "INSERT INTO peers (channel, account_id, peer, first_seen_at, last_seen_at, unasked_day,"
        " unasked) VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (channel, account_id, peer)"
        " DO UPDATE SET unasked = CASE WHEN peers.unasked_day = excluded.unasked_day"
        " THEN peers.unasked + 1 ELSE 1 END, unasked_day = excluded.unasked_day",
        (route.channel, route.account_id, route.to, ms(now), ms(now), day),
    )


def most_unasked(tx: Tx, channel: str, account_id: str, day: int) -> tuple[str, int] | None:
    """Return the peer that got most of what nobody asked for on a day, and how much it was."""
    row = tx.exec_driver_sql(
        "SELECT peer, unasked FROM peers WHERE channel = ? AND account_id = ? AND unasked_day = ?"
        " ORDER BY unasked DESC LIMIT 1",
        (channel, account_id, day),
    ).first()
    return None if row is None else (str(row[0]), int(row[1]))


def recall(tx: Tx, route: Route, period: int) -> None:
    """Note that a peer is recalled in a period after their last contact: once, whatever follows."""
    tx.exec_driver_sql(
        f"UPDATE peers SET recalled = recalled | ? WHERE {_HERE}",
        (1 << period, route.channel, route.account_id, route.to),
    )


def deny(tx: Tx, route: Route, now: datetime, until: datetime | None) -> None:
    """Note until when a peer takes nothing it did not ask for; None: it does again."""
    _mark(tx, route, "denied_until", now, until)


def spend(tx: Tx, route: Route, now: datetime, until: datetime | None) -> None:
    """Note until when the platform takes nothing more for a peer."""
    _mark(tx, route, "spent_until", now, until)


def _mark(tx: Tx, route: Route, column: str, now: datetime, until: datetime | None) -> None:
    tx.exec_driver_sql(
        f"INSERT INTO peers (channel, account_id, peer, first_seen_at, last_seen_at, {column})"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (channel, account_id, peer)"
        f" DO UPDATE SET {column} = excluded.{column}",
        (route.channel, route.account_id, route.to, ms(now), ms(now), ms(until)),
    )
