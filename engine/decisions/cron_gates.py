"""May this scheduled run begin? One list, one order, one reason (cron.md §§8, 9, 22). Pure.

The order of `GATES` is a promise: people see the most fundamental obstacle first. What takes
a look at the world (a gate command, another job's success) is asked later, when the run has
its row: `engine.cron.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final

from engine.decisions.gates import Defer, Skip, Stop
from jobs.duration import format_duration
from jobs.ledger import LEFT_OUT, NOTHING_SPENT, SCHEDULER_OFF, SkipReason, Spent
from jobs.policies import Budget, Overlap, Policies
from jobs.retry import in_a_row
from jobs.values import swift
from jobs.windows import SEEK, Hours

# What the gates tell whoever performs the run, in the facts of its row.
CHEAPER: Final = "model"  # instead of the job's own: the budget is spent
SPENT: Final = "spent"  # whose budget it is: see `Whose`
_SKIP: Final = Overlap()
REPLACING: Final = frozenset({"cancel-running", "terminate-running"})


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class CronSnapshot:
    """Everything a decision about one scheduled run may look at, read once before deciding."""

    policies: Policies
    slot: datetime | None = None
    zone: tzinfo = UTC  # of the job: its days and the evidence
    cron_enabled: bool = True
    retry_at: datetime | None = None
    failures: int = 0
    skipped_once: str | None = None  # who asked for this slot to be left out
    excluded: str | None = None  # which calendar excludes the slot's day, and why
    allowed_at: datetime | None = None  # when the slot may run instead (next-allowed)
    runs: int = 0  # ever, those that go on included
    runs_today: int = 0
    active_hours: Hours | None = None  # of the agent
    spent: Spent = NOTHING_SPENT
    spent_by_all: Spent = NOTHING_SPENT
    budget_of_all: Budget | None = None  # cron.budget
    overlap: Overlap = _SKIP  # the job's, else the config's
    running: tuple[str, ...] = ()  # runs of this job that go on
    waiting: int = 0  # runs of this job that wait behind them
    last_end: datetime | None = None
    refire_gap: timedelta = timedelta()


class Whose(StrEnum):
    """Whose budget is spent."""

    JOB = "job"  # its own
    ALL = "all"  # cron.budget


@dataclass(frozen=True, slots=True)
class Overspent(Skip):
    """Do not run: a budget is spent."""

    whose: Whose = Whose.JOB


class Place(StrEnum):
    """Where a run stands to the runs of its job that go on when it begins."""

    ALONE = "alone"  # it begins only if there are none
    BEHIND = "behind"  # it waits for them
    BESIDE = "beside"  # it begins whatever goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Go ahead."""

    place: Place = Place.ALONE
    replaces: tuple[str, ...] = ()  # runs that must make room
    model: str | None = None  # a cheaper one: the budget is spent
    spent: Whose | None = None  # the budget that is spent, and stops nothing
    because: str = ""


# Those whose newer run takes the place of an older one are in `REPLACING`.
PLACES: Final[Mapping[str, Place]] = {
    "skip": Place.ALONE,
    "buffer-one": Place.BEHIND,
    "buffer-all": Place.BEHIND,
    "cancel-running": Place.BEHIND,
    "terminate-running": Place.BESIDE,
    "allow": Place.BESIDE,
}
Decision = Go | Skip | Defer
Gate = Callable[[CronSnapshot, datetime], Stop | None]


def decide(snapshot: CronSnapshot, now: datetime) -> Decision:
    """Return the first obstacle in the order of `GATES`, or how to go ahead."""
    for gate in GATES:
        stop = gate(snapshot, now)
        if stop is not None:
            return stop
    policy = snapshot.overlap.policy
    replaces = snapshot.running if policy in REPLACING else ()
    return _within_budget(snapshot, Go(place=PLACES[policy], replaces=replaces))


def spent_words(budget: Budget, spent: Spent) -> str | None:
    """Say that a budget is used up; None while something is left."""
    if budget.tokens_per_day is not None and spent.tokens >= budget.tokens_per_day:
        return f"{spent.tokens} of {budget.tokens_per_day} tokens of today are spent"
    if budget.runs_per_day is not None and spent.runs >= budget.runs_per_day:
        return f"{spent.runs} of {budget.runs_per_day} runs of today are spent"
    if budget.cost_per_day is not None and spent.usd >= budget.cost_per_day:
        return f"${spent.usd:.2f} of ${budget.cost_per_day:.2f} of today are spent"
    return None


def _switched_off(snapshot: CronSnapshot, _now: datetime) -> Stop | None:
    if snapshot.cron_enabled:
        return None
    return Skip(SkipReason.DISABLED, SCHEDULER_OFF)


def _in_backoff(snapshot: CronSnapshot, now: datetime) -> Stop | None:
    if snapshot.retry_at is None or now >= snapshot.retry_at:
        return None
    until = f"{snapshot.retry_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    words = f"{in_a_row(snapshot.failures)}; it waits until {until}"
    return Skip(SkipReason.BACKOFF, words)


def _left_out(snapshot: CronSnapshot, _now: datetime) -> Stop | None:
    if snapshot.skipped_once is None:
        return None
    return Skip(SkipReason.CALENDAR_EXCLUDED, f"{LEFT_OUT}, {snapshot.skipped_once}")


def _on_excluded_day(snapshot: CronSnapshot, _now: datetime) -> Stop | None:
    if snapshot.excluded is None:
        return None
    if snapshot.allowed_at is None:
        return Skip(SkipReason.CALENDAR_EXCLUDED, snapshot.excluded)
    if snapshot.running or snapshot.waiting:
        words = f"{snapshot.excluded}; a slot before it waits for that day already"
        return Skip(SkipReason.CALENDAR_EXCLUDED, words)
    return Defer(SkipReason.CALENDAR_EXCLUDED, snapshot.excluded, snapshot.allowed_at)


def _had_its_runs(snapshot: CronSnapshot, _now: datetime) -> Stop | None:
    most = snapshot.policies.max_runs
    if most is None or snapshot.runs < most:
        return None
    return Skip(SkipReason.MAX_RUNS, f"it has had {snapshot.runs} of {most} runs")


def _had_its_day(snapshot: CronSnapshot, _now: datetime) -> Stop | None:
    most = snapshot.policies.max_runs_per_day
    if most is None or snapshot.runs_today < most:
        return None
    words = f"it has run {snapshot.runs_today} of {most} times today ({_zone(snapshot)})"
    return Skip(SkipReason.MAX_RUNS_PER_DAY, words)


def _outside_hours(snapshot: CronSnapshot, now: datetime) -> Stop | None:
    hours = snapshot.active_hours
    if snapshot.policies.active_hours is None or hours is None or hours.contains(now):
        return None
    words = f"it is {now.astimezone(hours.zone):%H:%M}; the agent is active {hours.describe()}"
    if snapshot.policies.active_hours == "skip":
        return Skip(SkipReason.QUIET_HOURS, words)
    return Defer(SkipReason.QUIET_HOURS, words, hours.opens_after(now) or now + SEEK)


def _overspent(snapshot: CronSnapshot, _now: datetime) -> Stop | None:
    for whose, budget, words in _exceeded(snapshot):
        if budget.fallback_model is None and not budget.warn_only:
            return Overspent(SkipReason.BUDGET_EXHAUSTED, words, whose)
    return None


def _overlapping(snapshot: CronSnapshot, _now: datetime) -> Stop | None:
    if not snapshot.running:
        return None
    overlap, waiting = snapshot.overlap, snapshot.waiting
    match overlap.policy:
        case "buffer-one":
            full = f"run {snapshot.running[0]} was still going, and one waits" if waiting else ""
        case "buffer-all":
            full = f"{waiting} runs wait already" if waiting >= overlap.most else ""
        case "allow":
            going = len(snapshot.running)
            full = f"{going} runs were still going" if going >= overlap.most else ""
        case "cancel-running" | "terminate-running":
            full = ""
        case _:
            full = f"run {snapshot.running[0]} was still going"
    return Skip(SkipReason.OVERLAP_SKIP, full) if full else None


def _too_soon(snapshot: CronSnapshot, _now: datetime) -> Stop | None:
    gap, ended = snapshot.refire_gap, snapshot.last_end
    if ended is None or snapshot.slot is None or snapshot.slot >= ended + gap:
        return None
    words = f"the run before it ended less than {format_duration(gap)} ago"
    return Skip(SkipReason.OVERLAP_SKIP, words)


GATES: Final[tuple[Gate, ...]] = (
    _switched_off,
    _in_backoff,
    _left_out,
    _on_excluded_day,
    _had_its_runs,
    _had_its_day,
    _overspent,
    _overlapping,
    _too_soon,
    _outside_hours,  # last: it may only defer, and what would not run then need not wait
)


def _exceeded(snapshot: CronSnapshot) -> Iterator[tuple[Whose, Budget, str]]:
    """Yield every budget that is spent, that of all jobs first, with the evidence."""
    of_all, own = snapshot.budget_of_all, snapshot.policies.budget
    if of_all is not None and (words := spent_words(of_all, snapshot.spent_by_all)):
        yield Whose.ALL, of_all, f"{words} by all jobs"
    if own is not None and (words := spent_words(own, snapshot.spent)):
        yield Whose.JOB, own, words


def _within_budget(snapshot: CronSnapshot, go: Go) -> Go:
    """Return how to go ahead although a budget may be spent: with a cheaper model, or warned."""
    exceeded = list(_exceeded(snapshot))
    for whose, budget, words in exceeded:
        if budget.fallback_model is not None:
            because = f"{words}: the cheaper model answers"
            return replace(go, model=budget.fallback_model, spent=whose, because=because)
    for whose, _, words in exceeded:
        return replace(go, spent=whose, because=f"{words}: it only warns (onExceed)")
    return go


def _zone(snapshot: CronSnapshot) -> str:
    return getattr(snapshot.zone, "key", "UTC")
