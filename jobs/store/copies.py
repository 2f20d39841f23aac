"""A copy of a database file, taken while others read and write it, and whether one is whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from jobs.errors import StoreUnusable

_STEP_PAGES: Final = -1  # all at once: the reader's view is one instant
_BUSY_SECONDS: Final = 30.0


def copy(path: Path, target: Path) -> None:
    """Copy the database at ``path`` as it stands into the new file ``target`` (mode 0600).

    Writers go on; what commits after the first page was read is not in it. The source is
    opened for reading only: to close a last writing connection would fold its log.
    """
    target.touch(mode=0o600, exist_ok=False)
    try:
        with closing(_reading(path)) as source, closing(sqlite3.connect(target)) as copied:
            source.backup(copied, pages=_STEP_PAGES)
            copied.execute("PRAGMA journal_mode = DELETE")  # one file: no log lies beside a copy
    except sqlite3.Error as error:
        target.unlink()
        raise _unusable(path, str(error)) from error


def examined(path: Path) -> str:
    """Return the schema revision of a whole database; `StoreUnusable` if it is not whole."""
    try:
        with closing(_reading(path)) as db:
            found = db.execute("PRAGMA quick_check(1)").fetchone()
            if found[0] != "ok":
                raise _unusable(path, str(found[0]))
            row = db.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise _unusable(path, str(error)) from error
    if row is None:
        raise _unusable(path, "it has no schema revision")
    return str(row[0])


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_SECONDS)


def _unusable(path: Path, why: str) -> StoreUnusable:
    return StoreUnusable(
        f"the database {path} cannot be copied or trusted", why=why, fix="engine doctor"
    )
