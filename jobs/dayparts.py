"""A cadence that differs by the hour of the day: each part has slots of its own. Pure.

heartbeat.md §5 (`every` inside a window). Which days a calendar closes is not asked here:
what keeps a slot from running is a gate's business, and a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, Protocol, TypeVar

from jobs.hours import ActiveHours
from jobs.occurrence import Occurrence
from jobs.wallclock import at, zone

_INSTANT: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
_WEEK_AND_MORE: Final = timedelta(days=9)  # each part opens at least once a week
_FARTHEST: Final = timedelta(days=401)  # of a slot: the longest interval there is, and a day


class Grid(Protocol):
    """What a part asks of its schedule: `Every` and `Cron` are such."""

    def occurrence_after(self, after: datetime) -> Occurrence | None:
        """Return the next slot."""

    def next_after(self, after: datetime) -> datetime | None:
        """Return its instant."""

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many slots lie in ``(after, until]``."""

    def instants(self, after: datetime, until: datetime) -> Iterator[int]:
        """Yield the slots in ``(after, until]``, in ms since 1970."""

    def describe(self) -> str:
        """Say it."""


G = TypeVar("G", bound=Grid)


@dataclass(frozen=True, slots=True)
class Part(Generic[G]):
    """Hours of some weekdays, and the slots in them."""

    hours: ActiveHours
    weekdays: frozenset[int]
    grid: G

    def span(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the window that is open, else the next one."""
        return next(
            (opens, closes)
            for opens, closes in self.hours.windows(now, now + _WEEK_AND_MORE)
            if closes > now and opens.astimezone(self.hours.zone).weekday() in self.weekdays
        )

    def describe(self) -> str:
        """Say it: `every 10m 09:00-12:00`."""
        return f"{self.grid.describe()} {self.hours.clock}"


@dataclass(frozen=True, slots=True)
class Dayparts(Generic[G]):
    """Slots of the first part that is open, else those of ``base``; without one, none."""

    base: G | None
    parts: tuple[Part[G], ...]

    def occurrence_after(self, after: datetime) -> Occurrence | None:
        """Return the next slot of whichever part it lies in."""
        start = after
        while start - after < _FARTHEST:
            grid, end = self._in_force(start + _INSTANT)
            found = None if grid is None else grid.occurrence_after(start)
            if found is not None and found.instant < end:
                return found
            start = end - _INSTANT
        return None

    def next_after(self, after: datetime) -> datetime | None:
        """Return its instant."""
        found = self.occurrence_after(after)
        return None if found is None else found.instant

    def previous(self, before: datetime) -> datetime | None:
        """Return the instant of the last slot before."""
        back = _DAY
        while back < 2 * _FARTHEST:
            found = list(self.instants(before - back, before - _INSTANT))
            if found:
                return at(found[-1])
            back *= 4
        return None

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many slots lie in ``(after, until]``."""
        spans = self._spans(after, until)
        return sum(grid.count(start, end) for grid, start, end in spans if grid is not None)

    def instants(self, after: datetime, until: datetime) -> Iterator[int]:
        """Yield the slots in ``(after, until]``, in ms since 1970."""
        for grid, start, end in self._spans(after, until):
            if grid is not None:
                yield from grid.instants(start, end)

    def describe(self) -> str:
        """Say it: `every 30m, every 10m 09:00-12:00`."""
        base = [] if self.base is None else [self.base.describe()]
        return ", ".join([*base, *(one.describe() for one in self.parts)])

    def _spans(
        self, after: datetime, until: datetime
    ) -> Iterator[tuple[G | None, datetime, datetime]]:
        """Yield who is in force over ``(after, until]``, span by span."""
        start = after
        while start < until:
            grid, end = self._in_force(start + _INSTANT)
            last = min(until, end - _INSTANT)
            yield grid, start, last
            start = end - _INSTANT

    def _in_force(self, now: datetime) -> tuple[G | None, datetime]:
        """Return whose slots hold at an instant, and until when."""
        spans = [(part, *part.span(now)) for part in self.parts]
        ends = [closes if opens <= now else opens for _, opens, closes in spans]
        grid = next((part.grid for part, opens, _ in spans if opens <= now), self.base)
        return grid, min(ends)


# -- as JSON ---------------------------------------------------------------------------------


def part_to_json(part: Part[G], grid: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored form of a part; ``grid`` is that of its schedule."""
    return {
        "start": part.hours.start,
        "end": part.hours.end,
        "tz": part.hours.zone.key,
        "weekdays": sorted(part.weekdays),
        "schedule": dict(grid),
    }


def part_from_json(values: Mapping[str, Any], grid: G) -> Part[G]:
    """Read the stored form."""
    hours = ActiveHours(values["start"], values["end"], zone(values["tz"]))
    return Part(hours, frozenset(values["weekdays"]), grid)
