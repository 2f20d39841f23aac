"""Named calendars: which days they allow, why, and where an excluded slot goes (cron.md §22-7).

A day is allowed if it is among ``include`` (where there is one) and the ``weekdays``, and not
among ``exclude``; a make-up day is allowed whatever else is said. Days are those of the
calendar's zone, so that a slot in New York can ask for a trading day in Shanghai.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from jobs.calendar.events import Events
from jobs.wallclock import EPOCH, segment, zone

SKIP: Final = "skip"
PREVIOUS_ALLOWED: Final = "previous-allowed"
FARTHEST: Final = 2 * 366  # days a slot is moved at most: any day of a year is nearer
_MOST_WORK: Final = 20_000  # days looked at for one slot, the same for each of thousands of events
_DRIFT: Final = 2  # days by which the days of two zones shift against each other at most
_KEPT: Final = 4000  # verdicts of one calendar that are remembered
NAMES: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """The days from one date to another, both included."""

    first: date
    last: date

    def named(self, day: date) -> str | None:
        """Return the span in words if the day is in it."""
        return str(self) if self.first <= day <= self.last else None

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"


@dataclass(frozen=True, slots=True)
class Yearly:
    """Days of every year, as (month, day); from December into January where the last is first."""

    first: tuple[int, int]
    last: tuple[int, int]

    def named(self, day: date) -> str | None:
        """Return the days in words if the day is one of them."""
        at = (day.month, day.day)
        if self.first <= self.last:
            return str(self) if self.first <= at <= self.last else None
        return str(self) if at >= self.first or at <= self.last else None

    def __str__(self) -> str:
        first, last = (f"{month:02}-{day:02}" for month, day in (self.first, self.last))
        return f"{first} of every year" if first == last else f"{first}..{last} of every year"


@dataclass(frozen=True, slots=True)
class Weekdays:
    """Days of the week, Monday = 0."""

    days: frozenset[int]

    def named(self, day: date) -> str | None:
        """Return the weekdays in words if the day is one of them."""
        return str(self) if day.weekday() in self.days else None

    def __str__(self) -> str:
        return weekday_words(self.days)


Days = Span | Yearly | Weekdays | Events
EVERY_DAY: Final = frozenset(range(7))


def weekday_words(days: Iterable[int]) -> str:
    """Return weekdays as they are written: `mon-fri`, `sat, sun`."""
    runs: list[list[int]] = []
    for day in sorted(days):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ", ".join(
        f"{NAMES[run[0]]}-{NAMES[run[-1]]}" if len(run) > 2 else ", ".join(NAMES[n] for n in run)
        for run in runs
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a day is allowed, and the evidence in words."""

    allowed: bool
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """A named set of days."""

    name: str
    include: tuple[Days, ...] | None = None  # None: every day
    exclude: tuple[Days, ...] = ()
    weekdays: frozenset[int] = EVERY_DAY
    make_up: tuple[Span, ...] = ()
    tz: str  # whose days they are
    cost: int = field(init=False, repr=False, compare=False)  # of one question, in days looked at
    _judged: dict[date, Verdict] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _moved: dict[tuple[date, str], date | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        events = (one for one in (*(self.include or ()), *self.exclude) if isinstance(one, Events))
        cost = 1 + sum(one.listed.cost + one.worked.cost for one in events)
        object.__setattr__(self, "cost", cost)

    def allows(self, day: date) -> bool:
        """Tell whether slots may run on the day."""
        return self.verdict(day).allowed

    def because(self, day: date) -> str:
        """Say why the day is allowed or not."""
        return self.verdict(day).because

    def verdict(self, day: date) -> Verdict:
        """Judge a day. What is most particular is said: make-up day, exclusion, weekday.

        A verdict never changes, and a file of thousands of rules takes milliseconds for one:
        slot after slot asks about the same days.
        """
        found = self._judged.get(day)
        if found is None:
            if len(self._judged) >= _KEPT:
                self._judged.clear()
            found = self._judged[day] = self._verdict(day)
        return found

    def _verdict(self, day: date) -> Verdict:
        told = f"{NAMES[day.weekday()].capitalize()} {day}"
        if (made_up := self._made_up(day)) is not None:
            return Verdict(True, f"{told} is a make-up working day of {self.name}{made_up}")
        if (found := _named(self.exclude, day)) is not None:
            return Verdict(False, f"{self.name} excludes {told}: {found}")
        if self.include is not None and _named(self.include, day) is None:
            named = _listed(self.include)
            return Verdict(False, f"{self.name} does not include {told}: only {named}")
        if day.weekday() not in self.weekdays:
            named = weekday_words(self.weekdays)
            return Verdict(False, f"{self.name} is closed on {told}: open {named}")
        return Verdict(True, f"{self.name} allows {told}")

    def moved(self, day: date, on_excluded: str) -> date | None:
        """Return the day a slot of this day goes to: itself if allowed; None: to no day."""
        if self.allows(day):
            return day
        asked, known = (day, on_excluded), self._moved
        if (goes := known.get(asked, day)) != day:
            return goes
        if len(known) >= _KEPT:
            known.clear()
        around = (day + n * _step(on_excluded) * _DAY for n in range(1, _reach([self]) + 1))
        goes = None
        if on_excluded != SKIP:
            goes = next((other for other in around if self.allows(other)), None)
        known[asked] = goes
        return goes

    def _made_up(self, day: date) -> str | None:
        if _named(self.make_up, day) is not None:
            return ""
        for one in self.exclude:
            if isinstance(one, Events) and (name := one.worked.named(day)) is not None:
                return f": “{name}” in {one.file}"
        return None


def judge(calendars: Iterable[Calendar], at: datetime) -> Verdict:
    """Judge an instant: every calendar must allow the day it is there."""
    because = []
    for calendar in calendars:
        verdict = calendar.verdict(at.astimezone(zone(calendar.tz)).date())
        if not verdict.allowed:
            return verdict
        because.append(verdict.because)
    return Verdict(True, "; ".join(because) or "no calendar is asked")


def moved(
    calendars: Sequence[Calendar],
    at: datetime,
    *,
    tz: str,
    on_excluded: str,
    after: datetime | None = None,
) -> datetime | None:
    """Return the instant a slot goes to: its wall time in ``tz`` on the nearest day all allow.

    An allowed slot stays where it is. None: it is skipped, or no day within two years is
    allowed by all (nearer, of calendars of very many rules), or none ``after`` that instant.
    A wall time that the clocks skip on that day is the end of the gap.
    """
    if judge(calendars, at).allowed:
        return at
    if on_excluded == SKIP:
        return None
    local = at.astimezone(zone(tz)).replace(tzinfo=None)
    step, reach, number = _step(on_excluded), _reach(calendars), 1
    while number <= reach:
        instant = _instant(local + number * step * _DAY, tz)
        if after is not None and instant <= after:
            return None
        leap = _leap(calendars, instant, on_excluded)
        if not leap:
            return instant if leap is not None else None
        number += leap
    return None


def _leap(calendars: Sequence[Calendar], instant: datetime, on_excluded: str) -> int | None:
    """Return how many days on it is worth asking again: 0 if all allow it; None: on no day.

    A calendar that is closed for a year is not asked day by day by slot after slot. Its days
    and those of the slot may drift apart where clocks change, so that a leap ends before.
    """
    leap = 0
    for calendar in calendars:
        there = instant.astimezone(zone(calendar.tz)).date()
        goes = calendar.moved(there, on_excluded)
        if goes is None:
            return None
        if goes != there:
            leap = max(leap, 1, abs((goes - there).days) - _DRIFT)
    return leap


def _step(on_excluded: str) -> int:
    return -1 if on_excluded == PREVIOUS_ALLOWED else 1


def _reach(calendars: Sequence[Calendar]) -> int:
    return min(FARTHEST, _MOST_WORK // max(1, sum(one.cost for one in calendars)))


def _instant(local: datetime, tz: str) -> datetime:
    """Map wall time to the instant as ENGINE-DST/1 does: first pass, or the end of the gap."""
    first = local.replace(tzinfo=zone(tz), fold=0).astimezone(UTC)
    if first.astimezone(zone(tz)).replace(tzinfo=None) == local:
        return first
    return EPOCH + segment(tz, (first - EPOCH) // _SECOND).since * _SECOND


def _named(days: Iterable[Days], day: date) -> str | None:
    return next((found for one in days if (found := one.named(day)) is not None), None)


def _listed(days: Sequence[Days]) -> str:
    told = [one.file if isinstance(one, Events) else str(one) for one in days[:4]]
    return ", ".join(told) + (f" and {len(days) - 4} more" if len(days) > 4 else "")
