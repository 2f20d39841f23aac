"""Beats as counting sees them: a few columns, and where their words stand (heartbeat.md §20)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from engine.decisions.tally import Beat
from engine.messages.delivery import State
from jobs.ids import first_id
from jobs.ledger import Outcome, RunStatus, SkipReason, Trigger
from jobs.store.db import Tx
from jobs.store.rows import usage_of
from jobs.wallclock import at, instant, ms

# By their ids the rows of a window are found without those before it: no row is older than
# its slot. A row whose slot came before the window, and was made up for in it, is no part of it.
_IN: Final = (
    "SELECT r.agent_id, r.trigger_kind, r.status, r.slot, r.slots, r.reason, r.outcome,"
    " coalesce(r.claimed_at, r.started_at, r.ended_at, r.slot), r.started_at, r.ended_at,"
    " r.deferrals, r.usage, o.state"
    " FROM runs AS r LEFT JOIN outbox AS o ON o.key = r.delivery_key"
    " WHERE r.kind = 'heartbeat' AND r.agent_id = ? AND r.seq >= ?"
    " AND coalesce(r.slot, r.claimed_at) BETWEEN ? AND ?"
    " ORDER BY r.seq"
)
_FIRST: Final = "SELECT min(seq) FROM runs WHERE id >= ?"
# One step of the index per agent, however many rows there are.
_AGENTS: Final = (
    "WITH RECURSIVE agents (name) AS ("
    " SELECT min(agent_id) FROM runs WHERE kind = 'heartbeat' UNION ALL"
    " SELECT (SELECT min(agent_id) FROM runs WHERE kind = 'heartbeat' AND agent_id > name)"
    " FROM agents WHERE name IS NOT NULL)"
    " SELECT name FROM agents WHERE name IS NOT NULL"
)


def agents(tx: Tx) -> list[str]:
    """Return who has beats on record."""
    return [row[0] for row in tx.exec_driver_sql(_AGENTS)]


def within(tx: Tx, agent_id: str, since: datetime, until: datetime) -> Iterator[Beat]:
    """Yield an agent's beats of a window, by their slots, or when they were asked for."""
    first = tx.exec_driver_sql(_FIRST, (first_id(since),)).scalar()
    if first is None:
        return
    for row in tx.exec_driver_sql(_IN, (agent_id, first, ms(since), ms(until))):
        yield _beat(row)


def _beat(row: Sequence[Any]) -> Beat:
    claimed = at(row[7])
    slot = instant(row[3])
    return Beat(
        agent_id=row[0],
        trigger=Trigger(row[1]),
        status=RunStatus(row[2]),
        at=slot or claimed,
        claimed_at=claimed,
        slot=slot,
        count=row[4],
        reason=SkipReason(row[5]) if row[5] else None,
        outcome=Outcome(row[6]) if row[6] else None,
        started_at=instant(row[8]),
        ended_at=instant(row[9]),
        deferrals=row[10],
        usage=usage_of(row[11]),
        message=State(row[12]) if row[12] else None,
    )
