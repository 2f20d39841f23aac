"""One statement for many rows, with an answer for each: what a burst is written with.

SQLite gets hundreds of rows in one statement. That costs less than as many statements, and
it lets go of the interpreter once instead of once a row, so that the event loop decides
about the next batch while this one is written.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

from jobs.store.db import Tx

CHUNK: Final = 1000  # rows in one statement; SQLite takes 32,766 values
_VALUE: Final = re.compile(r"\$(\d+)")
_JOINS: Final = sqlite3.sqlite_version_info >= (3, 33)  # from then on UPDATE … FROM


class Bulk:
    """A statement that changes at most one record for each row of values."""

    def __init__(self, width: int, one: str, many: Callable[[str], str]) -> None:
        self._one = one
        self._row = f"({', '.join('?' * width)})"
        self._many = cache(lambda count: many(", ".join([self._row] * count)))

    @classmethod
    def insert(cls, table: str, columns: Sequence[str], more: str = "") -> Bulk:
        """Return the statement that adds rows of those columns."""
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
        values = f"({', '.join('?' * len(columns))})"
        return cls(len(columns), f"{head}{values} {more}", lambda rows: f"{head}{rows} {more}")

    @classmethod
    def update(cls, table: str, assignments: str, where: str) -> Bulk:
        """Return the statement that changes records; ``$1`` to ``$n`` are a row's values.

        Each stands once, in order: on its own a row is given as plain ``?``.
        """
        width = len(_VALUE.findall(assignments + where))
        one = _VALUE.sub("?", f"UPDATE {table} SET {assignments} WHERE {where}")
        assigned = _VALUE.sub(r"v.column\1", assignments)
        found = _VALUE.sub(r"v.column\1", where)
        return cls(
            width,
            one,
            lambda rows: f"UPDATE {table} SET {assigned} FROM (VALUES {rows}) AS v WHERE {found}",
        )

    def run(self, tx: Tx, rows: Sequence[tuple[Any, ...]]) -> list[bool]:
        """Run it for every row and tell for which of them it changed something."""
        if not rows:
            return []
        raw: Any = getattr(tx, "raw", None)  # SQLite's own connection
        if raw is None:
            return [tx.exec_driver_sql(self._one, row).rowcount > 0 for row in rows]
        told: list[bool] = []
        for start in range(0, len(rows), CHUNK):
            told += self._chunk(raw, rows[start : start + CHUNK])
        return told

    def _chunk(self, raw: Any, rows: Sequence[tuple[Any, ...]]) -> list[bool]:
        """Ask for all at once; if they did not all change something, take it back, ask singly."""
        if len(rows) == 1:
            return [raw.execute(self._one, rows[0]).rowcount > 0]
        if _JOINS:
            raw.execute("SAVEPOINT bulk")
            values = [value for row in rows for value in row]
            changed = raw.execute(self._many(len(rows)), values).rowcount
            if changed == len(rows):
                raw.execute("RELEASE bulk")
                return [True] * len(rows)
            raw.execute("ROLLBACK TO bulk")
            raw.execute("RELEASE bulk")
        execute = raw.cursor().execute
        return [execute(self._one, row).rowcount > 0 for row in rows]
