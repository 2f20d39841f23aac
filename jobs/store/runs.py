"""The ledger at rest: claims, ends and pages of runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from jobs.errors import Conflict
from jobs.ids import first_id
from jobs.ledger import Run, RunStatus, Trigger
from jobs.store.base import Claim, Finish, RunCost, RunPage, RunQuery
from jobs.store.bulk import Bulk
from jobs.store.db import Tx
from jobs.store.jobs import set_states, settable, state_values, switch_off
from jobs.store.rows import (
    CLAIM_COLUMNS,
    RUN_COLUMNS,
    claim_rows,
    containing,
    cost_of,
    plain,
    run_of,
    run_row,
    text_of,
    usage_text,
)
from jobs.values import changed
from jobs.wallclock import at, instant, ms

_COLUMNS: Final = ", ".join(RUN_COLUMNS)
# Word for word the condition of the index `runs_open`; as a list it would cost as much again.
_OPEN: Final = "(status = 'claimed' OR status = 'running' OR status = 'deferred')"
_ONCE: Final = "ON CONFLICT (job_id, slot) WHERE slot IS NOT NULL DO NOTHING"  # claimed before
_INSERT: Final = f"INSERT INTO runs ({_COLUMNS}) VALUES ({', '.join('?' * len(RUN_COLUMNS))})"
_INSERT_SLOT: Final = Bulk.insert("runs", RUN_COLUMNS, _ONCE)
_INSERT_CLAIM: Final = Bulk.insert("runs", CLAIM_COLUMNS, _ONCE)
_ADVANCE: Final = Bulk.update(
    "jobs",
    "next_run_at = $1, missed_count = missed_count + $2, skip_count = skip_count + $3,"
    " consecutive_skipped = consecutive_skipped + $4",
    "id = $5 AND next_run_at = $6 AND enabled = 1 AND paused IS NULL",
)
_NONE: Final[frozenset[str]] = frozenset()
_START: Final = f"UPDATE runs SET status = 'running', started_at = ? WHERE id = ? AND {_OPEN}"
_RUNNING: Final = "UPDATE jobs SET running_since = ? WHERE id = ?"
_STILL_RUNNING: Final = (
    "UPDATE jobs SET running_since = (SELECT max(started_at) FROM runs"
    f" WHERE {_OPEN} AND status = 'running' AND job_id = ?) WHERE id = ?"
)
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
_CHANGE: Final = f"UPDATE runs SET {', '.join(f'{c} = ?' for c in _ENDED)} WHERE id = ?"
_FINISH: Final = Bulk.update(
    "runs",
    ", ".join(f"{column} = ${n}" for n, column in enumerate(_ENDED, 1)),
    f"id = ${len(_ENDED) + 1} AND {_OPEN}",
)
# The end of a claim that has nothing to tell: most of a burst.
_PLAIN_END: Final = Bulk.update(
    "runs",
    "status = $1, outcome = $2, started_at = $3, ended_at = $4",
    "id = $5 AND status = 'claimed'",
)
_COUNTED: Final = (
    "running_since = NULL, last_run_at = $1, last_status = $2, last_error = $3,"
    " last_reason = $4, last_duration_ms = $5, consecutive_errors = consecutive_errors * $6 + $7,"
    " consecutive_skipped = consecutive_skipped * $8 + $9, run_count = run_count + 1,"
    " ok_count = ok_count + $10, error_count = error_count + $11, skip_count = skip_count + $12,"
    " updated_at = $13"
)
_COUNTERS_END: Final = 14  # the value after those of `_COUNTED`
_COSTS: Final = "SELECT seq, job_id, claimed_at, status, usage FROM runs WHERE"
_MANY: Final = 500  # values of one statement
_LAST_ENDED: Final = (
    f"SELECT {_COLUMNS} FROM runs WHERE job_id = ? AND status IN ('ok', 'failed', 'skipped')"
    " ORDER BY seq DESC LIMIT 1"
)
# The newest of each agent by one step into the index per agent, however long the ledger is.
_LAST_BEATS: Final = f"""
    WITH RECURSIVE agents (name) AS (
        SELECT min(agent_id) FROM runs WHERE kind = 'heartbeat'
        UNION ALL
        SELECT (SELECT min(agent_id) FROM runs WHERE kind = 'heartbeat' AND agent_id > name)
        FROM agents WHERE name IS NOT NULL
    )
    SELECT {_COLUMNS} FROM runs WHERE seq IN (
        SELECT (SELECT seq FROM runs WHERE kind = 'heartbeat' AND agent_id = name
                AND NOT {_OPEN} ORDER BY seq DESC LIMIT 1)
        FROM agents
    ) ORDER BY seq DESC
"""


def claim(tx: Tx, claims: Sequence[Claim]) -> dict[str, frozenset[str]]:
    """Advance each job if it still stands where it was read, and write its rows.

    Returns the job ids that were granted: of two claimers of one slot one is, and a slot
    that has its row already is passed, not run again (design.md, promise P1). With each come
    the runs of it whose slot was such a one, beside others that begin.
    """
    moved = _ADVANCE.run(tx, [_advanced(c) for c in claims])
    won = [c for c, moved_on in zip(claims, moved, strict=True) if moved_on]
    for over in won:
        if over.switch_off:
            switch_off(tx, over.job_id, over.rows[-1].ended_at or over.expect_next_run_at)
    rows = [_with_first(tx, row) for c in won for row in c.rows]
    written = _write(tx, [run_row(row) for row in rows])
    if all(written):
        return dict.fromkeys([c.job_id for c in won], _NONE)
    taken: dict[str, set[str]] = {}
    opened = set()
    for row, new in zip(rows, written, strict=True):
        if not new:
            taken.setdefault(row.job_id, set()).add(row.id)
        elif not row.status.final:
            opened.add(row.job_id)
    granted = [c.job_id for c in won if c.job_id in opened or c.job_id not in taken]
    return {job_id: frozenset(taken.get(job_id, ())) for job_id in granted}


def _with_first(tx: Tx, row: Run) -> Run:
    """Return a retry's row with the run it all began with (design.md §5), any other as it is."""
    if row.trigger is not Trigger.RETRY:
        return row
    before = last_ended(tx, row.job_id)
    return row if before is None else changed(row, retry_of=before.retry_of or before.id)


def _write(tx: Tx, rows: list[tuple[Any, ...]]) -> list[bool]:
    """Insert rows whose slot has none yet, and tell which."""
    short = claim_rows(rows)
    return _INSERT_SLOT.run(tx, rows) if short is None else _INSERT_CLAIM.run(tx, short)


def _advanced(claim: Claim) -> tuple[Any, ...]:
    missed = sum(row.count for row in claim.rows if row.status is RunStatus.MISSED)
    skipped = sum(row.count for row in claim.rows if row.status is RunStatus.SKIPPED)
    counted = (missed, skipped, skipped)
    return (ms(claim.next_run_at), *counted, claim.job_id, ms(claim.expect_next_run_at))


def insert(tx: Tx, rows: Sequence[Run]) -> None:
    """Write runs as they are. Raises `Conflict` for an id or a slot that has its row."""
    try:
        _many(tx, _INSERT, [run_row(run) for run in rows])
    except sa.exc.IntegrityError as error:
        raise Conflict(
            f"run {', '.join(run.id for run in rows[:3])} was not written",
            why="a run with that id, or of that slot, exists",
            fix="engine cron runs, to read it",
        ) from error


def count_skipped(tx: Tx, job_ids: Sequence[str]) -> None:
    """Count a skip at each of these jobs: of a row that was written as it ended."""
    skips = "skip_count = skip_count + 1, consecutive_skipped = consecutive_skipped + 1"
    _many(tx, f"UPDATE jobs SET {skips} WHERE id = ?", [(job_id,) for job_id in job_ids])


def insert_slots(tx: Tx, rows: Sequence[Run]) -> None:
    """Write rows of slots; a slot that has its row keeps it."""
    _write(tx, [run_row(run) for run in rows])


def start(tx: Tx, run: Run) -> None:
    """Note that a run has begun."""
    tx.exec_driver_sql(_START, (ms(run.started_at), run.id))
    tx.exec_driver_sql(_RUNNING, (ms(run.started_at), run.job_id))


def note_running(tx: Tx, job_id: str) -> None:
    """Note at a job since when the newest of its runs goes on, if one does.

    For a job of whose runs several may go on: the end of one leaves the others.
    """
    tx.exec_driver_sql(_STILL_RUNNING, (job_id, job_id))


def change(tx: Tx, run: Run) -> None:
    """Write a run as it stands now; its job is left alone."""
    _many(tx, _CHANGE, [_ended(run)])


def finish(tx: Tx, ends: Sequence[Finish]) -> set[str]:
    """Write how runs ended, and count them at their jobs; returns the ids of those that did.

    A run ends once: the end that is written first stands, and nothing is counted twice.
    """
    now_final = _end(tx, ends)
    alike: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    others = []
    for end in now_final:
        if end.counts:
            row = (*_counted(end.run), *state_values(end.job_columns), end.run.job_id)
            alike.setdefault(settable(end.job_columns), []).append(row)
            continue
        begun = {"running_since": None} if end.run.started_at else {}
        if columns := {**begun, **end.job_columns}:
            others.append((end.run.job_id, columns))
    for names, rows in alike.items():
        _count(names).run(tx, rows)
    set_states(tx, others)
    return {end.run.id for end in now_final}


@cache
def _count(names: tuple[str, ...]) -> Bulk:
    """Return the statement that counts ends at their jobs, and sets these columns there too."""
    more = "".join(f", {name} = ${n}" for n, name in enumerate(names, _COUNTERS_END))
    return Bulk.update("jobs", _COUNTED + more, f"id = ${_COUNTERS_END + len(names)}")


def _end(tx: Tx, ends: Sequence[Finish]) -> list[Finish]:
    """Write the ends, and return those that were the first of their run."""
    short: list[Finish] = []
    long: list[Finish] = []
    for end in ends:
        (short if _says_nothing(end.run) else long).append(end)
    done = _PLAIN_END.run(tx, [_plain_end(end.run) for end in short])
    ended = [end for end, was in zip(short, done, strict=True) if was]
    long += [end for end, was in zip(short, done, strict=True) if not was]
    done = _FINISH.run(tx, [_ended(end.run) for end in long])
    return ended + [end for end, was in zip(long, done, strict=True) if was]


def _says_nothing(run: Run) -> bool:
    """Whether a run leaves nothing but its status, its outcome and its times."""
    return not (
        run.reason
        or run.because
        or run.deferrals
        or run.wake
        or run.facts
        or run.target
        or run.reply
        or run.usage
        or run.model
        or run.provider
        or run.error
        or run.delivery_key
        or run.next_due_at
        or run.session_key
    )


def _plain_end(run: Run) -> tuple[Any, ...]:
    return (plain(run.status), plain(run.outcome), ms(run.started_at), ms(run.ended_at), run.id)


def get(tx: Tx, run_id: str) -> Run | None:
    """Return one run."""
    row = tx.exec_driver_sql(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (run_id,)).first()
    return None if row is None else run_of(row)


def of_slot(tx: Tx, job_id: str, slot: datetime) -> Run | None:
    """Return the row of one slot of a job; one row may stand for many slots of a gap."""
    sql = (
        f"SELECT {_COLUMNS} FROM runs WHERE job_id = ? AND slot <= ?"
        " AND slot IS NOT NULL ORDER BY slot DESC LIMIT 1"
    )
    row = tx.exec_driver_sql(sql, (job_id, ms(slot))).first()
    run = None if row is None else run_of(row)
    if run is None or run.slot is None or (run.slot_to or run.slot) < slot:
        return None
    return run


def around(tx: Tx, job_id: str, at: datetime) -> tuple[Run | None, Run | None]:
    """Return a job's rows just before and just after an instant, by their slots.

    A row without a slot stands where it was claimed; one at the instant is before it.
    """
    where = "coalesce(slot, claimed_at)"
    found = []
    for sign, way in (("<=", "DESC"), (">", "ASC")):
        row = tx.exec_driver_sql(
            f"SELECT {_COLUMNS} FROM runs WHERE job_id = ? AND {where} {sign} ?"
            f" ORDER BY {where} {way}, seq {way} LIMIT 1",
            (job_id, ms(at)),
        ).first()
        found.append(None if row is None else run_of(row))
    return found[0], found[1]


def beginning(tx: Tx, start: str, limit: int) -> list[Run]:
    """Return runs of jobs whose ids begin so, newest first."""
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM runs WHERE substr(id, 1, ?) = ? ORDER BY seq DESC LIMIT ?",
        (len(start), start, limit),
    )
    return [run_of(row) for row in rows]


def last_named(tx: Tx, name: str) -> str | None:
    """Return the id of the job that had a name when its newest run under it was recorded."""
    sql = "SELECT job_id FROM runs WHERE kind = 'cron' AND job_name = ? ORDER BY seq DESC LIMIT 1"
    row = tx.exec_driver_sql(sql, (name,)).first()
    return None if row is None else str(row[0])


def last_ended(tx: Tx, job_id: str) -> Run | None:
    """Return a job's newest run that was begun or held back, as its state speaks of it."""
    row = tx.exec_driver_sql(_LAST_ENDED, (job_id,)).first()
    return None if row is None else run_of(row)


def page(tx: Tx, query: RunQuery) -> RunPage:
    """Return one page of runs."""
    where, values = _where(query)
    total = tx.execute(sa.text(f"SELECT count(*) FROM runs WHERE {where}"), values).scalar_one()
    way = "DESC" if query.descending else "ASC"
    rows = tx.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM runs WHERE {where} ORDER BY seq {way}"
            " LIMIT :limit OFFSET :offset"
        ),
        {**values, "limit": query.limit, "offset": query.offset},
    )
    return RunPage(tuple(run_of(row) for row in rows), total)


def newest(tx: Tx, kind: str, limit: int) -> list[Run]:
    """Return the newest rows of a kind, newest first."""
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM runs WHERE kind = ? ORDER BY seq DESC LIMIT ?", (kind, limit)
    )
    return [run_of(row) for row in rows]


def last_beats(tx: Tx) -> list[Run]:
    """Return the newest final beat of every agent, newest first."""
    return [run_of(row) for row in tx.exec_driver_sql(_LAST_BEATS)]


def starts_since(tx: Tx, agent_id: str, since: datetime) -> list[tuple[str, datetime]]:
    """Return when beats of an agent began a turn, with their ids (heartbeat.md §6.3)."""
    rows = tx.exec_driver_sql(
        "SELECT id, started_at FROM (SELECT id, started_at FROM runs WHERE kind = 'heartbeat'"
        " AND agent_id = ? ORDER BY seq DESC LIMIT 500) AS newest"
        " WHERE started_at >= ? ORDER BY started_at",
        (agent_id, ms(since)),
    )
    return [(row[0], at(row[1])) for row in rows]


def last_poll(tx: Tx, agent_id: str) -> datetime | None:
    """Return when an agent last looked around because it was asked to, not because of an event."""
    row = tx.exec_driver_sql(
        "SELECT started_at FROM runs WHERE kind = 'heartbeat' AND agent_id = ? AND slot IS NULL"
        ' AND started_at IS NOT NULL AND facts LIKE \'{"kind":"poll"%\' ORDER BY seq DESC LIMIT 1',
        (agent_id,),
    ).first()
    return None if row is None else instant(row[0])


def quiet_polls(tx: Tx, agent_id: str, *, since: datetime, most: int) -> list[datetime]:
    """Return the slots of an agent's newest polls that found nothing, newest first.

    An alert, a beat that somebody or something woke, and what lies before ``since`` end them.
    """
    rows = tx.exec_driver_sql(
        "SELECT slot, outcome, reason FROM runs WHERE kind = 'heartbeat' AND agent_id = ?"
        " AND (status = 'ok' OR reason = 'nothing-changed') ORDER BY seq DESC LIMIT ?",
        (agent_id, most),
    )
    found: list[datetime] = []
    for slot, outcome, reason in rows:
        calm = reason == "nothing-changed" or outcome in ("acknowledged", "empty")
        if slot is None or not calm or at(slot) <= since:
            break
        found.append(at(slot))
    return found


def ran_ever(tx: Tx, job_ids: Sequence[str]) -> dict[str, int]:
    """Return how many runs each job has had, however little is kept of them.

    Those that have not ended are among them. One statement: a run that ends meanwhile counts
    once.
    """
    sql = (
        "SELECT id, ok_count + error_count + coalesce(going, 0) FROM jobs LEFT JOIN"
        f" (SELECT job_id, count(*) AS going FROM runs WHERE {_OPEN} GROUP BY job_id) AS open"
        f" ON open.job_id = jobs.id WHERE id IN ({', '.join('?' * len(job_ids))})"
    )
    found = tx.exec_driver_sql(sql, tuple(job_ids)) if job_ids else ()
    return {row[0]: int(row[1]) for row in found}


def newest_seq(tx: Tx) -> int:
    """Return the place of the newest row."""
    return int(tx.exec_driver_sql("SELECT max(seq) FROM runs").scalar() or 0)


def open_seqs(tx: Tx) -> set[int]:
    """Return the places of the rows that have not ended."""
    return {row[0] for row in tx.exec_driver_sql(f"SELECT seq FROM runs WHERE {_OPEN}")}


def costs_since(
    tx: Tx,
    since: datetime,
    *,
    kind: str = "cron",
    upto: int,
    behind: int = 0,
    job_id: str | None = None,
) -> list[RunCost]:
    """Return runs of a kind claimed since an instant and not passed over: a job's, or all.

    Of all rows only those from ``behind`` one place to ``upto`` another.
    """
    where = "claimed_at >= ? AND kind = ? AND status NOT IN ('skipped', 'missed')"
    values: tuple[Any, ...] = (ms(since), kind, upto)
    if job_id is not None:
        where, values = f"{where} AND seq <= ? AND job_id = ?", (*values, job_id)
    elif behind:
        where, values = f"{where} AND seq <= ? AND seq > ?", (*values, behind)
    else:  # by their ids the rows of a day are found without those of other days
        where, values = f"{where} AND +seq <= ? AND id >= ?", (*values, first_id(since))
    return [_cost(row) for row in tx.exec_driver_sql(f"{_COSTS} {where}", values)]


def costs_of(tx: Tx, seqs: Collection[int]) -> list[RunCost]:
    """Return what the runs in these places cost."""
    found: list[RunCost] = []
    places = tuple(sorted(seqs))
    for some in (places[n : n + _MANY] for n in range(0, len(places), _MANY)):
        marks = ", ".join("?" * len(some))
        found.extend(map(_cost, tx.exec_driver_sql(f"{_COSTS} seq IN ({marks})", some)))
    return found


def _cost(row: Sequence[Any]) -> RunCost:
    if row[4] is None:
        return RunCost(row[0], row[1], row[2], row[3])
    return RunCost(row[0], row[1], row[2], row[3], *cost_of(row[4]))


def interrupted(tx: Tx, boot_id: str) -> list[Run]:
    """Return open rows that another process left behind, oldest first."""
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM runs WHERE {_OPEN} AND (boot_id IS NULL OR boot_id <> ?)"
        " ORDER BY seq",
        (boot_id,),
    )
    return [run_of(row) for row in rows]


def adopt(tx: Tx, run_id: str, boot_id: str) -> None:
    """Take over an open row of an earlier process."""
    tx.exec_driver_sql("UPDATE runs SET boot_id = ? WHERE id = ?", (boot_id, run_id))


def counts(tx: Tx, since: datetime) -> dict[tuple[str, str, str | None], int]:
    """Return how many runs ended with each (kind, status, reason) since an instant."""
    rows = tx.exec_driver_sql(
        "SELECT kind, status, reason, sum(slots) FROM runs WHERE id >= ? AND claimed_at >= ?"
        " GROUP BY kind, status, reason",
        (first_id(since), ms(since)),
    )
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def skips(tx: Tx, agent_id: str, since: datetime) -> dict[str, int]:
    """Return how many slots of an agent's beats were skipped for each reason, most first."""
    rows = tx.exec_driver_sql(
        "SELECT reason, sum(slots) FROM runs WHERE kind = 'heartbeat' AND agent_id = ?"
        " AND status = 'skipped' AND claimed_at >= ? GROUP BY reason ORDER BY 2 DESC, 1",
        (agent_id, ms(since)),
    )
    return {row[0]: int(row[1]) for row in rows}


def skipped_for(
    tx: Tx, because: str, since: datetime
) -> dict[str, deque[tuple[datetime, datetime]]]:
    """Return the newest slots of each job that were skipped with these words, oldest first.

    Each with when that was; those of ``since`` and later.
    """
    rows = tx.exec_driver_sql(
        "SELECT job_id, coalesce(slot, requested_at), ended_at FROM runs WHERE kind = 'cron'"
        " AND status = 'skipped' AND reason = 'disabled' AND because = ? AND ended_at >= ?"
        " ORDER BY seq",
        (because, ms(since)),
    )
    found: dict[str, deque[tuple[datetime, datetime]]] = {}
    for job_id, slot, ended in rows:
        found.setdefault(job_id, deque(maxlen=_MANY)).append((at(slot), at(ended)))
    return found


def old(tx: Tx, kind: str, before: datetime, *, limit: int = 5000) -> list[int]:
    """Return the places of final rows that ended before an instant, oldest first, for `remove`.

    Only the oldest ``limit`` rows of the kind are looked at; of a rare kind those are found
    among all there are, so this is asked beside the writer, not by it.
    """
    rows = tx.exec_driver_sql(
        "SELECT seq FROM (SELECT seq, status, ended_at FROM runs WHERE kind = ? ORDER BY seq"
        f" LIMIT ?) AS oldest WHERE ended_at < ? AND NOT {_OPEN} ORDER BY seq",
        (kind, limit, ms(before)),
    )
    return [row[0] for row in rows]


def remove(tx: Tx, places: Sequence[int]) -> None:
    """Delete rows that are final: they never open again."""
    _many(tx, "DELETE FROM runs WHERE seq = ?", [(seq,) for seq in places])


def longest(tx: Tx, keep: int) -> list[str]:
    """Return the cron jobs of which more than ``keep`` runs are kept."""
    rows = tx.exec_driver_sql(
        "SELECT job_id FROM (SELECT job_id FROM runs GROUP BY job_id HAVING count(*) > ?) AS long"
        " WHERE EXISTS (SELECT 1 FROM runs WHERE runs.job_id = long.job_id AND kind = 'cron')",
        (keep,),
    )
    return [row[0] for row in rows]


def prune_job(tx: Tx, job_id: str, keep: int, *, limit: int = 5000) -> int:
    """Delete final rows of a job beyond its newest ``keep`` (cron.md §11.1), oldest first."""
    return tx.exec_driver_sql(
        "DELETE FROM runs WHERE seq IN (SELECT seq FROM runs WHERE job_id = ? AND seq <="
        " (SELECT seq FROM runs WHERE job_id = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)"
        f" AND NOT {_OPEN} ORDER BY seq LIMIT ?)",
        (job_id, job_id, keep, limit),
    ).rowcount


def _many(tx: Tx, sql: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Run one statement for many rows; returns how many rows it changed."""
    return tx.exec_driver_sql(sql, list(rows)).rowcount if rows else 0


def _ended(run: Run) -> tuple[Any, ...]:
    return (
        plain(run.status),
        plain(run.reason),
        run.because or None,
        plain(run.outcome),
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


# The word of a status, and how it moves the counters: errors in a row (kept × + added),
# skips in a row, ok, errors, skips.
_OK: Final = ("ok", (0, 0, 0, 0, 1, 0, 0))
_ERROR: Final = ("error", (1, 1, 0, 0, 0, 1, 0))
_SKIPPED: Final = ("skipped", (0, 0, 1, 1, 0, 0, 1))
_COUNTERS: Final = {RunStatus.OK: _OK, RunStatus.FAILED: _ERROR}


def _counted(run: Run) -> tuple[Any, ...]:
    status, counters = _COUNTERS.get(run.status, _SKIPPED)
    took = None
    if run.started_at is not None and run.ended_at is not None:
        took = (run.ended_at - run.started_at) // timedelta(milliseconds=1)
    error = str(run.error.get("message", ""))[:2000] or None if run.error else None
    return (
        ms(run.started_at or run.ended_at),
        status,
        error,
        plain(run.reason),
        took,
        *counters,
        ms(run.ended_at),
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
    for sign, name, moment in ((">=", "since", query.since), ("<", "until", query.until)):
        if moment is not None:
            where.append(f"claimed_at {sign} :{name}")
            values[name] = ms(moment)
    if query.text:
        where.append(
            "lower(coalesce(job_name, '') || ' ' || job_id || ' ' || coalesce(because, '') || ' '"
            " || coalesce(error, '') || ' ' || coalesce(reply, '') || ' ' || coalesce(target, '')"
            ") LIKE :text ESCAPE '!'"
        )
        values["text"] = containing(query.text)
    return " AND ".join(where), values
