"""Where each reason for silence stands on the way, and what to do about it: one closed table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.why.chain import Code, Link, Standing, clause
from jobs.ledger import SkipReason

_R = SkipReason
_REASONS: Final[Mapping[Code, tuple[SkipReason, ...]]] = {
    Code.GATEWAY: (
        _R.MISSED_DOWNTIME, _R.MISSED_GRACE_EXCEEDED, _R.SHUTDOWN, _R.INTERRUPTED,
        _R.STORE_REPLACED, _R.HANDLER_UNAVAILABLE,
    ),
    Code.SCHEDULER: (_R.SUPERSEDED,),
    Code.HEARTBEAT: (_R.DISABLED, _R.NOT_ENROLLED, _R.PAUSED, _R.HEARTBEAT_DISABLED),
    Code.WINDOW: (_R.QUIET_HOURS, _R.NOT_DUE, _R.CALENDAR_EXCLUDED, _R.NONEXISTENT_LOCAL_TIME),
    Code.GATE: (
        _R.IDLE_PAUSED, _R.SUSPENDED, _R.BACKOFF, _R.BUDGET_EXHAUSTED, _R.MIN_SPACING,
        _R.RECENT_RUN, _R.RESTING, _R.NOTHING_CHANGED, _R.FLOOD, _R.CRON_IN_PROGRESS,
        _R.LANES_BUSY, _R.REQUESTS_IN_FLIGHT,
        _R.NO_PENDING_EVENT, _R.OVERLAP_SKIP, _R.GATE_CLOSED, _R.MAX_RUNS, _R.MAX_RUNS_PER_DAY,
    ),
    Code.CHECKLIST: (
        _R.INVALID_HEARTBEAT_FILE, _R.EMPTY_HEARTBEAT_FILE, _R.NO_TASKS_DUE, _R.EMPTY_EVENT,
    ),
    Code.MODEL: (
        _R.PREFLIGHT_UNREACHABLE, _R.PREEMPTED, _R.ACTIVE_RUN, _R.AGENT_RUNNER_CANCELLED,
        _R.AGENT_RUNNER_FAILURE, _R.AGENT_TOOL_FAILURE,
    ),
    Code.REPLY: (_R.DUPLICATE, _R.BACKGROUND_WORK, _R.SNOOZED, _R.MUTED, _R.DIGEST),
    Code.TARGET: (
        _R.TARGET_INVALID, _R.ACCOUNT_DISABLED, _R.UNKNOWN_ACCOUNT, _R.NO_TARGET, _R.NO_ROUTE,
        _R.TARGET_NONE,
    ),
    Code.CHANNEL: (_R.CHANNEL_NOT_READY,),
    Code.POLICY: (_R.ALERTS_DISABLED, _R.DM_BLOCKED),
    Code.DELIVERY: (_R.QUOTA_EXHAUSTED,),
}  # fmt: skip
PLACE: Final[Mapping[SkipReason, Code]] = {
    reason: code for code, reasons in _REASONS.items() for reason in reasons
}
_WAITS: Final = frozenset(
    {_R.NOT_DUE, _R.NO_TASKS_DUE, _R.RESTING, _R.NOTHING_CHANGED, _R.DIGEST}
)  # its time has not come: no fault


def place(reason: SkipReason) -> Code:
    """Return the link where a reason stands."""
    return PLACE.get(reason, Code.GATE)


def standing(reason: SkipReason) -> Standing:
    """Return how a link stands that a reason holds back."""
    return Standing.WAITING if reason in _WAITS else Standing.BROKEN


def word(reason: SkipReason) -> str:
    """Return a reason as a code has it: `target.none` is spelt so by operations.md §10.1."""
    return "none" if reason is _R.TARGET_NONE else reason.value


def objection(
    reason: SkipReason,
    because: str = "",
    fix: str = "",
    *,
    state: Standing | None = None,
    agent: str | None = None,
) -> Link:
    """Return the link of a reason, with its evidence or what it means in general."""
    return Link(
        code=place(reason),
        state=state or standing(reason),
        reason=word(reason),
        what=because.rstrip(".") or clause(reason.sentence),
        fix=fix or reason.fix_for("heartbeat", agent=agent),
    )
