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
    """Write rows that are `missing`: before all that happened here, in the order of time.

    The ledger is read and pruned by ``seq``, which says when a row was written. What happened
    elsewhere is older than what happened here, so it stands at zero and below, however many
    times more of it is brought.
    """
    if not rows:
        return
    for start in range(0, len(rows), _CHUNK):
        runs.insert(tx, rows[start : start + _CHUNK])
    before = tx.exec_driver_sql("SELECT id FROM runs WHERE seq <= 0").all()
    order = sorted({row.id for row in rows} | {ident for (ident,) in before})  # ids tell the time
    # Out of the way first: no two rows have one place on the way to theirs.
    tx.exec_driver_sql("UPDATE runs SET seq = seq - ? WHERE seq <= 0", (2 * len(order),))
    places = [(place - len(order) + 1, ident) for place, ident in enumerate(order)]
    tx.exec_driver_sql("UPDATE runs SET seq = ? WHERE id = ?", places)
