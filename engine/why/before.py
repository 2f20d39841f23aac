"""The links before the agent is asked: scheduler, heartbeat, window, gate, checklist."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from engine.decisions.gates import Stop, walk
from engine.decisions.troubles import split_fix, switched_off
from engine.messages.remedy import set_key
from engine.why.chain import EDIT, Code, Link, Standing, broken, ok, unknown, waits
from engine.why.facts import Facts
from engine.why.reasons import objection, place
from jobs.duration import format_duration
from jobs.ledger import RunStatus, SkipReason

Stops = Mapping[SkipReason, Stop]
_PARTS: Final = ("scheduler", "clockwork", "loop")
_OF_THE_MODEL: Final = (SkipReason.SUSPENDED, SkipReason.BACKOFF)
_ANEW: Final = "elsewhere: end the gateway and start it again, it plans them anew"
_OF_THE_FILE: Final = (SkipReason.EMPTY_HEARTBEAT_FILE, SkipReason.INVALID_HEARTBEAT_FILE)
# The agent looked just now, or lately often enough.
_PASSES: Final = (SkipReason.RECENT_RUN, SkipReason.MIN_SPACING, SkipReason.RESTING)


def stops_of(facts: Facts) -> Stops:
    """Return what the gates object to, in their order."""
    if facts.seen is None:
        return {}
    return {stop.reason: stop for stop in walk(facts.seen.snapshot, facts.now)}


def _first(facts: Facts, code: Code, stops: Stops) -> Link | None:
    """The first gate that objects at a link; one that only waits if there is no other."""
    here = [stop for stop in stops.values() if place(stop.reason) is code]
    links = [objection(stop.reason, stop.because, agent=facts.agent_id) for stop in here]
    return next(
        (link for link in links if link.state is Standing.BROKEN), links[0] if links else None
    )


def scheduler(facts: Facts) -> Link:
    """Whether the next beat is planned, and the parts of the process that serve it live."""
    for part in _PARTS:
        if part in facts.failing:
            why, fix = split_fix(facts.failing[part])
            what = f"the {part} fails: {why}"
            return broken(Code.SCHEDULER, "not-armed", what, fix or "engine gateway status")
    if facts.unreadable:
        what = f"the stored beats of {facts.agent_id} cannot be read ({facts.unreadable})"
        return broken(Code.SCHEDULER, "not-armed", what, _ANEW if facts.live else "engine gateway")
    if facts.scheduled is None or (not facts.scheduled and not facts.live):
        return unknown(Code.SCHEDULER, f"no beat of {facts.agent_id} is planned yet")
    if not facts.scheduled:
        what = f"no beat of {facts.agent_id} is planned in the store"
        return broken(Code.SCHEDULER, "not-armed", what, "engine gateway")
    return ok(Code.SCHEDULER, "the next beat is planned")


def heartbeat(facts: Facts, stops: Stops) -> Link:
    """Whether the agent has beats, and nobody switched them off."""
    agent = facts.agent_id
    if facts.off is not None:
        off = switched_off(facts.off)
        return objection(SkipReason.DISABLED, off.what, off.fix)
    seen = facts.seen
    if seen is None:
        return unknown(Code.HEARTBEAT)
    if seen.period is None:
        because = seen.no_beats_because or f"{agent} has no heartbeat of its own"
        fix = set_key(seen.keys, "every", "30m") if seen.enrolled else ""
        return objection(SkipReason.NOT_ENROLLED, because, fix, agent=agent)
    if (held := stops.get(SkipReason.PAUSED)) is not None:
        return objection(held.reason, held.because, "engine heartbeat resume")
    stopped = _first(facts, Code.HEARTBEAT, stops)
    return stopped or ok(Code.HEARTBEAT, f"{agent} beats every {format_duration(seen.period)}")


def window(facts: Facts, stops: Stops) -> Link:
    """Whether it is the hour for a beat, and when the next is due."""
    seen = facts.seen
    if seen is None:
        return unknown(Code.WINDOW)
    stopped = _first(facts, Code.WINDOW, stops)
    if stopped is not None and stopped.state is Standing.BROKEN:
        return stopped
    if seen.next_due_at is None:
        return unknown(Code.WINDOW, "no beat is due")
    hours = seen.snapshot.active_hours
    inside = f"; active {hours.describe()}" if hours else ""
    due = f"{seen.next_due_at.astimezone(seen.snapshot.zone):%Y-%m-%d %H:%M} ({seen.snapshot.zone})"
    return waits(Code.WINDOW, SkipReason.NOT_DUE, f"the next beat is due at {due}{inside}")


def gate(facts: Facts, stops: Stops) -> Link:
    """Whether something holds the beat back that is neither its hour nor its checklist.

    What the model did is told where the model stands, if that is known.
    """
    failed = facts.last is not None and facts.last.status is RunStatus.FAILED
    held = [
        objection(
            stop.reason,
            stop.because,
            _way_past(facts, stop.reason),
            state=_standing(stop.reason, failed=failed),
            agent=facts.agent_id,
        )
        for stop in stops.values()
        if place(stop.reason) is Code.GATE
    ]
    if held:
        return next((link for link in held if link.state is Standing.BROKEN), held[0])
    counted = ", ".join(f"{count} {reason}" for reason, count in facts.counts.items())
    skipped = f"skipped in the last 24 h: {counted}" if counted else "no beat was skipped in 24 h"
    return ok(Code.GATE, f"nothing holds it back now; {skipped}")


def _way_past(facts: Facts, reason: SkipReason) -> str:
    """The command for this very case; '' where the general remedy will do."""
    seen = facts.seen
    if reason is not SkipReason.BUDGET_EXHAUSTED or seen is None or seen.wider is None:
        return ""
    key, limit = seen.wider
    whole = seen.keys.get("budget", "agents.defaults.heartbeat.budget")
    return f"engine config set {shlex.quote(f'{whole}.{key}')} {limit}"


def _standing(reason: SkipReason, *, failed: bool) -> Standing:
    if reason in _PASSES or (failed and reason in _OF_THE_MODEL):
        return Standing.WAITING
    return Standing.BROKEN


def checklist(facts: Facts, stops: Stops) -> Link:
    """Whether there is something to look at."""
    seen = facts.seen
    if seen is None:
        return unknown(Code.CHECKLIST)
    if (stopped := _first(facts, Code.CHECKLIST, stops)) is not None:
        mended = SkipReason(stopped.reason) in _OF_THE_FILE
        return replace(stopped, fix=EDIT + shlex.quote(seen.snapshot.file)) if mended else stopped
    if seen.file_bytes is None:
        return ok(Code.CHECKLIST, "there is no HEARTBEAT.md; the agent is asked without one")
    return ok(Code.CHECKLIST, f"HEARTBEAT.md has {seen.file_bytes} bytes to look at")
