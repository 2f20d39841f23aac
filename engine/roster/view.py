"""What was looked at before a beat decided, and how its row keeps that. Pure values.

The gates (`engine.decisions.gates`) decide on nothing else, and with the facts in the row any past
decision can be taken again (design.md P4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.decisions.gates import BeatSnapshot
from engine.decisions.probes import Probed
from engine.decisions.snapshot import kept
from engine.decisions.wake import Intent, QueuedEvent, TakenEvent, Wake
from engine.messages.address import Route
from engine.messages.route import NoRoute, found_words
from engine.roster.roster import AgentProfile
from engine.roster.spending import Purse
from engine.workspace.checklist import Checklist
from engine.workspace.tasks import Task
from jobs.model import Job
from jobs.wallclock import ms


@dataclass(frozen=True, slots=True)
class Shown:
    """Which outcomes of a beat a channel shows (heartbeat.md §2.2)."""

    ok: bool = False
    alerts: bool = True
    indicator: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What was looked at for one decision."""

    agent: AgentProfile
    snapshot: BeatSnapshot
    session_key: str
    events: tuple[QueuedEvent, ...]
    file: Checklist
    due: tuple[Task, ...]
    found: Route | NoRoute
    shown: Shown
    failures: int
    next_due_at: datetime | None  # the next that runs
    looked_at: datetime
    next_after_poll: datetime | None = None  # the next that runs, if the checklist is asked now
    config_hash: str = ""  # of the config in force
    purse: Purse | None = None  # None: it has no budget
    job: Job | None = None  # as it is stored
    expired: tuple[QueuedEvent, ...] = ()  # seen by nobody, and no row tells of it yet
    probed: Probed | None = None  # what its probes saw, if they were asked
    taken: tuple[TakenEvent, ...] = ()  # events that other turns took up since the last beat
    moved: bool = False  # the beats lie elsewhere than the store has them: plan them anew

    @property
    def looks_first(self) -> bool:
        """Whether its probes are asked before the model: nothing but the clock asks for it."""
        slot = self.snapshot.intent is Intent.SCHEDULED
        return slot and not self.events and not self.due

    @property
    def polls(self) -> bool:
        """Events waited for a slot of the grid: the checklist is asked as well (§12)."""
        slot = self.snapshot.intent is Intent.SCHEDULED
        return slot and bool(self.events) and not self.snapshot.file_empty


def stranger_ids(events: Sequence[QueuedEvent]) -> list[str]:
    """Return which events bring words from outside: commands always do (heartbeat.md §15)."""
    return [one.id for one in events if not one.trusted or one.kind == "exec"]


def wake_words(wake: Wake) -> dict[str, Any]:
    """Return a wake as the record keeps it."""
    return {
        "source": wake.source,
        "intent": wake.intent.value,
        "reason": wake.reason,
        **({"by": wake.by} if wake.by else {}),
        **({"eventIds": list(wake.event_ids)} if wake.event_ids else {}),
    }


def facts_of(view: View, wake: Wake) -> dict[str, Any]:
    """Return the gate facts of a decision, JSON-ready: with them it can be replayed."""
    beat = view.snapshot
    facts: dict[str, Any] = {
        "kind": "event" if view.events else "tasks" if view.due else "poll",
        "intent": wake.intent.value,
        "enabled": beat.enabled,
        "enrolled": beat.enrolled,
        "failures": beat.failures,
        "events": [event.id for event in view.events],
        "file": {
            "sha256": view.file.sha256,
            "bytes": view.file.size,
            "empty": view.file.empty,
            "missing": view.file.missing,
        },
        "shown": {
            "ok": view.shown.ok,
            "alerts": view.shown.alerts,
            "indicator": view.shown.indicator,
        },
        "lookedAt": view.looked_at.astimezone(UTC).isoformat(),
        "snapshot": kept(beat, view.looked_at),
        "config": view.config_hash,
        "modelPrint": view.agent.model_print,
    }
    if view.expired:
        facts["eventsExpired"] = [
            {"id": one.id, "text": one.text[:200], "expiredAtMs": ms(one.expires_at)}
            for one in view.expired
        ]
    if view.taken:
        facts["eventsTaken"] = [
            {"id": one.id, "runId": one.run_id, "atMs": ms(one.at)} for one in view.taken
        ]
    if view.file.warnings:
        facts["warnings"] = list(view.file.warnings)
    if view.probed is not None:
        facts["probes"] = view.probed.facts()
    if view.agent.beat.slack is not None:
        facts["adaptive"] = {"quietPolls": beat.quiet_polls, "restsUntilMs": ms(beat.rests_until)}
    if beat.active_hours is not None:
        facts["activeHours"] = beat.active_hours.describe()
    if beat.tasks:
        facts["tasks"] = {"all": list(beat.tasks), "due": list(beat.tasks_due)}
    facts |= _held_by(view)
    busy = [*beat.cron_running, *beat.lanes_busy, *beat.turns_in_flight]
    if busy:
        facts["blockedBy"] = busy
    return facts


def _held_by(view: View) -> dict[str, Any]:
    """What lay over the beat, or would have: a pause, silence, trouble, a budget."""
    beat = view.snapshot
    found = {
        "paused": beat.paused,
        "idleSinceMs": ms(beat.idle_since),
        "suspended": beat.suspended,
        "budget": view.purse.to_json() if view.purse is not None else None,
        "backoffUntilMs": ms(beat.backoff_until),
    }
    return {key: value for key, value in found.items() if value is not None}


def target_words(view: View) -> dict[str, Any]:
    """Return where an alert would go, for the row."""
    wish = view.agent.beat.wish
    return {"requested": wish.target, "source": wish.source, **found_words(view.found)}
