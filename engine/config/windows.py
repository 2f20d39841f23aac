"""`activeHours` and `dayparts` of a heartbeat block as values (heartbeat.md §5). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

from engine.config.schema.agents import ActiveHours as Written, Heartbeat
from jobs.calendar import Calendar
from jobs.errors import InvalidInput
from jobs.hours import ActiveHours, parse
from jobs.windows import Hours, Window, Windows, day_rules, weekdays_of

_ALL_DAY: Final = ("00:00", "24:00")


def hours_of(
    block: Heartbeat, zone: ZoneInfo, host_zone: str, calendars: Mapping[str, Calendar]
) -> Hours | None:
    """Return when beats may run; None if always. ``zone`` is the person's.

    A single window of nothing but hours stays one: that is what the reference product knows.
    """
    given = block.active_hours
    if given is None:
        return None
    if isinstance(given, Written) and not _is_more(given):
        return None if given.start is None or given.end is None else _hours(given, zone, host_zone)
    several = (given,) if isinstance(given, Written) else given
    windows = _windows(several, zone, host_zone, calendars)
    return Windows(windows) if windows else None


def dayparts_of(
    block: Heartbeat, zone: ZoneInfo, host_zone: str, calendars: Mapping[str, Calendar]
) -> tuple[Window, ...]:
    """Return the hours that have a cadence of their own: parts of the day, then windows."""
    written = [*block.dayparts]
    given = block.active_hours
    if given is not None:
        written += [given] if isinstance(given, Written) else [*given]
    found = _windows(written, zone, host_zone, calendars)
    return tuple(one for one in found if one.every is not None)


def _windows(
    written: Sequence[Written],
    zone: ZoneInfo,
    host_zone: str,
    calendars: Mapping[str, Calendar],
) -> tuple[Window, ...]:
    return tuple(window(one, zone, host_zone, calendars)[0] for one in written)


def window(
    written: Written, zone: ZoneInfo, host_zone: str, calendars: Mapping[str, Calendar]
) -> tuple[Window, tuple[str, ...]]:
    """Return a window, and the calendars it names that nobody knows. Raises `InvalidInput`."""
    hours = _hours(written, zone, host_zone)
    rules, unknown = day_rules(
        written.excepted or (), written.only or (), tz=hours.zone.key, calendars=calendars
    )
    every = written.every
    if every is not None and every <= timedelta():
        raise InvalidInput(
            "every was refused",
            why="a window without beats is no window",
            fix="leave the hours out of activeHours instead",
        )
    made = Window(hours, weekdays_of(written.days or ()), rules, every)
    return made, unknown


def _is_more(written: Written) -> bool:
    return any((written.days, written.excepted, written.only, written.every))


def _hours(written: Written, zone: ZoneInfo, host_zone: str) -> ActiveHours:
    start, end = written.start, written.end
    if start is None and end is None:
        start, end = _ALL_DAY
    match (written.timezone or "user").strip():
        case "" | "user":
            name = zone.key
        case "local":
            name = host_zone
        case named:
            name = named
    return parse(start or _ALL_DAY[0], end or _ALL_DAY[1], name, wall=written.dst == "wall")
