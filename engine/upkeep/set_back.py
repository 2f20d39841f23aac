"""After the clock was set back: what was planned by the wrong time is planned anew.

A host whose clock is hours ahead until the network corrects it would otherwise call slots
missed that have not come, and then wait in silence for the wrong time to come round again
(design.md P5). A slot that ran does not run twice: it has its row.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from engine.store import outbox
from jobs import codec
from jobs.schedule import At
from jobs.store import set_back
from jobs.store.db import Database, Tx
from jobs.store.set_back import Waiting

log = logging.getLogger(__name__)

PORTION: Final = 500


async def put_right(database: Database, now: datetime, by: timedelta) -> None:
    """Plan every job anew from ``now``; ``by`` is how far ahead the clock had been."""
    moved, behind = 0, 0
    while jobs := await database.read(
        lambda tx, last=behind: set_back.planned(tx, now, PORTION, behind=last)  # type: ignore[misc]  # bound now
    ):
        behind = jobs[-1].seq
        changes = [(job, sooner) for job in jobs if (sooner := _sooner(job, now)) is not None]
        moved += len(changes)
        await database.write(lambda tx, some=changes: set_back.plan_anew(tx, some))  # type: ignore[misc]  # bound now

    def waits(tx: Tx) -> int:
        outbox.sooner(tx, now, by)
        return set_back.take_back(tx, now, by)

    forgotten = await database.write(waits)
    log.warning(
        "the clock was set back; jobs are planned anew",
        extra={"by_seconds": by.total_seconds(), "jobs": moved, "not_missed": forgotten},
    )


def _sooner(job: Waiting, now: datetime) -> datetime | None:
    """Return the slot that comes first now, if it is before the one the job waits for."""
    try:
        schedule = codec.job_from_text(job.definition).schedule
    except Exception:  # noqa: BLE001 - what cannot be read is set aside when it is due
        return None
    following = None if isinstance(schedule, At) else schedule.next_after(now)
    return following if following is not None and following < job.next_run_at else None
