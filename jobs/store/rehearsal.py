"""What is changed in a copy of a store before a simulation goes on from it."""

from __future__ import annotations

from datetime import datetime

from jobs.store import set_back
from jobs.store.db import Tx
from jobs.store.set_back import Waiting
from jobs.wallclock import EPOCH, ms


def end_open(tx: Tx) -> None:
    """Forget runs that are under way: the gateway that has them ends them, not this copy."""
    tx.exec_driver_sql("DELETE FROM runs WHERE status IN ('claimed', 'running')")
    tx.exec_driver_sql("UPDATE jobs SET running_since = NULL")


def forget_runs(tx: Tx) -> None:
    """Empty the ledger and what waits for another time: retries, events, messages."""
    for table in ("runs", "system_events", "receipts", "outbox", "task_state", "sent_texts"):
        tx.exec_driver_sql(f"DELETE FROM {table}")
    tx.exec_driver_sql("UPDATE jobs SET retry_at = NULL, running_since = NULL")


def planned(tx: Tx) -> list[Waiting]:
    """Return every job that waits for an instant."""
    return set_back.planned(tx, EPOCH, -1)


def plan(tx: Tx, job_id: str, following: datetime | None) -> None:
    """Let a job come due then, or never."""
    tx.exec_driver_sql(
        "UPDATE jobs SET next_run_at = ? WHERE id = ?",
        (None if following is None else ms(following), job_id),
    )
