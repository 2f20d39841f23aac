"""What is counted since the start of the process, for `/metrics` (operations.md §13.7)."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from engine.core import Engine
from engine.events import Event
from engine.messages.delivery import State

_ENDS: Final = frozenset(
    {State.DELIVERED, State.FAILED, State.EXPIRED, State.CANCELLED, State.UNKNOWN}
)


class FrontFigures:
    """Keeps the promise of `gateway.rpc.core.Figures`: listens, and counts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ends: Counter[str] = Counter()
        engine.bus.listen(self._heard)

    def counted(self) -> dict[str, Any]:
        """``{lag: {buckets, sum}, ends, turns}``."""
        lags, lanes = self._engine.loop.lags, self._engine.lanes.busy()
        running = sum(one.running for one in lanes)
        return {
            "lag": {"buckets": list(lags.buckets()), "sum": lags.total},
            "ends": {state.value: self._ends[state.value] for state in sorted(_ENDS)},
            "turns": {"running": running, "waiting": len(lanes) - running},
        }

    def _heard(self, event: Event) -> None:
        if event.name == "outbox" and event.payload.get("state") in _ENDS:
            self._ends[str(event.payload["state"])] += 1
