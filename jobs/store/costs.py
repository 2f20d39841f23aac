"""What each run cost, as its row keeps it: the ledger behind budgets and forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobs.ids import first_id
from jobs.ledger import Usage
from jobs.store.db import Tx
from jobs.store.rows import usage_of
from jobs.wallclock import at, ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A run that asked a model, and what that took."""

    run_id: str
    agent_id: str
    at: datetime
    model: str  # provider/model; nothing if nobody knows
    usage: Usage


def used(tx: Tx, kind: str, since: datetime, *, agent_id: str | None = None) -> list[Used]:
    """Return the runs of a kind since an instant that asked a model, oldest first."""
    whose, values = ("", ()) if agent_id is None else (" AND agent_id = ?", (agent_id,))
    rows = tx.exec_driver_sql(
        "SELECT id, agent_id, claimed_at, provider, model, usage FROM runs"
        " WHERE usage IS NOT NULL AND id >= ? AND kind = ? AND claimed_at >= ?"
        f"{whose} ORDER BY id",
        (first_id(since), kind, ms(since), *values),
    )
    return [
        Used(
            run_id=row[0],
            agent_id=row[1] or "",
            at=at(row[2]),
            model="/".join(part for part in (row[3], row[4]) if part),
            usage=usage,
        )
        for row in rows
        if (usage := usage_of(row[5])) is not None
    ]
