"""The ledger as an audit reads it: slots only, a page at a time (design.md P2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from jobs.audit import Audit, Gone, JobAudit, Kept, Recorded, Retention, Window, audit
from jobs.errors import JobNotFound
from jobs.ledger import MeanCost
from jobs.model import StoredJob
from jobs.store import jobs as job_rows
from jobs.store.base import JobQuery
from jobs.store.db import Tx
from jobs.store.rows import usage_of
from jobs.wallclock import instant, ms

PAGE: Final = 10_000
_KINDS: Final = ("cron", "heartbeat")
_COLUMNS: Final = (
    "slot, slot_to, slots, CASE WHEN status IN ('claimed', 'running', 'deferred') THEN 0 ELSE 1 END"
)
READ: Final = (
    f"SELECT {_COLUMNS}, seq FROM runs WHERE job_id = ? AND slot >= ? AND slot <= ?"
    " AND (slot > ? OR seq > ?) ORDER BY slot, seq LIMIT ?"
)
# A row that stands for many slots may begin before the first that is asked for.
_ACROSS: Final = (
    f"SELECT {_COLUMNS} FROM runs WHERE job_id = ? AND slot < ? AND slot_to >= ? ORDER BY slot"
)
_EXTENT: Final = "SELECT min(slot), max(slot) FROM runs WHERE job_id = ? AND slot IS NOT NULL"
_NEWEST: Final = "SELECT max(coalesce(slot_to, slot)) FROM runs WHERE job_id = ? AND slot >= ?"
_COUNT: Final = "SELECT count(*) FROM runs WHERE job_id = ?"
_USAGE: Final = (
    "SELECT usage FROM (SELECT seq, usage FROM runs WHERE job_id = ? ORDER BY seq DESC LIMIT ?)"
    " AS newest WHERE usage IS NOT NULL ORDER BY seq DESC LIMIT ?"
)


def recorded(
    tx: Tx, job_id: str, since: datetime, until: datetime, *, page: int = PAGE
) -> Iterator[Recorded]:
    """Yield the rows of a job's slots in a window, oldest first, whatever their number."""
    first, last = ms(since), ms(until)
    for row in tx.exec_driver_sql(_ACROSS, (job_id, first, first)):
        yield Recorded(row[0], row[1], row[2], bool(row[3]))
    behind, seq = first, 0
    while True:
        rows = tx.exec_driver_sql(READ, (job_id, behind, last, behind, seq, page)).all()
        for row in rows:
            yield Recorded(row[0], row[1], row[2], bool(row[3]))
        if len(rows) < page:
            return
        behind, seq = rows[-1][0], rows[-1][4]


def kept(tx: Tx, job_id: str) -> Kept:
    """Return what rows of a job there are."""
    oldest, newest = tx.exec_driver_sql(_EXTENT, (job_id,)).all()[0]
    if newest is not None:
        newest = tx.exec_driver_sql(_NEWEST, (job_id, newest)).scalar()
    rows = tx.exec_driver_sql(_COUNT, (job_id,)).scalar() or 0
    return Kept(rows=rows, oldest=instant(oldest), newest=instant(newest))


def audited(
    tx: Tx,
    window: Window,
    *,
    cron: Retention,
    beats: Retention,
    removed: Sequence[Gone] = (),
    ref: str | None = None,
    on_job: Callable[[int, int], None] = lambda _done, _total: None,
) -> Audit:
    """Audit every job, or one; ``on_job`` is told how many of how many are done.

    ``removed`` are those that are not there any more: their slots until then had rows too.
    """
    if ref is None:
        page = job_rows.select(tx, JobQuery(kinds=_KINDS, enabled=None, sort="name"))
        jobs, unreadable = page.jobs, page.unreadable
    else:
        removed = [one for one in removed if ref in (one.stored.job.id, one.stored.job.name)]
        jobs, unreadable = _named(tx, ref, among=removed), ()
    most = len(jobs) + len(removed)
    found: list[JobAudit] = []
    for stored in jobs:
        on_job(len(found), most)
        retention = beats if stored.job.id.startswith("heartbeat:") else cron
        found.append(_audited(tx, stored, window, retention))
    for one in removed:
        on_job(len(found), most)
        until = replace(window, until=min(window.until, one.at))
        found.append(replace(_audited(tx, one.stored, until, cron), removed_at=one.at))
    on_job(len(found), most)
    return Audit(
        window=window, kept_since=cron.since, jobs=tuple(found), unreadable=tuple(unreadable)
    )


def _named(tx: Tx, ref: str, *, among: Sequence[Gone]) -> tuple[StoredJob, ...]:
    try:
        return (job_rows.find(tx, ref),)
    except JobNotFound:
        if not among:
            raise
        return ()


def _audited(tx: Tx, stored: StoredJob, window: Window, retention: Retention) -> JobAudit:
    rows = recorded(tx, stored.job.id, window.since, window.until)
    return audit(stored, window, retention, kept(tx, stored.job.id), rows)


def spent(tx: Tx, job_id: str, *, most: int = 50) -> MeanCost:
    """Return what the newest runs of a job cost on average (cron.md §22 row 8)."""
    rows = tx.exec_driver_sql(_USAGE, (job_id, most * 20, most)).all()
    usages = [usage for row in rows if (usage := usage_of(row[0])) is not None]
    prices = [usage.cost_usd for usage in usages if usage.cost_usd is not None]
    return MeanCost(
        runs=len(usages),
        usd=sum(prices) / len(prices) if prices else None,
        tokens=sum(usage.total_tokens for usage in usages) / len(usages) if usages else 0.0,
    )
