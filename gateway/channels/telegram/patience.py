"""How long a Telegram connection waits after a failure, and what it is called meanwhile. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from engine.messages.fault import Fault, FaultClass

BACKOFF: Final = tuple(timedelta(seconds=s) for s in (1, 2, 5, 10, 30, 60))
CONFLICT_BACKOFF: Final = tuple(timedelta(seconds=s) for s in (5, 10, 20, 40, 60))


@dataclass(frozen=True, slots=True)
class Streak:
    """Failures in a row, by kind."""

    failures: int = 0
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """What follows a failure. ``wait`` None: nothing does, a person has to act."""

    runtime: str
    wait: timedelta | None
    streak: Streak


def after(fault: Fault, before: Streak) -> Pause:
    """Decide what follows a failed call (channels.md §9): only a refused token ends it."""
    match fault.fault:
        case FaultClass.AUTH:
            return Pause("auth-failed", None, before)
        case FaultClass.CONFLICT:
            wait = CONFLICT_BACKOFF[min(before.conflicts, len(CONFLICT_BACKOFF) - 1)]
            streak, runtime = Streak(before.failures, before.conflicts + 1), "conflict"
        case _:
            wait = BACKOFF[min(before.failures, len(BACKOFF) - 1)]
            streak, runtime = Streak(before.failures + 1, before.conflicts), "backoff"
    if fault.retry_after_seconds is not None:
        wait = max(wait, timedelta(seconds=fault.retry_after_seconds))
    return Pause(runtime, wait, streak)
