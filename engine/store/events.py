"""The durable queue of system events (heartbeat.md §15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from engine.store.routes import route_of, route_text
from engine.target import Route
from jobs.ids import new_id
from jobs.store.db import Tx
from jobs.store.rows import at, instant, ms

MOST: Final = 200  # waiting events of one session; beyond it the oldest make room
_DROPPED: Final = "dropped"
_ORDER: Final = f"CASE source WHEN '{_DROPPED}' THEN 0 ELSE 1 END, seq"  # its marker is oldest
_READ: Final = (
    "id, agent_id, session_key, text, context_key, route, trusted, source, wake, created_at,"
    " expires_at, seen_by_run"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemEvent:
    """One text waiting for its agent."""

    id: str
    agent_id: str
    session_key: str
    text: str
    source: str
    created_at: datetime
    context_key: str | None = None
    route: Route | None = None  # where it came from; alerts about it go there
    trusted: bool = True
    wake: str | None = None  # now: it also asked for a beat
    expires_at: datetime | None = None
    seen_by_run: str | None = None


def add(
    tx: Tx,
    *,
    agent_id: str,
    session_key: str,
    text: str,
    source: str,
    now: datetime,
    context_key: str | None = None,
    route: Route | None = None,
    trusted: bool = True,
    wake: str | None = None,
    expires_at: datetime | None = None,
) -> str | None:
    """Queue a text and return its id; the id of the same waiting event if there is one.

    Blank text is not queued (None). Same means: same text, context and route; without a
    context only the newest waiting event is compared.
    """
    words = text.strip()
    if not words:
        return None
    context = context_key.strip().lower() if context_key and context_key.strip() else None
    waiting = pending(tx, agent_id, session_key, now)
    for known in waiting if context else waiting[-1:]:
        if (known.text, known.context_key, known.route) == (words, context, route):
            return known.id
    _make_room(tx, agent_id, session_key, waiting, now)
    event_id = new_id(now)
    tx.exec_driver_sql(
        "INSERT INTO system_events (id, agent_id, session_key, text, context_key, route, trusted,"
        " source, wake, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event_id,
            agent_id,
            session_key,
            words,
            context,
            route_text(route) if route else None,
            int(trusted),
            source,
            wake,
            ms(now),
            ms(expires_at),
        ),
    )
    return event_id


def _make_room(
    tx: Tx, agent_id: str, session_key: str, waiting: Sequence[SystemEvent], now: datetime
) -> None:
    """Drop the oldest beyond the cap, and keep one event that says how many were dropped."""
    if len(waiting) < MOST:
        return
    marker = next((event for event in waiting if event.source == _DROPPED), None)
    gone = int(marker.text.split()[0]) if marker else 0
    others = [event for event in waiting if event.source != _DROPPED]
    excess = others[: len(others) - MOST + 2]
    consume(tx, [event.id for event in excess] + ([marker.id] if marker else []), now)
    tx.exec_driver_sql(
        "INSERT INTO system_events (id, agent_id, session_key, text, trusted, source, created_at)"
        " VALUES (?, ?, ?, ?, 1, ?, ?)",
        (
            new_id(others[0].created_at),
            agent_id,
            session_key,
            f"{gone + len(excess)} older events omitted",
            _DROPPED,
            ms(others[0].created_at),
        ),
    )


def pending(tx: Tx, agent_id: str, session_key: str, now: datetime) -> list[SystemEvent]:
    """Return the events that wait in a session, oldest first."""
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM system_events WHERE agent_id = ? AND session_key = ?"
        f" AND consumed_at IS NULL AND (expires_at IS NULL OR expires_at > ?) ORDER BY {_ORDER}",
        (agent_id, session_key, ms(now)),
    )
    return [_event(row) for row in rows]


def waking(tx: Tx, now: datetime) -> list[SystemEvent]:
    """Return all waiting events that asked for a beat: after a restart they ask again."""
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM system_events WHERE wake = 'now' AND consumed_at IS NULL"
        f" AND (expires_at IS NULL OR expires_at > ?) ORDER BY {_ORDER}",
        (ms(now),),
    )
    return [_event(row) for row in rows]


def get(tx: Tx, event_id: str) -> SystemEvent | None:
    """Return one event, waiting or not."""
    row = tx.exec_driver_sql(
        f"SELECT {_READ} FROM system_events WHERE id = ?",
        (event_id,),
    ).first()
    return None if row is None else _event(row)


def consume(tx: Tx, event_ids: Sequence[str], now: datetime, *, run_id: str | None = None) -> None:
    """Take events off the queue: their text was in a prompt whose reply was classified."""
    rows = [(ms(now), run_id, event_id) for event_id in event_ids]
    if rows:
        tx.exec_driver_sql(
            "UPDATE system_events SET consumed_at = ?, seen_by_run = coalesce(?, seen_by_run)"
            " WHERE id = ? AND consumed_at IS NULL",
            rows,
        )


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


def _event(row: Sequence[Any]) -> SystemEvent:
    return SystemEvent(
        id=row[0],
        agent_id=row[1],
        session_key=row[2],
        text=row[3],
        context_key=row[4],
        route=route_of(row[5]) if row[5] else None,
        trusted=bool(row[6]),
        source=row[7],
        wake=row[8],
        created_at=at(row[9]),
        expires_at=instant(row[10]),
        seen_by_run=row[11],
    )
