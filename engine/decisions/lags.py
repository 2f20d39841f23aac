"""How late slots are served, counted as Prometheus wants it (operations.md §13.7). Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import timedelta
from itertools import accumulate
from typing import Final

# Upper edges in seconds; a slot within 15 ms is on time (design.md §6), one after 5 s is late.
EDGES: Final = (0.005, 0.015, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)


class Lags:
    """Slots since the start of the process, by how late they were."""

    def __init__(self) -> None:
        self._counts = [0] * (len(EDGES) + 1)
        self.total = 0.0  # seconds

    def add(self, late: timedelta) -> None:
        """Count one; a clock that was set back makes none early."""
        seconds = max(late.total_seconds(), 0.0)
        self._counts[bisect_left(EDGES, seconds)] += 1
        self.total += seconds

    def buckets(self) -> Iterator[tuple[str, float]]:
        """Each edge with how many were no later, and the last with all."""
        edges = [*(f"{edge:g}" for edge in EDGES), "+Inf"]
        yield from zip(edges, map(float, accumulate(self._counts)), strict=True)
