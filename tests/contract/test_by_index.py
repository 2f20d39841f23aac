"""What is asked at every tick, message or look never reads a whole ledger to answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.messages.delivery import State
from engine.store import outbox
from jobs.store import jobs, runs
from jobs.store.db import Database, Tx

NOW = datetime(2026, 3, 1, tzinfo=UTC)

ASKED: dict[str, Callable[[Tx], Any]] = {
    "what may be sent": lambda tx: outbox.ready(tx, NOW, 10),
    "when to look again": lambda tx: outbox.next_attempt_at(tx, NOW),
    "a person who writes": lambda tx: outbox.contacted(tx, "qqbot", "main", "c2c:1", NOW),
    "what a crash left on its way": outbox.recover,
    "how many wait": outbox.depth,
    "accounts with something to say": outbox.accounts,
    "too many of an account": lambda tx: outbox.overflow(tx, "qqbot", "main", NOW),
    "what is amiss": lambda tx: outbox.amiss(tx, NOW),
    "how a place's newest message ended": lambda tx: outbox.newest_in(tx, "telegram|main|1|"),
    "when words of an agent last arrived": lambda tx: outbox.last_arrived(tx, "main"),
    "what is old enough to go": lambda tx: outbox.prune(tx, NOW),
    "what is taken out by hand": lambda tx: outbox.purge(tx, (State.FAILED,), NOW),
    "one message": lambda tx: outbox.get(tx, "key"),
    "jobs that are due": lambda tx: jobs.due(tx, NOW, 10),
    "when the next job is due": jobs.next_due,
    "runs of a day": lambda tx: runs.counts(tx, NOW),
    "what a crash left open": lambda tx: runs.interrupted(tx, "boot"),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_it_is_found_by_an_index(asked: Callable[[Tx], Any]) -> None:
    database = await Database.memory()
    said: list[str] = []

    def listen(tx: Tx) -> list[str]:
        raw: Any = tx.raw  # type: ignore[attr-defined]  # SQLite's own connection
        raw.set_trace_callback(said.append)
        asked(tx)
        raw.set_trace_callback(None)
        plans = [raw.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall() for sql in said]
        return [row[3] for plan in plans for row in plan]

    plan = await database.write(listen)
    await database.close()
    assert plan, said
    assert not [step for step in plan if step in ("SCAN outbox", "SCAN runs", "SCAN jobs")], said
