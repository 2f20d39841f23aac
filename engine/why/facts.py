"""What is known when somebody asks why: of beats as they stand, and as they were recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from engine.decisions.gates import BeatSnapshot
from engine.decisions.wake import QueuedEvent
from engine.messages.address import Route
from engine.messages.delivery import Delivery
from engine.messages.route import NoRoute
from jobs.ledger import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account a message would leave by, as its channel reports it."""

    name: str  # telegram, or telegram/work
    connected: bool
    error: str | None = None  # class of the fault, or what the platform said


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the next beat would see."""

    snapshot: BeatSnapshot
    found: Route | NoRoute
    alerts: bool  # whether the channel shows them
    alerts_key: str = "channels.defaults.heartbeat.showAlerts"  # what decides that
    period: timedelta | None
    wider: tuple[str, str] | None = None  # the limit that is used up, by its key, and a wider one
    no_beats_because: str = ""
    enrolled: bool = True  # false: not even an event wakes it
    next_due_at: datetime | None = None
    file_bytes: int | None = None  # of HEARTBEAT.md; None: there is none
    would: Route | NoRoute | None = None  # of a target none: where `last` would lead
    keys: Mapping[str, str] = field(default_factory=dict)  # of its heartbeat: where each is set


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about one agent's beats."""

    agent_id: str
    now: datetime
    seen: Seen | None = None  # None: the config cannot be read
    off: str | None = None  # whose beats somebody switched off: the agent's, or `*` for all
    scheduled: bool | None = None  # whether the store holds its next slot; None: it has none
    unreadable: str = ""  # why nobody can read the stored beats
    live: bool = False  # a gateway tells this
    failing: Mapping[str, str] = field(default_factory=dict)  # parts of the process
    model: str | None = None
    model_fault: str = ""  # why no provider answers to that name
    model_fix: str = ""  # the command that adds it
    model_print: str = ""  # tells the models and credentials of now from those of a row
    last: Run | None = None  # the newest beat that asked the agent
    counts: Mapping[str, int] = field(default_factory=dict)  # reasons of 24 h of skipped beats
    delivery: Delivery | None = None  # its newest message that nobody asked for
    account: Account | None = None  # None: no gateway tells
    ambiguous: Mapping[str, str] = field(default_factory=dict)  # channels nobody chose an account
    # of, with the one that would do


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A run that is on record, and what belongs to it: a beat of the past, or a job's run."""

    run: Run
    zone: tzinfo
    delivery: Delivery | None = None  # None: it made none, or its row is gone
    before: Run | None = None  # the newest beat before it that asked the agent
    event: QueuedEvent | None = None  # what a job of the main session handed to its agent
    beat: Recorded | None = None  # the beat that took the event up
    silent_since: datetime | None = None  # of a missed one: the last sign of the process before

    @property
    def at(self) -> datetime | None:
        """Return when it was: its slot, else when it was claimed or began."""
        run = self.run
        return run.slot or run.claimed_at or run.started_at or run.ended_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """An instant of the past at which no beat of an agent is on record."""

    agent_id: str
    at: datetime
    zone: tzinfo
    kept_since: datetime  # older rows may be gone
    counts_since: datetime | None = None  # its beats; None: the store knows of none
    next_run_at: datetime | None = None  # what the store waits for
    before: Run | None = None
    after: Run | None = None
    silent_since: datetime | None = None  # the last sign of life before the process of ``after``
    off: str | None = None
    live: bool = False  # a gateway tells this
