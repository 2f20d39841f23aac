"""Rows of OpenClaw's database, read without touching it (cron.md §22-11).

A file that nobody has open is read as it lies there; one with a write-ahead log is copied
first, because even reading it would write beside it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from jobs.errors import UnreadableSource

MAGIC: Final = b"SQLite format 3\0"
_READ: Final = frozenset({"cron_jobs", "cron_run_logs", "task_runs"})
_JOBS: Final = "SELECT * FROM cron_jobs ORDER BY sort_order, updated_at, job_id"
_LOGS: Final = "SELECT job_id, entry_json FROM cron_run_logs ORDER BY job_id, seq"
_ENDED: Final = (
    "SELECT source_id, child_session_key, created_at, ended_at, last_event_at, error,"
    " terminal_summary, detail_json FROM task_runs"
    " WHERE runtime = 'cron' AND detail_json IS NOT NULL ORDER BY created_at, task_id"
)


@dataclass(frozen=True, slots=True)
class Rows:
    """What the tables about jobs hold."""

    jobs: tuple[dict[str, Any], ...]
    logged: tuple[dict[str, Any], ...] = ()  # of releases that kept a log of their own
    finished: tuple[dict[str, Any], ...] = ()  # of releases that keep it with the tasks


def read(file: Path) -> Rows:
    """Return the rows. Raises `UnreadableSource` for another file, or a damaged one."""
    try:
        with _opened(file) as database:
            tables = {
                row[0] for row in database.execute("SELECT name FROM sqlite_master").fetchall()
            }
            if "cron_jobs" not in tables:
                raise UnreadableSource(
                    f"{file} was not imported",
                    why="it has no table cron_jobs: it is no state database of OpenClaw's",
                    fix="name the file state/openclaw.sqlite of its home",
                )
            database.row_factory = sqlite3.Row
            return Rows(
                _rows(database, _JOBS),
                _rows(database, _LOGS) if "cron_run_logs" in tables else (),
                _rows(database, _ENDED) if "task_runs" in tables else (),
            )
    except (sqlite3.DatabaseError, OSError) as error:
        raise UnreadableSource(
            f"{file} cannot be read", why=str(error), fix="restore a backup of it"
        ) from error


def others(file: Path) -> tuple[str, ...]:
    """Return the tables with rows that are not read here. Raises as `read` does."""
    try:
        with _opened(file) as database:
            names = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
            return tuple(
                sorted(name for (name,) in names if name not in _READ and _filled(database, name))
            )
    except (sqlite3.DatabaseError, OSError) as error:
        raise UnreadableSource(
            f"{file} cannot be read", why=str(error), fix="restore a backup of it"
        ) from error


def _filled(database: sqlite3.Connection, table: str) -> bool:
    quoted = table.replace('"', '""')
    return database.execute(f'SELECT 1 FROM "{quoted}" LIMIT 1').fetchone() is not None  # noqa: S608 - a name of its own catalogue


def _rows(database: sqlite3.Connection, sql: str) -> tuple[dict[str, Any], ...]:
    return tuple(dict(row) for row in database.execute(sql))


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    log = file.with_name(f"{file.name}-wal")
    if not log.exists() or not log.stat().st_size:
        with closing(_connected(file, "mode=ro&immutable=1")) as database:
            yield database
        return
    with TemporaryDirectory(prefix="engine-import-") as folder:
        copy = Path(folder) / file.name
        shutil.copyfile(file, copy)
        shutil.copyfile(log, copy.with_name(f"{copy.name}-wal"))
        with closing(_connected(copy, "mode=rw")) as database:
            yield database


def _connected(file: Path, how: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return database
