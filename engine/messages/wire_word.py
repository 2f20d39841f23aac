"""The older product's word for how a beat ended; never stored (design.md §5). Pure."""

from __future__ import annotations

from typing import Final

from engine.messages.delivery import State
from jobs.ledger import Outcome, RunStatus, SkipReason

_NOT_DELIVERED: Final = frozenset({State.FAILED, State.EXPIRED})


def wire_word(
    status: RunStatus, outcome: Outcome | None, reason: SkipReason | None, message: State | None
) -> str:
    """Return the older product's word for a beat (design.md §5)."""
    match status:
        case RunStatus.FAILED:
            return "failed"
        case RunStatus.SKIPPED | RunStatus.MISSED:
            return "skipped"
        case RunStatus.CLAIMED | RunStatus.RUNNING | RunStatus.DEFERRED:
            return status.value
        case RunStatus.OK:
            return _ok_word(outcome, reason, message)


def _ok_word(outcome: Outcome | None, reason: SkipReason | None, message: State | None) -> str:
    if outcome is Outcome.EMPTY:
        return "ok-empty"
    if outcome is not Outcome.ALERT:
        return "ok-token"
    if reason is not None:
        return "skipped"
    if message in _NOT_DELIVERED:
        return "failed"
    return "skipped" if message is State.CANCELLED else "sent"
