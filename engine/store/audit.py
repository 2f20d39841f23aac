"""Who changed what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from engine.messages.target import Stranger
from engine.messages.unheard import IN_PERSON, drop_words
from jobs.store.db import Tx
from jobs.store.rows import mapping_of, text_of
from jobs.wallclock import ms

_COLUMNS: Final = "at, actor, action, subject, detail"


def note(
    tx: Tx,
    *,
    now: datetime,
    actor: str,
    action: str,
    subject: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one line."""
    tx.exec_driver_sql(
        f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
        (ms(now), actor, action, subject, text_of(detail)),
    )


LEFT_OUT: Final = "inbound.left-out"  # messages that could not wait for their turn
REFUSED: Final = "inbound.refused"  # somebody wrote and was not let in
_LOOKED_AT: Final = 500  # lines: nobody waits for a search through years


def last_stranger(tx: Tx) -> Stranger | None:
    """Return who wrote last in person and was not let in, unless that was long ago."""
    rows = tx.exec_driver_sql(
        "SELECT actor, subject, detail FROM audit"
        " WHERE id > (SELECT max(id) FROM audit) - ? AND action = ? ORDER BY id DESC",
        (_LOOKED_AT, REFUSED),
    )
    for actor, subject, detail in rows:
        reason = mapping_of(detail).get("reason")
        if reason in IN_PERSON:
            channel, account_id, _ = str(subject).split("|", 2)
            sender = str(actor).removeprefix(f"{channel}:")
            if _paired(tx, channel, account_id, sender):
                continue
            return Stranger(channel, account_id, sender, str(reason))
    return None


def last_refused(tx: Tx) -> dict[tuple[str, str], dict[str, Any]]:
    """Return whom each account did not answer last: ``{reason, atMs, sender, chat, fix}``."""
    rows = tx.exec_driver_sql(
        "SELECT at, actor, subject, detail FROM audit"
        " WHERE id > (SELECT max(id) FROM audit) - ? AND action = ? ORDER BY id DESC",
        (_LOOKED_AT, REFUSED),
    )
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for when, actor, subject, detail in rows:
        channel, account_id, chat = str(subject).split("|", 2)
        sender = str(actor).removeprefix(f"{channel}:")
        reason = str(mapping_of(detail).get("reason"))
        told = drop_words(reason, channel, account_id, sender, chat, at=when)
        found.setdefault((channel, account_id), told)
    return found


def _paired(tx: Tx, channel: str, account_id: str, sender: str) -> bool:
    """Whether somebody was let in since (channels.md §3.2)."""
    row = tx.exec_driver_sql(
        "SELECT 1 FROM pairings WHERE channel = ? AND account_id = ? AND peer = ?"
        " AND approved_at IS NOT NULL",
        (channel, account_id, sender),
    ).first()
    return row is not None


def of(tx: Tx, actions: Sequence[str], since: datetime) -> list[dict[str, Any]]:
    """Return the lines of some actions after an instant, newest first."""
    marks = ", ".join("?" * len(actions))
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM audit WHERE action IN ({marks}) AND at > ? ORDER BY id DESC",
        (*actions, ms(since)),
    )
    return [_line(row) for row in rows]


def latest(tx: Tx, actions: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """Return the newest lines of some actions, newest first."""
    marks = ", ".join("?" * len(actions))
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM audit WHERE action IN ({marks}) ORDER BY id DESC LIMIT ?",
        (*actions, limit),
    )
    return [_line(row) for row in rows]


FEEDBACK: Final = "heartbeat.feedback"


def feedback(tx: Tx, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """Return what people said of alerts in a stretch of time: ``{verdict, agentId, print}``."""
    lines = of(tx, [FEEDBACK], since)
    return [line["detail"] for line in lines if line["at"] <= ms(until)]


def newest(tx: Tx, limit: int = 50) -> list[dict[str, Any]]:
    """Return the newest lines, newest first."""
    rows = tx.exec_driver_sql(f"SELECT {_COLUMNS} FROM audit ORDER BY id DESC LIMIT ?", (limit,))
    return [_line(row) for row in rows]


FROM_OUTSIDE: Final = 50_000  # newest lines among which those that strangers cause are kept


def prune(tx: Tx, before: datetime, *, most: int = FROM_OUTSIDE) -> int:
    """Delete lines older than an instant, and what strangers caused beyond the newest lines.

    Whoever is not let in may write as often as they like: their lines are few or they go.
    """
    old = tx.exec_driver_sql(
        "DELETE FROM audit WHERE id < (SELECT min(id) FROM audit WHERE at >= ?)", (ms(before),)
    )
    crowd = tx.exec_driver_sql(
        "DELETE FROM audit WHERE substr(action, 1, 8) = 'inbound.'"
        " AND id <= (SELECT max(id) FROM audit) - ?",
        (most,),
    )
    return old.rowcount + crowd.rowcount


def _line(r: Sequence[Any]) -> dict[str, Any]:
    return {"at": r[0], "actor": r[1], "action": r[2], "subject": r[3], "detail": mapping_of(r[4])}
