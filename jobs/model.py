"""What a job is: its schedule, payload, delivery, misfire policy and state. All frozen.

Wire and database words are the enum values; the mapping to JSON is `jobs.codec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from jobs.ledger import SkipReason
from jobs.policies import PLAIN, Policies
from jobs.schedule import Schedule
from jobs.values import swift


class Source(StrEnum):
    """Who owns a job's definition (cron.md §1)."""

    RUNTIME = "runtime"
    CONFIG = "config"
    IMPORT = "import"
    SYSTEM = "system"


class WakeMode(StrEnum):
    """When a system event wakes its agent."""

    NOW = "now"
    NEXT_HEARTBEAT = "next-heartbeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemEvent:
    """Text queued for the agent's main session; no model call by itself."""

    text: str


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTurn:
    """A prompt answered in a session of its own (or a named one)."""

    message: str
    model: str | None = None
    fallbacks: tuple[str, ...] | None = None  # None: the agent's; empty: none at all
    thinking: str | None = None
    timeout: timedelta | None = None  # None: default; zero: no limit
    light_context: bool = False
    tools_allow: tuple[str, ...] | None = None  # None: all
    allow_unsafe_external_content: bool = False
    external: bool = False  # the message comes from outside, through a hook


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A process on the gateway's host; no model, no shell."""

    argv: tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    timeout: timedelta | None = None
    no_output_timeout: timedelta | None = None
    output_max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class HeartbeatBeat:
    """System-owned: one beat of the job's agent. Never created or edited by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """System-owned: what the engine itself does about an agent's alerts at an instant."""

    what: str  # digest | escalate | look
    agent_id: str
    ref: str = ""  # escalate: the run whose alert nobody may have noticed


Payload = SystemEvent | AgentTurn | Command | HeartbeatBeat | Errand
SYSTEMS_OWN = (HeartbeatBeat, Errand)  # never created, run or changed by hand
ERRAND = "errand"  # kind of the rows of errands in the ledger: they are no beats of the agent


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySpec:
    """Where a job's words should go (cron.md §10.1): a wish, resolved per run."""

    mode: str = "none"  # none | announce | webhook
    channel: str | None = None  # None and "last" both mean the last route
    to: str | None = None
    account_id: str | None = None
    thread_id: str | None = None
    best_effort: bool = False
    # failureDestination and completionDestination (cron.md §10.1), kept as they came; deliverBy
    # (channels.md §11) in milliseconds.
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def deliver_by(self) -> timedelta | None:
        """How long the job's words are worth sending; None: as long as any job's."""
        given = self.extra.get("deliverBy")
        return None if given is None else timedelta(milliseconds=given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfire:
    """What to do with slots that passed unserved (cron.md §7)."""

    policy: str = "run-once"  # run-once | skip | run-all
    grace: timedelta | None = timedelta(hours=1)  # None: unlimited
    max_catch_up: int = 10  # run-all only


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A stored definition of work. State lives beside it, in `JobState`."""

    id: str
    name: str
    schedule: Schedule
    payload: Payload
    agent_id: str | None = None  # None: the default agent
    session_target: str = "isolated"  # main | isolated | session:<id>
    session_key: str | None = None  # where the wish came from; `last` looks there first
    wake_mode: WakeMode = WakeMode.NOW
    delivery: DeliverySpec = DeliverySpec()
    enabled: bool = True
    delete_after_run: bool = False
    misfire: Misfire = Misfire()
    policies: Policies = PLAIN
    source: Source = Source.RUNTIME
    declaration_key: str | None = None
    display_name: str | None = None
    description: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    # Keys of cron.md §1 that a later room gives a meaning: kept as they came, never lost.
    extra: Mapping[str, Any] = field(default_factory=dict)


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """What happened to a job so far. Instants are aware UTC."""

    next_run_at: datetime | None = None
    schedule_activated_at: datetime | None = None
    running_since: datetime | None = None
    last_run_at: datetime | None = None  # start of the last completed run
    last_status: str | None = None  # ok | error | skipped
    last_error: str | None = None
    last_reason: SkipReason | None = None
    last_duration: timedelta | None = None
    consecutive_errors: int = 0
    consecutive_skipped: int = 0
    schedule_errors: int = 0
    run_count: int = 0
    ok_count: int = 0
    error_count: int = 0
    skip_count: int = 0
    missed_count: int = 0
    retry_at: datetime | None = None  # an error backoff holds the job until then
    orphaned_at: datetime | None = None  # its config entry is gone
    auto_disabled: str | None = None  # reason
    paused: Mapping[str, Any] | None = None  # {by, note, untilMs, atMs}
    watch_at: datetime | None = None  # when somebody must look after it (its deadlines, a pause)
    skips: Mapping[str, str] = field(default_factory=dict)  # slots left out once: ms → by whom
    alarm: Mapping[str, Any] = field(default_factory=dict)  # its last alarm: engine.alerts.alarms

    @property
    def runs_next_at(self) -> datetime | None:
        """When it runs next: slots within its backoff come due, but do not run (cron.md §9.2)."""
        if self.next_run_at is None or self.retry_at is None:
            return self.next_run_at
        return max(self.next_run_at, self.retry_at)


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob:
    """A job with its state and the revision of its definition."""

    job: Job
    state: JobState
    revision: str
