"""The one connection layer: one writer with group commit, readers that never wait for it.

Work is a function of an open transaction (`Tx`); because stores are modules of such
functions, one transaction may span them all. A SQLite file is written by one thread that
puts whatever arrived while it was busy into one transaction, so a burst costs one fsync and
the event loop never waits on the disk. `memory()` runs the same SQL inline, without a
thread: simulations stay deterministic.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from jobs.errors import StoreUnavailable

T = TypeVar("T")
Tx = sa.Connection
Work = Callable[[Tx], T]

READERS: Final = 3
GROUP_MAX: Final = 256  # works in one transaction; more would make the first wait too long


@dataclass(frozen=True, slots=True)
class _Order:
    work: Work[Any]
    answer: Future[Any]


class Database:
    """An open state database. Use `open` or `memory`; close it once."""

    def __init__(self, engine: sa.Engine, *, inline: bool, path: Path | None) -> None:
        self.path = path
        self._engine = engine
        self._inline = inline
        self._readers = None if inline else ThreadPoolExecutor(READERS, "store-read")
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._closed = False
        if not inline:
            self._writer = threading.Thread(target=self._write_on, name="store-write", daemon=True)
            self._writer.start()

    @classmethod
    async def open(cls, where: str | Path, *, read_only: bool = False) -> Self:
        """Open, create or migrate the database at a path or SQLAlchemy URL.

        Raises `StoreTooNew` for a schema of a newer engine and `StoreUnavailable` for a file
        that is no database, is damaged, or lies on a disk that refuses; none of them is touched.
        """
        url, path = _located(where)
        engine = await asyncio.to_thread(_connectable, url, path, read_only)
        return cls(engine, inline=False, path=path)

    @classmethod
    async def memory(cls) -> Self:
        """Open an empty database that lives as long as this object."""
        engine = sa.create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        _prepare(engine, durable=False)
        from jobs.store.migrate import create_all

        create_all(engine)
        return cls(engine, inline=True, path=None)

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` in the writer's next transaction; return after its commit.

        ``work`` may be run again if a neighbour in its transaction fails, so it must not act
        on anything but the transaction. An exception of its own reaches only its caller.
        """
        self._refuse_if_closed()
        if self._inline:
            with _faults(self.path), self._engine.begin() as tx:
                return work(tx)
        answer: Future[T] = Future()
        self._orders.put(_Order(work, answer))
        return await asyncio.wrap_future(answer)

    async def read(self, work: Work[T]) -> T:
        """Run ``work`` on a connection of its own; it sees the last commit and never waits."""
        self._refuse_if_closed()
        if self._readers is None:
            return self._read(work)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def close(self) -> None:
        """Finish what was accepted, then let go of the file. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            self._orders.put(None)
            await asyncio.to_thread(self._writer.join)
        if self._readers is not None:
            await asyncio.to_thread(self._readers.shutdown)
        await asyncio.to_thread(self._engine.dispose)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable("the database is closed", why="the gateway is stopping")

    def _read(self, work: Work[T]) -> T:
        with _faults(self.path), self._engine.connect() as tx:
            return work(tx.execution_options(reading=True))

    def _write_on(self) -> None:
        """The writer thread: one group after another until told to stop."""
        stopping = False
        while not stopping:
            group: list[_Order] = []
            order = self._orders.get()
            while True:
                if order is None:
                    stopping = True
                    break
                if order.answer.set_running_or_notify_cancel():
                    group.append(order)
                if len(group) >= GROUP_MAX:
                    break
                try:
                    order = self._orders.get_nowait()
                except queue.Empty:
                    break
            if group:
                self._commit(group)

    def _commit(self, group: list[_Order]) -> None:
        try:
            with _faults(self.path), self._engine.begin() as tx:
                results = [order.work(tx) for order in group]
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
            if len(group) == 1:
                group[0].answer.set_exception(error)
                return
            # One of them is to blame; alone, each meets its own fate.
            for order in group:
                self._commit([order])
            return
        for order, result in zip(group, results, strict=True):
            order.answer.set_result(result)


class _faults:
    """Turns the driver's refusals into `StoreUnavailable` with a next step."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sa.exc.DBAPIError) and (known := unavailable(error, self._path)):
            raise known from error


_NEXT: Final = {
    "disk is full": "free space on that disk; nothing that was accepted is lost",
    "readonly": "make the file and its folder writable for this user",
    "malformed": "stop the gateway, then: engine backup restore",
    "not a database": "move the file away, or set store.url to the right one",
    "disk i/o error": "check the disk; then restart the gateway",
    "locked": "end the other program that holds the file open",
}


def unavailable(error: sa.exc.DBAPIError, path: Path | None) -> StoreUnavailable | None:
    """Return the refusal behind a driver's error, or None for a bug of ours."""
    words = str(error.orig).lower()
    for sign, fix in _NEXT.items():
        if sign in words:
            return StoreUnavailable(
                f"the state database {path or ''} cannot be used".replace("  ", " "),
                why=str(error.orig),
                fix=fix,
            )
    return None


def _located(where: str | Path) -> tuple[sa.URL, Path | None]:
    text = str(where)
    if "://" not in text:
        return sa.URL.create("sqlite", database=text), Path(text)
    url = sa.make_url(text)
    is_file = url.get_backend_name() == "sqlite" and url.database
    return url, Path(str(url.database)) if is_file else None


def _connectable(url: sa.URL, path: Path | None, read_only: bool) -> sa.Engine:
    if path is not None and not read_only:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path is not None and read_only:
        url = sa.make_url(f"sqlite:///file:{path}?mode=ro&uri=true")
    engine = sa.create_engine(url, pool_size=READERS + 1, max_overflow=0)
    if url.get_backend_name() == "sqlite":
        _prepare(engine, durable=not read_only)
    from jobs.store import migrate

    try:
        with _faults(path):
            if read_only:
                migrate.check(engine, path)
            else:
                migrate.upgrade(engine, path)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _prepare(engine: sa.Engine, *, durable: bool) -> None:
    """Give SQLite real transactions: BEGIN when we say so, not when the driver guesses."""

    @sa.event.listens_for(engine, "connect")
    def _connected(raw: Any, _record: Any) -> None:
        raw.isolation_level = None
        cursor = raw.cursor()
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.execute("PRAGMA foreign_keys=ON")
        if durable:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begun(tx: sa.Connection) -> None:
        # A write transaction takes its lock at once, so it never fails half-way as busy.
        tx.exec_driver_sql("BEGIN IMMEDIATE" if _writing(tx) else "BEGIN")


def _writing(tx: sa.Connection) -> bool:
    return not tx.get_execution_options().get("reading", False)
