"""May this beat run? One list, one order, one reason (heartbeat.md §7 "[E] order in full"). Pure.

The order of `GATES` is a promise: people see the most fundamental obstacle first. `walk`
goes through the same list without stopping, so an explanation cannot disagree with the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from engine.decisions.wake import Deferral, Intent
from jobs.ledger import SkipReason
from jobs.retry import in_a_row
from jobs.windows import SEEK, Hours, Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatSnapshot:
    """Everything a beat decision may look at, read once before deciding."""

    intent: Intent
    source: str = "interval"  # of the wake: interval, cli, rpc, cron, exec, hook, ...
    zone: tzinfo = UTC  # of the person: times in the evidence
    file: str = "HEARTBEAT.md"  # as the evidence names it
    enabled: bool = True
    enrolled: bool = True
    not_enrolled_because: str = ""
    paused: str | None = None  # who, why, until
    idle_since: datetime | None = None  # last word of a person, if idlePauseAfter is set
    idle_pause_after: timedelta | None = None
    suspended: str | None = None  # what the provider refuses
    backoff_until: datetime | None = None
    failures: int = 0
    budget_spent: str | None = None  # which budget, how much
    held_back: Deferral | None = None  # engine.decisions.wake.guard: not-due, min-spacing, flood
    recent_run_at: datetime | None = None  # start of a poll too close before this slot
    active_hours: Hours | None = None
    rests_until: datetime | None = None  # polls found nothing for long (engine.decisions.adaptive)
    quiet_polls: int = 0  # that many of them, at least
    has_events: bool = False  # texts wait for this beat: the file is not asked
    file_error: str | None = None
    file_empty: bool = False
    tasks: tuple[str, ...] = ()
    tasks_due: tuple[str, ...] = ()
    next_task_at: datetime | None = None
    visible: bool = True  # any of showOk, showAlerts, useIndicator
    no_route: tuple[SkipReason, str] | None = None
    cron_running: tuple[str, ...] = ()  # jobs of this agent, the asking one left out
    lanes_busy: tuple[str, ...] = ()  # sub-agents, if skipWhenBusy
    turns_in_flight: tuple[str, ...] = ()  # run ids, with their age in words


@dataclass(frozen=True, slots=True)
class Run:
    """Go ahead."""

    outside_active_hours: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """Do not run; this beat is over."""

    reason: SkipReason
    because: str


@dataclass(frozen=True, slots=True)
class Defer:
    """Not now: wait until ``retry_at``, or until the agent is free if there is none."""

    reason: SkipReason
    because: str
    retry_at: datetime | None = None


Decision = Run | Skip | Defer
Stop = Skip | Defer
Gate = Callable[[BeatSnapshot, datetime], Stop | None]


# Nobody asked for these at this hour: they wait for the window (heartbeat.md §5).
_CALM_SOURCES: Final = frozenset({"hook", "exec", "node", "task", "notification"})


def _disabled(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    if beat.enabled:
        return None
    return Skip(SkipReason.DISABLED, "heartbeats are switched off")


def _not_enrolled(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    # An agent whose cadence is off counts as enrolled: its events may wake it (§16).
    if beat.enrolled:
        return None
    return Skip(SkipReason.NOT_ENROLLED, beat.not_enrolled_because or "this agent has no heartbeat")


def _paused(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    return Skip(SkipReason.PAUSED, beat.paused) if beat.paused and _polls(beat) else None


def _idle(beat: BeatSnapshot, now: datetime) -> Stop | None:
    if beat.idle_pause_after is None or beat.idle_since is None or not _polls(beat):
        return None
    quiet = now - beat.idle_since
    if quiet <= beat.idle_pause_after:
        return None
    return Skip(
        SkipReason.IDLE_PAUSED,
        f"no person has written for {_words(quiet)}"
        f" (idlePauseAfter {_words(beat.idle_pause_after)})",
    )


def _suspended(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    return Skip(SkipReason.SUSPENDED, beat.suspended) if beat.suspended and _polls(beat) else None


def _backoff(beat: BeatSnapshot, now: datetime) -> Stop | None:
    if beat.backoff_until is None or now >= beat.backoff_until or not _polls(beat):
        return None
    return Skip(
        SkipReason.BACKOFF,
        f"{in_a_row(beat.failures)}; it waits until {_at(beat, beat.backoff_until)}",
    )


def _budget(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    if beat.budget_spent is None or not _polls(beat):
        return None
    return Skip(SkipReason.BUDGET_EXHAUSTED, beat.budget_spent)


def _too_early(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    return _held(beat, SkipReason.NOT_DUE) or _held(beat, SkipReason.MIN_SPACING)


def _flood(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    return _held(beat, SkipReason.FLOOD)


def _held(beat: BeatSnapshot, reason: SkipReason) -> Stop | None:
    held = beat.held_back
    if held is None or held.reason is not reason or beat.intent is Intent.MANUAL:
        return None
    if held.retry_at is None:
        return Skip(held.reason, held.because)
    return Defer(held.reason, held.because, held.retry_at)


def _recent_run(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    if beat.recent_run_at is None or beat.intent is not Intent.SCHEDULED or beat.has_events:
        return None
    return Skip(
        SkipReason.RECENT_RUN,
        f"a wake made the agent look at {_at(beat, beat.recent_run_at)}, shortly before this slot",
    )


def _quiet_hours(beat: BeatSnapshot, now: datetime) -> Stop | None:
    hours = beat.active_hours
    urgent = beat.intent is Intent.IMMEDIATE and beat.source not in _CALM_SOURCES
    if hours is None or urgent or beat.intent is Intent.MANUAL or hours.contains(now):
        return None
    local = now.astimezone(hours.zone)
    words = f"it is {local:%H:%M} in {hours.zone.key}; active {hours.describe()}"
    if isinstance(hours, Windows) and (closed := hours.closed_because(now)) is not None:
        words = f"{words}; {closed}"
    if beat.intent is not Intent.SCHEDULED:
        return Defer(SkipReason.QUIET_HOURS, words, hours.opens_after(now) or now + SEEK)
    return Skip(SkipReason.QUIET_HOURS, words)


def _resting(beat: BeatSnapshot, now: datetime) -> Stop | None:
    if beat.rests_until is None or now >= beat.rests_until or not _reads_file(beat):
        return None
    if beat.tasks_due:
        return None  # they have a pace of their own
    return Skip(
        SkipReason.RESTING,
        f"{beat.quiet_polls} polls in a row found nothing; it looks again after"
        f" {_at(beat, beat.rests_until)}",
    )


def _invalid_file(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    if beat.file_error is None or not _reads_file(beat):
        return None
    return Skip(SkipReason.INVALID_HEARTBEAT_FILE, beat.file_error)


def _empty_file(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    if not beat.file_empty or not _reads_file(beat):
        return None
    return Skip(SkipReason.EMPTY_HEARTBEAT_FILE, f"{beat.file} has no instructions")


def _no_tasks_due(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    if not beat.tasks or beat.tasks_due or not _reads_file(beat):
        return None
    following = f"; the next is due at {_at(beat, beat.next_task_at)}" if beat.next_task_at else ""
    return Skip(SkipReason.NO_TASKS_DUE, f"none of {', '.join(beat.tasks)} is due{following}")


def _alerts_disabled(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    if beat.visible or beat.intent is Intent.MANUAL:
        return None
    return Skip(
        SkipReason.ALERTS_DISABLED,
        "showOk, showAlerts and useIndicator are all off for the channel",
    )


def _unroutable(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    return None if beat.no_route is None else Skip(*beat.no_route)


def _cron_in_progress(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    if not beat.cron_running:
        return None
    return Defer(
        SkipReason.CRON_IN_PROGRESS, f"a scheduled job is running: {', '.join(beat.cron_running)}"
    )


def _lanes_busy(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    if not beat.lanes_busy:
        return None
    return Defer(SkipReason.LANES_BUSY, f"sub-agents are working: {', '.join(beat.lanes_busy)}")


def _in_flight(beat: BeatSnapshot, _now: datetime) -> Stop | None:
    if not beat.turns_in_flight:
        return None
    return Defer(
        SkipReason.REQUESTS_IN_FLIGHT, f"the agent is busy: {', '.join(beat.turns_in_flight)}"
    )


GATES: Final[tuple[Gate, ...]] = (
    _disabled, _not_enrolled, _paused, _idle,
    _suspended, _backoff, _budget,
    _too_early, _recent_run, _flood,
    _quiet_hours,
    _invalid_file, _empty_file, _no_tasks_due,
    _resting,
    _alerts_disabled,
    _unroutable,
    _cron_in_progress, _lanes_busy, _in_flight,
)  # fmt: skip


def decide(beat: BeatSnapshot, now: datetime) -> Decision:
    """Return Run, or what the first gate that objects says."""
    for gate in GATES:
        if (stop := gate(beat, now)) is not None:
            return stop
    hours = beat.active_hours
    return Run(outside_active_hours=hours is not None and not hours.contains(now))


def walk(beat: BeatSnapshot, now: datetime) -> Sequence[Stop]:
    """Return every objection, most fundamental first."""
    return [stop for gate in GATES if (stop := gate(beat, now)) is not None]


def _polls(beat: BeatSnapshot) -> bool:
    """Whether this is a slot of the grid: neither a person nor an event asked for it."""
    return beat.intent is Intent.SCHEDULED


def _reads_file(beat: BeatSnapshot) -> bool:
    """People and events bypass the file, also events that waited for this slot."""
    return _polls(beat) and not beat.has_events


def _at(beat: BeatSnapshot, instant: datetime) -> str:
    return f"{instant.astimezone(beat.zone):%H:%M:%S} ({beat.zone})"


def _words(span: timedelta) -> str:
    hours, rest = divmod(int(span.total_seconds()), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min"
