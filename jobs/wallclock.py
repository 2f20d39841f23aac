"""Wall time and instants: zones, and the stretches of constant offset between transitions.

Everything here is integer seconds: UTC seconds since 1970, and local seconds, which are UTC
seconds plus the offset. zoneinfo is asked once per zone and year, not per slot.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from jobs.errors import InvalidSchedule

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DAY: Final = 86_400
_STEP: Final = DAY  # no zone changes its offset twice within a day


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of constant offset: ``start <= utc < end``. ``before`` is the offset before it."""

    start: int
    end: int
    offset: int
    before: int


@cache
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


def _near(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, available_timezones(), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


@lru_cache(maxsize=4096)
def _segments_of_year(name: str, year: int) -> tuple[tuple[int, ...], tuple[Segment, ...]]:
    """Segments that cover one year; the first and last are cut at its edges."""
    where = zone(name)
    start = (datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
    end = (datetime(year + 1, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
    found: list[Segment] = []
    at, offset, before = start, _offset(where, start), _offset(where, start - 1)
    probe = start
    while probe < end - 1:
        step = min(probe + _STEP, end - 1)
        if _offset(where, step) == offset:
            probe = step
            continue
        low, high = probe, step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(where, middle) == offset else (low, middle)
        found.append(Segment(at, high, offset, before))
        before, at, offset, probe = offset, high, _offset(where, high), high
    found.append(Segment(at, end, offset, before))
    return tuple(segment.start for segment in found), tuple(found)


def _offset(where: ZoneInfo, seconds: int) -> int:
    shift = (EPOCH + timedelta(seconds=seconds)).astimezone(where).utcoffset()
    return 0 if shift is None else int(shift.total_seconds())


def segment(name: str, seconds: int) -> Segment:
    """Return the segment around a UTC instant, at most a year long."""
    year = (EPOCH + timedelta(seconds=seconds)).year
    starts, segments = _segments_of_year(name, year)
    return segments[bisect_right(starts, seconds) - 1]
