"""One hand that holds the whole engine for a while: nothing begins, nothing is lost.

A host that is about to freeze or move the machine takes it (`gateway.suspend.prepare`). Whoever
begins something waits at `passed`: the loop claims nothing, beats and jobs are not decided,
messages of people stand in line, the sender sends nothing. What runs already goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from engine.decisions.held import Held


class Suspension:
    """Whether the engine is held, and when it was last."""

    def __init__(self, tell: Callable[[], None] | None = None) -> None:
        self._free = asyncio.Event()
        self._free.set()
        self._taken: tuple[str, datetime] | None = None
        self._last: Held | None = None
        self._listeners = [tell] if tell is not None else []

    @property
    def held(self) -> bool:
        """Whether nothing may begin now."""
        return self._taken is not None

    @property
    def last(self) -> Held | None:
        """The last time it was held, once that is over."""
        return self._last

    def take(self, why: str, now: datetime) -> None:
        """Hold everything; ``why`` stands in the rows of what comes due meanwhile."""
        if self._taken is None:
            self._taken = (why, now)
            self._free.clear()

    def release(self, now: datetime) -> Held | None:
        """Let everything go on; what it was, or None if nothing was held."""
        if self._taken is None:
            return None
        why, since = self._taken
        self._taken, self._last = None, Held(why, since, now)
        self._free.set()
        for tell in tuple(self._listeners):
            tell()
        return self._last

    async def passed(self) -> Held | None:
        """Return at once, or when it is no longer held: then what held it."""
        if self._free.is_set():
            return None
        while not self._free.is_set():
            await self._free.wait()
        return self._last

    def lately(self, now: datetime, within: timedelta) -> bool:
        """Whether it is held, or was a moment ago: what is late then is not stuck."""
        return self.held or (self._last is not None and now - self._last.until < within)

    def on_release(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` each time everything goes on."""
        self._listeners.append(tell)
