"""The job another one comes after: which of its runs will do, and whether there is one yet.

cron.md §22 row 17. A run of an earlier slot is no answer to a job whose forerunner is due at
the same time or was due before it: yesterday's backup is not the one today's report is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from jobs.errors import Conflict, InvalidJob, JobNotFound
from jobs.ledger import SCHEDULED_FOR, Run, RunStatus
from jobs.model import Job, StoredJob
from jobs.policies import After
from jobs.schedule import At, Cron
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import RunQuery
from jobs.store.db import Tx
from jobs.wallclock import instant

_A_DAY: Final = timedelta(days=1)
_INCLUSIVE: Final = timedelta(milliseconds=1)
_ROOM: Final = timedelta(seconds=5)  # kept free before the next slot: a wait must not cost it
_LOOKED_AT: Final = 20  # successes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a run asks of the job before it: something done since then, and until when it waits."""

    ref: str
    meant_at: datetime  # its slot, without what stagger adds to its time
    since: datetime
    until: datetime
    any_in_window: bool  # the job said how long a success counts: an older one will do


@dataclass(frozen=True, slots=True, kw_only=True)
class Forerunner:
    """What is known of that job."""

    job_id: str
    name: str
    owed: datetime | None  # its last slot until the slot that asks, if it counts then
    served: Run | None  # the row of that slot
    successes: Sequence[Run]  # newest first


def asks(job: Job, slot: datetime, after: After) -> Asked:
    """Return what a slot asks of the job before it.

    Unless the job says how long, the other must have succeeded since this job's slot before,
    and it is waited for until shortly before the next: a run that gives up then costs no slot.
    """
    if after.within is not None:
        since, until = slot - after.within, slot + after.within
    elif isinstance(job.schedule, At):
        since, until = slot - _A_DAY, slot + _A_DAY
    else:
        since = job.schedule.previous(slot) or slot - _A_DAY
        following = job.schedule.next_after(slot) or slot + _A_DAY
        until = following - min(_ROOM, (following - slot) / 10)
    return Asked(
        ref=after.job,
        meant_at=slot - _late(job),
        since=since,
        until=until,
        any_in_window=after.within is not None,
    )


def known(tx: Tx, asked: Asked) -> Forerunner | str | None:
    """Read what is known of the other job, or what is in the way; None: it is gone."""
    try:
        other = job_rows.find(tx, asked.ref)
    except JobNotFound:
        return None
    except (Conflict, InvalidJob) as error:
        return error.what
    owed = _owed(other, asked)
    query = RunQuery(job_id=other.job.id, statuses=("ok",), limit=_LOOKED_AT)
    return Forerunner(
        job_id=other.job.id,
        name=other.job.name,
        owed=owed,
        served=None if owed is None else run_rows.of_slot(tx, other.job.id, owed),
        successes=run_rows.page(tx, query).entries,
    )


def will_do(asked: Asked, other: Forerunner) -> Run | str:
    """Return the success that answers, or why there is none yet. Pure."""
    for run in other.successes:
        if run.ended_at is not None and run.ended_at > asked.since and _answers(run, asked, other):
            return run
    newest = other.successes[0].ended_at if other.successes else None
    last = f"{newest:%Y-%m-%d %H:%M}Z" if newest else "never"
    since = f"{asked.since:%Y-%m-%d %H:%M}Z"
    if other.owed is not None and not _lenient(asked, other):
        since = f"its slot of {other.owed:%Y-%m-%d %H:%M}Z"
    return f"job {other.name} has not succeeded since {since} (last: {last})"


def _answers(run: Run, asked: Asked, other: Forerunner) -> bool:
    """Whether a success is one of the slot that is owed, or of a later one."""
    if other.owed is None or _lenient(asked, other):
        return True
    stands_for = run.slot or instant(run.facts.get(SCHEDULED_FOR)) or run.started_at
    if stands_for is not None and stands_for >= other.owed:
        return True
    # The slot fell into a run that went on over it: that one is the newest there is.
    passed_over = other.served is not None and other.served.status in _PASSED_OVER
    return passed_over and run.ended_at is not None and run.ended_at > other.owed


_PASSED_OVER: Final = frozenset({RunStatus.SKIPPED, RunStatus.MISSED})


def _lenient(asked: Asked, other: Forerunner) -> bool:
    """Whether any success of the window will do: the owed slot is over, and so it was asked."""
    return asked.any_in_window and other.served is not None and other.served.status.final


def _late(job: Job) -> timedelta:
    return job.schedule.offset if isinstance(job.schedule, Cron) else timedelta()


def _owed(other: StoredJob, asked: Asked) -> datetime | None:
    """Return the last slot of the other job until the one that asks, if it must be served."""
    if not other.job.enabled:
        return None  # it runs by hand or not at all
    # Two jobs of one time are of one time, wherever stagger puts them.
    slot = other.job.schedule.previous(asked.meant_at + _late(other.job) + _INCLUSIVE)
    counts_from = other.state.schedule_activated_at
    if slot is None or slot <= asked.since or (counts_from is not None and slot <= counts_from):
        return None
    return slot
