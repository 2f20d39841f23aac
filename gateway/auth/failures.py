"""Failed credentials per address and kind, and what follows: a wait, a lockout (§4.7).

Pure; time is handed in. Whoever is exempt from the lockout is answered later and later.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from gateway.auth.policy import Policy

FIRST_DELAY: Final = timedelta(milliseconds=250)
LONGEST_DELAY: Final = timedelta(seconds=5)


class Failures:
    """Failed credentials per address and kind of credential, in a sliding window."""

    MAX_KEYS: Final = 10_000

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._at: dict[str, list[datetime]] = {}
        self._locked: dict[str, datetime] = {}

    def locked(self, key: str, now: datetime) -> timedelta | None:
        """How long this one still has to wait. A full table locks newcomers."""
        until = self._locked.get(key)
        if until is not None and now < until:
            return until - now
        if key in self._at or len(self._at) + len(self._locked) < self.MAX_KEYS:
            return None
        self._tidy(now)
        full = len(self._at) + len(self._locked) >= self.MAX_KEYS
        return self.policy.window if full else None

    def add(self, key: str, now: datetime, *, lock: bool = True) -> bool:
        """Remember one failure; True when it was the one that locks."""
        self._locked.pop(key, None)
        recent = [at for at in self._at.get(key, ()) if now - at < self.policy.window]
        recent.append(now)
        # More than the limit is never asked for: an exempt address does not grow its list.
        self._at[key] = recent[-max(self.policy.max_failures, 8) :]
        if not lock or len(recent) < self.policy.max_failures:
            return False
        self._locked[key] = now + self.policy.lockout
        del self._at[key]
        return True

    def delay(self, key: str, now: datetime) -> timedelta:
        """How long the answer to the newest failure is held back: none for the first."""
        recent = [at for at in self._at.get(key, ()) if now - at < self.policy.window]
        if len(recent) < 2:
            return timedelta()
        doubled: int = 2 ** (len(recent) - 2)
        return min(FIRST_DELAY * doubled, LONGEST_DELAY)

    def forget(self, key: str) -> None:
        """A good credential clears the address."""
        self._at.pop(key, None)
        self._locked.pop(key, None)

    def _tidy(self, now: datetime) -> None:
        for key, until in tuple(self._locked.items()):
            if until <= now:
                del self._locked[key]
        for key, recent in tuple(self._at.items()):
            if now - recent[-1] >= self.policy.window:
                del self._at[key]
