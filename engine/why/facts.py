"""What is known about one agent's beats when somebody asks why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.address import Route
from engine.delivery import Delivery
from engine.gates import BeatSnapshot
from engine.route import NoRoute
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
    period: timedelta | None
    no_beats_because: str = ""
    enrolled: bool = True  # false: not even an event wakes it
    next_due_at: datetime | None = None
    file_bytes: int | None = None  # of HEARTBEAT.md; None: there is none
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
    last: Run | None = None  # the newest beat that asked the agent
    counts: Mapping[str, int] = field(default_factory=dict)  # reasons of 24 h of skipped beats
    delivery: Delivery | None = None  # its newest message that nobody asked for
    account: Account | None = None  # None: no gateway tells
    ambiguous: Mapping[str, str] = field(default_factory=dict)  # channels nobody chose an account
    # of, with the one that would do
    closed: tuple[tuple[str, str], ...] = ()  # accounts nobody may write to
