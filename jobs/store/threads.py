"""A SQLite file: one thread writes it, with group commit, and a few read beside it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from jobs.crash import crash_point
from jobs.errors import StoreUnavailable
from jobs.store.lines import AT_ONCE, Line, Tx, Work, faults

T = TypeVar("T")

READERS: Final = 3
GROUP_MAX: Final = 256  # works in one transaction; more would make the first wait too long


class _Order:
    """A work for a thread, and where its answer is waited for."""

    __slots__ = ("answer", "loop", "work")

    def __init__(self, work: Work[Any]) -> None:
        self.work = work
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self.loop.create_future()


Told = tuple[_Order, Any, BaseException | None]  # what came of an order


def _tell(told: list[Told]) -> None:
    """From a thread: let those who wait know, all of an event loop at once."""
    loops: dict[asyncio.AbstractEventLoop, list[Told]] = {}
    for one in told:
        loops.setdefault(one[0].loop, []).append(one)
    for loop, those in loops.items():
        with contextlib.suppress(RuntimeError):  # it is closed: nobody waits any more
            loop.call_soon_threadsafe(_heard, those)


def _heard(told: list[Told]) -> None:
    for order, result, error in told:
        if order.answer.done():
            continue  # cancelled
        if error is None:
            order.answer.set_result(result)
        else:
            order.answer.set_exception(error)


class Threads:
    """A file: one thread writes, a few read."""

    def __init__(self, path: Path, writing: sa.Engine | None, reading: sa.Engine) -> None:
        self._path = path
        self._writing = writing
        self._reading = reading
        self._questions: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._asked = 0  # and not answered
        self._readers: list[threading.Thread] = []
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._line: Line | None = None  # of the writer
        self._writer: threading.Thread | None = None
        self.changes: int | None = 0 if writing is not None else None
        if writing is not None:
            self._writer = _thread("store-write", lambda: self._write_on(writing))

    async def write(self, work: Work[T]) -> T:
        if self._writer is None:
            raise StoreUnavailable(
                f"nothing was written to {self._path}",
                why="it was opened for reading only",
                fix="engine gateway",
            )
        order = _Order(work)
        self._orders.put(order)
        done: T = await order.answer
        return done

    async def read(self, work: Work[T]) -> T:
        self._asked += 1
        try:
            if len(self._readers) < min(self._asked, READERS):
                self._readers.append(_thread("store-read", self._read_on))
            order = _Order(work)
            self._questions.put(order)
            found: T = await order.answer
        finally:
            self._asked -= 1
        return found

    async def close(self) -> None:
        self._orders.put(None)
        for _ in self._readers:
            self._questions.put(None)
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.join()
        for reader in self._readers:
            reader.join()
        self._reading.dispose()
        if self._writing is not None:
            self._writing.dispose()  # last: it folds the write-ahead log into the file

    def _read_on(self) -> None:
        """A reader thread: one question after another."""
        line: Line | None = None
        while (order := self._questions.get()) is not None:
            if order.answer.cancelled():
                continue
            try:
                with faults(self._path):
                    line = line or Line(self._reading)
                    found = line.read(order.work, "BEGIN")
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                _tell([(order, None, error)])
            else:
                _tell([(order, found, None)])
        if line is not None:
            line.close()

    def _write_on(self, engine: sa.Engine) -> None:
        """The writer thread: one group after another until told to stop."""
        stopping = False
        while not stopping:
            group, stopping = self._next_group()
            if group:
                _tell(self._commit(engine, group))
        if self._line is not None:
            self._line.close()

    def _next_group(self) -> tuple[list[_Order], bool]:
        """Wait for work, then take what else has arrived; whether it was the last."""
        group: list[_Order] = []
        order = self._orders.get()
        while order is not None:
            if not order.answer.cancelled():
                group.append(order)
            if len(group) >= GROUP_MAX:
                return group, False
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, engine: sa.Engine, group: list[_Order]) -> list[Told]:
        def work(tx: Tx) -> list[Any]:
            done = [order.work(tx) for order in group]
            crash_point("before-commit")
            return done

        try:
            with faults(self._path):
                self._line = self._line or Line(engine)
                try:
                    results = self._line.write(work, AT_ONCE)
                finally:  # also of what failed: nobody need ask how far it came
                    self.changes = (self.changes or 0) + 1
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
            if len(group) == 1:
                return [(group[0], None, error)]
            # One of them is to blame. Halving finds it in few commits; the others go through.
            half = len(group) // 2
            return self._commit(engine, group[:half]) + self._commit(engine, group[half:])
        crash_point("after-commit")
        return [(order, result, None) for order, result in zip(group, results, strict=True)]


def _thread(name: str, work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread
