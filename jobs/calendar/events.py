"""Days that events lie on, with the name of what lies there. Values without a file or a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Final

from jobs.calendar.recurrence import Rule
from jobs.wallclock import zone

DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A day, or a wall time in a zone; without a zone it is wherever the reader is."""

    day: date
    time: time | None = None
    tz: str | None = None

    def wall(self, tz: str | None) -> datetime:
        """Return the wall time of a zone; floating times are the same everywhere."""
        local = datetime.combine(self.day, self.time or time())
        if self.time is None or None in (self.tz, tz) or self.tz == tz:
            return local
        return (
            local.replace(tzinfo=zone(self.tz or ""))
            .astimezone(zone(tz or ""))
            .replace(tzinfo=None)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How an event lies on the days: when on its first day it begins, and how long it takes."""

    length: timedelta
    reader: str  # the zone whose days are asked about
    time: time | None = None
    tz: str | None = None

    @property
    def most(self) -> int:
        """How many days one occurrence may touch."""
        return max(1, -(-self.length // DAY) + (self.time is not None))

    @property
    def slack(self) -> int:
        """How many days another zone may put it off."""
        return 0 if self.tz in (None, self.reader) else 1

    @property
    def is_whole_day(self) -> bool:
        """Whether it is one day long, the same for every reader."""
        return self.time is None and self.length <= DAY

    def days(self, begins: date) -> tuple[date, date]:
        """Return the first and the last day of the occurrence that begins then."""
        start = When(day=begins, time=self.time, tz=self.tz).wall(self.reader)
        end = start + self.length
        touched = end - timedelta(microseconds=1) if end > start else start
        return start.date(), touched.date()


@dataclass(frozen=True, slots=True)
class Again:
    """An event that comes again."""

    name: str
    rule: Rule
    shape: Shape
    excepted: frozenset[date] = frozenset()

    @property
    def cost(self) -> int:
        """How many days one question may look at."""
        return (self.shape.most + 2 * self.shape.slack) * self.rule.cost

    def touches(self, day: date) -> bool:
        """Tell whether one of its occurrences lies on the day."""
        shape = self.shape
        if shape.is_whole_day:  # nearly all are: it lies where it begins
            return day not in self.excepted and self.rule.begins_on(day)
        for back in range(-shape.slack, shape.most + shape.slack):
            begins = day - back * DAY
            if begins not in self.excepted and self.rule.begins_on(begins):
                first, last = shape.days(begins)
                if first <= day <= last:
                    return True
        return False


@dataclass(frozen=True, slots=True)
class Marked:
    """Days with the names of what marks them."""

    once: Mapping[date, str] = field(default_factory=dict)
    again: tuple[Again, ...] = ()

    def named(self, day: date) -> str | None:
        """Return the name of an event on the day, or None."""
        if (name := self.once.get(day)) is not None:
            return name
        return next((one.name for one in self.again if one.touches(day)), None)

    @property
    def cost(self) -> int:
        """How many days one question may look at."""
        return sum(one.cost for one in self.again)


@dataclass(frozen=True, slots=True)
class Events:
    """What one file says: the days it lists, and weekend days it declares working days."""

    file: str
    listed: Marked
    worked: Marked = Marked()

    def named(self, day: date) -> str | None:
        """Return in words what lists the day, or None."""
        name = self.listed.named(day)
        return None if name is None else f"“{name}” in {self.file}"
