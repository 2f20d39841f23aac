"""What the audit asks of the jobs of a store: whose idea they were, where their words go.

cron.md §18: an agent's own changes are in the audit under its name; whatever anybody else did to
the job since counts as the operator's yes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from engine.security.facts import JobFact
from engine.store import audit
from jobs.model import AgentTurn, StoredJob
from jobs.schedule import At
from jobs.store import jobs as job_rows
from jobs.store.base import JobQuery
from jobs.store.db import Tx

_CHANGES: Final = ("cron.add", "cron.update", "cron.adopt", "cron.import")
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOOK_AHEAD: Final = 5  # slots: the shortest time between them is how often it runs
_FOREIGN: Final = frozenset({"hook", "group", "channel"})  # parts of a conversation's name


def stored(tx: Tx, now: datetime) -> Iterator[JobFact]:
    """Every job with what the checks ask."""
    hands: dict[str, list[str]] = {}
    for line in reversed(audit.of(tx, _CHANGES, _BEGINNING)):
        hands.setdefault(str(line["subject"]), []).append(str(line["actor"]))
    for one in job_rows.select(tx, JobQuery(enabled=None)).jobs:
        yield fact(one, hands.get(one.job.id, []), now)


def fact(one: StoredJob, hands: list[str], now: datetime) -> JobFact:
    """One job; ``hands`` are those who changed it, oldest first."""
    job, delivery = one.job, one.job.delivery
    by_agent = bool(hands) and hands[0].startswith("agent:")
    return JobFact(
        id=job.id,
        name=job.name,
        enabled=job.enabled,
        gap=_gap(one, now),
        asks_model=isinstance(job.payload, AgentTurn),
        webhook=delivery.to if delivery.mode == "webhook" else None,
        by_agent=by_agent,
        session_key=job.session_key,
        external=bool(_FOREIGN & set((job.session_key or "").split(":"))),
        confirmed=any(not hand.startswith("agent:") for hand in hands),
    )


def _gap(one: StoredJob, now: datetime) -> timedelta | None:
    schedule = one.job.schedule
    if isinstance(schedule, At):
        return None
    slots, at = list[datetime](), now
    while len(slots) < _LOOK_AHEAD:
        slot = schedule.next_after(at)
        if slot is None:
            break
        slots.append(slot)
        at = slot
    return min((later - slot for slot, later in pairwise(slots)), default=None)
