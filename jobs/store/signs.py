"""When a process that wrote the ledger was last seen alive: the rows tell (cron.md §8)."""

from __future__ import annotations

from datetime import datetime

from jobs.ids import made_at
from jobs.ledger import Run
from jobs.store.db import Tx
from jobs.wallclock import at


def sign_before(tx: Tx, run: Run) -> datetime | None:
    """Return when the process before the one that wrote a row last wrote one of its own."""
    row = tx.exec_driver_sql(
        "SELECT claimed_at, started_at, ended_at FROM runs"
        " WHERE seq < (SELECT seq FROM runs WHERE id = ?) AND boot_id <> ?"
        " ORDER BY seq DESC LIMIT 1",
        (run.id, run.boot_id),
    ).first()
    began = made_at(run.boot_id or "")
    # One that was cut off was ended by the process after it.
    signs = [at(told) for told in row or () if told is not None]
    return max((sign for sign in signs if began is None or sign <= began), default=None)
