"""Jobs at rest: definitions, state, and the one query of the tick."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from jobs import codec
from jobs.errors import Conflict, EngineError, InvalidJob, JobNotFound
from jobs.ledger import SkipReason
from jobs.model import SYSTEMS_OWN, Job, JobState, StoredJob
from jobs.store.base import DueJob, JobPage, JobQuery
from jobs.store.db import Tx
from jobs.store.rows import containing, mapping_of, text_of
from jobs.values import changed
from jobs.wallclock import MILLISECOND, at, instant, ms

_STATE: Final = (
    "next_run_at",
    "retry_at",
    "schedule_activated_at",
    "running_since",
    "last_run_at",
    "last_status",
    "last_error",
    "last_reason",
    "last_duration_ms",
    "consecutive_errors",
    "consecutive_skipped",
    "schedule_errors",
    "run_count",
    "ok_count",
    "error_count",
    "skip_count",
    "missed_count",
    "orphaned_at",
    "auto_disabled",
    "paused",
    "watch_at",
    "skips",
    "alarm",
)
_READ: Final = "id, definition, revision, enabled, created_at, updated_at, " + ", ".join(_STATE)
_FIXED: Final = _READ.count(",") + 1 - len(_STATE)
_DEFINED: Final = (
    "kind",
    "name",
    "declaration_key",
    "agent_id",
    "source",
    "definition",
    "revision",
    "enabled",
    "created_at",
)
_ADDED: Final = (*_DEFINED, "next_run_at", "updated_at", "schedule_activated_at", "id")
_INSERT: Final = f"INSERT INTO jobs ({', '.join(_ADDED)}) VALUES ({', '.join('?' for _ in _ADDED)})"
_STRUNG: Final = {  # SQLite takes them in the order in which they come
    "sqlite": "group_concat(mark)",
    "postgresql": "string_agg(mark, ',' ORDER BY seq)",
}
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_NAMESAKES: Final = 5  # shown of those that have one name
_SETTABLE: Final = frozenset({*_STATE, "enabled"})
_WAITING: Final = (
    "enabled = 1 AND paused IS NULL AND held IS NULL AND next_run_at IS NOT NULL"  # `jobs_due`
)
_DUE: Final = (
    "SELECT id, kind, definition, revision, next_run_at, retry_at, consecutive_errors, seq, skips"
    f" FROM jobs WHERE {_WAITING} AND next_run_at <= ?"
)
_ORDER: Final = " ORDER BY next_run_at, seq LIMIT ?"
_DUE_FIRST: Final = _DUE + _ORDER
_DUE_BEHIND: Final = f"{_DUE} AND (next_run_at, seq) > (?, ?){_ORDER}"
_NEXT: Final = f"SELECT min(next_run_at) FROM jobs WHERE {_WAITING}"

_NEXT_RUN: Final = (
    f"SELECT next_run_at FROM jobs WHERE {_WAITING} AND kind != 'heartbeat'"
    " ORDER BY next_run_at LIMIT 1"
)

_LATER: Final = f"{_NEXT} AND next_run_at > ?"


def insert(tx: Tx, job: Job, *, next_run_at: datetime | None, now: datetime) -> StoredJob:
    """Store a new job. Raises `Conflict` if its id or declaration key is taken."""
    definition, revision = codec.written(job)
    values = _columns(job, definition, revision)
    try:
        tx.exec_driver_sql(_INSERT, (*values, ms(next_run_at), ms(job.updated_at), ms(now), job.id))
    except sa.exc.IntegrityError as error:
        raise Conflict(
            f"job {job.id} was not added",
            why="a job with that id or declaration key exists",
            fix=f"engine cron show {job.id}",
        ) from error
    return StoredJob(
        job=job,
        state=JobState(next_run_at=next_run_at, schedule_activated_at=now),
        revision=revision,
    )


def get(tx: Tx, job_id: str) -> StoredJob | None:
    """Return one job."""
    row = tx.exec_driver_sql(f"SELECT {_READ} FROM jobs WHERE id = ?", (job_id,)).first()
    return None if row is None else _stored(row)


def readable(tx: Tx, job_id: str) -> StoredJob | None:
    """Return one job; None also where nobody can read it any more."""
    try:
        return get(tx, job_id)
    except InvalidJob:
        return None


def find(tx: Tx, ref: str) -> StoredJob:
    """Return the job with that id, config key or exact unique name.

    Raises `JobNotFound`, or `Conflict` when a name fits several.
    """
    for column, value in (("id", ref), ("id", f"cfg:{ref}"), ("declaration_key", ref)):
        row = tx.exec_driver_sql(
            f"SELECT {_READ} FROM jobs WHERE {column} = ?",
            (value,),
        ).first()
        if row is not None:
            return _stored(row)
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM jobs WHERE name = ? ORDER BY seq LIMIT {_NAMESAKES + 1}", (ref,)
    ).all()
    if len(rows) > 1:
        ids = [_stored(row).job.id for row in rows[:_NAMESAKES]]
        more = ", …" if len(rows) > _NAMESAKES else ""
        raise Conflict(
            f"job {ref!r} is not one job",
            why=f"several have that name: {', '.join(ids)}{more}",
            fix=f"name one by its id, as {ids[0]}; engine cron list --all tells them apart",
        )
    if not rows:
        raise JobNotFound(f"cron job not found: {ref}", fix="engine cron list --all")
    return _stored(rows[0])


def update(
    tx: Tx,
    job: Job,
    *,
    next_run_at: datetime | None,
    now: datetime,
    current: StoredJob | None = None,
    expected_revision: str | None = None,
    **state: Any,
) -> StoredJob:
    """Replace a job's definition; its state stays, but for what is named.

    ``current`` is the job as this transaction has read it already. Raises `Conflict` if it
    changed since ``expected_revision``, `JobNotFound` if it is gone.
    """
    current = current or get(tx, job.id)
    if current is not None and expected_revision not in (None, current.revision):
        raise Conflict(
            f"job {job.id} was not changed",
            why="it changed since it was read",
            fix=f"read it again: engine cron get {job.id}",
            currentRevision=current.revision,
        )
    definition, revision = codec.written(job)
    names = (*_DEFINED, "next_run_at", "updated_at", *settable(state))
    values = (*_columns(job, definition, revision), ms(next_run_at), ms(now))
    statement = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in names)} WHERE id = ?"
    changes = (*values, *map(_plain, state.values()), job.id)
    if current is None or tx.exec_driver_sql(statement, changes).rowcount == 0:
        raise JobNotFound(f"cron job not found: {job.id}", fix="engine cron list --all")
    return StoredJob(
        job=replace(job, updated_at=now),
        state=replace(current.state, next_run_at=next_run_at, **_as_read(state)),
        revision=revision,
    )


def delete(tx: Tx, job_id: str) -> bool:
    """Remove a job; its runs stay in the ledger."""
    return tx.exec_driver_sql("DELETE FROM jobs WHERE id = ?", (job_id,)).rowcount > 0


def select(tx: Tx, query: JobQuery) -> JobPage:
    """Return the jobs a query matches, or a page of them, with their number.

    Rows that cannot be read harm no other and are named.
    """
    where, values = _where(query)
    order = {"next_run_at": "next_run_at IS NULL, next_run_at", "updated_at": "updated_at"}.get(
        query.sort, "name"
    )
    order += f"{' DESC' if query.descending else ''}, seq"
    total, snapshot = None, ""
    if query.limit is not None:
        total, snapshot = _inventory(tx, where, values)
        # Whole rows are fetched for the page alone: sorting them all costs more than reading.
        where = f"seq IN (SELECT seq FROM jobs WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?)"
        values = (*values, query.limit, query.offset)
    rows = tx.exec_driver_sql(f"SELECT {_READ} FROM jobs WHERE {where} ORDER BY {order}", values)
    found, unreadable = [], []
    for row in rows:
        try:
            found.append(_stored(row))
        except InvalidJob:
            unreadable.append(row[0])
    if total is None:
        total = len(found) + len(unreadable)
    return JobPage(tuple(found), total, tuple(unreadable), snapshot)


def count(tx: Tx, query: JobQuery) -> int:
    """Return how many jobs a query matches, whatever its page."""
    where, values = _where(query)
    found: int = tx.exec_driver_sql(f"SELECT count(*) FROM jobs WHERE {where}", values).scalar_one()
    return found


def _inventory(tx: Tx, where: str, values: tuple[Any, ...]) -> tuple[int, str]:
    """Return how many jobs match, and a mark of which and in which revision (protocol.md §12).

    The database strings them together: ten thousand rows cost half of what fetching them does.
    """
    total, marks = tx.exec_driver_sql(
        f"SELECT count(*), {_STRUNG[tx.dialect.name]} FROM (SELECT seq, id || ' ' || revision"
        f" AS mark FROM jobs WHERE {where} ORDER BY seq) AS matched",
        values,
    ).first() or (0, None)
    return total, hashlib.sha256((marks or "").encode()).hexdigest()[:32]


def switch_off(tx: Tx, job_id: str, now: datetime) -> None:
    """Disable a job because of what happened to it; its definition says so from now on."""
    stored = get(tx, job_id)
    if stored is not None:
        off = replace(stored.job, enabled=False)
        update(tx, off, next_run_at=None, now=now, current=stored)


def revisions(tx: Tx, query: JobQuery) -> list[tuple[str, str]]:
    """Return id and revision of every job a query matches, whatever its page."""
    where, values = _where(query)
    rows = tx.execute(sa.text(f"SELECT id, revision FROM jobs WHERE {where}"), values)
    return [(row[0], row[1]) for row in rows]


def set_state(tx: Tx, job_id: str, **columns: Any) -> None:
    """Change state columns (or ``enabled``) only: no new revision, no ``updated_at``."""
    set_states(tx, [(job_id, columns)])


def set_states(tx: Tx, changes: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Change state columns of many jobs, those that change alike in one statement."""
    alike: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for job_id, columns in changes:
        alike.setdefault(settable(columns), []).append((*state_values(columns), job_id))
    for names, rows in alike.items():
        if names:
            assigned = ", ".join(f"{name} = ?" for name in names)
            tx.exec_driver_sql(f"UPDATE jobs SET {assigned} WHERE id = ?", rows)


def settable(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of state columns; nothing else gets into a statement."""
    found = tuple(names)
    if unknown := set(found) - _SETTABLE:
        raise AssertionError(f"not state of a job: {', '.join(sorted(unknown))}")
    return found


def state_values(columns: Mapping[str, Any]) -> list[Any]:
    """Return what is written into state columns, in the order of their names."""
    return [_plain(value) for value in columns.values()]


def due(tx: Tx, now: datetime, limit: int = 1000, *, behind: DueJob | None = None) -> list[DueJob]:
    """Return jobs whose slot has come, earliest first, by the partial index `jobs_due`.

    ``behind`` continues after the last one of an earlier answer, claimed by now or not.
    """
    if behind is None:
        rows = tx.exec_driver_sql(_DUE_FIRST, (ms(now), limit))
    else:
        place = (ms(behind.next_run_at), behind.seq)
        rows = tx.exec_driver_sql(_DUE_BEHIND, (ms(now), *place, limit))
    return [_due(row) for row in rows]


def _due(row: Sequence[Any]) -> DueJob:
    """Return the job of a row; what spoils one row is told in it and spoils no other."""
    ref, kind, definition, revision, slot, retry, errors, seq, skips = row
    try:
        slot, retry = at(slot), instant(retry)
        return DueJob(ref, kind, definition, revision, slot, retry, errors, seq, skips)
    except (TypeError, ValueError, OverflowError) as error:
        why = f"its state cannot be read: {error}"
        return DueJob(ref, kind, definition, revision, _LONG_AGO, None, errors, seq, skips, why)


def due_and_next(
    tx: Tx, now: datetime, limit: int = 1000, *, behind: DueJob | None = None
) -> tuple[list[DueJob], datetime | None]:
    """Return the jobs whose slot has come, and when the first of the others comes due."""
    later = tx.exec_driver_sql(_LATER, (ms(now),)).scalar()
    return due(tx, now, limit, behind=behind), instant(later)


def next_due(tx: Tx) -> datetime | None:
    """Return the earliest instant at which a job comes due."""
    return instant(tx.exec_driver_sql(_NEXT).scalar())


def next_run(tx: Tx) -> datetime | None:
    """Return when the next job comes due that is no agent's heartbeat."""
    return instant(tx.exec_driver_sql(_NEXT_RUN).scalar())


def to_watch(tx: Tx, now: datetime) -> tuple[list[StoredJob], list[str]]:
    """Return the jobs that want a look by now, by the partial index `jobs_watch`.

    The ids behind them are of those that cannot be read: `unwatch` takes them out.
    """
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM jobs WHERE watch_at IS NOT NULL AND watch_at <= ?"
        " ORDER BY watch_at LIMIT 1000",
        (ms(now),),
    )
    found, unreadable = [], []
    for row in rows:
        try:
            found.append(_stored(row))
        except InvalidJob:
            unreadable.append(row[0])
    return found, unreadable


def unwatch(tx: Tx, job_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Set jobs aside that cannot be read when they want a look; returns those, with why."""
    aside = []
    for job_id in job_ids:
        try:
            get(tx, job_id)
        except InvalidJob as error:
            quarantine(tx, job_id, error.why)
            set_state(tx, job_id, watch_at=None)
            aside.append((job_id, error.why))
    return aside


def next_watch(tx: Tx) -> datetime | None:
    """Return the earliest instant at which a job wants a look."""
    sql = "SELECT min(watch_at) FROM jobs WHERE watch_at IS NOT NULL"
    return instant(tx.exec_driver_sql(sql).scalar())


def quarantine(tx: Tx, job_id: str, why: str) -> None:
    """Take a job that cannot be read out of the schedule; its row stays as it is."""
    tx.exec_driver_sql(
        "UPDATE jobs SET held = ? WHERE id = ?", (f"quarantined: {why}"[:500], job_id)
    )


def quarantined(tx: Tx) -> list[tuple[str, str]]:
    """Return ids and reasons of jobs that were taken out."""
    rows = tx.exec_driver_sql(
        "SELECT id, held FROM jobs WHERE held LIKE 'quarantined:%' ORDER BY id"
    )
    return [(row[0], row[1].removeprefix("quarantined: ")) for row in rows]


def _where(query: JobQuery) -> tuple[str, tuple[Any, ...]]:
    where = [f"kind IN ({', '.join('?' for _ in query.kinds)})"]
    values: list[Any] = list(query.kinds)
    if query.enabled is not None:
        where.append("enabled = ?")
        values.append(int(query.enabled))
    if query.agent_id is not None:
        where.append("coalesce(agent_id, ?) = ?")
        values += [query.default_agent, query.agent_id]
    if query.source is not None:
        where.append("source = ?")
        values.append(query.source)
    if query.schedule_kind is not None:
        # The codec writes a schedule's kind first.
        where.append("definition LIKE ?")
        values.append(f'%"schedule":{{"kind":"{query.schedule_kind}"%')
    if query.last_status is not None:
        where.append("coalesce(last_status, 'unknown') = ?")
        values.append(query.last_status)
    if query.text:
        where.append("(lower(name) LIKE ? ESCAPE '!' OR lower(id) LIKE ? ESCAPE '!')")
        values += 2 * [containing(query.text)]
    return " AND ".join(where), tuple(values)


def _columns(job: Job, definition: str, revision: str) -> tuple[Any, ...]:
    """Return what a definition says, for the columns of `_DEFINED`."""
    return (
        "heartbeat" if isinstance(job.payload, SYSTEMS_OWN) else "cron",
        job.name,
        job.declaration_key,
        job.agent_id,
        job.source.value,
        definition,
        revision,
        int(job.enabled),
        ms(job.created_at),
    )


def _as_read(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return state columns as reading them back would give them."""
    return {
        name: instant(ms(value)) if isinstance(value, datetime) else value
        for name, value in state.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return ms(value)
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    if isinstance(value, Mapping):
        return text_of(value)
    return int(value) if isinstance(value, bool) else value


def _stored(row: Sequence[Any]) -> StoredJob:
    """Return the job of a row. Raises `InvalidJob` for whatever in it cannot be understood."""
    try:
        job = codec.job_from_text(row[1])
        # What changes without a new definition stands in columns of its own.
        enabled, created_at, updated_at = bool(row[3]), instant(row[4]), instant(row[5])
        if (job.enabled, job.created_at, job.updated_at) != (enabled, created_at, updated_at):
            job = changed(job, enabled=enabled, created_at=created_at, updated_at=updated_at)
        return StoredJob(job=job, state=_state(row[_FIXED:]), revision=row[2])
    except (EngineError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        why = error.why if isinstance(error, InvalidJob) else str(error)
        raise InvalidJob(
            f"job {row[0]} cannot be read",
            why=why or type(error).__name__,
            fix=f"restore a backup, or: engine cron rm {row[0]}",
        ) from error


def _state(columns: Sequence[Any]) -> JobState:
    v = dict(zip(_STATE, columns, strict=True))
    took = v["last_duration_ms"]
    return JobState(
        next_run_at=instant(v["next_run_at"]),
        retry_at=instant(v["retry_at"]),
        schedule_activated_at=instant(v["schedule_activated_at"]),
        running_since=instant(v["running_since"]),
        last_run_at=instant(v["last_run_at"]),
        last_status=v["last_status"],
        last_error=v["last_error"],
        last_reason=SkipReason(v["last_reason"]) if v["last_reason"] else None,
        last_duration=None if took is None else took * MILLISECOND,
        consecutive_errors=v["consecutive_errors"],
        consecutive_skipped=v["consecutive_skipped"],
        schedule_errors=v["schedule_errors"],
        run_count=v["run_count"],
        ok_count=v["ok_count"],
        error_count=v["error_count"],
        skip_count=v["skip_count"],
        missed_count=v["missed_count"],
        orphaned_at=instant(v["orphaned_at"]),
        auto_disabled=v["auto_disabled"],
        paused=mapping_of(v["paused"]) or None,
        watch_at=instant(v["watch_at"]),
        skips=mapping_of(v["skips"]),
        alarm=mapping_of(v["alarm"]),
    )
