"""Requests that are on their way: whoever closes a channel waits for their answers a while."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Final, TypeVar

T = TypeVar("T")

LAST_ANSWERS: Final = timedelta(seconds=10)


class Flights:
    """The requests of one channel."""

    def __init__(self) -> None:
        self._flying: set[asyncio.Task[Any]] = set()

    async def fly(self, request: Coroutine[Any, Any, T], name: str) -> T:
        """Make a request and return its answer."""
        task = asyncio.create_task(request, name=name)
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)
        return await task

    async def land(self, within: timedelta = LAST_ANSWERS) -> None:
        """Wait for the answers that are still to come, for so long."""
        if self._flying:
            await asyncio.wait(tuple(self._flying), timeout=within.total_seconds())
