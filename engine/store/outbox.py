"""Messages on their way, at rest. Every move is conditional on the state it starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from engine.address import Route
from engine.delivery import Delivery, Priority, State
from engine.kept import SAID_AGAIN, of_delivery
from engine.outbox import MOVES, TERMINAL, Event, Undelivered, again_key, moved
from engine.repetition import the_same, uncounted
from engine.store import kept, sent
from engine.store.routes import route_of, route_text
from jobs.store.db import Tx
from jobs.store.rows import mapping_of, text_of
from jobs.values import changed
from jobs.wallclock import MILLISECOND, at, instant, ms

_COLUMNS: Final = (
    "key",
    "lane",
    "state",
    "kind",
    "agent_id",
    "run_id",
    "job_id",
    "route",
    "text",
    "priority",
    "reason",
    "chunks",
    "cursor_at",
    "attempts",
    "created_at",
    "expires_at",
    "next_attempt_at",
    "first_attempt_at",
    "ended_at",
    "last_error",
    "notes",
)
_READ: Final = ", ".join(_COLUMNS)
_LANE: Final = _COLUMNS.index("lane")
_ADD: Final = (
    f"INSERT INTO outbox ({_READ}) VALUES ({', '.join('?' for _ in _COLUMNS)})"
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
_MOVED: Final = itemgetter(*(_COLUMNS.index(column) for column in _MOVING))
_MOVE: Final = (
    f"UPDATE outbox SET {', '.join(f'{c} = ?' for c in _MOVING)} WHERE key = ? AND state = ?"
)
_RECEIVE: Final = "INSERT INTO receipts (delivery_key, chunk, message_id, at) VALUES (?, ?, ?, ?)"
# Word for word the condition of the index `outbox_open`.
_OPEN: Final = "(state = 'queued' OR state = 'sending' OR state = 'held')"
# What waits for its peer's next contact keeps nobody behind it waiting.
# One list of ids, so that the index finds them all: an OR beside it reads every message ever sent.
_CONCERNED: Final = (
    f"SELECT min(id) FROM outbox WHERE {_OPEN} AND state <> 'held' GROUP BY lane"
    f" UNION ALL SELECT id FROM outbox WHERE {_OPEN} AND state = 'held'"
)
_LOOKED_AT: Final = 500
LONG: Final = timedelta(minutes=5)  # a message that waits for longer is worth a word
_NEWS: Final = timedelta(days=1)
MOST: Final = 1000  # waiting messages of one account
# It did not arrive, so saying it again is no repetition (heartbeat.md §13.2).
_UNSAID: Final = frozenset({State.FAILED, State.EXPIRED, State.CANCELLED})


def add(tx: Tx, delivery: Delivery) -> Delivery:
    """Accept a message. The same key twice is the first message (channels.md §11)."""
    if tx.exec_driver_sql(_ADD, _row(delivery)).rowcount:
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
    row = tx.exec_driver_sql(f"SELECT {_READ} FROM outbox WHERE key = ?", (key,)).first()
    return None if row is None else _delivery(tx, row)


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
    done = tx.exec_driver_sql(_MOVE, (*_MOVED(_row(then)), current.key, current.state.value))
    if not done.rowcount:
        return None
    _receive(tx, then, current.message_ids, now)
    if then.state in _UNSAID:
        for loosely in (False, True):  # however its beat compared it
            sent.forget(tx, then.lane, the_same(then.text, loosely=loosely))
    if words := of_delivery(then, now):
        kept.keep(tx, words)
    return then


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


def note_wait(tx: Tx, key: str, error: Mapping[str, Any]) -> None:
    """Note on a message that waits what it waits for; one that moved on keeps what it has."""
    tx.exec_driver_sql(
        "UPDATE outbox SET last_error = ? WHERE key = ? AND state = 'queued'",
        (text_of(error), key),
    )


def ready(tx: Tx, now: datetime, limit: int) -> list[Delivery]:
    """Return the head of every lane that can move, soonest priority first.

    A lane whose head is being sent or waits for a retry is not in the list, unless its time
    is up. What is held is no head, and in the list when its time is up.
    """
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM outbox WHERE id IN ({_CONCERNED}) AND (expires_at <= ? OR"
        " (state = 'queued' AND (next_attempt_at IS NULL OR next_attempt_at <= ?)))"
        " AND state <> 'sending' ORDER BY priority, id LIMIT ?",
        (ms(now), ms(now), limit),
    )
    one_each: dict[str, Sequence[Any]] = {}
    for row in rows:  # a lane may have both a head and something held whose time is up
        one_each.setdefault(row[_LANE], row)
    return [_delivery(tx, row) for row in one_each.values()]


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
    rows = tx.exec_driver_sql(f"SELECT {_READ}, id FROM outbox WHERE {_OPEN} AND state = 'sending'")
    return [_delivery(tx, row[:-1]) for row in sorted(rows, key=itemgetter(-1))]


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
        f"SELECT {_READ} FROM outbox WHERE {where} ORDER BY id DESC LIMIT ? OFFSET ?",
        (*given, limit, offset),
    )
    return [_delivery(tx, row) for row in rows], int(total)


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


def amiss(tx: Tx, now: datetime) -> dict[str, int]:
    """Return how many messages wait for long, failed, or may have arrived (channels.md §11)."""
    rows = tx.exec_driver_sql(
        f"SELECT 'waiting', count(*) FROM outbox WHERE {_OPEN} AND created_at < ?"
        " UNION ALL SELECT state, count(*) FROM outbox"
        " WHERE (state = 'failed' OR state = 'unknown') AND ended_at >= ? GROUP BY state",
        (ms(now - LONG), ms(now - _NEWS)),
    )
    return {row[0]: int(row[1]) for row in rows if row[1]}


def newest(tx: Tx, agent_id: str) -> Delivery | None:
    """Return the newest message of an agent that nobody had asked for."""
    row = tx.exec_driver_sql(
        f"SELECT {_READ} FROM outbox WHERE agent_id = ? AND kind NOT IN ('reply', 'ping')"
        " ORDER BY id DESC LIMIT 1",
        (agent_id,),
    ).first()
    return None if row is None else _delivery(tx, row)


def newest_of(tx: Tx, agent_id: str, kind: str) -> Delivery | None:
    """Return the newest message of a kind that is an agent's."""
    row = tx.exec_driver_sql(
        f"SELECT {_READ} FROM outbox WHERE agent_id = ? AND kind = ? ORDER BY id DESC LIMIT 1",
        (agent_id, kind),
    ).first()
    return None if row is None else _delivery(tx, row)


def last_arrived(tx: Tx, agent_id: str) -> datetime | None:
    """Return when a message of an agent that nobody had asked for last arrived."""
    row = tx.exec_driver_sql(
        "SELECT max(ended_at) FROM outbox WHERE agent_id = ? AND state = 'delivered'"
        " AND kind NOT IN ('reply', 'ping')",
        (agent_id,),
    ).first()
    return None if row is None else instant(row[0])


def newest_in(tx: Tx, lane: str) -> Delivery | None:
    """Return the newest message of a lane that has ended, as it ended."""
    row = tx.exec_driver_sql(
        f"SELECT {_READ} FROM outbox WHERE lane = ? AND ended_at IS NOT NULL"
        " AND state <> 'cancelled' ORDER BY id DESC LIMIT 1",
        (lane,),
    ).first()
    return None if row is None else _delivery(tx, row)


def failing_lanes(tx: Tx, since: datetime) -> frozenset[str]:
    """Return the lanes whose newest message did not arrive, or waits after an error."""
    rows = tx.exec_driver_sql(
        "SELECT lane, state, last_error FROM"
        " (SELECT * FROM outbox ORDER BY id DESC LIMIT ?) AS newest"
        " WHERE created_at >= ? ORDER BY id DESC",
        (_LOOKED_AT, ms(since)),
    )
    newest: dict[str, Sequence[Any]] = {}
    for row in rows:
        newest.setdefault(row[0], row)
    ended, stuck = (State.FAILED.value, State.EXPIRED.value), State.QUEUED.value
    return frozenset(
        lane
        for lane, state, error in newest.values()
        if state in ended or (state == stuck and error is not None)
    )


def last_alert(tx: Tx, agent_id: str, lane: str | None) -> Delivery | None:
    """Return the newest alert of an agent that reached a place; None: wherever it went."""
    where, given = ("AND lane = ?", (lane,)) if lane is not None else ("", ())
    row = tx.exec_driver_sql(
        f"SELECT {_READ} FROM outbox WHERE agent_id = ? AND run_id IS NOT NULL"
        " AND kind <> 'reply' AND (state = 'delivered' OR state = 'unknown')"
        f" {where} ORDER BY id DESC LIMIT 1",
        (agent_id, *given),
    ).first()
    return None if row is None else _delivery(tx, row)


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
    newest: dict[str, Sequence[Any]] = {}
    for row in rows:
        newest.setdefault(row[0], row)
    return [
        _undelivered(*row[2:])
        for row in newest.values()
        if State(row[1]) in (State.FAILED, State.EXPIRED)
    ]


def _undelivered(reason: str | None, route: str, last_error: str | None) -> Undelivered:
    error = mapping_of(last_error)
    kind = str(error.get("class") or reason or "failed")
    return Undelivered(route=route_of(route), kind=kind, detail=str(error.get("detail") or ""))


def contacted(tx: Tx, channel: str, account_id: str, peer: str, now: datetime) -> list[str]:
    """Let go what waited for this peer's next contact, oldest first (channels.md §8)."""
    prefix = f"{channel}|{account_id}|{peer}|"
    rows = tx.exec_driver_sql(  # sorted here: an ORDER BY has every message ever sent looked at
        f"SELECT id, key FROM outbox WHERE {_OPEN} AND state = 'held' AND substr(lane, 1, ?) = ?",
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


def sooner(tx: Tx, now: datetime, by: timedelta) -> None:
    """The clock was set back by so much: what waits for a retry waits no longer for that."""
    tx.exec_driver_sql(
        "UPDATE outbox SET next_attempt_at = next_attempt_at - ?"
        " WHERE state = 'queued' AND next_attempt_at > ?",
        (by // MILLISECOND, ms(now)),
    )


def accounts(tx: Tx) -> list[tuple[str, str]]:
    """Return the (channel, account) pairs for which messages wait."""
    rows = tx.exec_driver_sql(f"SELECT DISTINCT lane FROM outbox WHERE {_OPEN}")
    pairs = {tuple(row[0].split("|", 2)[:2]) for row in rows}
    return sorted((pair[0], pair[1]) for pair in pairs)


def overflow(
    tx: Tx, channel: str, account_id: str, now: datetime, *, most: int = MOST
) -> list[str]:
    """Cancel what waits beyond the cap of an account: beats first, oldest first (channels.md §11).

    A message that has begun to arrive is not cut off.
    """
    prefix = f"{channel}|{account_id}|"
    of_account = f"{_OPEN} AND substr(lane, 1, ?) = ?"
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


def depth(tx: Tx) -> dict[str, int]:
    """Return how many messages are in each open state."""
    rows = tx.exec_driver_sql(f"SELECT state, count(*) FROM outbox WHERE {_OPEN} GROUP BY state")
    return {row[0]: row[1] for row in rows}


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


def _message_ids(tx: Tx, key: str) -> tuple[str, ...]:
    rows = tx.exec_driver_sql(
        "SELECT message_id FROM receipts WHERE delivery_key = ? ORDER BY chunk", (key,)
    )
    return tuple(row[0] for row in rows)


def _row(delivery: Delivery) -> tuple[Any, ...]:
    """Return the values of `_COLUMNS`, in their order."""
    return (
        delivery.key,
        delivery.lane,
        delivery.state.value,
        delivery.kind,
        delivery.agent_id,
        delivery.run_id,
        delivery.job_id,
        route_text(delivery.route),
        delivery.text,
        int(delivery.priority),
        delivery.reason,
        json.dumps(delivery.chunks) if delivery.chunks else None,
        delivery.cursor,
        delivery.attempts,
        ms(delivery.created_at),
        ms(delivery.expires_at),
        ms(delivery.next_attempt_at),
        ms(delivery.first_attempt_at),
        ms(delivery.ended_at),
        text_of(delivery.last_error),
        text_of(delivery.notes),
    )


def _delivery(tx: Tx, row: Sequence[Any]) -> Delivery:
    v = dict(zip(_COLUMNS, row, strict=True))
    state = State(v["state"])
    taken = v["cursor_at"] > 0 or state in TERMINAL  # of most that wait, nothing was taken yet
    return Delivery(
        key=v["key"],
        route=route_of(v["route"]),
        text=v["text"],
        kind=v["kind"],
        created_at=at(v["created_at"]),
        expires_at=at(v["expires_at"]),
        agent_id=v["agent_id"],
        run_id=v["run_id"],
        job_id=v["job_id"],
        priority=Priority(v["priority"]),
        state=state,
        reason=v["reason"],
        chunks=tuple(json.loads(v["chunks"])) if v["chunks"] else (),
        cursor=v["cursor_at"],
        attempts=v["attempts"],
        next_attempt_at=instant(v["next_attempt_at"]),
        first_attempt_at=instant(v["first_attempt_at"]),
        ended_at=instant(v["ended_at"]),
        message_ids=_message_ids(tx, v["key"]) if taken else (),
        last_error=mapping_of(v["last_error"]) or None,
        notes=mapping_of(v["notes"]),
    )
