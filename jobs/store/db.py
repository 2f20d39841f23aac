"""The one connection layer: one writer with group commit, readers that never wait for it.

Work is a function of an open transaction (`Tx`); because stores are modules of such
functions, one transaction may span them all. A SQLite file is written by one thread that
puts whatever arrived while it was busy into one transaction, so a burst costs one fsync and
the event loop never waits on the disk. `memory()` runs the same SQL inline, without a
thread: simulations stay deterministic. Statements carry ``?`` for every value and keep to
what SQLite and PostgreSQL both understand.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

from jobs.errors import StoreUnavailable, StoreUnusable
from jobs.store.lines import AT_ONCE, Line, Tx, Work, faults
from jobs.store.threads import READERS, Threads

__all__ = ["Backend", "Database", "Tx", "Work"]

T = TypeVar("T")

# A year of many jobs asks in over a hundred ways, and the driver keeps no more unless told to:
# statements for many rows are written anew for every number of them.
_KEPT: Final[dict[str, Any]] = {"check_same_thread": False, "cached_statements": 512}


class Backend(Protocol):
    """One way to run works: inline, in threads, or against a server."""

    @property
    def changes(self) -> int | None:
        """How many transactions were committed; None: others write too, and nobody knows."""

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` in a transaction; return after its commit."""

    async def read(self, work: Work[T]) -> T:
        """Run ``work`` on what was committed last."""

    async def close(self) -> None:
        """Finish what was accepted and let go of every connection."""


class Database:
    """An open state database. Use `open` or `memory`; close it once."""

    def __init__(self, backend: Backend, *, path: Path | None = None) -> None:
        self.path = path
        self._backend = backend
        self._closed = False

    @classmethod
    async def open(cls, where: str | Path, *, read_only: bool = False) -> Self:
        """Open, create or migrate the database at a path or SQLAlchemy URL.

        Raises `StoreTooNew` for a schema of a newer engine and `StoreUnavailable` for a file
        that is no database of ours, is damaged, or lies on a disk that refuses; none of them
        is touched. Read-only, nothing is created or migrated.
        """
        url, path = _located(where)
        if url.get_backend_name() != "sqlite":
            return cls(await _on_a_server(url))
        if path is None:
            return await cls.memory()
        return cls(await asyncio.to_thread(_opened, path, read_only), path=path)

    @classmethod
    async def memory(cls) -> Self:
        """Open an empty database that lives as long as this object."""
        from jobs.store.migrate import create_all

        engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args=_KEPT)
        _prepare(engine, "PRAGMA foreign_keys=ON", begin="BEGIN")
        create_all(engine)
        return cls(_Inline(engine))

    @classmethod
    async def copy_of(cls, path: Path) -> Self:
        """Open a copy in memory of the file at ``path``; the file is only read.

        A copy of an older schema is brought up to this engine's.
        """
        from jobs.store.migrate import upgrade

        source = await asyncio.to_thread(_engine, path, "ro", pool=1)
        engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args=_KEPT)
        try:
            with faults(path):
                _copy(source, engine)
                _prepare(engine, "PRAGMA foreign_keys=ON", begin="BEGIN")
                upgrade(engine, None)
        except BaseException:
            engine.dispose()
            raise
        finally:
            source.dispose()
        return cls(_Inline(engine))

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` in the writer's next transaction; return after its commit.

        ``work`` may be run again if a neighbour in its transaction fails, so it must not act
        on anything but the transaction. An exception of its own reaches only its caller. If
        the caller is cancelled, the work is committed whole or not at all.
        """
        self._refuse_if_closed()
        return await self._backend.write(work)

    async def read(self, work: Work[T]) -> T:
        """Run ``work`` on a connection of its own; it sees the last commit and never waits."""
        self._refuse_if_closed()
        return await self._backend.read(work)

    @property
    def changes(self) -> int | None:
        """Grows with every transaction, before whoever asked for it is told of its commit.

        What was read while it stood at a number is still so while it stands there. None: the
        store has other writers, so nothing that was read stays so.
        """
        return self._backend.changes

    async def close(self) -> None:
        """Finish what was accepted, then let go of the file. Safe to call twice."""
        if not self._closed:
            self._closed = True
            await asyncio.shield(self._backend.close())

    @property
    def closed(self) -> bool:
        """Whether it was closed; waiting for it to take something is in vain then."""
        return self._closed

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable(
                "the database is closed",
                why="the gateway is stopping",
                fix="engine gateway status, to see when it is back",
            )


class _Inline:
    """One connection, no thread: whatever is asked happens before anything else does."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._line = Line(engine)
        self.changes: int | None = 0

    async def write(self, work: Work[T]) -> T:
        with faults(None):
            try:
                return self._line.write(work, "BEGIN")
            finally:
                self.changes = (self.changes or 0) + 1

    async def read(self, work: Work[T]) -> T:
        # Any PRAGMA that forbids writing makes SQLite forget every statement it has prepared.
        before = self._line.changes
        with faults(None):
            found = self._line.read(work, None)
            if self._line.changes != before:
                raise sqlite3.OperationalError("attempt to write a readonly database")
        return found

    async def close(self) -> None:
        self._line.close()
        self._engine.dispose()


def _located(where: str | Path) -> tuple[sa.URL, Path | None]:
    text = str(where)
    if "://" not in text:
        return sa.URL.create("sqlite", database=text), Path(text)
    url = sa.make_url(text)
    named = url.database if url.get_backend_name() == "sqlite" else None
    return url, Path(named) if named and named != ":memory:" else None


async def _on_a_server(url: sa.URL) -> Backend:
    named = f"the state database {url.render_as_string()} was not opened"
    if url.get_backend_name() != "postgresql":
        raise StoreUnusable(
            named,
            why=f"nothing is known of {url.get_backend_name()}",
            fix="set store.url to postgresql://USER@HOST/DATABASE, or leave it out for a file",
        )
    try:
        from jobs.store.postgres import connected
    except ImportError as error:
        raise StoreUnavailable(
            named, why=str(error), fix="pip install 'heartbeat-engine[postgres]'"
        ) from error
    return await connected(url)


def _opened(path: Path, read_only: bool) -> Threads:
    from jobs.store import migrate

    engines: list[sa.Engine] = []
    try:
        with faults(path):
            if read_only:
                engines.append(_engine(path, "ro", pool=READERS))
                migrate.check(engines[0], path)
                return Threads(path, None, engines[0])
            _make_private(path)
            engines.append(_engine(path, "query", pool=READERS))
            migrate.examine(engines[0], path)  # before a connection that changes the file
            engines.append(_engine(path, "rw", pool=1))
            migrate.upgrade(engines[1], path)
            return Threads(path, engines[1], engines[0])
    except BaseException:
        for engine in engines:
            engine.dispose()
        raise


def _copy(source: sa.Engine, target: sa.Engine) -> None:
    read, written = source.raw_connection(), target.raw_connection()
    try:
        read.driver_connection.backup(written.driver_connection)  # type: ignore[union-attr]  # SQLite's own connections
    finally:
        read.close()
        written.close()


def _make_private(path: Path) -> None:
    """Create folder and file for this user only: the file holds what people wrote."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        path.touch(mode=0o600)


def _engine(path: Path, mode: str, *, pool: int) -> sa.Engine:
    """Return an engine for one use of the file: rw, query (reads beside the writer) or ro."""
    engine = sa.create_engine(
        "sqlite://",
        creator=lambda: _connection(path, mode),
        poolclass=QueuePool,
        pool_size=pool,
        max_overflow=0,
    )
    if mode == "rw":
        # The writer folds its log itself, as SQLite has it: folded by a second connection beside
        # it, SQLite before 3.51.3 may lose a commit, and the slowest of changes gain little.
        durable = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON")
        _prepare(engine, *durable, begin=AT_ONCE)
    else:
        _prepare(engine, "PRAGMA query_only=ON", begin="BEGIN")
    return engine


def _connection(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?mode={'ro' if mode == 'ro' else 'rw'}"
    opened: sqlite3.Connection = sqlite3.connect(uri, uri=True, **_KEPT)
    return opened


def _prepare(engine: sa.Engine, *pragmas: str, begin: str) -> None:
    """Give SQLite real transactions: BEGIN when we say so, not when the driver guesses."""

    @sa.event.listens_for(engine, "connect")
    def _connected(raw: Any, _record: Any) -> None:
        raw.isolation_level = None
        raw.execute("PRAGMA busy_timeout=5000")
        for pragma in pragmas:
            raw.execute(pragma)

    @sa.event.listens_for(engine, "begin")
    def _begun(tx: sa.Connection) -> None:
        raw: Any = tx.connection.driver_connection
        if not raw.in_transaction:
            raw.execute(begin)
