"""Failed credentials per address, and the lockout that follows (§4.7). Pure; time is handed in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from gateway.auth.policy import Policy


class Failures:
    """Failed credentials per address in a sliding window (§4.7)."""

    MAX_KEYS: Final = 10_000

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._at: dict[str, list[datetime]] = {}
        self._locked: dict[str, datetime] = {}

    def locked(self, key: str, now: datetime) -> timedelta | None:
        """How long this address still has to wait. A full table locks newcomers."""
        until = self._locked.get(key)
        if until is not None and now < until:
            return until - now
        if key not in self._at and len(self._at) >= self.MAX_KEYS:
            return self.policy.window
        return None

    def add(self, key: str, now: datetime) -> None:
        """Remember one failure; the tenth in the window locks."""
        self._locked.pop(key, None)
        recent = [at for at in self._at.get(key, ()) if now - at < self.policy.window]
        recent.append(now)
        self._at[key] = recent
        if len(recent) >= self.policy.max_failures:
            self._locked[key] = now + self.policy.lockout
            del self._at[key]

    def forget(self, key: str) -> None:
        """A good credential clears the address."""
        self._at.pop(key, None)
        self._locked.pop(key, None)
