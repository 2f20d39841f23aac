"""The state database on a PostgreSQL server: the same works, run beside the event loop.

Each work is a transaction of its own; the server groups commits. SQLAlchemy's asyncio part
is imported here and nowhere else: it is slow to import and a file needs none of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from jobs.errors import StoreUnavailable
from jobs.store import migrate

T = TypeVar("T")
Work = Callable[[sa.Connection], T]

_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(4841727462)"  # two engines that start together


async def connected(url: sa.URL) -> Server:
    """Connect and migrate. Taking a backup first is the server's business."""
    engine = create_async_engine(url.set(drivername="postgresql+asyncpg"))
    sa.event.listen(engine.sync_engine, "before_cursor_execute", _numbered, retval=True)
    server = Server(engine, url)
    try:
        await server.write(_migrated)
    except BaseException:
        await server.close()
        raise
    return server


class Server:
    """Keeps the promises of `jobs.store.db.Backend` with a pool of connections."""

    def __init__(self, engine: AsyncEngine, url: sa.URL) -> None:
        self._engine = engine
        self._url = url
        self.changes: int | None = None  # other gateways may write to the same server

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` in a transaction; return after its commit."""
        with self._faults():
            async with self._engine.begin() as tx:
                return await tx.run_sync(work)

    async def read(self, work: Work[T]) -> T:
        """Run ``work`` in a transaction that refuses to write."""
        with self._faults():
            async with self._engine.connect() as tx:
                await tx.execution_options(postgresql_readonly=True)
                return await tx.run_sync(work)

    async def close(self) -> None:
        """Hang up."""
        await self._engine.dispose()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Tell a server that is away, or that lets nobody in, from a statement it refuses."""
        try:
            yield
        except OSError as error:
            raise self._unreachable(str(error)) from error
        except sa.exc.DBAPIError as error:
            if error.statement is not None and not error.connection_invalidated:
                raise
            raise self._unreachable(str(error.orig)) from error

    def _unreachable(self, why: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"the state database {self._url.render_as_string()} cannot be reached",
            why=why.rpartition(">: ")[2],  # the driver's class stands before its words
            fix="start the server, or correct store.url",
        )


def _migrated(tx: sa.Connection) -> None:
    tx.exec_driver_sql(_ONE_AT_A_TIME)
    migrate.bring_up(tx)


def _numbered(
    _tx: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    """Write the ``?`` of our statements as the numbers the driver wants."""
    numbers = iter(range(1, statement.count("?") + 1))
    return re.sub(r"\?", lambda _: f"${next(numbers)}", statement), parameters
