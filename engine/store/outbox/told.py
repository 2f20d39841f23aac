"""What the outbox tells: pages of it, the newest of somebody, what did not arrive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.outbox import Undelivered
from engine.store.outbox.rows import OPEN, READ, delivery_of
from engine.store.routes import route_of
from jobs.store.db import Tx
from jobs.store.rows import mapping_of
from jobs.wallclock import at, instant, ms

_LOOKED_AT: Final = 500
LONG: Final = timedelta(minutes=5)  # a message that waits for longer is worth a word
_NEWS: Final = timedelta(days=1)


def left_since(tx: Tx, since: datetime) -> list[tuple[Route, datetime, bool]]:
    """Return where parts of messages went after an instant, when, and whether unasked."""
    rows = tx.exec_driver_sql(
        "SELECT route, receipts.at, notes FROM receipts JOIN outbox ON key = delivery_key"
        " WHERE receipts.at > ? ORDER BY receipts.at",
        (ms(since),),
    )
    return [
        (route_of(row[0]), at(row[1]), mapping_of(row[2]).get("via") == "proactive") for row in rows
    ]


def page(
    tx: Tx,
    *,
    states: Sequence[State] = (),
    agent_id: str | None = None,
    channel: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[Delivery], int]:
    """Return one page, newest first, and how many there are."""
    parts, given = ["1 = 1"], list[Any]()
    if states:
        parts.append(f"state IN ({', '.join('?' for _ in states)})")
        given += [state.value for state in states]
    for part, value in (("agent_id = ?", agent_id), ("created_at >= ?", ms(since))):
        if value is not None:
            parts.append(part)
            given.append(value)
    if channel is not None:
        parts.append("substr(lane, 1, ?) = ?")
        given += [len(channel) + 1, f"{channel}|"]
    where = " AND ".join(parts)
    total = tx.exec_driver_sql(
        f"SELECT count(*) FROM outbox WHERE {where}", tuple(given)
    ).scalar_one()
    rows = tx.exec_driver_sql(
        f"SELECT {READ} FROM outbox WHERE {where} ORDER BY id DESC LIMIT ? OFFSET ?",
        (*given, limit, offset),
    )
    return [delivery_of(tx, row) for row in rows], int(total)


def amiss(tx: Tx, now: datetime) -> dict[str, int]:
    """Return how many messages wait for long, failed, or may have arrived (channels.md §11)."""
    rows = tx.exec_driver_sql(
        f"SELECT 'waiting', count(*) FROM outbox WHERE {OPEN} AND created_at < ?"
        " UNION ALL SELECT state, count(*) FROM outbox"
        " WHERE (state = 'failed' OR state = 'unknown') AND ended_at >= ? GROUP BY state",
        (ms(now - LONG), ms(now - _NEWS)),
    )
    return {row[0]: int(row[1]) for row in rows if row[1]}


def newest(tx: Tx, agent_id: str) -> Delivery | None:
    """Return the newest message of an agent that nobody had asked for."""
    row = tx.exec_driver_sql(
        f"SELECT {READ} FROM outbox WHERE agent_id = ? AND kind NOT IN ('reply', 'ping')"
        " ORDER BY id DESC LIMIT 1",
        (agent_id,),
    ).first()
    return None if row is None else delivery_of(tx, row)


def newest_of(tx: Tx, agent_id: str, kind: str) -> Delivery | None:
    """Return the newest message of a kind that is an agent's."""
    row = tx.exec_driver_sql(
        f"SELECT {READ} FROM outbox WHERE agent_id = ? AND kind = ? ORDER BY id DESC LIMIT 1",
        (agent_id, kind),
    ).first()
    return None if row is None else delivery_of(tx, row)


def last_arrived(tx: Tx, agent_id: str) -> datetime | None:
    """Return when a message of an agent that nobody had asked for last arrived."""
    row = tx.exec_driver_sql(
        "SELECT ended_at FROM outbox WHERE ended_at IS NOT NULL AND agent_id = ?"
        " AND state = 'delivered' AND kind NOT IN ('reply', 'ping')"
        " ORDER BY ended_at DESC LIMIT 1",
        (agent_id,),
    ).first()
    return None if row is None else instant(row[0])


def newest_in(tx: Tx, lane: str) -> Delivery | None:
    """Return the newest message of a lane that has ended, as it ended."""
    row = tx.exec_driver_sql(
        f"SELECT {READ} FROM outbox WHERE lane = ? AND ended_at IS NOT NULL"
        " AND state <> 'cancelled' ORDER BY id DESC LIMIT 1",
        (lane,),
    ).first()
    return None if row is None else delivery_of(tx, row)


def failing_lanes(tx: Tx, since: datetime) -> frozenset[str]:
    """Return the lanes whose newest message did not arrive, or waits after an error."""
    rows = tx.exec_driver_sql(
        "SELECT lane, state, last_error FROM"
        " (SELECT * FROM outbox ORDER BY id DESC LIMIT ?) AS newest"
        " WHERE created_at >= ? ORDER BY id DESC",
        (_LOOKED_AT, ms(since)),
    )
    ended, stuck = (State.FAILED.value, State.EXPIRED.value), State.QUEUED.value
    return frozenset(
        lane
        for lane, state, error in _first_of_each(rows)
        if state in ended or (state == stuck and error is not None)
    )


def last_alert(tx: Tx, agent_id: str, lane: str | None) -> Delivery | None:
    """Return the newest alert of an agent that reached a place; None: wherever it went."""
    where, given = ("AND lane = ?", (lane,)) if lane is not None else ("", ())
    row = tx.exec_driver_sql(
        f"SELECT {READ} FROM outbox WHERE agent_id = ? AND run_id IS NOT NULL"
        " AND kind <> 'reply' AND (state = 'delivered' OR state = 'unknown')"
        f" {where} ORDER BY id DESC LIMIT 1",
        (agent_id, *given),
    ).first()
    return None if row is None else delivery_of(tx, row)


def alert_of(tx: Tx, agent_id: str, lane: str | None, message_id: str) -> Delivery | None:
    """Return the alert of an agent that a platform delivered as this message of a place."""
    row = tx.exec_driver_sql(
        f"SELECT {READ} FROM outbox WHERE agent_id = ? AND lane = ? AND run_id IS NOT NULL"
        " AND kind <> 'reply' AND key IN"
        " (SELECT delivery_key FROM receipts WHERE message_id = ?) ORDER BY id DESC LIMIT 1",
        (agent_id, lane, message_id),
    ).first()
    return None if row is None else delivery_of(tx, row)


def undelivered(tx: Tx, since: datetime) -> list[Undelivered]:
    """Return who did not get the newest message that was for them, newest first.

    Only the newest messages are looked at: this is asked every minute.
    """
    rows = tx.exec_driver_sql(
        "SELECT lane, state, reason, route, last_error FROM"
        " (SELECT * FROM outbox ORDER BY id DESC LIMIT ?) AS newest"
        " WHERE ended_at >= ? AND kind <> 'ping' ORDER BY id DESC",
        (_LOOKED_AT, ms(since)),
    )
    return [
        _undelivered(*row[2:])
        for row in _first_of_each(rows)
        if State(row[1]) in (State.FAILED, State.EXPIRED)
    ]


@dataclass(frozen=True, slots=True)
class Left:
    """What the newest messages of one account came to."""

    sent_at: datetime | None = None  # when one last arrived
    failed: Undelivered | None = None  # the newest of all did not
    failed_at: datetime | None = None


def left_by(tx: Tx) -> dict[tuple[str, str], Left]:
    """Return by channel and account what became of their messages; the newest are looked at."""
    rows = tx.exec_driver_sql(
        "SELECT lane, state, reason, route, last_error, ended_at FROM"
        " (SELECT * FROM outbox ORDER BY id DESC LIMIT ?) AS newest"
        " WHERE ended_at IS NOT NULL AND kind <> 'ping' AND state <> 'cancelled'"
        " ORDER BY ended_at DESC, id DESC",
        (_LOOKED_AT,),
    )
    found: dict[tuple[str, str], Left] = {}
    for lane, state, *words, ended in rows:
        channel, account = lane.split("|")[:2]
        before = found.get((channel, account))
        if before is None and State(state) in (State.FAILED, State.EXPIRED):
            found[channel, account] = Left(failed=_undelivered(*words), failed_at=at(ended))
        elif State(state) is State.DELIVERED and (before is None or before.sent_at is None):
            found[channel, account] = replace(before or Left(), sent_at=at(ended))
    return found


def _first_of_each(rows: Iterable[Sequence[Any]]) -> list[Sequence[Any]]:
    """Of rows, newest first, the newest of each lane; their first column names it."""
    newest: dict[str, Sequence[Any]] = {}
    for row in rows:
        newest.setdefault(row[0], row)
    return list(newest.values())


def _undelivered(reason: str | None, route: str, last_error: str | None) -> Undelivered:
    error = mapping_of(last_error)
    kind = str(error.get("class") or reason or "failed")
    return Undelivered(route=route_of(route), kind=kind, detail=str(error.get("detail") or ""))
