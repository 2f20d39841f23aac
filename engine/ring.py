"""The newest events of one name, numbered: who was away reads what it missed (heartbeat.md §20).

In memory: after a restart, or beyond the newest, whoever asks is told that older ones are gone;
the record (`heartbeat.history`) has them all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

MOST: Final = 500


class Ring:
    """Numbers events and keeps the newest of them.

    ``first`` is the number of the first: taken from the clock of the start, it lets nobody
    mistake a number of an earlier process for one of this.
    """

    def __init__(self, first: int, *, most: int = MOST) -> None:
        self._next = first
        self._kept: deque[Mapping[str, Any]] = deque(maxlen=most)

    def add(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep an event; returns it with its number."""
        numbered = {**payload, "seq": self._next}
        self._next += 1
        self._kept.append(numbered)
        return numbered

    def since(self, cursor: int | None) -> dict[str, Any]:
        """Return what came after a number: ``{events, cursor, oldest, complete}``.

        Without a number nothing is replayed: the answer's ``cursor`` is where to go on from.
        ``complete`` is false if some of it is gone.
        """
        newest = self._next - 1
        oldest = self._next - len(self._kept)
        told: dict[str, Any] = {"cursor": newest, "oldest": oldest if self._kept else None}
        if cursor is None:
            return {"events": [], **told, "complete": True}
        known = oldest - 1 <= cursor <= newest
        missed = [one for one in self._kept if not known or one["seq"] > cursor]
        return {"events": missed, **told, "complete": known}
