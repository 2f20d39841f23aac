"""Single facts of one home: its identity, switches, and what was sent where lately."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from jobs.store.db import Tx
from jobs.store.rows import at, ms

_COUNT: Final = re.compile(r"\n\(repeated \d+× since [0-9: -]+\)\Z")


def get(tx: Tx, key: str) -> str | None:
    """Return a fact."""
    row = tx.exec_driver_sql("SELECT value FROM meta WHERE key = ?", (key,)).first()
    return None if row is None else str(row[0])


def put(tx: Tx, key: str, value: str) -> None:
    """Set a fact."""
    tx.exec_driver_sql(
        "INSERT INTO meta (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def keep(tx: Tx, key: str, value: str) -> str:
    """Set a fact unless it is set, and return what it is."""
    tx.exec_driver_sql(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", (key, value)
    )
    found = get(tx, key)
    return value if found is None else found


def starting_with(tx: Tx, prefix: str) -> dict[str, str]:
    """Return all facts whose key begins so, by the rest of the key."""
    rows = tx.exec_driver_sql(
        "SELECT key, value FROM meta WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)
    )
    return {row[0][len(prefix) :]: row[1] for row in rows}


@dataclass(frozen=True, slots=True)
class Sent:
    """When a text last went somewhere, and how often it was held back there since."""

    at: datetime
    suppressed: int

    def counted(self, text: str, zone: ZoneInfo) -> str:
        """Return the text with how often it was held back, if it was (heartbeat.md §13.2)."""
        if not self.suppressed:
            return text
        since = self.at.astimezone(zone)
        return f"{text}\n(repeated {self.suppressed}× since {since:%Y-%m-%d %H:%M})"


def words(text: str) -> str:
    """Return a text without the count of its repetitions: what makes it the same again."""
    return _COUNT.sub("", text.strip())


def sent(tx: Tx, lane: str, text: str) -> Sent | None:
    """Return what is known of this text at this place as an alert (heartbeat.md §13.2)."""
    row = tx.exec_driver_sql(
        "SELECT at, suppressed FROM sent_texts WHERE lane = ? AND hash = ?", (lane, _hash(text))
    ).first()
    return None if row is None else Sent(at(row[0]), int(row[1]))


def note_sent(tx: Tx, lane: str, text: str, now: datetime) -> None:
    """Note that this text goes to this place."""
    tx.exec_driver_sql(
        "INSERT INTO sent_texts (lane, hash, at, suppressed) VALUES (?, ?, ?, 0)"
        " ON CONFLICT (lane, hash) DO UPDATE SET at = excluded.at, suppressed = 0",
        (lane, _hash(text), ms(now)),
    )


def forget_sent(tx: Tx, lane: str, text: str) -> None:
    """Note that this text did not arrive there after all."""
    tx.exec_driver_sql("DELETE FROM sent_texts WHERE lane = ? AND hash = ?", (lane, _hash(text)))


def note_suppressed(tx: Tx, lane: str, text: str) -> None:
    """Count a repetition that was not sent."""
    tx.exec_driver_sql(
        "UPDATE sent_texts SET suppressed = suppressed + 1 WHERE lane = ? AND hash = ?",
        (lane, _hash(text)),
    )


def prune_sent(tx: Tx, before: datetime) -> int:
    """Forget texts last sent before an instant."""
    return tx.exec_driver_sql("DELETE FROM sent_texts WHERE at < ?", (ms(before),)).rowcount


def _hash(text: str) -> str:
    return hashlib.sha256(words(text).encode()).hexdigest()
