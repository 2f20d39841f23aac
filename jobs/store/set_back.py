"""What a clock that was ahead left in the store, and how it is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from jobs.store.db import Tx
from jobs.wallclock import at, instant, ms

_WAITING: Final = "enabled = 1 AND paused IS NULL AND held IS NULL AND next_run_at > ?"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits for an instant to come."""

    seq: int
    id: str
    definition: str
    next_run_at: datetime


def last_claim(tx: Tx) -> datetime | None:
    """Return when the newest run was claimed, by the clock of that moment.

    What was imported was claimed elsewhere, by another clock: it has no boot.
    """
    row = tx.exec_driver_sql(
        "SELECT claimed_at FROM runs WHERE boot_id IS NOT NULL ORDER BY seq DESC LIMIT 1"
    ).first()
    return None if row is None else instant(row[0])


def planned(tx: Tx, now: datetime, limit: int, *, behind: int = 0) -> list[Waiting]:
    """Return jobs that wait for an instant after ``now``, by their place in the store."""
    rows = tx.exec_driver_sql(
        f"SELECT seq, id, definition, next_run_at FROM jobs WHERE {_WAITING} AND seq > ?"
        " ORDER BY seq LIMIT ?",
        (ms(now), behind, limit),
    )
    return [Waiting(row[0], row[1], row[2], at(row[3])) for row in rows]


def plan_anew(tx: Tx, changes: Sequence[tuple[Waiting, datetime]]) -> None:
    """Let jobs come due earlier, each unless somebody else has moved it meanwhile."""
    rows = [(ms(sooner), job.id, ms(job.next_run_at)) for job, sooner in changes]
    if rows:
        tx.exec_driver_sql("UPDATE jobs SET next_run_at = ? WHERE id = ? AND next_run_at = ?", rows)


def take_back(tx: Tx, now: datetime, by: timedelta) -> int:
    """Forget slots called missed that have not come, and keep every wait as long as it was.

    What ran stays on record, so that its slot does not run again; no wait ends before now.
    Returns how many were forgotten.
    """
    gone = tx.exec_driver_sql(
        "DELETE FROM runs WHERE slot > ? AND status = 'missed'", (ms(now),)
    ).rowcount
    back, here = by // timedelta(milliseconds=1), ms(now)
    sooner = "CASE WHEN retry_at - ? < ? THEN ? ELSE retry_at - ? END"
    values = (back, here, here, back, here)
    tx.exec_driver_sql(  # a one-shot that is tried again comes due when its wait is over
        f"UPDATE jobs SET next_run_at = {sooner} WHERE retry_at > ? AND next_run_at = retry_at",
        values,
    )
    tx.exec_driver_sql(f"UPDATE jobs SET retry_at = {sooner} WHERE retry_at > ?", values)
    return gone
