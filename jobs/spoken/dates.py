"""The instant that was meant: once, or the first of every so many days. No language here."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final

from jobs.schedule import At, schedule_to_json
from jobs.spoken.wish import DAY, PARTS, Clock, Doubt, Wish, clocks
from jobs.wallclock import EPOCH, zone
from jobs.written import check_at, parse_at

USUAL: Final = Clock(9, 0)
MS: Final = timedelta(milliseconds=1)


def repeats(wish: Wish) -> bool:
    """Tell whether it was said to come again, in so many words or by naming several days."""
    several = len(wish.weekdays) > 1 or len(wish.month_days) > 1
    return wish.every or several or bool(wish.nth or wish.working)


def told_times(wish: Wish) -> list[Clock]:
    """Return the times, or the one that is meant where none was said."""
    if wish.said:
        return clocks(wish)
    if wish.part is not None:
        assumed = Clock(PARTS[wish.part], 0)
        wish.note("part", part=wish.part, time=assumed)
        return [assumed]
    wish.note("no-time", time=USUAL)
    return [USUAL]


# -- every so many days or weeks -----------------------------------------------------------------


def by_elapsed_days(wish: Wish, count: int, unit: str, now: datetime, tz: str) -> dict[str, Any]:
    """Return `every` from the first such day on; days that are named need not be equally far."""
    period = count * DAY * (7 if unit == "week" else 1)
    if wish.days_of_month or wish.months or wish.window or wish.minute is not None:
        raise Doubt("uneven-step", step=period)
    if len(wish.weekdays) > 1 or len(wish.said) > 1 or (unit == "day" and wish.weekdays):
        raise Doubt("grid", step=period)
    made: dict[str, Any] = {"kind": "every", "everyMs": period // MS}
    if wish.weekdays or wish.said or wish.part or wish.days_ahead is not None:
        first = _first(wish, now, tz)
        made["anchorMs"] = (first - EPOCH) // MS
    if _clocks_change(now, tz):
        wish.note("elapsed")
    return made


def _clocks_change(now: datetime, tz: str) -> bool:
    months = (now + n * 30 * DAY for n in range(13))
    return len({one.astimezone(zone(tz)).utcoffset() for one in months}) > 1


# -- once ----------------------------------------------------------------------------------------


def later(wish: Wish, now: datetime, tz: str) -> dict[str, Any]:
    """Return the instant after a delay; whole days may have a time of day."""
    delay = wish.delay or timedelta()
    if delay <= timedelta():
        raise Doubt("zero", piece=wish.read[0])
    if not delay % DAY and (wish.said or wish.part) and not _names_days(wish):
        wish.delay, wish.days_ahead = None, delay // DAY
        return once(wish, now, tz)
    if repeats(wish) or _names_days(wish) or wish.said or wish.part or wish.window:
        raise Doubt("mixed", read=pieces(wish))
    return _at(now + delay, now)


def once(wish: Wish, now: datetime, tz: str) -> dict[str, Any]:
    """Return the one instant that was meant."""
    if wish.window or not _says_when(wish):
        raise Doubt("no-when", read=pieces(wish) or "-")
    return _at(_first(wish, now, tz), now)


def _names_days(wish: Wish) -> bool:
    ahead = (wish.days_ahead, wish.weeks_ahead, wish.months_ahead, wish.minute)
    named = wish.weekdays or wish.days_of_month or wish.months
    return bool(named) or any(one is not None for one in ahead)


def _says_when(wish: Wish) -> bool:
    days = wish.weekdays or wish.month_days or wish.days_ahead is not None
    return bool(days or wish.said or wish.part)


def _first(wish: Wish, now: datetime, tz: str) -> datetime:
    """Return the first instant that was meant, strictly after now."""
    times = told_times(wish)
    if len(times) > 1:
        raise Doubt("one-time", times=", ".join(map(str, times)))
    at = times[0]
    named = wish.weekdays or wish.month_days or wish.days_ahead is not None
    text = wish.said[0].text if wish.said else str(at)
    if named and at == Clock(0, 0) and wish.said and wish.said[0].plain:
        wish.note("midnight")
    elif at.after:
        wish.note("end-midnight", text=text)
    today = now.astimezone(zone(tz)).date()
    days = _days(wish, today)
    for day in days:
        instant = parse_at(f"{day + at.after * DAY}T{at}", now=now, tz=tz)
        if instant > now:
            _say_which(wish, day, today)
            return instant
    raise Doubt("past", at=f"{days[-1]} {at}" if days else pieces(wish))


def _days(wish: Wish, today: date) -> list[date]:
    """Return the days that may be meant, the nearest first; the first still to come is it."""
    ways = (wish.days_ahead is not None, bool(wish.weekdays), bool(wish.month_days))
    of_month = wish.months or wish.months_ahead is not None
    if sum(ways) > 1 or (of_month and not wish.month_days):
        raise Doubt("mixed", read=pieces(wish))
    if wish.days_ahead is not None:
        return [today + wish.days_ahead * DAY]
    if wish.weekdays:
        return _days_of_week(wish, today)
    if wish.month_days:
        return _days_of_month(wish, today)
    return [today, today + DAY, today + 2 * DAY]


def _days_of_week(wish: Wish, today: date) -> list[date]:
    (weekday,) = wish.weekdays  # several of them repeat
    monday = today - today.weekday() * DAY
    if wish.weeks_ahead is not None:
        return [monday + (7 * wish.weeks_ahead + weekday - 1) * DAY]
    near = today + (weekday - today.isoweekday()) % 7 * DAY
    return [near, near + 7 * DAY]


def _days_of_month(wish: Wish, today: date) -> list[date]:
    """Return days of the month named, or of the coming months and years."""
    if len(wish.months) > 1 or (wish.months and wish.months_ahead is not None):
        raise Doubt("mixed", read=pieces(wish))
    (number,) = wish.month_days  # several of them repeat
    if wish.months_ahead is not None:
        months = [today.year * 12 + today.month - 1 + wish.months_ahead]
    elif wish.months:
        years = [wish.year] if wish.year else [today.year + n for n in range(9)]
        months = [year * 12 + min(wish.months) - 1 for year in years]
    else:
        months = [today.year * 12 + today.month - 1 + n for n in range(13)]
    found = [day for month in months if (day := _day_of_month(month, number)) is not None]
    if not found:
        raise Doubt("no-day", piece=" ".join(wish.read))
    return found


def _day_of_month(month: int, number: int) -> date | None:
    """Return a day of a month counted since year 0; None if it has no such day."""
    try:
        first = date(month // 12, month % 12 + 1, 1)
        length = (date((month + 1) // 12, (month + 1) % 12 + 1, 1) - first).days
    except ValueError:
        return None
    number = number if number > 0 else length + 1 + number
    return first + (number - 1) * DAY if 0 < number <= length else None


def _say_which(wish: Wish, day: date, today: date) -> None:
    """Note what a listener may have meant otherwise."""
    if wish.weeks_ahead == 1 and (day - today).days > 7:
        wish.note("next-week", day=day, sooner=day - 7 * DAY, weekday=day.isoweekday())
    elif wish.weekdays and wish.weeks_ahead is None and wish.step is None:
        wish.note("once", weekday=day.isoweekday())
    elif not (wish.weekdays or wish.month_days) and wish.days_ahead is None and wish.step is None:
        wish.note("once-time")


def _at(instant: datetime, now: datetime) -> dict[str, Any]:
    return schedule_to_json(At(check_at(instant, now=now)))


def pieces(wish: Wish) -> str:
    """Return what was read, piece by piece."""
    return ", ".join(f"“{piece}”" for piece in wish.read[:8])
