"""Who changed what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from jobs.store.db import Tx
from jobs.store.rows import mapping_of, ms, text_of

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


def newest(tx: Tx, limit: int = 50) -> list[dict[str, Any]]:
    """Return the newest lines, newest first."""
    rows = tx.exec_driver_sql(f"SELECT {_COLUMNS} FROM audit ORDER BY id DESC LIMIT ?", (limit,))
    return [
        {"at": r[0], "actor": r[1], "action": r[2], "subject": r[3], "detail": mapping_of(r[4])}
        for r in rows
    ]
