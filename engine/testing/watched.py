"""A store that counts what it is asked, so that a simulation knows when all is quiet."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from jobs.store.db import Database, Work

T = TypeVar("T")


class Watched(Database):
    """A store over another one; counts on both ends of every question."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner, path=inner.path)
        self._inner = inner
        self.works = 0  # asked for so far
        self.pending = 0  # asked for and not answered

    async def write(self, work: Work[T]) -> T:
        self.works += 1
        self.pending += 1
        try:
            return await self._inner.write(work)
        finally:
            self.pending -= 1

    async def read(self, work: Work[T]) -> T:
        self.works += 1
        self.pending += 1
        try:
            return await self._inner.read(work)
        finally:
            self.pending -= 1

    def dispose(self) -> None:
        """Close a store in memory: nothing of it ever waits."""
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._inner.close())
        finally:
            loop.close()
