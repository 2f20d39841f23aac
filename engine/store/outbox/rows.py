"""A message as its row, and back; which rows are open."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.messages.delivery import Delivery, Priority, State
from engine.messages.media import from_json, to_json
from engine.messages.outbox import TERMINAL
from engine.store.routes import route_of, route_text
from jobs.store.db import Tx
from jobs.store.rows import mapping_of, text_of
from jobs.wallclock import at, instant, ms

COLUMNS: Final = (
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
_MEDIA: Final = "media"
READ: Final = ", ".join(COLUMNS)
# Word for word the condition of the index `outbox_open`.
OPEN: Final = "(state = 'queued' OR state = 'sending' OR state = 'held')"


def _message_ids(tx: Tx, key: str) -> tuple[str, ...]:
    rows = tx.exec_driver_sql(
        "SELECT message_id FROM receipts WHERE delivery_key = ? ORDER BY chunk", (key,)
    )
    return tuple(row[0] for row in rows)


def _noted(delivery: Delivery) -> Mapping[str, Any]:
    """Files stand among the notes: most messages have none."""
    return {**delivery.notes, _MEDIA: to_json(delivery.media)} if delivery.media else delivery.notes


def row_of(delivery: Delivery) -> tuple[Any, ...]:
    """Return the values of `COLUMNS`, in their order."""
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
        text_of(_noted(delivery)),
    )


def delivery_of(tx: Tx, row: Sequence[Any]) -> Delivery:
    """Return the message of a row of `COLUMNS`, with what the platform answered."""
    v = dict(zip(COLUMNS, row, strict=True))
    state = State(v["state"])
    notes = dict(mapping_of(v["notes"]))
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
        media=from_json(notes.pop(_MEDIA, None)) if _MEDIA in notes else (),
        notes=notes,
    )
