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
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

from jobs.crash import crash_point
from jobs.errors import StoreUnavailable, StoreUnusable

T = TypeVar("T")
Tx = sa.Connection
Work = Callable[[Tx], T]

READERS: Final = 3
GROUP_MAX: Final = 256  # works in one transaction; more would make the first wait too long


class Backend(Protocol):
    """One way to run works: inline, in threads, or against a server."""

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

        engine = sa.create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
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
        engine = sa.create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        try:
            with _faults(path):
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


class _Direct(sa.Connection):
    """Asks SQLite itself what is in SQLite's own words.

    Two thirds of such a question are otherwise spent on describing columns nobody looks up.
    Kept for good by whoever has one, it is not fetched from the pool for each transaction.
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
        if not (self.in_transaction() or statement.startswith("SELECT")):
            self.begin()
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


class _Inline:
    """One connection, no thread: whatever is asked happens before anything else does."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._tx = _Direct(engine)  # one for good
        self._raw = self._tx.raw

    async def write(self, work: Work[T]) -> T:
        with _faults(None), self._tx.begin():
            return work(self._tx)

    async def read(self, work: Work[T]) -> T:
        # Any PRAGMA that forbids writing makes SQLite forget every statement it has prepared.
        before = self._raw.total_changes
        with _faults(None):
            try:
                found = work(self._tx)
            finally:
                self._tx.rollback()
            if self._raw.total_changes != before:
                raise sqlite3.OperationalError("attempt to write a readonly database")
        return found

    async def close(self) -> None:
        self._tx.close()
        self._engine.dispose()


@dataclass(frozen=True, slots=True)
class _Order:
    work: Work[Any]
    answer: Future[Any]


class _Threads:
    """A file: one thread writes, a few read."""

    def __init__(self, path: Path, writing: sa.Engine | None, reading: sa.Engine) -> None:
        self._path = path
        self._writing = writing
        self._reading = reading
        self._readers = ThreadPoolExecutor(READERS, "store-read")
        self._idle: queue.SimpleQueue[_Direct] = queue.SimpleQueue()  # between two readings
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        if writing is not None:
            self._writer = threading.Thread(
                target=self._write_on, args=(_Direct(writing),), name="store-write", daemon=True
            )
            self._writer.start()

    async def write(self, work: Work[T]) -> T:
        if self._writer is None:
            raise StoreUnavailable(
                f"nothing was written to {self._path}",
                why="it was opened for reading only",
                fix="start the gateway: engine gateway run",
            )
        answer: Future[T] = Future()
        self._orders.put(_Order(work, answer))
        return await asyncio.wrap_future(answer)

    async def read(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Work[T]) -> T:
        with _faults(self._path):
            tx = self._reader()
            try:
                with tx.begin():  # every question of a work is answered from one moment
                    return work(tx)
            finally:
                self._idle.put(tx)

    def _reader(self) -> _Direct:
        """Take a connection nobody reads from; there are never more than threads that read."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return _Direct(self._reading)

    async def close(self) -> None:
        self._orders.put(None)
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.join()
        self._readers.shutdown()
        while not self._idle.empty():
            self._idle.get_nowait().close()
        self._reading.dispose()
        if self._writing is not None:
            self._writing.dispose()  # last: it folds the write-ahead log into the file

    def _write_on(self, tx: _Direct) -> None:
        """The writer thread: one group after another until told to stop."""
        stopping = False
        while not stopping:
            group, stopping = self._next_group()
            if group:
                self._commit(tx, group)
        tx.close()

    def _next_group(self) -> tuple[list[_Order], bool]:
        """Wait for work, then take what else has arrived; whether it was the last."""
        group: list[_Order] = []
        order = self._orders.get()
        while order is not None:
            if order.answer.set_running_or_notify_cancel():
                group.append(order)
            if len(group) >= GROUP_MAX:
                return group, False
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, tx: _Direct, group: list[_Order]) -> None:
        try:
            with _faults(self._path), tx.begin():
                results = [order.work(tx) for order in group]
                crash_point("before-commit")
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
            if len(group) == 1:
                group[0].answer.set_exception(error)
                return
            # One of them is to blame. Halving finds it in few commits; the others go through.
            half = len(group) // 2
            self._commit(tx, group[:half])
            self._commit(tx, group[half:])
            return
        crash_point("after-commit")
        for order, result in zip(group, results, strict=True):
            order.answer.set_result(result)


class _faults:
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
    "malformed": "stop the gateway, and put a copy that is whole in its place",
    "not a database": "move the file away, or set store.url to the right one",
    "disk i/o error": "check the disk, then start the gateway again",
    "locked": "end the other program that holds the file open",
}
_FOR_GOOD: Final = ("malformed", "not a database")  # no restart mends these


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
    kind = StoreUnusable if any(sign in words for sign in _FOR_GOOD) else StoreUnavailable
    return kind(f"{named} cannot be used", why=words, fix=fix)


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


def _opened(path: Path, read_only: bool) -> _Threads:
    from jobs.store import migrate

    engines: list[sa.Engine] = []
    try:
        with _faults(path):
            if read_only:
                engines.append(_engine(path, "ro", pool=READERS))
                migrate.check(engines[0], path)
                return _Threads(path, None, engines[0])
            _make_private(path)
            engines.append(_engine(path, "query", pool=READERS))
            migrate.examine(engines[0], path)  # before a connection that changes the file
            engines.append(_engine(path, "rw", pool=1))
            migrate.upgrade(engines[1], path)
            return _Threads(path, engines[1], engines[0])
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
    uri = f"file:{quote(str(path.absolute()))}?mode={'ro' if mode == 'ro' else 'rw'}"
    engine = sa.create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(uri, uri=True, check_same_thread=False),
        poolclass=QueuePool,
        pool_size=pool,
        max_overflow=0,
    )
    if mode == "rw":
        # A write transaction takes its lock at once, so it never fails half-way as busy.
        durable = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON")
        _prepare(engine, *durable, begin="BEGIN IMMEDIATE")
    else:
        _prepare(engine, "PRAGMA query_only=ON", begin="BEGIN")
    return engine


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
        raw.execute(begin)
