"""Pacing: how fast a platform lets us talk (channels.md §7). Pure; monotonic time is handed in.

A limit is kept exactly: at most ``limit`` grants in any span of ``per``, wherever the span
begins. A refilling bucket would let almost twice that through around its edges. What counts is
when the platform sees a message, not when it was let go: a grant is dated when its request
leaves and again when its answer is there, and one whose request has not left yet never lapses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from engine.messages.delivery import Priority

_NOW: Final = timedelta()
_SOON: Final = timedelta(milliseconds=50)
PENALTY_SPAN: Final = timedelta(seconds=60)
PENALTIES_UNTIL_WIDE: Final = 3
GRANTS_BEFORE_A_LOWER_ONE: Final = 4
_SWEEP_AT: Final = 4096


@dataclass(frozen=True, slots=True)
class Scope:
    """One limit of a platform: at most ``limit`` messages in any ``per`` under ``name``."""

    name: str
    limit: int
    per: timedelta


@dataclass(slots=True, eq=False)
class Grant:
    """One message that was let go, in all its scopes."""

    at: timedelta  # when it was let go, or seen on its way last
    waits: bool = False  # its request has not left yet


class Pace:
    """Grants of every scope. Not shared between gateways: one owner, one loop."""

    def __init__(self) -> None:
        self._grants: dict[Scope, list[Grant]] = {}
        self._paused: dict[str, timedelta] = {}
        self._penalties: dict[str, deque[timedelta]] = {}

    def wait(self, scopes: Sequence[Scope], now: timedelta) -> timedelta:
        """Return how long until every scope has room; zero means now."""
        return max((self._wait(scope, now) for scope in scopes), default=_NOW)

    def _wait(self, scope: Scope, now: timedelta) -> timedelta:
        until = self._paused.get(scope.name, now)
        if len(self._grants.get(scope, ())) >= scope.limit:
            counted = self._grants[scope] = [
                one for one in self._grants[scope] if one.waits or one.at + scope.per > now
            ]
            if len(counted) >= scope.limit:
                dates = sorted(one.at for one in counted)
                lapses = dates[len(counted) - scope.limit] + scope.per
                until = max(until, lapses, now + _SOON)
        return max(until - now, _NOW)

    def take(self, scopes: Sequence[Scope], now: timedelta, *, waits: bool = False) -> Grant:
        """Count one message against every scope; ``waits``: its request leaves later."""
        if len(self._grants) > _SWEEP_AT:
            self._sweep(now)
        grant = Grant(now, waits)
        for scope in scopes:
            self._grants.setdefault(scope, []).append(grant)
        return grant

    def penalise(self, scopes: Sequence[Scope], by: timedelta, now: timedelta) -> None:
        """The platform said "later": pause the narrowest scope; after three in a minute the widest.

        ``scopes`` come widest first, as `Channel.scopes` returns them.
        """
        if not scopes:
            return
        widest, narrowest = scopes[0], scopes[-1]
        self._pause(narrowest.name, now + by)
        recent = self._penalties.setdefault(widest.name, deque(maxlen=PENALTIES_UNTIL_WIDE))
        recent.append(now)
        if len(recent) == PENALTIES_UNTIL_WIDE and now - recent[0] <= PENALTY_SPAN:
            self._pause(widest.name, now + by)

    def _pause(self, name: str, until: timedelta) -> None:
        self._paused[name] = max(until, self._paused.get(name, until))

    def _sweep(self, now: timedelta) -> None:
        """Forget peers whose window has passed: a bot with a million chats stays small."""
        idle = [
            scope
            for scope, grants in self._grants.items()
            if not any(one.waits or one.at + scope.per > now for one in grants)
        ]
        for scope in idle:
            del self._grants[scope]
        for name in [name for name, until in self._paused.items() if until <= now]:
            del self._paused[name]


class Fairness:
    """Who goes first when not all can: by priority, but nobody waits for ever (channels.md §7)."""

    def __init__(self) -> None:
        self._streak = 0

    def pick(self, waiting: Sequence[Priority]) -> int:
        """Return the index of the next one; ``waiting`` is oldest first and not empty."""
        best = min(waiting)
        lower = [index for index, priority in enumerate(waiting) if priority > best]
        if not lower:
            self._streak = 0
            return 0
        if self._streak >= GRANTS_BEFORE_A_LOWER_ONE:
            self._streak = 0
            return lower[0]
        self._streak += 1
        return waiting.index(best)
