"""Several windows: hours of chosen weekdays and days of calendars (heartbeat.md §5, §25-7). Pure.

A window belongs to the day on which it starts, also where it runs past midnight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from jobs.calendar import Calendar, calendars_of
from jobs.calendar.days import EVERY_DAY, weekday_words
from jobs.errors import InvalidInput
from jobs.hours import ActiveHours

CALENDAR: Final = "calendar:"  # before the name of one, among the days of a window
AHEAD: Final = 2 * 366  # days in which an opening is looked for
SEEK: Final = timedelta(days=14)  # as far as it is asked whether a slot meets a window
_DAY: Final = timedelta(days=1)
_ANY_DAY: Final = date(2026, 1, 1)  # a calendar is looked at forty years around it


@dataclass(frozen=True, slots=True)
class DayRule:
    """Days a calendar must allow, or must close if ``closed``."""

    calendar: Calendar
    closed: bool = False

    def objects(self, day: date) -> str | None:
        """Return why a window does not open on a day; None if it may."""
        verdict = self.calendar.verdict(day)
        return verdict.because if verdict.allowed == self.closed else None


@dataclass(frozen=True, slots=True)
class Window:
    """Hours on the days that may have them."""

    hours: ActiveHours
    weekdays: frozenset[int] = EVERY_DAY
    rules: tuple[DayRule, ...] = ()
    every: timedelta | None = None  # beats of this window; None: those of the agent

    def objection(self, day: date) -> str | None:
        """Return why the window does not open on a day; None if it does."""
        if day.weekday() not in self.weekdays:
            return f"{weekday_words({day.weekday()})} is none of its days"
        return next((why for rule in self.rules if (why := rule.objects(day)) is not None), None)

    def contains(self, now: datetime) -> bool:
        """Whether the window is open."""
        day = self.hours.day_of(now)
        return day is not None and self.objection(day) is None

    def next_opening(self, now: datetime) -> datetime | None:
        """Return when it opens anew after ``now``; None if it does not within two years."""
        today = now.astimezone(self.hours.zone).date()
        for ahead in range(-1, AHEAD):
            day = today + ahead * _DAY
            if self.objection(day) is None and (opens := self.hours.window(day)[0]) > now:
                return opens
        return None

    def windows(self, start: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield its openings that touch a span of time, whole, oldest first."""
        for opens, closes in self.hours.windows(start, until):
            if self.objection(opens.astimezone(self.hours.zone).date()) is None:
                yield opens, closes

    def describe(self) -> str:
        """Say it: `09:00-18:00 mon-fri Europe/London`."""
        return f"{self.when} {self.hours.zone.key}"

    @property
    def when(self) -> str:
        """Its hours and weekdays: `09:00-18:00 mon-fri`."""
        if self.weekdays == EVERY_DAY:
            return self.hours.clock
        days = weekday_words(self.weekdays)
        return days if self.hours.all_day else f"{self.hours.clock} {days}"


@dataclass(frozen=True, slots=True)
class Windows:
    """Open where any of its windows is."""

    each: tuple[Window, ...]

    @property
    def zone(self) -> ZoneInfo:
        """Return the zone times are told in: that of the first window."""
        return self.each[0].hours.zone

    def contains(self, now: datetime) -> bool:
        """Whether any window is open."""
        return any(one.contains(now) for one in self.each)

    def opens_after(self, now: datetime) -> datetime | None:
        """Return ``now`` if a window is open, else when the first opens."""
        return now if self.contains(now) else self.next_opening(now)

    def next_opening(self, now: datetime) -> datetime | None:
        """Return the first instant after ``now`` at which a window opens anew."""
        found = [at for one in self.each if (at := one.next_opening(now)) is not None]
        return min(found, default=None)

    def windows(self, start: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the spans in which any window is open, those that touch as one."""
        found = sorted(span for one in self.each for span in one.windows(start, until))
        while found:
            opens, closes = found.pop(0)
            while found and found[0][0] <= closes:
                closes = max(closes, found.pop(0)[1])
            yield opens, closes

    def describe(self) -> str:
        """Say them: `09:00-12:00 mon-fri, 10:00-11:00 sat Europe/London`."""
        if len({one.hours.zone.key for one in self.each}) > 1:
            return ", ".join(one.describe() for one in self.each)
        return f"{', '.join(one.when for one in self.each)} {self.zone.key}"

    def closed_because(self, now: datetime) -> str | None:
        """Return why a window is closed at an hour at which it is open on other days."""
        for one in self.each:
            day = one.hours.day_of(now)
            if day is not None and day.weekday() in one.weekdays and (why := one.objection(day)):
                return why
        return None


Hours = ActiveHours | Windows


def day_rules(
    excepted: Sequence[str],
    only: Sequence[str],
    *,
    tz: str,
    calendars: Mapping[str, Calendar],
) -> tuple[tuple[DayRule, ...], tuple[str, ...]]:
    """Return the rules of a window's `except` and `only`, and the calendars nobody knows.

    A calendar nobody knows decides nothing: the window is open (§5). Raises `InvalidInput`
    for days that cannot be read.
    """
    rules, unknown = [], []
    for listed, closed in ((excepted, False), (only, False)):
        for entry in listed:
            name, negated = _calendar(entry)
            if name is None:
                continue
            if name in calendars:
                rules.append(DayRule(calendars[name], closed != negated))
            else:
                unknown.append(name)
    written = {
        "exclude": [_spelt(one) for one in excepted if _calendar(one)[0] is None],
        "include": [_spelt(one) for one in only if _calendar(one)[0] is None],
    }
    written = {key: days for key, days in written.items() if days}
    if written:
        rules.append(DayRule(_calendar_of(written, tz)))
    return tuple(rules), tuple(unknown)


def weekdays_of(days: Sequence[str]) -> frozenset[int]:
    """Return the weekdays of `mon-fri` or `sat`. Raises `InvalidInput`."""
    return _calendar_of({"weekdays": list(days)}, "UTC").weekdays if days else EVERY_DAY


def _calendar_of(written: Mapping[str, Sequence[str]], tz: str) -> Calendar:
    """Read days as a calendar of the config is read, and tell what is wrong without its path."""
    try:
        (made,) = calendars_of({"window": written}, texts={}, tz=tz, today=_ANY_DAY).values()
    except InvalidInput as error:
        raise InvalidInput("the days were refused", why=error.why, fix=error.fix) from None
    return made


def _calendar(entry: str) -> tuple[str | None, bool]:
    """Return the calendar an entry names, and whether its closed days are meant (`!`)."""
    text = entry.strip()
    negated = text.startswith("!")
    text = text.removeprefix("!").strip()
    if not text.startswith(CALENDAR):
        return None, False
    return text.removeprefix(CALENDAR).strip(), negated


def _spelt(entry: str) -> str:
    """Spans may be written with a slash, as ISO 8601 does."""
    if entry.strip().lower().endswith(".ics"):
        raise InvalidInput(
            "the days were refused",
            why=f"{entry!r} is a file",
            fix='name it under cron.calendars, and write "calendar:<its name>" here',
        )
    return entry.replace("/", "..")
