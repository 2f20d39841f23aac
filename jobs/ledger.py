"""The ledger's values: one row for every slot, wake, manual run and retry, and its reason.

design.md §5; the closed list of reasons is heartbeat.md §8.2 and cron.md §11.4.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from jobs.values import changed, swift

START_AT: Final = "startAtMs"  # in a run's facts: it does not begin before
SCHEDULED_FOR: Final = "scheduledForMs"  # in a run's facts: the slot it stands for, if it has none
# Why a slot did not run: it is found by these words when jobs are on again (cron.md §12).
SCHEDULER_OFF: Final = "scheduled jobs are switched off (cron.enabled, or ENGINE_SKIP_CRON)"
REMOVED: Final = "the job was removed before it could begin"
LEFT_OUT: Final = "this slot was left out by hand"  # how the words of `cron skip` begin


class Trigger(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    CATCHUP = "catchup"
    MANUAL = "manual"
    RETRY = "retry"
    BACKFILL = "backfill"
    WAKE = "wake"


class RunStatus(StrEnum):
    """Stored status of a run (design.md §5). The first three are not final."""

    CLAIMED = "claimed"
    RUNNING = "running"
    DEFERRED = "deferred"
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSED = "missed"

    @property
    def final(self) -> bool:
        """Nothing will change this row any more (but its delivery may)."""
        return self not in _OPEN


_OPEN: Final = frozenset({RunStatus.CLAIMED, RunStatus.RUNNING, RunStatus.DEFERRED})


class Outcome(StrEnum):
    """What a finished turn amounted to (heartbeat.md §13)."""

    ACKNOWLEDGED = "acknowledged"  # the agent said there is nothing to say
    EMPTY = "empty"  # the agent said nothing
    ALERT = "alert"  # words for a person
    FAILED = "failed"


class SkipReason(StrEnum):
    """The closed list of reasons for silence: heartbeat.md §8.2 and cron.md §11.4.

    Kinds: it did not run; it ran and its words were not sent; it could not end.
    """

    # it did not run
    DISABLED = "disabled"
    NOT_ENROLLED = "not-enrolled"
    PAUSED = "paused"
    IDLE_PAUSED = "idle-paused"
    SUSPENDED = "suspended"
    BACKOFF = "backoff"
    BUDGET_EXHAUSTED = "budget-exhausted"
    NOT_DUE = "not-due"
    MIN_SPACING = "min-spacing"
    RECENT_RUN = "recent-run"
    FLOOD = "flood"
    QUIET_HOURS = "quiet-hours"
    INVALID_HEARTBEAT_FILE = "invalid-heartbeat-file"
    EMPTY_HEARTBEAT_FILE = "empty-heartbeat-file"
    NO_TASKS_DUE = "no-tasks-due"
    RESTING = "resting"
    NOTHING_CHANGED = "nothing-changed"
    ALERTS_DISABLED = "alerts-disabled"
    TARGET_INVALID = "target-invalid"
    ACCOUNT_DISABLED = "account-disabled"
    UNKNOWN_ACCOUNT = "unknown-account"
    NO_TARGET = "no-target"
    NO_ROUTE = "no-route"
    CRON_IN_PROGRESS = "cron-in-progress"
    LANES_BUSY = "lanes-busy"
    REQUESTS_IN_FLIGHT = "requests-in-flight"
    NO_PENDING_EVENT = "no-pending-event"
    MISSED_DOWNTIME = "missed-downtime"
    MISSED_GRACE_EXCEEDED = "missed-grace-exceeded"
    SUPERSEDED = "superseded"
    OVERLAP_SKIP = "overlap-skip"
    CALENDAR_EXCLUDED = "calendar-excluded"
    GATE_CLOSED = "gate-closed"
    MAX_RUNS = "max-runs"
    MAX_RUNS_PER_DAY = "max-runs-per-day"
    PREFLIGHT_UNREACHABLE = "preflight-unreachable"
    HEARTBEAT_DISABLED = "heartbeat-disabled"
    NONEXISTENT_LOCAL_TIME = "nonexistent-local-time"
    EMPTY_EVENT = "empty-event"
    SHUTDOWN = "shutdown"
    # it ran; its words were not sent
    TARGET_NONE = "target-none"
    DM_BLOCKED = "dm-blocked"
    DUPLICATE = "duplicate"
    SNOOZED = "snoozed"
    MUTED = "muted"
    DIGEST = "digest"
    CHANNEL_NOT_READY = "channel-not-ready"
    QUOTA_EXHAUSTED = "quota-exhausted"
    # it could not end
    INTERRUPTED = "interrupted"
    PREEMPTED = "preempted"
    ACTIVE_RUN = "active-run"
    BACKGROUND_WORK = "background-work"
    AGENT_RUNNER_CANCELLED = "agent-runner-cancelled"
    AGENT_RUNNER_FAILURE = "agent-runner-failure"
    AGENT_TOOL_FAILURE = "agent-tool-failure"
    STORE_REPLACED = "store-replaced"
    HANDLER_UNAVAILABLE = "handler-unavailable"

    @property
    def meant(self) -> bool:
        """Whether somebody wants it so: a slot passed over for this is no trouble to be told."""
        return self in _MEANT

    @property
    def sentence(self) -> str:
        """What this reason means, for a person (heartbeat.md §8.2)."""
        return REASON_FACTS[self][0]

    @property
    def fix(self) -> str:
        """What to do about it, a beat and a job in one: `fix_for` tells them apart."""
        return REASON_FACTS[self][1]

    def fix_for(self, kind: str, *, agent: str | None = None, job: str | None = None) -> str:
        """What to do about it where it is a beat's, or a job's: `heartbeat` or `cron`.

        One command to paste, with the agent and the job it is about in their places; else an act
        that no command here does (`in the chat: …`, `elsewhere: …`), or `nothing: …` and why.
        """
        beat, two, job_fix = self.fix.partition(_EITHER)
        fix = self.fix if not two else beat if kind == "heartbeat" else job_fix
        for name, known in (("AGENT", agent), ("JOB", job)):
            fix = re.sub(rf"\b{name}\b", shlex.quote(known), fix) if known else fix
        return fix


_R = SkipReason
_MEANT: Final = frozenset(
    # Of a failure that is waited out the failure is told.
    {_R.DISABLED, _R.PAUSED, _R.CALENDAR_EXCLUDED, _R.NONEXISTENT_LOCAL_TIME, _R.BACKOFF}
)
_EITHER: Final = " (a beat) or "
REASON_FACTS: Final[Mapping[SkipReason, tuple[str, str]]] = {
    _R.DISABLED: (
        "It is switched off.",
        "engine heartbeat enable AGENT (a beat) or engine cron enable JOB",
    ),
    _R.NOT_ENROLLED: (
        "This agent has no heartbeat: another agent has a block of its own.",
        "engine heartbeat enable AGENT --every 30m",
    ),
    _R.PAUSED: (
        "An operator paused it.",
        "engine heartbeat resume (a beat) or engine cron resume JOB",
    ),
    _R.IDLE_PAUSED: (
        "Nobody has written to this agent for longer than idlePauseAfter.",
        "engine chat --agent AGENT hello",
    ),
    _R.SUSPENDED: (
        "The model provider refuses every call (credentials, billing or model name).",
        "engine heartbeat run --agent AGENT",
    ),
    _R.BACKOFF: (
        "Earlier failures: it waits before it tries again.",
        "engine heartbeat run --agent AGENT (a beat) or engine cron run JOB",
    ),
    _R.BUDGET_EXHAUSTED: (
        "The budget for this period is spent.",
        "engine heartbeat cost --agent AGENT (a beat) or engine cron show JOB",
    ),
    _R.NOT_DUE: ("It was woken before its time.", "nothing: the next slot stands"),
    _R.MIN_SPACING: ("The agent ran less than 30 s ago.", "nothing: the wake is kept and retried"),
    _R.RECENT_RUN: ("A wake ran shortly before this slot.", "nothing: the next slot stands"),
    _R.FLOOD: (
        "Five runs within a minute: held back.",
        "nothing: a wake is retried, and the next slot stands",
    ),
    _R.QUIET_HOURS: (
        "It is outside the active hours.",
        "engine heartbeat run --agent AGENT (a beat) or engine cron run JOB",
    ),
    _R.INVALID_HEARTBEAT_FILE: (
        "HEARTBEAT.md cannot be used.",
        "engine heartbeat tasks --agent AGENT --check",
    ),
    _R.EMPTY_HEARTBEAT_FILE: ("HEARTBEAT.md has no instructions.", "engine why --agent AGENT"),
    _R.RESTING: (
        "Its polls have found nothing for long: it looks more seldom (heartbeat.adaptive).",
        "nothing: a message, an event or an alert brings the usual pace back",
    ),
    _R.NOTHING_CHANGED: (
        "None of its probes saw a change, so no model was asked (heartbeat.checks).",
        "nothing: it asks when a probe sees a change (now: engine heartbeat run)",
    ),
    _R.NO_TASKS_DUE: ("No task's interval has elapsed.", "nothing: the next task comes due later"),
    _R.ALERTS_DISABLED: (
        "All heartbeat output is switched off for this channel.",
        "engine config set channels.defaults.heartbeat.showAlerts true",
    ),
    _R.TARGET_INVALID: (
        "The target cannot be understood.",
        (
            "engine config set agents.defaults.heartbeat.target last (a beat)"
            " or engine cron edit JOB --channel last --clear-to"
        ),
    ),
    _R.ACCOUNT_DISABLED: ("The channel account is switched off.", "engine channels status"),
    _R.UNKNOWN_ACCOUNT: (
        "The accountId is not configured for the channel.",
        (
            "engine config unset agents.defaults.heartbeat.accountId (a beat)"
            " or engine cron edit JOB --clear-account"
        ),
    ),
    _R.NO_TARGET: (
        "The target channel has no recipient.",
        (
            "engine config set agents.defaults.heartbeat.target last (a beat)"
            " or engine cron edit JOB --channel last"
        ),
    ),
    _R.NO_ROUTE: (
        "Nobody has written to this agent yet, so `last` leads nowhere.",
        "in the chat: send the bot one message, which tells it where you are",
    ),
    _R.CRON_IN_PROGRESS: ("A scheduled job of this agent is running.", "nothing: it is retried"),
    _R.LANES_BUSY: ("Sub-agents are working.", "nothing: it is retried"),
    _R.REQUESTS_IN_FLIGHT: (
        "The agent is busy with another conversation.",
        "nothing: it is retried when the agent is free",
    ),
    _R.NO_PENDING_EVENT: ("A wake without an event.", "nothing: there was nothing to say"),
    _R.MISSED_DOWNTIME: (
        "The gateway was not running at that time.",
        (
            "nothing: that time is past; the next beats are served while the gateway runs (a beat)"
            " or engine cron edit JOB --misfire run-once"
        ),
    ),
    _R.MISSED_GRACE_EXCEEDED: (
        "The slot was missed by longer than its grace.",
        (
            "nothing: that time is past; the next beats are served while the gateway runs (a beat)"
            " or engine cron edit JOB --misfire run-once --misfire-grace 1d"
        ),
    ),
    _R.SUPERSEDED: (
        "A newer slot or definition took its place.",
        "nothing: what took its place has a row of its own",
    ),
    _R.OVERLAP_SKIP: (
        "The previous run was still going.",
        "nothing: the next slot stands (a beat) or engine cron edit JOB --overlap buffer-one",
    ),
    _R.CALENDAR_EXCLUDED: (
        "A calendar excludes this day, or somebody left this slot out.",
        "engine heartbeat next --agent AGENT (a beat) or engine cron show JOB",
    ),
    _R.GATE_CLOSED: (
        "The job's gate said no, or the job it comes after did not succeed.",
        "engine cron show JOB",
    ),
    _R.MAX_RUNS: ("The job has had all its runs.", "engine cron edit JOB --clear-policy maxRuns"),
    _R.MAX_RUNS_PER_DAY: (
        "The job has had its runs for today.",
        "engine cron edit JOB --clear-policy maxRunsPerDay",
    ),
    _R.PREFLIGHT_UNREACHABLE: (
        "The model server does not answer.",
        "elsewhere: start the model's server, or name a fallback model in the config",
    ),
    _R.HEARTBEAT_DISABLED: (
        "Heartbeats are off, so the event cannot wake the agent.",
        "engine heartbeat enable",
    ),
    _R.NONEXISTENT_LOCAL_TIME: (
        "That local time does not exist on that day.",
        "nothing: the clocks skipped it",
    ),
    _R.EMPTY_EVENT: (
        "The event has no text.",
        "nothing: there was nothing to say (a beat) or engine cron edit JOB --system-event TEXT",
    ),
    _R.SHUTDOWN: ("The gateway was stopping.", "nothing: the next slot stands"),
    _R.TARGET_NONE: (
        "It ran, but delivery is off (target none).",
        (
            "engine config set agents.defaults.heartbeat.target last (a beat)"
            " or engine cron edit JOB --announce"
        ),
    ),
    _R.DM_BLOCKED: (
        "directPolicy is block and the target is a direct chat.",
        "engine config set agents.defaults.heartbeat.directPolicy allow",
    ),
    _R.DUPLICATE: (
        "The same text was sent there a short while ago.",
        "nothing: the person has these words already",
    ),
    _R.SNOOZED: (
        "Somebody asked not to hear these words for a while.",
        "engine inbox list --state snoozed",
    ),
    _R.MUTED: ("These words were muted.", "engine inbox list --state muted"),
    _R.DIGEST: ("It is collected for the next digest.", "engine inbox list --reason digest"),
    _R.CHANNEL_NOT_READY: ("The channel is not connected.", "engine channels status --probe"),
    _R.QUOTA_EXHAUSTED: (
        "The platform's quota is used up.",
        "nothing: the platform counts anew at its reset time",
    ),
    _R.INTERRUPTED: ("The gateway died during the run.", "engine gateway status"),
    _R.PREEMPTED: (
        "A user message took over.",
        "nothing: a person came first, and the next slot stands",
    ),
    _R.ACTIVE_RUN: ("The session was already running.", "nothing: it is retried"),
    _R.BACKGROUND_WORK: (
        "Background work was started; its end will wake the agent.",
        "nothing: its end wakes the agent",
    ),
    _R.AGENT_RUNNER_CANCELLED: (
        "The turn was cancelled.",
        "nothing: somebody ended it, and the next slot stands",
    ),
    _R.AGENT_RUNNER_FAILURE: (
        "The agent failed.",
        "engine chat --agent AGENT hello (a beat) or engine cron runs JOB --human",
    ),
    _R.AGENT_TOOL_FAILURE: (
        "A tool of the agent failed.",
        "engine heartbeat history --agent AGENT --limit 1 (a beat) or engine cron runs JOB --human",
    ),
    _R.STORE_REPLACED: ("The database was replaced.", "nothing: the next slot stands"),
    _R.HANDLER_UNAVAILABLE: ("The gateway was restarting.", "nothing: it is retried"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one turn cost. Tokens; money in US dollars."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None

    def __add__(self, other: Usage) -> Usage:
        """What two requests cost together; not known if one of them is not."""
        costs = (self.cost_usd, other.cost_usd)
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        )

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What runs cost together: their number, tokens, US dollars."""

    runs: int = 0
    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        """What both cost together."""
        return Spent(
            runs=self.runs + other.runs,
            tokens=self.tokens + other.tokens,
            usd=self.usd + other.usd,
        )


NOTHING_SPENT: Final = Spent()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanCost:
    """What past runs of a job cost on average."""

    runs: int  # how many were looked at
    usd: float | None  # None: the model's price is not known
    tokens: float


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One row of the ledger: a slot, a wake, a manual run or a retry (design.md §5).

    ``slot`` is set for scheduled runs and unique per job; ``slot_to`` and ``count``
    only where one gap swallowed more than a thousand slots. ``facts`` are the gate
    facts that decided it, JSON-ready.
    """

    id: str
    job_id: str
    kind: str  # cron | heartbeat
    agent_id: str | None
    trigger: Trigger
    status: RunStatus
    slot: datetime | None = None
    slot_to: datetime | None = None
    count: int = 1
    reason: SkipReason | None = None
    because: str = ""
    outcome: Outcome | None = None
    nominal_local: str | None = None
    tz: str | None = None
    dst: str | None = None  # gap | overlap
    attempt: int = 1
    retry_of: str | None = None
    job_name: str | None = None
    session_key: str | None = None
    requested_at: datetime | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    deferrals: int = 0
    wake: Mapping[str, Any] = field(default_factory=dict)  # {source, intent, reason, by, eventIds}
    facts: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)  # resolved route or why not
    reply: Mapping[str, Any] = field(default_factory=dict)  # {rawText, droppedText, preview, ...}
    usage: Usage | None = None
    model: str | None = None
    provider: str | None = None
    error: Mapping[str, Any] | None = None  # {class, message}
    delivery_key: str | None = None  # its row in the outbox
    next_due_at: datetime | None = None
    boot_id: str | None = None

    def ended(
        self,
        status: RunStatus,
        at: datetime,
        *,
        started_at: datetime | None = None,
        outcome: Outcome | None = None,
    ) -> Run:
        """Return the run as it ended, with nothing else to tell."""
        began = started_at or self.started_at
        return changed(self, status=status, ended_at=at, started_at=began, outcome=outcome)

    def skipped(self, reason: SkipReason, because: str, at: datetime) -> Run:
        """Return the run as one that did not begin, and why."""
        return changed(self, status=RunStatus.SKIPPED, reason=reason, because=because, ended_at=at)

    def failed(
        self,
        failure: str,
        message: str,
        at: datetime,
        *,
        reason: SkipReason = SkipReason.AGENT_RUNNER_FAILURE,
        because: str = "",
    ) -> Run:
        """Return the run as failed; ``because`` where a person reads other words than the error."""
        return changed(
            self,
            status=RunStatus.FAILED,
            reason=reason,
            because=because or message,
            error={"class": failure, "message": message},
            ended_at=at,
        )
