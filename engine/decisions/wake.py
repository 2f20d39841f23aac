"""Events, and the wakes they cause: which one wins, which merge, which wait. Pure.

heartbeat.md §6 (wakes), §15 (events).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final

from engine.messages.address import Route
from jobs.ledger import SkipReason
from jobs.wallclock import MILLISECOND

NOW: Final = "now"  # the mode of an event that also wakes its agent
NEXT_HEARTBEAT: Final = "next-heartbeat"  # the mode of one that waits for the next beat
MIN_SPACING: Final = timedelta(seconds=30)
FLOOD_WINDOW: Final = timedelta(seconds=60)
FLOOD_MOST: Final = 5
_PEOPLE: Final = frozenset({"cli", "rpc", "wake", "system-event"})  # sources: somebody waits
ASKED: Final = "asked"  # what an event is about whose sender waits for a visible answer
_KINDS: Final = frozenset({"cron", "exec", ASKED})


class Intent(StrEnum):
    """How much a wake may ask for."""

    MANUAL = "manual"  # a person asked, now
    IMMEDIATE = "immediate"  # something happened that cannot wait
    SCHEDULED = "scheduled"  # a slot of the grid
    EVENT = "event"  # something happened; the next moment is soon enough

    @property
    def rank(self) -> int:
        """Higher replaces lower when wakes of one session merge."""
        return _RANKS[self]


_RANKS: Final = {Intent.MANUAL: 3, Intent.IMMEDIATE: 3, Intent.EVENT: 2, Intent.SCHEDULED: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """A text for an agent, as whoever brings it says it."""

    text: str
    mode: str  # now | next-heartbeat
    source: str  # cli | rpc | cron | exec | hook | ...
    by: str
    agent_id: str | None = None  # None: the session's, else the default one
    session_key: str | None = None  # None: the agent's main session
    context_key: str | None = None  # what it is about: cron:<job>, exec:<id>, ...
    route: Route | None = None  # where it came from; alerts about it go there
    trusted: bool = True
    expires_at: datetime | None = None
    intent: Intent = Intent.MANUAL
    target: str | None = None  # overrides the configured target of the beat it causes
    dedupe_key: str | None = None  # one that waits with the same key is the same event
    replaces: bool = False  # takes the place of what waits about the same (`context_key`)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedEvent:
    """One text in the queue of its agent."""

    id: str
    agent_id: str
    session_key: str
    text: str
    source: str
    created_at: datetime
    context_key: str | None = None
    route: Route | None = None
    trusted: bool = True
    wake: str | None = None  # now: it also asked for a beat
    expires_at: datetime | None = None
    seen_by_run: str | None = None
    target: str | None = None  # overrides the configured target of the beat it causes
    dedupe_key: str | None = None  # one that comes with the same key meanwhile is this one

    @property
    def kind(self) -> str:
        """``cron`` (a reminder), ``exec`` (a command's end), ``asked`` (wants words), ``note``."""
        head = _kind(self.context_key)
        return head if head in _KINDS else "note"

    @property
    def place(self) -> tuple[str, str]:
        """Agent and session, as `Wake.key` has them."""
        return self.agent_id, self.session_key.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenEvent:
    """An event that a person's conversation took along before a beat could (§15)."""

    id: str
    run_id: str  # of the turn whose prompt it was in
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """A request that an agent take a turn."""

    agent_id: str
    session_key: str
    source: str  # interval | cli | rpc | cron | exec | hook
    intent: Intent
    reason: str
    requested_at: datetime
    event_ids: tuple[str, ...] = ()
    by: str = ""
    target: str | None = None  # overrides the configured target: a cron wake says `last`

    @property
    def key(self) -> tuple[str, str]:
        """One pending wake per agent and session."""
        return self.agent_id, self.session_key.strip()


def merge(pending: Wake, new: Wake) -> Wake:
    """Return the one wake that stands for both (§6.2).

    The higher intent wins, the newer among equals; every event of both is kept, and so is
    an override of the target if the winner has none.
    """
    winner, loser = (new, pending) if new.intent.rank >= pending.intent.rank else (pending, new)
    events = (*pending.event_ids, *(one for one in new.event_ids if one not in pending.event_ids))
    return replace(
        winner,
        event_ids=events,
        target=winner.target or loser.target,
        requested_at=min(pending.requested_at, new.requested_at),
    )


def reason_of(context_key: str | None) -> str:
    """Return what a wake for an event gives as its reason (§6.1)."""
    return "exec-event" if _kind(context_key) == "exec" else context_key or "wake"


def _kind(context_key: str | None) -> str:
    return (context_key or "").partition(":")[0]


def again(event: QueuedEvent, now: datetime, by: str) -> Wake:
    """Return the wake of an event that asks once more.

    ``by`` is ``restart`` or ``reminder``; only at a start somebody may still wait for it.
    """
    cron = event.kind == "cron"
    person = event.source in _PEOPLE and by == "restart"
    return Wake(
        agent_id=event.agent_id,
        session_key=event.session_key,
        source=event.source,
        intent=Intent.IMMEDIATE if cron else Intent.MANUAL if person else Intent.EVENT,
        reason=reason_of(event.context_key),
        requested_at=now,
        event_ids=(event.id,),
        by=by,
        target=event.target or ("last" if cron else None),
    )


@dataclass(frozen=True, slots=True)
class Deferral:
    """Why a wake may not run now, and when to ask again; a scheduled one is not kept."""

    reason: SkipReason
    because: str
    retry_at: datetime | None


def guard(
    intent: Intent,
    now: datetime,
    *,
    next_due: datetime | None,
    last_start: datetime | None,
    starts: Sequence[datetime],
    zone: tzinfo = UTC,
) -> Deferral | None:
    """Hold a wake back if it comes too early or too often (§6.3 [E]).

    ``starts`` are the latest starts of this agent's turns, in any order: the clock may have
    been set back between them.
    """
    if intent is Intent.MANUAL:
        return None
    if intent is Intent.SCHEDULED and next_due is not None and now < next_due:
        local = next_due.astimezone(zone)
        return Deferral(SkipReason.NOT_DUE, f"the next beat is at {local:%H:%M:%S} ({zone})", None)
    if (
        intent is Intent.EVENT
        and last_start is not None
        and timedelta() <= now - last_start < MIN_SPACING
    ):
        ago = (now - last_start).total_seconds()
        return Deferral(
            SkipReason.MIN_SPACING, f"the agent ran {ago:.0f} s ago", last_start + MIN_SPACING
        )
    recent = sorted(start for start in starts if now - FLOOD_WINDOW <= start <= now)
    if len(recent) >= FLOOD_MOST:
        oldest = recent[-FLOOD_MOST]
        return Deferral(
            SkipReason.FLOOD,
            f"there were {len(recent)} runs within the last minute",
            None if intent is Intent.SCHEDULED else oldest + FLOOD_WINDOW + MILLISECOND,
        )
    return None
