"""How often a client may change the config: fixed windows, begun by the first write (§6). Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from gateway.protocol.errors import Code, Refusal, WireError

MOST_KEYS: Final = 10_000


@dataclass(slots=True)
class Windows:
    """Writes per method and client."""

    _begun: dict[str, tuple[datetime, int]] = field(default_factory=dict)

    def take(self, key: str, now: datetime, *, most: int, window: timedelta) -> timedelta | None:
        """Count one; None if it may be done, else how long to wait."""
        begun, count = self._begun.get(key, (now, 0))
        if now - begun >= window or now < begun:
            begun, count = now, 0
        if count >= most:
            return begun + window - now
        if len(self._begun) >= MOST_KEYS and key not in self._begun:
            self._forget(now, window)
        self._begun[key] = (begun, count + 1)
        return None

    def __len__(self) -> int:
        return len(self._begun)

    def _forget(self, now: datetime, window: timedelta) -> None:
        over = [key for key, (begun, _) in self._begun.items() if now - begun >= window]
        for key in over or tuple(self._begun)[:1]:
            del self._begun[key]


def refused(method: str, wait: timedelta, most: int, window: timedelta) -> Refusal:
    """Say when the next one may be made."""
    seconds = max(1, math.ceil(wait.total_seconds()))
    limit = f"{most} per {window.total_seconds():g}s"
    return Refusal(
        WireError(
            Code.UNAVAILABLE,
            f"rate limit exceeded for {method}; retry after {seconds}s",
            {"method": method, "limit": limit},
            retry_after_ms=math.ceil(wait / timedelta(milliseconds=1)),
        )
    )
