"""Hours of the day in a zone, past midnight too (heartbeat.md §5). Pure.

A window is computed as instants for each day it starts on, so that a window inside a gap
opens at the gap's end for its own length, and one that has closed does not open again when
the clocks go back into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from jobs import wallclock
from jobs.errors import InvalidInput

DAY_MINUTES: Final = 24 * 60
_TIME: Final = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ActiveHours:
    """``start`` is inclusive, ``end`` exclusive, both minutes of the local day."""

    start: int
    end: int  # at most 1440; less than start: past midnight
    zone: ZoneInfo
    wall: bool = False  # judge by the wall clock alone, as the reference product does

    def contains(self, now: datetime) -> bool:
        """Whether the window is open."""
        return self.day_of(now) is not None

    def day_of(self, now: datetime) -> date | None:
        """Return the day on which the window that is open now began; None if it is closed."""
        local = now.astimezone(self.zone)
        today = local.date()
        if self.wall:
            minute = local.hour * 60 + local.minute
            if self.start < self.end:
                return today if self.start <= minute < self.end else None
            if minute >= self.start:
                return today
            return today - _DAY if minute < self.end else None
        for day in (today, today - _DAY):
            opens, closes = self.window(day)
            if opens <= now < closes:
                return day
        return None

    def opens_after(self, now: datetime) -> datetime:
        """Return ``now`` if the window is open, else the instant it opens next."""
        return now if self.contains(now) else self.next_opening(now)

    def next_opening(self, now: datetime) -> datetime:
        """Return the first instant after ``now`` at which the window opens anew."""
        today = now.astimezone(self.zone).date()
        return min(
            opens for ahead in range(-1, 4) if (opens := self.window(today + ahead * _DAY)[0]) > now
        )

    def windows(self, start: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the windows that touch a span of time, whole, oldest first."""
        day = start.astimezone(self.zone).date() - _DAY
        while (window := self.window(day))[0] < until:
            if window[1] > start:
                yield window
            day += _DAY

    def describe(self) -> str:
        """Say it: `09:00-22:00 Asia/Shanghai`."""
        return f"{self.clock} {self.zone.key}"

    @property
    def all_day(self) -> bool:
        """Whether it is the whole day."""
        return (self.start, self.end) == (0, DAY_MINUTES)

    @property
    def clock(self) -> str:
        """Its hours alone: `09:00-22:00`."""
        return f"{_clock(self.start)}-{_clock(self.end)}"

    def window(self, day: date) -> tuple[datetime, datetime]:
        """Return when the window that starts on ``day`` opens and closes."""
        opens, opens_in_gap = _instant(day, self.start, self.zone)
        past_midnight = self.end <= self.start
        closes, closes_in_gap = _instant(day + _DAY if past_midnight else day, self.end, self.zone)
        if opens_in_gap and closes_in_gap and closes <= opens:
            closes = opens + timedelta(minutes=(self.end - self.start) % DAY_MINUTES)
        return opens, closes


def _instant(day: date, minute: int, zone: ZoneInfo) -> tuple[datetime, bool]:
    """Return the first instant of a local minute; one in a gap is the end of the gap."""
    day, minute = (day + _DAY, minute - DAY_MINUTES) if minute >= DAY_MINUTES else (day, minute)
    local = datetime.combine(day, time(minute // 60, minute % 60), tzinfo=zone)
    instant = local.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant, False
    # The minute does not exist: the clocks jumped over it.
    second = int((instant - wallclock.EPOCH).total_seconds())
    return wallclock.EPOCH + timedelta(seconds=wallclock.segment(zone.key, second).start), True


def minute_of(text: str, *, end: bool) -> int:
    """Return the minute of ``HH:MM``; `24:00` only as an end. Raises `InvalidInput`."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise InvalidInput(
            'invalid time (use "HH:MM" 24h format)', why=f"got {text!r}", fix="for example 08:00"
        )
    minute = int(found[1]) * 60 + int(found[2])
    if minute == DAY_MINUTES and not end:
        raise InvalidInput("invalid time (start cannot be 24:00)", fix="use 00:00")
    if minute > DAY_MINUTES:
        raise InvalidInput(
            "invalid time (24:00 is the only allowed 24:xx value)",
            fix="use 24:00, or 00:00 to 23:59",
        )
    return minute


def parse(start: str, end: str, zone_name: str, *, wall: bool = False) -> ActiveHours:
    """Return the window. Raises `InvalidInput` for a bad time, an unknown zone, or no length."""
    opens, closes = minute_of(start, end=False), minute_of(end, end=True)
    if opens == closes:
        raise InvalidInput(
            "activeHours was refused",
            why=f"start equals end ({start}), so the window would never open",
            fix='use "00:00" and "24:00" for the whole day',
        )
    return ActiveHours(opens, closes, wallclock.zone(zone_name), wall)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
