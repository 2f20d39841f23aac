"""Which alert went where lately, and how often it was held back since (heartbeat.md §13.2)."""

from __future__ import annotations

import hashlib
from datetime import datetime

from engine.messages.repetition import Sent, uncounted
from jobs.store.db import Tx
from jobs.wallclock import at, ms


def last(tx: Tx, lane: str, text: str) -> Sent | None:
    """Return what is known of this text at this place."""
    row = tx.exec_driver_sql(
        "SELECT at, suppressed FROM sent_texts WHERE lane = ? AND hash = ?", (lane, _hash(text))
    ).first()
    return None if row is None else Sent(at(row[0]), int(row[1]))


def note(tx: Tx, lane: str, text: str, now: datetime) -> None:
    """Note that this text goes to this place."""
    tx.exec_driver_sql(
        "INSERT INTO sent_texts (lane, hash, at, suppressed) VALUES (?, ?, ?, 0)"
        " ON CONFLICT (lane, hash) DO UPDATE SET at = excluded.at, suppressed = 0",
        (lane, _hash(text), ms(now)),
    )


def forget(tx: Tx, lane: str, text: str) -> None:
    """Note that this text did not arrive there after all."""
    tx.exec_driver_sql("DELETE FROM sent_texts WHERE lane = ? AND hash = ?", (lane, _hash(text)))


def suppress(tx: Tx, lane: str, text: str) -> None:
    """Count a repetition that was not sent."""
    tx.exec_driver_sql(
        "UPDATE sent_texts SET suppressed = suppressed + 1 WHERE lane = ? AND hash = ?",
        (lane, _hash(text)),
    )


def prune(tx: Tx, before: datetime) -> int:
    """Forget texts last sent before an instant."""
    return tx.exec_driver_sql("DELETE FROM sent_texts WHERE at < ?", (ms(before),)).rowcount


def _hash(text: str) -> str:
    return hashlib.sha256(uncounted(text).encode()).hexdigest()
