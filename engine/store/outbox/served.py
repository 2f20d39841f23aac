"""A job that is removed once it has served stays until its words have arrived (cron.md §9.1)."""

from __future__ import annotations

from typing import Final

from engine.messages.delivery import Delivery, State
from jobs.model import Source, StoredJob
from jobs.schedule import At
from jobs.store import jobs
from jobs.store.db import Tx

# The messages of one run are accepted together, so that they stand next to one another.
_BESIDE: Final = 50


def let_go(tx: Tx, delivery: Delivery) -> bool:
    """Remove the job whose words have arrived, if they were the last that it waited for."""
    if delivery.state is not State.DELIVERED or delivery.job_id is None:
        return False
    stored = jobs.readable(tx, delivery.job_id)
    if stored is None or not served(stored) or _others(tx, delivery):
        return False
    return jobs.delete(tx, stored.job.id)


def served(stored: StoredJob) -> bool:
    """Whether a job is over, and was to be removed as soon as it is."""
    job, state = stored.job, stored.state
    once = isinstance(job.schedule, At) and job.delete_after_run and job.source is not Source.CONFIG
    return once and not job.enabled and state.next_run_at is None and state.last_status == "ok"


def _others(tx: Tx, delivery: Delivery) -> bool:
    """Whether other words of the same run have not arrived."""
    found = tx.exec_driver_sql(
        "SELECT 1 FROM outbox, (SELECT id AS here FROM outbox WHERE key = ?) AS it"
        " WHERE id > here - ? AND id < here + ? AND run_id = ? AND state <> 'delivered' LIMIT 1",
        (delivery.key, _BESIDE, _BESIDE, delivery.run_id),
    )
    return found.first() is not None
