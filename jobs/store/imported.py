"""Runs that happened elsewhere, written once however often they are brought here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from jobs.ledger import Run
from jobs.store import runs
from jobs.store.db import Tx

_CHUNK: Final = 500


def missing(tx: Tx, rows: Sequence[Run]) -> list[Run]:
    """Return the rows that are not in the ledger yet, each once, oldest first."""
    found = {row.id: row for row in rows}
    ids = [*found]
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        known = tx.exec_driver_sql(
            f"SELECT id FROM runs WHERE id IN ({', '.join('?' * len(chunk))})", tuple(chunk)
        )
        for (ident,) in known.all():
            del found[ident]
    return [found[ident] for ident in sorted(found)]


def insert(tx: Tx, rows: Sequence[Run]) -> None:
    """Write rows that are `missing`, in their order."""
    for start in range(0, len(rows), _CHUNK):
        runs.insert(tx, rows[start : start + _CHUNK])
