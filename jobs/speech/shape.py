"""What an expression says, in a form from which it can be told in any language (cron.md §22 row 8).

Languages differ in their words and their order, not in what is worth saying: whether a job
runs at a few times, in a cadence, or in neither is decided here, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from jobs import cron
from jobs.cron import CronFields

FEW: Final = 6  # times that are told one by one
FULL: Final = (60, 60, 24)  # how many seconds, minutes and hours there are
MANY: Final = 8  # values that are listed whole
WEEKDAYS: Final = (1, 2, 3, 4, 5)
WEEKEND: Final = (6, 7)
UTC_NAMES: Final = frozenset({"UTC", "Etc/UTC", "Etc/Zulu", "Zulu", "UCT", "Etc/UCT"})
_STAR: Final = re.compile(r"[*0]/(\d+)")
_RANGE: Final = re.compile(r"\w+-\w+(?:/(\d+))?")


class Unit(StrEnum):
    """What a cadence is counted in."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"


class Kind(StrEnum):
    """How a field of the time of day is written."""

    ALL = "all"
    STEP = "step"  # every nth from the first
    RANGE = "range"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Field:
    """Seconds, minutes or hours: how they are written, and which they are."""

    kind: Kind
    values: tuple[int, ...]
    step: int = 1
    size: int = 60  # how many values there could be

    @property
    def even(self) -> bool:
        """Whether its values are equally far apart, round the clock too."""
        return self.kind is Kind.ALL or (
            self.kind is Kind.STEP and len(self.values) * self.step == self.size
        )


@dataclass(frozen=True, slots=True)
class Times:
    """A few times of day, in seconds after midnight."""

    at: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cadence:
    """Every so often: all day, or from one time of day to another (both are slots)."""

    unit: Unit
    every: int
    minute: int = 0  # past the hour, of a cadence in hours
    windows: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Mixed:
    """Neither: told field by field."""

    seconds: Field
    minutes: Field
    hours: Field


Timing = Times | Cadence | Mixed


@dataclass(frozen=True, slots=True)
class Dates:
    """Days of the month."""

    numbers: tuple[int, ...] = ()
    to_last: tuple[int, ...] = ()  # from this day to the last
    near: tuple[int, ...] = ()  # the weekday nearest to it
    lasts: tuple[int, ...] = ()  # so many days before the last
    last_weekday: bool = False


@dataclass(frozen=True, slots=True)
class Week:
    """Days of the week, Monday 1 and Sunday 7."""

    days: tuple[int, ...] = ()
    nths: tuple[tuple[int, int], ...] = ()  # weekday and which of the month
    lasts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A whole expression. No dates or no week: every one."""

    timing: Timing
    seconds: Field
    minutes: Field
    hours: Field
    dates: Dates | None
    week: Week | None
    both: bool  # a day must match dates and week, not either
    months: tuple[int, ...]  # none: every one
    years: tuple[int, ...]


def shape_of(fields: CronFields, hash_id: str | None) -> Shape:
    """Return the shape of an expression that was read."""
    words = fields.words
    seconds = _field(words[0], fields.seconds, 0)
    minutes = _field(words[1], fields.minutes, 1)
    hours = _field(words[2], fields.hours, 2)
    dates = _dates(words[3], hash_id)
    week = _week(words[5].removeprefix("+"), hash_id)
    dates, week = _restricted(dates, week, both=fields.and_days)
    any_day = dates is None and week is None
    return Shape(
        timing=_timing(seconds, minutes, hours, any_day=any_day),
        seconds=seconds,
        minutes=minutes,
        hours=hours,
        dates=dates,
        week=week,
        both=fields.and_days,
        months=_months(words[4], hash_id),
        years=fields.years or (),
    )


def dates_of(word: str, hash_id: str | None) -> Dates | None:
    """Return what a day-of-month field alone says."""
    return _dates(word, hash_id)


def week_of(word: str, hash_id: str | None) -> Week | None:
    """Return what a day-of-week field alone says."""
    return _week(word.removeprefix("+"), hash_id)


def spans(values: Sequence[int], *, around: tuple[int, int] | None = None) -> list[tuple[int, int]]:
    """Return stretches of neighbours. ``around``: the last value has the first as its neighbour."""
    found: list[tuple[int, int]] = []
    for value in values:
        if found and value == found[-1][1] + 1:
            found[-1] = (found[-1][0], value)
        else:
            found.append((value, value))
    if around and len(found) > 1 and (found[0][0], found[-1][1]) == around:
        found = [*found[1:-1], (found[-1][0], found[0][1])]
    return found


def stepped(values: Sequence[int]) -> int | None:
    """Return the step of values that are all equally far apart."""
    steps = {b - a for a, b in pairwise(values)}
    return steps.pop() if len(steps) == 1 else None


def clock(second: int, *, exact: bool = False) -> str:
    """Return a time of day; the seconds only if there are any, or ``exact``."""
    hour, rest = divmod(second, 3600)
    tail = f":{rest % 60:02}" if exact or rest % 60 else ""
    return f"{hour:02}:{rest // 60:02}{tail}"


def two(value: int) -> str:
    """Return an hour as a clock shows it."""
    return f"{value:02}"


# -- the time of day -----------------------------------------------------------------------------


def _field(word: str, values: tuple[int, ...], position: int) -> Field:
    size = FULL[position]
    if len(values) == size:
        return Field(Kind.ALL, values, 1, size)
    if len(values) > 1 and (found := _STAR.fullmatch(word)):
        return Field(Kind.STEP, values, int(found[1]), size)
    if len(values) > 1 and (found := _RANGE.fullmatch(word)):
        return Field(Kind.RANGE, values, int(found[1] or 1), size)
    return Field(Kind.LIST, values, 1, size)


def _timing(seconds: Field, minutes: Field, hours: Field, *, any_day: bool) -> Timing:
    count = len(seconds.values) * len(minutes.values) * len(hours.values)
    if hours.kind is not Kind.ALL and count <= FEW // 2:
        return _times(seconds, minutes, hours)
    found = _cadence(seconds, minutes, hours, any_day=any_day)
    if found is not None:
        return found
    if hours.kind is not Kind.ALL and count <= FEW:
        return _times(seconds, minutes, hours)
    return Mixed(seconds, minutes, hours)


def _times(seconds: Field, minutes: Field, hours: Field) -> Times:
    return Times(
        tuple(
            h * 3600 + m * 60 + s
            for h in hours.values
            for m in minutes.values
            for s in seconds.values
        )
    )


def _cadence(seconds: Field, minutes: Field, hours: Field, *, any_day: bool) -> Cadence | None:
    """Return the one cadence the three fields amount to, if they do."""
    if seconds.even and minutes.kind is Kind.ALL:
        last = 59 * 60 + seconds.values[-1]
        return _through(Unit.SECOND, seconds.step, 0, last, hours, any_day=any_day)
    if seconds.values != (0,):
        return None
    if minutes.even:
        last = minutes.values[-1] * 60
        return _through(Unit.MINUTE, minutes.step, 0, last, hours, any_day=any_day)
    if len(minutes.values) == 1:
        return _hourly(minutes.values[0], hours, any_day=any_day)
    return None


def _through(
    unit: Unit, every: int, first: int, last: int, hours: Field, *, any_day: bool
) -> Cadence | None:
    """Return a cadence within hours, if those are at most two stretches."""
    if hours.kind is Kind.ALL:
        return Cadence(unit, every)
    stretches = _stretches(hours, any_day=any_day)
    if len(stretches) > 2:
        return None
    return Cadence(
        unit, every, windows=tuple((a * 3600 + first, b * 3600 + last) for a, b in stretches)
    )


def _hourly(minute: int, hours: Field, *, any_day: bool) -> Cadence | None:
    if hours.kind is Kind.ALL or (hours.even and len(hours.values) > 1):
        return Cadence(Unit.HOUR, hours.step, minute)
    past = minute * 60
    if hours.kind is Kind.RANGE and hours.step > 1:
        if stepped(hours.values) != hours.step:
            return None  # it wraps around midnight
        window = (hours.values[0] * 3600 + past, hours.values[-1] * 3600 + past)
        return Cadence(Unit.HOUR, hours.step, minute, (window,))
    stretches = _stretches(hours, any_day=any_day)
    if hours.kind is Kind.STEP or len(stretches) > 2 or len(hours.values) < 3:
        return None
    if hours.kind is Kind.LIST and len(hours.values) <= FEW:
        return None  # few enough to be told one by one
    return Cadence(
        Unit.HOUR, 1, minute, tuple((a * 3600 + past, b * 3600 + past) for a, b in stretches)
    )


def _stretches(hours: Field, *, any_day: bool) -> list[tuple[int, int]]:
    """Hours past midnight follow those before it only if no day is left out."""
    return spans(hours.values, around=(0, 23) if any_day else None)


# -- days ----------------------------------------------------------------------------------------


def _restricted(
    dates: Dates | None, week: Week | None, *, both: bool
) -> tuple[Dates | None, Week | None]:
    """Leave out what restricts nothing: all days of a month, all days of a week."""
    all_dates = dates is not None and len(dates.numbers) == 31
    all_week = week is not None and len(week.days) == 7
    if not both and dates is not None and week is not None and (all_dates or all_week):
        return None, None
    return (None if all_dates else dates), (None if all_week else week)


def _dates(word: str, hash_id: str | None) -> Dates | None:
    if word in ("*", "?"):
        return None
    numbers: list[object] = []
    to_last, near, lasts = [], [], []
    last_weekday = False
    for token in word.split(","):
        if token == "lw":  # noqa: S105 - a day field
            last_weekday = True
        elif token == "l":  # noqa: S105 - a day field
            lasts.append(0)
        elif token.startswith("l-"):
            lasts.append(int(token[2:]))
        elif token.endswith("-l"):
            to_last.append(int(token[:-2]))
        elif "w" in token:
            near.append(int(token.strip("w")))
        else:
            numbers += _expanded(3, token, hash_id)
    return Dates(
        numbers=_sorted(numbers, range(1, 32)),
        to_last=tuple(to_last),
        near=tuple(near),
        lasts=tuple(sorted(lasts, reverse=True)),
        last_weekday=last_weekday,
    )


_NTH: Final = re.compile(r"(\w+)#([1-5l])")
_LAST: Final = re.compile(r"l([0-7]|[a-z]{3})|([0-7]|[a-z]{3})l")


def _week(word: str, hash_id: str | None) -> Week | None:
    if word in ("*", "?"):
        return None
    days: list[object] = []
    nths: list[tuple[int, int]] = []
    lasts: list[int] = []
    for token in word.split(","):
        if found := _NTH.fullmatch(token):
            weekday = _weekday(found[1])
            if found[2] == "l":
                lasts.append(weekday)
            else:
                nths.append((weekday, int(found[2])))
        elif found := _LAST.fullmatch(token):
            lasts.append(_weekday(found[1] or found[2]))
        else:
            days += _expanded(5, token, hash_id)
    monday_first = [day if day == "*" else int(str(day)) % 7 or 7 for day in days]
    return Week(_sorted(monday_first, range(1, 8)), tuple(nths), tuple(lasts))


def _weekday(name: str) -> int:
    return int(str(cron.expand_token(5, name, None)[0])) % 7 or 7


def _months(word: str, hash_id: str | None) -> tuple[int, ...]:
    found: list[object] = []
    for token in word.split(","):
        found += _expanded(4, token, hash_id)
    months = _sorted(found, range(1, 13))
    return () if len(months) == 12 else months


def _expanded(position: int, token: str, hash_id: str | None) -> Iterable[object]:
    if token == "?":  # noqa: S105 - a day field
        return ("*",)
    return cron.expand_token(position, token, hash_id if token.startswith("h") else None)


def _sorted(values: Iterable[object], full: range) -> tuple[int, ...]:
    found = list(values)
    return tuple(full) if "*" in found else tuple(sorted({int(str(v)) for v in found} & {*full}))
