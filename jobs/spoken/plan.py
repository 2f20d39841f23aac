"""From what was said to a schedule in the wire's shape (cron.md §2). No language here.

What repeats by the calendar becomes an expression, what repeats by elapsed time an `every`, the
rest one instant. What is left unsaid is assumed and noted; what stays doubtful is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from jobs.spoken.dates import MS, by_elapsed_days, later, once, pieces, repeats, told_times
from jobs.spoken.wish import DAY, LAST, Doubt, Wish, clock, clocks

_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)


def plan(wish: Wish, *, now: datetime, tz: str) -> dict[str, Any]:
    """Return the schedule of a wish; assumptions are noted in it. Raises `Doubt`."""
    _spread(wish)
    if wish.delay is not None:
        return later(wish, now, tz)
    if wish.minute is not None and wish.period is None and wish.step is None:
        wish.repeat_after(_HOUR)
    if wish.period is not None:
        return _by_the_hour(wish, wish.period, tz)
    if repeats(wish):
        count, unit = wish.step or (1, "")
        if count > 1 and unit in ("day", "week"):
            return by_elapsed_days(wish, count, unit, now, tz)
        return _by_the_calendar(wish, tz)
    return once(wish, now, tz)


def _spread(wish: Wish) -> None:
    """Give `twice a day` its meaning, and hold it against the times and days that were said."""
    if wish.times_per is None:
        return None
    count, unit = wish.times_per
    if unit == "hour":
        if count < 1 or 60 % count:
            raise Doubt("uneven", count=count)
        if count > 1:
            wish.note("evenly", minutes=60 // count)
        return wish.repeat_after(_HOUR / count)
    wish.repeat(1, unit)
    if unit == "day" and count != max(1, len(clocks(wish))):
        raise Doubt("which-times", count=count, found=len(wish.said))
    of_month = len(wish.month_days) + len(wish.nth) + len(wish.working)
    found = {"week": len(wish.weekdays), "month": of_month}.get(unit, count)
    if count != max(1, found):
        raise Doubt("which-days", count=count, found=found)
    return None


# -- every so many minutes or hours --------------------------------------------------------------


def _by_the_hour(wish: Wish, period: timedelta, tz: str) -> dict[str, Any]:
    """Return `every`, or an expression if only some hours, days or months count."""
    ahead = (wish.days_ahead, wish.weeks_ahead, wish.months_ahead, wish.year, wish.part)
    dated = wish.days_of_month or any(one is not None for one in ahead)
    if dated or wish.said or wish.step not in (None, (1, "day")):
        raise Doubt("mixed", read=pieces(wish))
    if not (wish.weekdays or wish.months or wish.window or wish.minute is not None):
        return {"kind": "every", "everyMs": period // MS}
    hours = _window(wish, minutes=period < _HOUR)
    if period < _HOUR and not _HOUR % period and not period % _MINUTE and wish.minute is None:
        count = period // _MINUTE
        minute, hour = "*" if count == 1 else f"*/{count}", _listed(hours) or "*"
    elif not period % _HOUR and (hours or not DAY % period):
        every = period // _HOUR
        minute = str(wish.minute or 0)
        hour = _hours(hours, every)
    else:
        raise Doubt("uneven-step", step=period)
    return _cron(minute, hour, "*", wish, tz)


def _hours(hours: list[int], every: int) -> str:
    """Return the field of every so many hours, of all or of a span."""
    if not hours:
        return "*" if every == 1 else f"*/{every}"
    if every > 1 and hours == sorted(hours):
        return f"{hours[0]}-{hours[-1]}/{every}"
    return _listed(sorted(hours[::every]))


def _window(wish: Wish, *, minutes: bool) -> list[int]:
    """Return the hours between two times, in their order; none if no times were said."""
    if wish.window is None:
        return []
    plain = any(one.hour > 12 for one in wish.window)
    first, last = (clock(wish, one, plain=plain) for one in wish.window)
    if all(one.open for one in wish.window) and last <= first:
        raise Doubt("which-half", piece="–".join(one.text for one in wish.window))
    if first.minute or last.minute:
        raise Doubt("whole-hours")
    count = (last.hour - first.hour) % 24 or 24
    if minutes:
        wish.note("until-before", end=last)
    elif count < 24 and not last.after:
        count += 1
    return [(first.hour + n) % 24 for n in range(count)]


# -- by the calendar -----------------------------------------------------------------------------


def _by_the_calendar(wish: Wish, tz: str) -> dict[str, Any]:
    ahead = (wish.days_ahead, wish.weeks_ahead, wish.months_ahead, wish.year, wish.minute)
    if wish.window or any(one is not None for one in ahead):
        raise Doubt("mixed", read=pieces(wish))
    days = wish.step or wish.weekdays or wish.days_of_month or wish.months
    if not (days or wish.said or wish.part):
        raise Doubt("no-when", read=pieces(wish))
    _fill_in(wish)
    minute, hour = _times(wish)
    return _cron(minute, hour, _month_days(wish), wish, tz)


def _fill_in(wish: Wish) -> None:
    """Assume the day that was left unsaid, and say so."""
    count, unit = wish.step or (1, "")
    if wish.days_of_month and wish.weekdays:
        raise Doubt("either-day")
    if unit in ("month", "year") and wish.weekdays:
        raise Doubt("which-week")
    if unit == "week" and not wish.weekdays:
        if wish.days_of_month:
            raise Doubt("mixed", read=pieces(wish))
        wish.weekdays = frozenset({1})
        wish.note("monday")
    if unit == "year":
        if count > 1:
            raise Doubt("years", count=count)
        if not wish.months:
            wish.months = frozenset({1})
            wish.note("first-month")
    if unit == "month" and count > 1:
        _months(wish, count)
    if unit in ("month", "year") and not wish.days_of_month:
        wish.month_days = frozenset({1})
        wish.note("first-day")


def _months(wish: Wish, count: int) -> None:
    """Spread every so many months over the year: only what divides it comes out even."""
    if 12 % count or wish.months:
        raise Doubt("uneven-months", count=count)
    wish.months = frozenset(range(1, 13, count))
    wish.note("months", months=", ".join(map(str, sorted(wish.months))))


def _times(wish: Wish) -> tuple[str, str]:
    """Return the fields of minute and hour; several times must be a grid of both."""
    found = told_times(wish)
    if any(one.after for one in found):
        text = next((one.text for one in wish.said), "24:00")
        if wish.weekdays or wish.days_of_month or wish.months:
            raise Doubt("end-midnight", text=text)
        wish.note("end-midnight", text=text)
    minutes = sorted({one.minute for one in found})
    hours = sorted({one.hour for one in found})
    if len(minutes) * len(hours) != len({(one.hour, one.minute) for one in found}):
        raise Doubt("two-schedules", times=", ".join(map(str, found)))
    return _listed(minutes), _listed(hours)


def _month_days(wish: Wish) -> str:
    """Return the field of the day of month."""
    if wish.working:
        if len(wish.working) > 1 or wish.month_days or wish.nth:
            raise Doubt("mixed", read=pieces(wish))
        return "LW" if wish.working[0] == LAST else "1W"
    ends = sorted((day for day in wish.month_days if day < 0), reverse=True)
    days = [_listed(sorted(day for day in wish.month_days if day > 0))]
    days += ["L" if day == LAST else f"L{day + 1}" for day in ends]
    if wish.month_days and wish.nth:
        raise Doubt("mixed", read=pieces(wish))
    return ",".join(filter(None, days)) or "*"


def _cron(minute: str, hour: str, day: str, wish: Wish, tz: str) -> dict[str, Any]:
    month = _listed(sorted(wish.months)) or "*"
    return {
        "kind": "cron",
        "expr": f"{minute} {hour} {day} {month} {_day_of_week(wish)}",
        "tz": tz,
    }


def _day_of_week(wish: Wish) -> str:
    if wish.nth:
        return ",".join(
            f"L{day % 7}" if which == LAST else f"{day % 7}#{which}" for which, day in wish.nth
        )
    days = sorted(day % 7 for day in wish.weekdays)
    return _listed(days) if 0 < len(days) < 7 else "*"


def _listed(values: Iterable[int]) -> str:
    """Return a field of these values, runs of three and more as ranges."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ",".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs
    )
