"""When the `tasks:` of each agent last ran, by slot (heartbeat.md §11.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.store.db import Tx
from jobs.wallclock import MILLISECOND, at, instant, ms


@dataclass(frozen=True, slots=True)
class TaskState:
    """How a task fared so far."""

    last_slot: datetime | None
    status: str | None  # of the beat that served it, or `skipped`
    runs: int


def states(tx: Tx, agent_id: str) -> dict[str, TaskState]:
    """Return how the tasks of an agent fared, by name."""
    rows = tx.exec_driver_sql(
        "SELECT name, last_slot_at, last_status, runs FROM task_state WHERE agent_id = ?",
        (agent_id,),
    )
    return {row[0]: TaskState(instant(row[1]), row[2], int(row[3])) for row in rows}


def last_slots(tx: Tx, agent_id: str) -> dict[str, datetime]:
    """Return the slot each task was last served in, by name."""
    rows = tx.exec_driver_sql(
        "SELECT name, last_slot_at FROM task_state WHERE agent_id = ? AND last_slot_at IS NOT NULL",
        (agent_id,),
    )
    return {row[0]: at(row[1]) for row in rows}


def served(
    tx: Tx,
    agent_id: str,
    tasks: Sequence[tuple[str, timedelta]],
    slot: datetime,
    *,
    status: str,
) -> None:
    """Note that tasks, as (name, interval), were served in a slot."""
    rows = [
        (agent_id, name, every // MILLISECOND, ms(slot), status, ms(slot + every))
        for name, every in tasks
    ]
    if rows:
        tx.exec_driver_sql(
            "INSERT INTO task_state (agent_id, name, interval_ms, last_slot_at, last_status,"
            " next_at, runs) VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (agent_id, name) DO UPDATE"
            " SET interval_ms = excluded.interval_ms, last_slot_at = excluded.last_slot_at,"
            " last_status = excluded.last_status, next_at = excluded.next_at,"
            " runs = task_state.runs + 1",
            rows,
        )


def prune(tx: Tx, before: datetime) -> int:
    """Forget tasks last served before an instant: a task re-added later begins anew."""
    return tx.exec_driver_sql(
        "DELETE FROM task_state WHERE last_slot_at < ? AND next_at < ?", (ms(before), ms(before))
    ).rowcount
