"""The ledger at rest: claims, ends and pages of runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from jobs.model import Run, RunStatus
from jobs.store.base import Claim, Finish, RunPage, RunQuery
from jobs.store.db import Tx
from jobs.store.rows import RUN_COLUMNS, instant, ms, run_of, run_row, text_of, usage_text

_COLUMNS: Final = ", ".join(RUN_COLUMNS)
_INSERT: Final = f"INSERT INTO runs ({_COLUMNS}) VALUES ({', '.join('?' * len(RUN_COLUMNS))})"
_ADVANCE: Final = (
    "UPDATE jobs SET next_run_at = ?, missed_count = missed_count + ?"
    " WHERE id = ? AND next_run_at = ? AND enabled = 1"
)
_START: Final = "UPDATE runs SET status = 'running', started_at = ? WHERE id = ?"
_ENDED: Final = (
    "status",
    "reason",
    "because",
    "outcome",
    "started_at",
    "ended_at",
    "deferrals",
    "wake",
    "facts",
    "target",
    "reply",
    "usage",
    "model",
    "provider",
    "error",
    "delivery_key",
    "next_due_at",
    "session_key",
)
_FINISH: Final = f"UPDATE runs SET {', '.join(f'{c} = ?' for c in _ENDED)} WHERE id = ?"
_COUNT: Final = (
    "UPDATE jobs SET running_since = NULL, last_run_at = ?, last_status = ?, last_error = ?,"
    " last_reason = ?, last_duration_ms = ?,"
    " consecutive_errors = CASE ? WHEN 'error' THEN consecutive_errors + 1 WHEN 'ok' THEN 0"
    " ELSE 0 END,"
    " consecutive_skipped = CASE ? WHEN 'skipped' THEN consecutive_skipped + 1 ELSE 0 END,"
    " run_count = run_count + 1, ok_count = ok_count + (? = 'ok'),"
    " error_count = error_count + (? = 'error'), skip_count = skip_count + (? = 'skipped'),"
    " updated_at = ? WHERE id = ?"
)


def claim(tx: Tx, claims: Sequence[Claim]) -> set[str]:
    """Advance each job if it still stands where it was read, and write its rows.

    Returns the job ids that were granted; of two claimers of one slot one is.
    """
    values = [(ms(c.next_run_at), _missed(c), c.job_id, ms(c.expect_next_run_at)) for c in claims]
    if not values:
        return set()
    point = tx.begin_nested() if len(values) > 1 else None
    done = _many(tx, _ADVANCE, values)
    granted = claims
    if done != len(claims):
        # Somebody else moved one of them: find out which, one by one.
        if point is not None:
            point.rollback()
            point = None
            granted = [
                c for c, row in zip(claims, values, strict=True) if _many(tx, _ADVANCE, [row])
            ]
        else:
            granted = []
    if point is not None:
        point.commit()
    insert(tx, [row for c in granted for row in c.rows])
    return {c.job_id for c in granted}


def _missed(claim: Claim) -> int:
    return sum(row.count for row in claim.rows if row.status is RunStatus.MISSED)


def insert(tx: Tx, rows: Sequence[Run]) -> None:
    """Write runs as they are."""
    _many(tx, _INSERT, [run_row(run) for run in rows])


def start(tx: Tx, run_ids: Sequence[str], at: datetime) -> None:
    """Note that runs have begun."""
    _many(tx, _START, [(ms(at), run_id) for run_id in run_ids])


def change(tx: Tx, run: Run) -> None:
    """Write a run as it stands now; its job is left alone."""
    _many(tx, _FINISH, [_ended(run)])


def finish(tx: Tx, ends: Sequence[Finish]) -> None:
    """Write how runs ended, and count them at their jobs."""
    _many(tx, _FINISH, [_ended(end.run) for end in ends])
    _many(tx, _COUNT, [_counted(end.run) for end in ends if end.counts])
    for end in ends:
        if end.job_columns:
            from jobs.store.jobs import set_state

            set_state(tx, end.run.job_id, **end.job_columns)


def get(tx: Tx, run_id: str) -> Run | None:
    """Return one run."""
    row = tx.exec_driver_sql(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (run_id,)).first()
    return None if row is None else run_of(row)


def page(tx: Tx, query: RunQuery) -> RunPage:
    """Return one page of runs."""
    where, values = _where(query)
    total = tx.execute(sa.text(f"SELECT count(*) FROM runs WHERE {where}"), values).scalar_one()
    way = "DESC" if query.descending else "ASC"
    rows = tx.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM runs WHERE {where} ORDER BY id {way}"
            " LIMIT :limit OFFSET :offset"
        ),
        {**values, "limit": query.limit, "offset": query.offset},
    )
    return RunPage(tuple(run_of(row) for row in rows), total)


def last_beats(tx: Tx) -> list[Run]:
    """Return the newest final beat of every agent, newest first."""
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM runs WHERE id IN (SELECT max(id) FROM runs"
        " WHERE kind = 'heartbeat' AND status NOT IN ('claimed', 'running', 'deferred')"
        " GROUP BY agent_id) ORDER BY ended_at DESC"
    )
    return [run_of(row) for row in rows]


def starts_since(tx: Tx, agent_id: str, since: datetime) -> list[datetime]:
    """Return when beats of an agent began a turn, newest last (heartbeat.md §6.3)."""
    rows = tx.exec_driver_sql(
        "SELECT started_at FROM runs WHERE kind = 'heartbeat' AND agent_id = ?"
        " AND started_at >= ? ORDER BY started_at",
        (agent_id, ms(since)),
    )
    return [at for row in rows if (at := instant(row[0])) is not None]


def interrupted(tx: Tx, boot_id: str) -> list[Run]:
    """Return open rows that another process left behind, oldest first."""
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM runs WHERE status IN ('claimed', 'running', 'deferred')"
        " AND boot_id IS NOT ? ORDER BY id",
        (boot_id,),
    )
    return [run_of(row) for row in rows]


def counts(tx: Tx, since: datetime) -> dict[tuple[str, str, str | None], int]:
    """Return how many runs ended with each (kind, status, reason) since an instant."""
    rows = tx.exec_driver_sql(
        "SELECT kind, status, reason, sum(slots) FROM runs WHERE claimed_at >= ?"
        " GROUP BY kind, status, reason",
        (ms(since),),
    )
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def prune(tx: Tx, before: datetime) -> int:
    """Delete final rows that ended before an instant."""
    return tx.exec_driver_sql(
        "DELETE FROM runs WHERE ended_at < ? AND status NOT IN ('claimed', 'running', 'deferred')",
        (ms(before),),
    ).rowcount


def _many(tx: Tx, sql: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Run one statement for many rows; returns how many rows it changed."""
    return tx.exec_driver_sql(sql, list(rows)).rowcount if rows else 0


def _ended(run: Run) -> tuple[Any, ...]:
    return (
        run.status,
        run.reason,
        run.because or None,
        run.outcome,
        ms(run.started_at),
        ms(run.ended_at),
        run.deferrals,
        text_of(run.wake),
        text_of(run.facts),
        text_of(run.target),
        text_of(run.reply),
        usage_text(run.usage),
        run.model,
        run.provider,
        text_of(run.error),
        run.delivery_key,
        ms(run.next_due_at),
        run.session_key,
        run.id,
    )


_WORDS: Final = {RunStatus.OK: "ok", RunStatus.FAILED: "error"}


def _counted(run: Run) -> tuple[Any, ...]:
    word = _WORDS.get(run.status, "skipped")
    began = run.started_at or run.ended_at
    took = None
    if run.started_at is not None and run.ended_at is not None:
        took = (run.ended_at - run.started_at) // timedelta(milliseconds=1)
    error = str((run.error or {}).get("message", ""))[:2000] or None
    return (
        ms(began),
        word,
        error,
        run.reason,
        took,
        word,
        word,
        word,
        word,
        word,
        ms(run.ended_at),
        run.job_id,
    )


def _where(query: RunQuery) -> tuple[str, dict[str, Any]]:
    where = ["1 = 1"]
    values: dict[str, Any] = {}
    for name in ("job_id", "kind", "agent_id"):
        if (value := getattr(query, name)) is not None:
            where.append(f"{name} = :{name}")
            values[name] = value
    if query.run_id is not None:
        where.append("id = :run_id")
        values["run_id"] = query.run_id
    for column, words in (("status", query.statuses), ("reason", query.reasons)):
        if words:
            names = {f"{column}{n}": str(word) for n, word in enumerate(words)}
            where.append(f"{column} IN ({', '.join(f':{name}' for name in names)})")
            values |= names
    for sign, name, at in ((">=", "since", query.since), ("<", "until", query.until)):
        if at is not None:
            where.append(f"claimed_at {sign} :{name}")
            values[name] = ms(at)
    if query.text:
        where.append(
            "lower(coalesce(job_name, '') || ' ' || job_id || ' ' || coalesce(because, '') || ' '"
            " || coalesce(error, '') || ' ' || coalesce(reply, '')) LIKE :text"
        )
        values["text"] = f"%{query.text.lower()}%"
    return " AND ".join(where), values
