"""When each agent beats next, by the plan as it stands: a row tells what was so when it ended.

Written when beats are planned, so that readers of the store need no config (heartbeat.md §18).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from engine.decisions.replanned import planned_word, replanned
from engine.store import meta
from jobs.ledger import Run
from jobs.store.db import Tx

KEY: Final = "heartbeat.next:"


def put(tx: Tx, coming: Mapping[str, datetime | None], now: datetime) -> None:
    """Keep when each agent beats next; None: it has no beat to come."""
    for agent_id, at in coming.items():
        meta.put(tx, KEY + agent_id, planned_word(at, now))
    for gone in meta.below(tx, KEY).keys() - coming.keys():
        meta.drop(tx, KEY + gone)


def present(tx: Tx, run: Run, now: datetime) -> Run:
    """Return a beat with the next one as it is planned now, if that was planned since."""
    return replanned(run, meta.get(tx, KEY + (run.agent_id or "")), now)
