"""A SQLite connection that is kept: works, their transactions, and the words of its refusals."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from jobs.errors import StoreUnavailable, StoreUnusable

T = TypeVar("T")
Tx = sa.Connection
Work = Callable[[Tx], T]

# A write transaction takes its lock at once, so it never fails half-way as busy.
AT_ONCE: Final = "BEGIN IMMEDIATE"


class _Direct(sa.Connection):
    """Asks SQLite itself what is in SQLite's own words.

    Two thirds of such a question are otherwise spent on describing columns nobody looks up.
    """

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(engine)
        self.raw: Any = self.connection.driver_connection

    def exec_driver_sql(  # type: ignore[override]  # the answer is the part stores use
        self, statement: str, parameters: Any = None, **_options: Any
    ) -> _Answer:
        """Run one statement, once or for each of a list of parameters.

        One that may change something never does so outside a transaction.
        """
        if not (self.raw.in_transaction or statement.startswith("SELECT")):
            self.raw.execute("BEGIN")
        ask = self.raw.executemany if isinstance(parameters, list) else self.raw.execute
        try:
            return _Answer(ask(statement, () if parameters is None else parameters))
        except sqlite3.IntegrityError as error:
            raise sa.exc.IntegrityError(statement, parameters, error) from error


class _Answer:
    """Rows as plain tuples, with the questions the stores ask of them."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.rowcount = cursor.rowcount

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._cursor)

    def first(self) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._cursor.fetchone()
        self._cursor.close()
        return found

    def all(self) -> list[tuple[Any, ...]]:
        return self._cursor.fetchall()

    def scalar(self) -> Any:
        found = self.first()
        return None if found is None else found[0]

    def scalar_one(self) -> Any:
        found = self._cursor.fetchall()
        if len(found) != 1:
            raise AssertionError(f"one row was expected, there are {len(found)}")
        return found[0][0]


class Line:
    """A connection for good, that begins and ends its transactions itself.

    A pool, and SQLAlchemy's own account of a transaction, cost more than most works do.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._tx = _Direct(engine)
        self.raw: sqlite3.Connection = self._tx.raw

    def write(self, work: Work[T], begin: str) -> T:
        """Run a work in a transaction, and commit it."""
        self.raw.execute(begin)
        try:
            done = work(self._tx)
            self.raw.commit()
        finally:
            self._end()
        return done

    def read(self, work: Work[T], begin: str | None) -> T:
        """Run a work that changes nothing; without ``begin`` where nobody writes meanwhile."""
        if begin is not None:
            self.raw.execute(begin)
        try:
            return work(self._tx)
        finally:
            self._end()

    @property
    def changes(self) -> int:
        """How many rows were changed so far."""
        return int(self.raw.total_changes)

    def _end(self) -> None:
        self.raw.rollback()  # unless it was committed
        if self._tx.in_transaction():
            self._tx.rollback()  # the account: a work may have asked by way of SQLAlchemy

    def close(self) -> None:
        self._tx.close()


class faults:
    """Turns the driver's refusals into `StoreUnavailable` with a next step."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and (known := unavailable(error, self._path)):
            raise known from error


_NEXT: Final = {
    "disk is full": "free space on that disk; what was committed before is safe",
    "readonly": "make the file and its folder writable for this user",
    "unable to open": "see that the folder exists and this user may use it",
    "malformed": "engine backup list",
    "not a database": "elsewhere: move the file away, or set store.url to the right one",
    "disk i/o error": "check the disk, then start the gateway again",
    "locked": "end the other program that holds the file open",
}
_FOR_GOOD: Final = ("malformed", "not a database")  # no restart mends these


def moved_away(path: Path) -> str:
    """Return the command that takes a file out of the way and keeps it."""
    return f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.broken')}"


def unavailable(error: BaseException, path: Path | None) -> StoreUnavailable | None:
    """Return the refusal behind a driver's or the disk's error, or None for a bug of ours."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    words = str(cause)
    if isinstance(cause, sqlite3.Error):
        fix = next((fix for sign, fix in _NEXT.items() if sign in words.lower()), None)
    elif isinstance(cause, OSError) and not isinstance(cause, TimeoutError):
        fix = "see that the folder exists, is writable for this user, and has space left"
    else:
        fix = None
    if fix is None:
        return None
    named = f"the state database {path}" if path else "the state database"
    if path is not None and "not a database" in words:
        fix = moved_away(path)
    kind = StoreUnusable if any(sign in words for sign in _FOR_GOOD) else StoreUnavailable
    return kind(f"{named} cannot be used", why=words, fix=fix)
