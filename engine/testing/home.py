"""A simulation that goes on from where a home stands: a copy of its store, never the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine.core import INSTALLATION
from engine.store import meta, sessions
from jobs import codec
from jobs.model import Source
from jobs.store import jobs as job_rows, rehearsal
from jobs.store.base import JobQuery
from jobs.store.db import Database, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A copy in memory, and what is known from it. Close ``database``."""

    database: Database
    seed: str | None  # of the phase of beats; None: no gateway has run on it
    jobs: int  # added at run time, or imported
    routes: int


async def copied(path: Path, *, anew_from: datetime | None = None) -> Copied:
    """Copy the state at ``path``: routes, jobs with their state, pauses, identity, history.

    ``anew_from`` is another time than now: what happened is left out, and jobs are planned
    from there.
    """
    database = await Database.copy_of(path)
    try:
        return await database.write(lambda tx: _prepared(tx, database, anew_from))
    except BaseException:
        await database.close()
        raise


def _prepared(tx: Tx, database: Database, anew_from: datetime | None) -> Copied:
    rehearsal.end_open(tx)
    if anew_from is not None:
        rehearsal.forget_runs(tx)
        for job in rehearsal.planned(tx):
            schedule = codec.job_from_text(job.definition).schedule
            rehearsal.plan(tx, job.id, schedule.next_after(anew_from))
    stored = job_rows.select(tx, JobQuery(enabled=None)).jobs
    return Copied(
        database=database,
        seed=meta.get(tx, INSTALLATION),
        jobs=sum(one.job.source in (Source.RUNTIME, Source.IMPORT) for one in stored),
        routes=len(sessions.routes(tx)),
    )
