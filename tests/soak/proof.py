"""What must be true of a store after any number of kills (cron.md §11.2, channels.md §11)."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from jobs.audit import Audit, Retention, Window
from jobs.store import slots
from jobs.store.db import Database
from tests.soak.jobs import COOLDOWN_MS

_OPEN: Final = ("claimed", "running", "deferred")
_TERMINAL: Final = ("delivered", "failed", "expired", "cancelled", "unknown")


async def audited(home: Path, since: datetime, until: datetime) -> Audit:
    """Audit the whole ledger of a home whose gateway is gone."""
    kept = Retention(since=since - timedelta(days=1))
    window = Window(since=since, until=until)
    database = await Database.open(home / "state.db")
    try:
        return await database.read(lambda tx: slots.audited(tx, window, cron=kept, beats=kept))
    finally:
        await database.close()


def faults(home: Path, audit: Audit, arrived: Sequence[str]) -> list[str]:
    """Return everything that is not as it must be, in words; nothing if all is well.

    ``arrived``: the texts the chat platform was given.
    """
    with closing(sqlite3.connect(home / "state.db")) as store:
        store.row_factory = sqlite3.Row
        return [
            *_ledger(audit),
            *_rows(store),
            *_counters(store),
            *_messages(store, arrived),
            *_alarms(store),
        ]


def _ledger(audit: Audit) -> Iterator[str]:
    for job in audit.jobs:
        if not job.clean or job.unfinished:
            told = {
                "missing": [(one.first, one.last, one.count) for one in job.holes],
                "twice": job.doubled,
                "strays": job.strayed,
                "unfinished": job.unfinished,
            }
            yield f"audit of {job.job_id}: { ({k: v for k, v in told.items() if v}) }"
    for job_id in audit.unreadable:
        yield f"job {job_id} cannot be read any more"


def _rows(store: sqlite3.Connection) -> Iterator[str]:
    for row in store.execute(f"SELECT * FROM runs WHERE status IN {_OPEN}"):  # noqa: S608
        yield f"run {row['id']} of {row['job_id']} is still {row['status']}"
    for row in store.execute("SELECT * FROM runs WHERE status = 'failed' AND error LIKE '%inter%'"):
        if '"internal"' in row["error"]:
            yield f"run {row['id']} of {row['job_id']} met a bug of ours: {row['error']}"
    ends = "SELECT * FROM runs WHERE status IN ('ok', 'failed') AND started_at IS NULL"
    for row in store.execute(ends):
        yield f"run {row['id']} of {row['job_id']} ended {row['status']} and never began"
    query = "SELECT job_id, slot, count(*) AS n FROM runs WHERE slot IS NOT NULL GROUP BY 1, 2"
    for row in store.execute(query):
        if row["n"] > 1:
            yield f"slot {row['slot']} of {row['job_id']} has {row['n']} rows"
    stood_for = Counter(
        (row["job_id"], row["meant"])
        for row in store.execute(
            "SELECT job_id, json_extract(facts, '$.scheduledForMs') AS meant FROM runs"
            " WHERE trigger_kind = 'backfill' AND status = 'ok'"
        )
    )
    ran = {
        (row["job_id"], row["slot"])
        for row in store.execute("SELECT job_id, slot FROM runs WHERE slot NOTNULL AND status='ok'")
    }
    for (job_id, meant), count in stood_for.items():
        if count + ((job_id, meant) in ran) > 1:
            yield f"slot {meant} of {job_id} was run, and backfilled although it had"


def _counters(store: sqlite3.Connection) -> Iterator[str]:
    counted = {
        (row["job_id"], row["status"]): row["n"]
        for row in store.execute(
            "SELECT job_id, status, count(*) AS n FROM runs WHERE kind = 'cron' GROUP BY 1, 2"
        )
    }
    for job in store.execute("SELECT * FROM jobs WHERE kind = 'cron'"):
        for status, column in (("ok", "ok_count"), ("failed", "error_count")):
            rows = counted.get((job["id"], status), 0)
            if rows != job[column]:
                yield f"{job['id']} counts {job[column]} {status}, there are {rows} rows"
        if job["running_since"] is not None:
            yield f"{job['id']} is still said to be running"


def _messages(store: sqlite3.Connection, arrived: Sequence[str]) -> Iterator[str]:
    arrivals = store.execute("SELECT id FROM inbox WHERE reason IS NULL")
    letters = Counter(row["id"] for row in arrivals)
    texts = Counter(arrived)
    for row in store.execute("SELECT * FROM outbox"):
        key, state = row["key"], row["state"]
        if state not in _TERMINAL:
            yield f"message {key} is still {state}"
        elif state != "delivered" and not (row["reason"] or row["last_error"]):
            yield f"message {key} is {state} and nothing says why"
        if '"local"' in row["route"]:
            count = letters.get(key, 0) or sum(1 for one in letters if one.startswith(key))
            if count != (state == "delivered"):
                yield f"message {key} is {state} and lies in the inbox {count} times"
        else:
            seen = texts.get(row["text"], 0)
            if seen > 1 or (state == "delivered") > seen:
                yield f"message {key} is {state} and arrived {seen} times"
    query = (
        "SELECT runs.id, runs.job_id FROM runs JOIN jobs ON jobs.id = runs.job_id"
        " WHERE runs.status = 'ok' AND runs.outcome = 'reply' AND NOT EXISTS"
        " (SELECT 1 FROM outbox WHERE outbox.run_id = runs.id)"
        " AND json_extract(jobs.definition, '$.delivery.mode') = 'announce'"
    )
    for row in store.execute(query):
        yield f"run {row['id']} of {row['job_id']} answered and no message was made of it"


def _alarms(store: sqlite3.Connection) -> Iterator[str]:
    told: dict[str, list[sqlite3.Row]] = defaultdict(list)
    for row in store.execute("SELECT * FROM outbox WHERE key LIKE 'alarm:%' ORDER BY id"):
        told[row["job_id"]].append(row)
    for job_id, rows in told.items():
        before, at = "", 0
        for row in rows:
            kind = _kind(row["text"])
            since = row["created_at"] - at
            if before == kind == "overdue":
                yield f"{job_id} was said to be overdue twice in a row ({since} ms apart)"
            if before == kind == "recovered":
                yield f"{job_id} was said to have recovered twice in a row"
            if before == kind == "failed" and since < COOLDOWN_MS:
                yield f"{job_id} was said to fail twice within {since} ms"
            before, at = kind, row["created_at"]


def _kind(text: str) -> str:
    kinds = {
        "It was switched off": "switched off",
        " recovered (": "recovered",
        "has not succeeded for": "overdue",
        "failed": "failed",
    }
    return next((kind for words, kind in kinds.items() if words in text), "other")
