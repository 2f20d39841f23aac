"""On which days an event of an .ics file comes again: RRULE, day by day (RFC 5545 §3.3.10).

A rule is a question about one day, answered by arithmetic: an endless rule costs no more than
any other, and one that never comes true is never walked. Only COUNT has to be counted, once,
when the file is read.
"""

from __future__ import annotations

import re
from calendar import isleap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_KNOWN: Final = frozenset(
    {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTH", "BYMONTHDAY", "BYSETPOS", "WKST"}
)
_BYDAY: Final = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_PERIODS: Final = {"DAILY": 1, "WEEKLY": 7, "MONTHLY": 31, "YEARLY": 366}
_MOST: Final = 10_000  # of INTERVAL and COUNT: 27 years of days
_LAST_YEAR: Final = 2199  # nothing is counted beyond


class Unusable(ValueError):
    """What makes a file unusable; the words are for the one who wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The days on which something begins that first began on ``start``."""

    start: date
    freq: str  # DAILY | WEEKLY | MONTHLY | YEARLY
    interval: int = 1
    until: date | None = None  # the last day that may count
    months: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()  # negative: from the end
    weekdays: frozenset[tuple[int, int]] = frozenset()  # (which one or 0, Monday = 0)
    positions: frozenset[int] = frozenset()
    week_start: int = 0

    def begins_on(self, day: date) -> bool:
        """Tell whether an occurrence begins on the day. The start itself is always one."""
        if day == self.start:
            return True
        if day < self.start or (self.until is not None and day > self.until):
            return False
        if self._period(day) % self.interval or not self.fits(day):
            return False
        return not self.positions or self._chosen(day)

    @property
    def cost(self) -> int:
        """How many days one question may look at."""
        return _PERIODS[self.freq] if self.positions else 1

    def _period(self, day: date) -> int:
        """Return how many days, weeks, months or years after the start's the day's one is."""
        match self.freq:
            case "DAILY":
                return (day - self.start).days
            case "WEEKLY":
                return (self._week(day) - self._week(self.start)).days // 7
            case "MONTHLY":
                return (day.year - self.start.year) * 12 + day.month - self.start.month
            case _:
                return day.year - self.start.year

    def leap(self, day: date) -> int:
        """Return how many days on the next day or week lies that the interval allows."""
        missing = -self._period(day) % self.interval
        if self.freq == "DAILY" or not missing:
            return missing
        return missing * 7 - (day - self._week(day)).days

    def _week(self, day: date) -> date:
        """Return the first day of the week."""
        return date.fromordinal(day.toordinal() - (day.weekday() - self.week_start) % 7)

    def fits(self, day: date) -> bool:
        """Tell whether the day is one of those the rule names, interval and ends aside."""
        if self.months and day.month not in self.months:
            return False
        backwards = day.day - month_length(day) - 1
        if self.month_days and not self.month_days & {day.day, backwards}:
            return False
        weekday = day.weekday()
        if not self.weekdays or (0, weekday) in self.weekdays:
            return True
        if not any(which and one == weekday for which, one in self.weekdays):
            return False
        first, last = _which(day, within_year=self.freq == "YEARLY" and not self.months)
        return (first, weekday) in self.weekdays or (last, weekday) in self.weekdays

    def _chosen(self, day: date) -> bool:
        """BYSETPOS: of the days of one period that fit, the ones at these places."""
        fitting = [one for one in self._days_around(day) if self.fits(one)]
        place = fitting.index(day)
        return bool(self.positions & {place + 1, place - len(fitting)})

    def _days_around(self, day: date) -> Iterator[date]:
        match self.freq:
            case "DAILY":
                first, length = day, 1
            case "WEEKLY":
                first, length = self._week(day), 7
            case "MONTHLY":
                first, length = day.replace(day=1), month_length(day)
            case _:
                first, length = date(day.year, 1, 1), 365 + isleap(day.year)
        return (first + timedelta(days=n) for n in range(length))


def month_length(day: date) -> int:
    """Return how many days the day's month has."""
    return 28 + isleap(day.year) if day.month == 2 else 30 + (day.month + day.month // 8) % 2


def _which(day: date, *, within_year: bool) -> tuple[int, int]:
    """Return which of its weekday the day is, from the start and (negative) from the end."""
    if within_year:
        number = day.toordinal() - date(day.year, 1, 1).toordinal() + 1
        length = 365 + isleap(day.year)
    else:
        number, length = day.day, month_length(day)
    return (number - 1) // 7 + 1, -((length - number) // 7 + 1)


class Counting:
    """How many days one file may have counted for its COUNTs: a bound for files that mean harm."""

    def __init__(self, most: int = 200_000) -> None:
        self.left = most

    def last(self, rule: Rule, count: int) -> date:
        """Return the day of the last occurrence of a rule that comes ``count`` times."""
        day, found, last = rule.start, 1, rule.start
        while found < count and day.year < _LAST_YEAR:
            day = self._next(rule, day)
            if rule.fits(day) and self._spend(rule.cost) and rule.begins_on(day):
                found, last = found + 1, day
        return last

    def _next(self, rule: Rule, day: date) -> date:
        """Return the next day worth a question; days and months the rule leaves out are leapt."""
        self._spend(1)
        following = day + timedelta(days=1)
        if rule.freq in ("DAILY", "WEEKLY"):
            following += timedelta(days=rule.leap(following))
        while rule.months and following.month not in rule.months:
            following = following.replace(day=1) + timedelta(days=month_length(following))
        return following

    def _spend(self, days: int) -> bool:
        self.left -= days
        if self.left < 0:
            raise Unusable("its COUNTs take too long to count")
        return True


def parse_rule(text: str, start: date) -> tuple[Rule, int | None, str | None]:
    """Return the rule, and its COUNT and UNTIL as they stand. Raises `Unusable`."""
    parts = _parts(text)
    freq = parts.get("FREQ", "")
    if freq not in _PERIODS:
        raise Unusable(f"its RRULE has FREQ={freq or '(none)'}; days come again DAILY to YEARLY")
    if "COUNT" in parts and "UNTIL" in parts:
        raise Unusable("its RRULE has both COUNT and UNTIL")
    rule = Rule(
        start=start,
        freq=freq,
        interval=_number(parts, "INTERVAL", 1, _MOST) or 1,
        months=_numbers(parts, "BYMONTH", 12, negative=False),
        month_days=_numbers(parts, "BYMONTHDAY", 31),
        weekdays=_weekdays(parts, freq),
        positions=_numbers(parts, "BYSETPOS", 366),
        week_start=_week_start(parts),
    )
    return _completed(rule), _number(parts, "COUNT", 1, _MOST), parts.get("UNTIL")


def _completed(rule: Rule) -> Rule:
    """Take from the start what a rule leaves unsaid."""
    if rule.month_days or rule.weekdays:
        return rule
    start = rule.start
    match rule.freq:
        case "WEEKLY":
            return replace(rule, weekdays=frozenset({(0, start.weekday())}))
        case "MONTHLY":
            return replace(rule, month_days=frozenset({start.day}))
        case "YEARLY":
            months = rule.months or frozenset({start.month})
            return replace(rule, months=months, month_days=frozenset({start.day}))
        case _:
            return rule


def _parts(text: str) -> Mapping[str, str]:
    parts: dict[str, str] = {}
    for part in filter(None, text.upper().strip().split(";")):
        key, _, value = part.partition("=")
        if key not in _KNOWN:
            raise Unusable(f"its RRULE has {key[:20]}, which says nothing about days here")
        if key in parts:
            raise Unusable(f"its RRULE has {key} twice")
        parts[key] = value
    return parts


def _number(parts: Mapping[str, str], key: str, least: int, most: int) -> int | None:
    if key not in parts:
        return None
    text = parts[key]
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and least <= int(text) <= most):
        raise Unusable(f"its RRULE has {key}={text[:20]}; {least} to {most} is possible")
    return int(text)


def _numbers(
    parts: Mapping[str, str], key: str, most: int, *, negative: bool = True
) -> frozenset[int]:
    if key not in parts:
        return frozenset()
    found = set()
    for text in parts[key].split(","):
        number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,3}", text) else 0
        if not 0 < abs(number) <= most or (number < 0 and not negative):
            raise Unusable(f"its RRULE has {key}={parts[key][:20]}; 1 to {most} is possible")
        found.add(number)
    return frozenset(found)


def _weekdays(parts: Mapping[str, str], freq: str) -> frozenset[tuple[int, int]]:
    if "BYDAY" not in parts:
        return frozenset()
    found = set()
    for text in parts["BYDAY"].split(","):
        match = _BYDAY.fullmatch(text)
        which = int(match[1] or 0) if match else 99
        allowed = {"MONTHLY": 5, "YEARLY": 53}.get(freq, 0)
        if match is None or abs(which) > allowed or (match[1] and which == 0):
            raise Unusable(f"its RRULE has BYDAY={text[:20]} with FREQ={freq}")
        found.add((which, DAYS.index(match[2])))
    return frozenset(found)


def _week_start(parts: Mapping[str, str]) -> int:
    text = parts.get("WKST", "MO")
    if text not in DAYS:
        raise Unusable(f"its RRULE has WKST={text[:20]}")
    return DAYS.index(text)
