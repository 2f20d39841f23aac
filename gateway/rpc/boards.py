"""Answers that stand ready as text for as long as they are true (design.md §6).

What a board shows hangs on facts it can look at without waiting: how often the store was
changed, the settings in force. Both are of the very moment somebody asks, so an answer is
never older than the last commit anybody was told of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from engine.clock import Clock
from gateway.protocol import frames
from gateway.protocol.frames import Encoded

KEPT_FOR: Final = timedelta(seconds=1)  # what hangs on the time itself is no older


@dataclass(frozen=True, slots=True)
class _Shown:
    facts: object
    at: datetime
    answer: Encoded


@dataclass(slots=True)
class Board:
    """One answer, made anew once its facts are others."""

    make: Callable[[], Awaitable[object]]
    facts: Callable[[], object | None]  # None: nobody knows, so nothing is kept
    clock: Clock
    _shown: _Shown | None = field(default=None)

    def at_hand(self) -> Encoded | None:
        """The answer, if it is still so."""
        shown = self._shown
        if shown is None or shown.facts != self.facts():
            return None
        age = self.clock.now() - shown.at
        return shown.answer if timedelta() <= age < KEPT_FOR else None

    async def answer(self) -> Encoded:
        """The answer, asked for if need be."""
        if (known := self.at_hand()) is not None:
            return known
        # Looked at first: what is committed while it is made is not lost on the next who asks.
        facts, now = self.facts(), self.clock.now()
        made = Encoded(frames.encode(await self.make()))
        self._shown = None if facts is None else _Shown(facts, now, made)
        return made
