"""Wall time and instants: zones, and the stretches of constant offset between transitions.

Everything here is integer seconds: UTC seconds since 1970, and local seconds, which are UTC
seconds plus the offset. zoneinfo is asked once per zone and year, not per slot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache, lru_cache
from typing import Final, overload
from zoneinfo import ZoneInfo, available_timezones

from jobs.errors import InvalidSchedule

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
DAY: Final = 86_400
# No zone since 1970 changed its offset twice within six days (Gaza plans seven in 2040).
_STEP: Final = 6 * DAY
_MARGIN: Final = 3 * DAY  # a change of clocks is felt for a day at most


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of constant offset, ``start <= utc < end``, cut at the ends of a year.

    ``before`` and ``then`` are the offsets around it; ``since`` and ``until`` are the changes
    of clocks themselves, which may lie up to three days past the cut. From ``calm`` on no
    wall time is in doubt because of the last change.
    """

    start: int
    end: int
    offset: int
    before: int
    since: int
    then: int
    until: int
    calm: int


@overload
def ms(instant: datetime) -> int:
    """Of an instant that is there."""


@overload
def ms(instant: datetime | None) -> int | None:
    """Of one that may be missing."""


def ms(instant: datetime | None) -> int | None:
    """Return UTC milliseconds, as rows and the wire have them. Exact: no float is involved."""
    return None if instant is None else (instant - EPOCH) // MILLISECOND


def at(value: int) -> datetime:
    """Return the instant of milliseconds that are always there."""
    return EPOCH + value * MILLISECOND


def instant(value: int | None) -> datetime | None:
    """Return the instant of milliseconds, if there are any."""
    return None if value is None else at(value)


@cache
def midnight(day: date, zone: tzinfo) -> datetime:
    """Return the instant at which a local day begins; of two midnights the first is meant."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def zone(name: str) -> ZoneInfo:
    """Return the zone; raises `InvalidSchedule` for a name that is not in the tz database."""
    try:
        found = ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        found = None
    if found is None:
        raise InvalidSchedule(
            "Invalid timezone",
            why=f"{name!r} is not in the tz database{_near(name)}",
            fix="use an IANA name such as Europe/London or Asia/Shanghai",
        )
    return found


# Names people expect and the tz database does not have.
_MEANT: Final = {
    "asia/beijing": "Asia/Shanghai",
    "asia/shenzhen": "Asia/Shanghai",
    "asia/mumbai": "Asia/Kolkata",
    "us/san_francisco": "America/Los_Angeles",
    "america/san_francisco": "America/Los_Angeles",
    "europe/munich": "Europe/Berlin",
}


def _near(name: str) -> str:
    from difflib import get_close_matches

    if name.lower() in _MEANT:
        return f"; did you mean {_MEANT[name.lower()]!r}?"
    close = get_close_matches(name, available_timezones(), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


@lru_cache(maxsize=4096)
def _segments_of_year(name: str, year: int) -> tuple[tuple[int, ...], tuple[Segment, ...]]:
    """Return the segments that cover one year, and where each begins."""
    first, last = _seconds(year), _seconds(year + 1)
    changes = _changes(zone(name), first - _MARGIN, last + _MARGIN)
    # Around the first and after the last change nothing is known to change: no-op changes.
    edges = [(first - _MARGIN, changes[0][1]), *changes[1:], (last + _MARGIN, changes[-1][1])]
    found = []
    for number, (since, offset) in enumerate(edges[:-1]):
        until, then = edges[number + 1]
        start, end = max(since, first), min(until, last)
        if start < end:
            before = edges[number - 1][1] if number else offset
            calm = start if before == offset else since + DAY
            found.append(Segment(start, end, offset, before, since, then, until, calm))
    return tuple(segment.start for segment in found), tuple(found)


def _changes(where: ZoneInfo, start: int, end: int) -> list[tuple[int, int]]:
    """Return ``(instant, offset from then on)``: the start, then every change before the end."""
    found = [(start, _offset(where, start))]
    if where.utcoffset(None) is not None:
        return found  # UTC and its like: no year has a change
    probe = start
    while probe < end - 1:
        step, offset = min(probe + _STEP, end - 1), found[-1][1]
        if _offset(where, step) != offset:
            low, high = probe, step
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(where, middle) == offset else (low, middle)
            found.append((high, _offset(where, high)))
            step = high
        probe = step
    return found


def _seconds(year: int) -> int:
    return (datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)


def _offset(where: ZoneInfo, seconds: int) -> int:
    shift = datetime.fromtimestamp(seconds, where).utcoffset()
    return 0 if shift is None else int(shift.total_seconds())


def segment(name: str, seconds: int) -> Segment:
    """Return the segment around a UTC instant, at most a year long."""
    year = (EPOCH + timedelta(seconds=seconds)).year
    starts, segments = _segments_of_year(name, year)
    return segments[bisect_right(starts, seconds) - 1]


def changes(name: str, after: int, until: int) -> Iterator[Segment]:
    """Yield the stretches that begin with a change of clocks in ``after < utc <= until``."""
    now = segment(name, after)
    while now.end <= until:
        now = segment(name, now.end)
        if now.since == now.start and now.before != now.offset:
            yield now
