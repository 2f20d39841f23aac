"""The durable queue of system events (heartbeat.md §15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from engine.decisions.wake import NOW, NewEvent, QueuedEvent, TakenEvent
from engine.store.routes import route_of, route_text
from jobs.ids import new_id
from jobs.store.db import Tx
from jobs.wallclock import at, instant, ms

MOST: Final = 200  # waiting events of one session; beyond it the oldest make room
_DROPPED: Final = "dropped"
_ORDER: Final = f"CASE source WHEN '{_DROPPED}' THEN 0 ELSE 1 END, seq"  # its marker is oldest
_COLUMNS: Final = (
    "id",
    "agent_id",
    "session_key",
    "text",
    "context_key",
    "route",
    "trusted",
    "source",
    "wake",
    "created_at",
    "expires_at",
    "seen_by_run",
    "target",
    "dedupe_key",
)
_READ: Final = ", ".join(_COLUMNS)
_ADD: Final = f"INSERT INTO system_events ({_READ}) VALUES ({', '.join('?' for _ in _COLUMNS)})"


def add(tx: Tx, event: NewEvent, *, agent_id: str, session_key: str, now: datetime) -> str | None:
    """Queue a text and return its id; the id of the same waiting event if there is one.

    Blank text is not queued (None). Same means: the same key if it has one, else the same text,
    context and route; without a context only the newest waiting event is compared. One that
    replaces takes the older ones about the same off the queue, and asks for a beat if they did.
    """
    made = QueuedEvent(
        id=new_id(now),
        agent_id=agent_id,
        session_key=session_key,
        text=event.text.strip(),
        source=event.source,
        created_at=now,
        context_key=(event.context_key or "").strip().lower() or None,
        route=event.route,
        trusted=event.trusted,
        wake=event.mode if event.mode == NOW else None,
        expires_at=event.expires_at,
        target=event.target,
        dedupe_key=(event.dedupe_key or "").strip() or None,
    )
    if not made.text:
        return None
    waiting = pending(tx, agent_id, session_key, now)
    if made.dedupe_key is not None and not event.replaces:
        keyed = [known for known in waiting if known.dedupe_key == made.dedupe_key]
        if keyed:
            return _same(tx, keyed[0], made)
    older = [known for known in waiting if known.context_key == made.context_key]
    gone = older if event.replaces and made.context_key else []
    compared = gone[-1:] or (waiting if made.context_key else waiting[-1:])
    if made.dedupe_key is not None and not gone:
        compared = []  # another key is another event, whatever its words
    same = next((known for known in compared if _sense(known) == _sense(made)), None)
    consume(tx, [known.id for known in gone if known is not same], now)
    if same is not None:
        return _same(tx, same, made)
    if any(known.wake for known in gone):
        made = replace(made, wake=NOW)
    waiting = [known for known in waiting if known not in gone]
    _make_room(tx, waiting, now)
    _insert(tx, made)
    return made.id


def _same(tx: Tx, waits: QueuedEvent, made: QueuedEvent) -> str:
    """Return the id of the event that waits; it asks for a beat if its repetition does."""
    if made.wake and not waits.wake:
        tx.exec_driver_sql("UPDATE system_events SET wake = ? WHERE id = ?", (NOW, waits.id))
    return waits.id


def _sense(event: QueuedEvent) -> tuple[object, ...]:
    return event.text, event.context_key, event.route


def _make_room(tx: Tx, waiting: Sequence[QueuedEvent], now: datetime) -> None:
    """Drop the oldest beyond the cap, and keep one event that says how many were dropped."""
    if len(waiting) < MOST:
        return
    marker = next((event for event in waiting if event.source == _DROPPED), None)
    gone = int(marker.text.split()[0]) if marker else 0
    others = [event for event in waiting if event.source != _DROPPED]
    excess = others[: len(others) - MOST + 2]
    consume(tx, [event.id for event in excess] + ([marker.id] if marker else []), now)
    oldest = others[0]
    told = QueuedEvent(
        id=new_id(oldest.created_at),
        agent_id=oldest.agent_id,
        session_key=oldest.session_key,
        text=f"{gone + len(excess)} older events omitted",
        source=_DROPPED,
        created_at=oldest.created_at,
    )
    _insert(tx, told)


def pending(tx: Tx, agent_id: str, session_key: str, now: datetime) -> list[QueuedEvent]:
    """Return the events that wait in a session, oldest first."""
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM system_events WHERE agent_id = ? AND session_key = ?"
        f" AND consumed_at IS NULL AND (expires_at IS NULL OR expires_at > ?) ORDER BY {_ORDER}",
        (agent_id, session_key, ms(now)),
    )
    return [_event(row) for row in rows]


def expired(
    tx: Tx, agent_id: str, session_key: str, now: datetime, *, also: Sequence[str] = ()
) -> list[QueuedEvent]:
    """Return the events of a session that nobody saw in the time they had.

    Those of which no row tells yet, and of ``also`` those that are such.
    """
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM system_events WHERE agent_id = ? AND session_key = ?"
        " AND consumed_at IS NULL AND expires_at <= ? ORDER BY seq LIMIT ?",
        (agent_id, session_key, ms(now), MOST),
    )
    found = {event.id: event for event in map(_event, rows)}
    for ref in also:
        event = get(tx, ref)
        late = event is not None and event.expires_at is not None and event.expires_at <= now
        if event is not None and late and event.seen_by_run is None:
            found[ref] = event
    return list(found.values())


def waking(tx: Tx, now: datetime) -> list[QueuedEvent]:
    """Return all waiting events that asked for a beat: after a restart they ask again."""
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM system_events WHERE wake = 'now' AND consumed_at IS NULL"
        f" AND (expires_at IS NULL OR expires_at > ?) ORDER BY {_ORDER}",
        (ms(now),),
    )
    return [_event(row) for row in rows]


def get(tx: Tx, event_id: str) -> QueuedEvent | None:
    """Return one event, waiting or not."""
    row = tx.exec_driver_sql(
        f"SELECT {_READ} FROM system_events WHERE id = ?",
        (event_id,),
    ).first()
    return None if row is None else _event(row)


def consume(tx: Tx, event_ids: Sequence[str], now: datetime, *, run_id: str | None = None) -> None:
    """Take events off the queue: their text was in a prompt whose reply was classified.

    Without a run nobody saw them: they expired, or made room, and something on record says so.
    """
    rows = [(ms(now), run_id, event_id) for event_id in event_ids]
    if rows:
        tx.exec_driver_sql(
            "UPDATE system_events SET consumed_at = ?, seen_by_run = coalesce(?, seen_by_run)"
            " WHERE id = ? AND consumed_at IS NULL",
            rows,
        )


def taken_by_turns(
    tx: Tx, agent_id: str, session_key: str, since: datetime
) -> tuple[TakenEvent, ...]:
    """Return which events of a session a turn other than a beat took up since, oldest first.

    Only the newest events are looked at: this is asked at every beat.
    """
    rows = tx.exec_driver_sql(
        "SELECT id, seen_by_run, consumed_at FROM"
        " (SELECT * FROM system_events ORDER BY seq DESC LIMIT ?) AS newest"
        " WHERE agent_id = ? AND session_key = ? AND consumed_at >= ? AND seen_by_run IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = seen_by_run) ORDER BY seq",
        (MOST, agent_id, session_key, ms(since)),
    )
    return tuple(TakenEvent(id=row[0], run_id=row[1], at=at(row[2])) for row in rows)


def count(tx: Tx) -> int:
    """Return how many events wait, in all."""
    return int(
        tx.exec_driver_sql(
            "SELECT count(*) FROM system_events WHERE consumed_at IS NULL"
        ).scalar_one()
    )


def prune(tx: Tx, before: datetime) -> int:
    """Delete consumed or expired events older than an instant."""
    return tx.exec_driver_sql(
        "DELETE FROM system_events WHERE consumed_at < ? OR expires_at < ?",
        (ms(before), ms(before)),
    ).rowcount


def _insert(tx: Tx, event: QueuedEvent) -> None:
    values = {
        "id": event.id,
        "agent_id": event.agent_id,
        "session_key": event.session_key,
        "text": event.text,
        "context_key": event.context_key,
        "route": route_text(event.route) if event.route else None,
        "trusted": int(event.trusted),
        "source": event.source,
        "wake": event.wake,
        "created_at": ms(event.created_at),
        "expires_at": ms(event.expires_at),
        "seen_by_run": event.seen_by_run,
        "target": event.target,
        "dedupe_key": event.dedupe_key,
    }
    tx.exec_driver_sql(_ADD, tuple(values[column] for column in _COLUMNS))


def _event(row: Sequence[Any]) -> QueuedEvent:
    v = dict(zip(_COLUMNS, row, strict=True))
    return QueuedEvent(
        id=v["id"],
        agent_id=v["agent_id"],
        session_key=v["session_key"],
        text=v["text"],
        context_key=v["context_key"],
        route=route_of(v["route"]) if v["route"] else None,
        trusted=bool(v["trusted"]),
        source=v["source"],
        wake=v["wake"],
        created_at=at(v["created_at"]),
        expires_at=instant(v["expires_at"]),
        seen_by_run=v["seen_by_run"],
        target=v["target"],
        dedupe_key=v["dedupe_key"],
    )
