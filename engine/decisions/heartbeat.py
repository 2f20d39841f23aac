"""Cadence of beats and who has one: heartbeat.md §3 (who), §4 (when). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from jobs.dayparts import Dayparts, Part
from jobs.hours import ActiveHours
from jobs.model import Job, Source
from jobs.schedule import Cron, Every, Repeating
from jobs.wallclock import EPOCH, MILLISECOND
from jobs.windows import SEEK, Hours, Window, Windows

TASK_TAG: Final = "heartbeat-task"
DEFAULT_EVERY: Final = timedelta(minutes=30)
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)


def job_id(agent_id: str) -> str:
    """Return the id of an agent's heartbeat among the jobs (design.md §1)."""
    return f"heartbeat:{agent_id}"


def is_task(job: Job) -> bool:
    """Whether a job is a task of a checklist that has a schedule of its own (§25-14)."""
    return job.source is Source.SYSTEM and TASK_TAG in job.policies.tags


# -- when ------------------------------------------------------------------------------------


def phase(seed: str, agent_id: str, period: timedelta) -> timedelta:
    """Return an agent's offset inside its interval: the same in any process (§4)."""
    size = max(1, period // MILLISECOND)
    digest = hashlib.sha256(f"{seed}:{agent_id}".encode()).digest()
    return timedelta(milliseconds=int.from_bytes(digest[:4], "big") % size)


def grid(seed: str, agent_id: str, period: timedelta) -> Every:
    """Return the beats of an agent as an ordinary schedule."""
    return Every(period, EPOCH + phase(seed, agent_id, period))


def anchored(at: time, zone: ZoneInfo, period: timedelta, year: int) -> Every | Cron:
    """Return beats counted from a local time of day: `phase: "09:00"` (§4).

    Intervals that fit a day in whole hours keep to the wall clock all year. Any other is a
    plain grid, counted by the zone's standard time of ``year``: like every grid it shifts by
    an hour on the wall when the clocks change (§19).
    """
    hours, rest = divmod(period, _HOUR)
    if not rest and not at.second and hours and 24 % hours == 0:
        field = f"{at.hour % hours}-23/{hours}" if hours < 24 else f"{at.hour}"
        return Cron(f"{at.minute} {field} * * *", zone.key)
    standard = min(_offset(zone, year, month) for month in (1, 7))
    of_day = timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)
    return Every(period, EPOCH + (of_day - standard) % period)


def _offset(zone: ZoneInfo, year: int, month: int) -> timedelta:
    return datetime(year, month, 1, tzinfo=zone).utcoffset() or timedelta()


@dataclass(frozen=True, slots=True)
class Cadence:
    """When an agent beats; ``warning`` if its own grid would never meet its active hours."""

    schedule: Repeating
    warning: str | None = None


def cadence(
    seed: str,
    agent_id: str,
    period: timedelta,
    now: datetime,
    *,
    at: time | None = None,
    zone: ZoneInfo,
    hours: Hours | None = None,
    dayparts: Sequence[Window] = (),
) -> Cadence:
    """Return when an agent beats: its grid, or counted from ``at``; every window gets a beat.

    In the hours of ``dayparts`` it beats at their own interval. The same config and the same
    clock give the same slots, in any process.
    """
    counted = grid(seed, agent_id, period) if at is None else anchored(at, zone, period, now.year)
    own = [_part(one, grid(seed, agent_id, one.every)) for one in dayparts if one.every]
    if isinstance(hours, Windows):
        return opened(counted, own, hours, now)
    return settled(Dayparts(counted, tuple(own)) if own else counted, hours, now)


def opened(
    counted: Every | Cron, own: Sequence[Part[Every | Cron]], hours: Windows, now: datetime
) -> Cadence:
    """Give each of several windows at least one beat: one that no slot meets, when it opens."""
    parts, warnings = [*own], []
    for window in hours.each:
        schedule = Dayparts(counted, tuple(parts)) if parts else counted
        opens = window.next_opening(now)
        if opens is None or opens - now > SEEK:
            continue  # no grid is to blame: its days are far away
        if next_that_runs(schedule, Windows((window,)), now) is None:
            hour, minute = divmod(window.hours.start, 60)
            at_opening = Cron(f"{minute} {hour} * * *", window.hours.zone.key)
            parts.insert(0, _part(window, at_opening))
            warnings.append(_never_open(schedule, window, hour, minute))
    schedule = Dayparts(counted, tuple(parts)) if parts else counted
    if hours.next_opening(now) is None and not hours.contains(now):
        warnings.append(shut(hours))
    return Cadence(schedule, "; ".join(warnings) or None)


def _part(window: Window, schedule: Every | Cron) -> Part[Every | Cron]:
    return Part(replace(window.hours, wall=False), window.weekdays, schedule)


def settled(schedule: Repeating, hours: ActiveHours | None, now: datetime) -> Cadence:
    """Give a window at least one beat (§4 [E]).

    A grid with no slot inside the window within 14 days is moved to where the window opens,
    its period rounded up to whole days: any other would leave the window again. One that comes
    at the same times every day has shown all it has after one: until the clocks change, when
    it may come or go.
    """
    daily = isinstance(schedule, Cron) or (
        isinstance(schedule, Every) and not _DAY % schedule.period
    )
    within = _DAY if daily else SEEK
    if hours is None or next_that_runs(schedule, hours, now, within=within) is not None:
        return Cadence(schedule)
    hour, minute = divmod(hours.start, 60)
    warning = _never_open(schedule, hours, hour, minute)
    if not isinstance(schedule, Every) or schedule.period <= _DAY:
        return Cadence(Cron(f"{minute} {hour} * * *", hours.zone.key), warning)
    slot = schedule.next_after(now)
    opens = min(
        (hours.next_opening(slot - back * _DAY) for back in range(2)),
        key=lambda opening: abs(opening - slot),
    )
    days = -(-schedule.period // _DAY) * _DAY
    return Cadence(Every(days, EPOCH + (opens - EPOCH) % days), warning)


def shut(hours: Hours) -> str:
    """Say that active hours never come."""
    return f"window-never-open: none of {hours.describe()} opens within two years"


def _never_open(schedule: Repeating, hours: ActiveHours | Window, hour: int, minute: int) -> str:
    return (
        f"window-never-open: {schedule.describe()} has no beat within {hours.describe()}, so it"
        f' beats when the window opens; set a smaller every, or phase: "{hour:02}:{minute:02}"'
    )


def next_that_runs(
    schedule: Repeating, hours: Hours | None, after: datetime, *, within: timedelta = SEEK
) -> datetime | None:
    """Return the first slot inside the active hours; None if none lies in the next 14 days."""
    slot = schedule.next_after(after)
    if hours is None:
        return slot
    horizon = after + within
    while slot is not None and slot <= horizon:
        if hours.contains(slot):
            return slot
        # No slot before the window opens can be inside it.
        opens = hours.opens_after(slot)
        if opens is None:
            return None
        slot = schedule.next_after(max(slot, opens - MILLISECOND))
    return None


# -- who -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentBlock:
    """What the config says about one agent's heartbeat."""

    agent_id: str
    is_default: bool = False
    own_block: bool = False  # it has a heartbeat block of its own
    period: timedelta | None = DEFAULT_EVERY  # merged over the defaults; None: switched off


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Whether an agent beats, how often, and if not why."""

    agent_id: str
    period: timedelta | None  # None: no beats of its own
    because: str = ""
    enrolled: bool = True  # false: not even an event wakes it; a cadence of zero leaves it true


def enrol(
    agents: Sequence[AgentBlock], *, defaults_present: bool, everybody: bool = False
) -> tuple[Enrolment, ...]:
    """Say which agents have a heartbeat (§3 [E]).

    ``everybody`` is `agents.defaults.heartbeat.agents: "all"`. A block that is switched off
    does not silence the others.
    """
    explicit = {a.agent_id for a in agents if a.own_block and a.period is not None}
    if explicit and not everybody:
        chosen, why = explicit, f"another agent has its own block ({', '.join(sorted(explicit))})"
    elif defaults_present or everybody:
        chosen, why = {a.agent_id for a in agents}, ""
    else:
        chosen = {a.agent_id for a in agents if a.is_default}
        why = "only the default agent beats until agents.defaults.heartbeat is set"
    return tuple(_enrolment(agent, agent.agent_id in chosen, why) for agent in agents)


def _enrolment(agent: AgentBlock, chosen: bool, why: str) -> Enrolment:
    if agent.period is None:
        return Enrolment(
            agent_id=agent.agent_id,
            period=None,
            because="its heartbeat is switched off (every)",
            enrolled=chosen or agent.own_block,
        )
    if chosen:
        return Enrolment(agent_id=agent.agent_id, period=agent.period)
    return Enrolment(
        agent_id=agent.agent_id, period=None, because=f"not-enrolled: {why}", enrolled=False
    )
