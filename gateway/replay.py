"""What was published while a client was away: the newest events, numbered (protocol.md §14).

One row of numbers for `heartbeat` and `cron`; each live one carries its number as ``cursor``, so
that a client which comes back asks for exactly what it missed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from engine.ring import Ring

KINDS: Final = ("heartbeat", "cron")


class Replay:
    """The newest 500. ``first`` is taken from the clock of the start, as in `engine.ring`."""

    def __init__(self, first: int = 1) -> None:
        self._ring = Ring(first)

    @property
    def cursor(self) -> int:
        """The number of the newest."""
        return int(self._ring.since(None)["cursor"])

    def numbered(self, name: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep an event if it is of a kind that is kept; returns its payload with its number."""
        if name not in KINDS:
            return payload
        kept = self._ring.add({"event": name, "payload": payload})
        return {**payload, "cursor": kept["seq"]}

    def since(self, cursor: int | None, kinds: Collection[str] | None = None) -> dict[str, Any]:
        """Return what came after a number: ``{events, cursor, oldest, complete}``."""
        told = self._ring.since(cursor)
        events = [
            {
                "cursor": one["seq"],
                "event": one["event"],
                "payload": {**one["payload"], "cursor": one["seq"]},
            }
            for one in told["events"]
            if kinds is None or one["event"] in kinds
        ]
        return {**told, "events": events}
