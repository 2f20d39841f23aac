"""Schedules in English."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from jobs.speech.shape import (
    MANY,
    UTC_NAMES,
    WEEKDAYS,
    WEEKEND,
    Cadence,
    Dates,
    Field,
    Kind,
    Mixed,
    Shape,
    Times,
    Timing,
    Unit,
    Week,
    clock,
    spans,
    stepped,
    two,
)

MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ROUNDS: Final = ("minute", "hour", "day")  # after which seconds, minutes and hours begin again
NTHS: Final = ("first", "second", "third", "fourth", "fifth")


def zone(name: str) -> str:
    """`Europe/Berlin time`."""
    return "UTC" if name in UTC_NAMES else f"{name} time"


def day(at: date) -> str:
    """`Sunday 29 March 2026`."""
    return f"{DAYS[at.weekday()]} {at.day} {MONTHS[at.month - 1]} {at.year}"


def span(value: timedelta) -> str:
    """`1 hour 30 minutes`."""
    left = value // timedelta(milliseconds=1)
    parts = []
    for name, size in (
        ("day", 86_400_000),
        ("hour", 3_600_000),
        ("minute", 60_000),
        ("second", 1000),
        ("millisecond", 1),
    ):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"


def cron(shape: Shape, tz: str) -> str:
    """Say a whole expression."""
    days = _days(shape)
    if shape.years:
        # One date of one year is written as dates are.
        dated = shape.dates is not None and shape.week is None and _alone(shape.dates)
        whole = dated and len(shape.months) == len(shape.years) == 1
        days += f" {shape.years[0]}" if whole else f", {_years(shape.years)}"
    return f"{_timing(shape.timing)}{days}, {zone(tz)}."


def every(period: timedelta, anchor: datetime, tz: str) -> str:
    """Say a fixed cadence."""
    words = span(period)
    if words.startswith("1 ") and words.count(" ") == 1:
        words = words.removeprefix("1 ")
    return f"Every {words}, counted from {anchor:%Y-%m-%d %H:%M:%S}, {zone(tz)}."


def once(at: datetime, tz: str) -> str:
    """Say a single instant."""
    return (
        f"Once, on {day(at)} at {clock(at.hour * 3600 + at.minute * 60 + at.second)}, {zone(tz)}."
    )


# -- the time of day -----------------------------------------------------------------------------


def _timing(timing: Timing) -> str:
    match timing:
        case Times(at):
            exact = any(second % 60 for second in at)
            return f"At {_listed([clock(second, exact=exact) for second in at])}"
        case Cadence():
            return _cadence(timing)
        case Mixed(seconds, minutes, hours):
            return _mixed(seconds, minutes, hours)


def _cadence(cadence: Cadence) -> str:
    words = _often(cadence.unit, cadence.every)
    if cadence.windows:
        return f"{words} {_listed([_window(*window) for window in cadence.windows])}"
    if cadence.unit is Unit.HOUR:
        return f"{words} at minute {cadence.minute}" if cadence.minute else f"{words}, on the hour"
    return words


def _window(first: int, last: int) -> str:
    return f"at {clock(first)}" if first == last else f"from {clock(first)} to {clock(last)}"


def _often(unit: Unit, count: int) -> str:
    return f"Every {unit}" if count == 1 else f"Every {count} {unit}s"


def _mixed(seconds: Field, minutes: Field, hours: Field) -> str:
    of_hour = "every hour" if hours.kind is Kind.ALL else _named("the hour", hours, padded=True)
    if seconds.values == (0,):
        return f"{_start('minute', minutes)} of {of_hour}"
    if minutes.kind is not Kind.ALL:
        return f"{_start('second', seconds)} of {_named('minute', minutes)} of {of_hour}"
    tail = "" if hours.kind is Kind.ALL else f" of {of_hour}"
    return f"{_start('second', seconds)} of every minute{tail}"


def _start(name: str, field: Field) -> str:
    return _often(Unit(name), field.step) if field.even else f"At {_named(name, field)}"


def _named(name: str, field: Field, *, padded: bool = False) -> str:
    many = "" if len(field.values) == 1 else "s"
    return f"{name}{many} {_values(field.values, two if padded else str)}"


# -- days ----------------------------------------------------------------------------------------


def _days(shape: Shape) -> str:
    dates, week, months = shape.dates, shape.week, shape.months
    if dates is not None and week is not None:
        return _both(dates, week, shape)
    if dates is not None:
        return f" on {_dates(dates, months)}"
    if week is not None:
        return f" on {_week(week, months)}"
    timing = shape.timing
    windowed = isinstance(timing, Times) or (isinstance(timing, Cadence) and bool(timing.windows))
    if months:
        return f"{' every day' if windowed else ''} {_in_months(months)}"
    return " every day" if windowed else ""


def _both(dates: Dates, week: Week, shape: Shape) -> str:
    months = shape.months
    if shape.both:
        return f" on {_dates(dates, months)} when it is {_such_day(week)}"
    if months:
        either = f"{_listed(_items(dates))} or on {_week(week, (), of='of the month')}"
        return f" on {either}, {_in_months(months)}"
    return f" on {_dates(dates, ())} or on {_week(week, ())}"


def _dates(dates: Dates, months: Sequence[int]) -> str:
    if _alone(dates) and len(months) == 1:
        return f"{dates.numbers[0]} {MONTHS[months[0] - 1]}"
    return f"{_listed(_items(dates))} {_of_months(months)}"


def _alone(dates: Dates) -> bool:
    special = dates.to_last or dates.near or dates.lasts or dates.last_weekday
    return len(dates.numbers) == 1 and not special


def _items(dates: Dates) -> list[str]:
    """Say each of the days: `the 1st`, `the 10th to the 15th`, `the last weekday`."""
    found = _numbers(dates.numbers)
    found += [f"the {_ordinal(first)} to the last day" for first in dates.to_last]
    found += [f"the weekday nearest the {_ordinal(number)}" for number in dates.near]
    for back in dates.lasts:
        before = "the" if back == 1 else f"the {_ordinal(back)}"
        found.append(f"{before} day before the last" if back else "the last day")
    return [*found, *(["the last weekday"] if dates.last_weekday else [])]


def _numbers(numbers: Sequence[int]) -> list[str]:
    step = stepped(numbers) if len(numbers) > 2 else None
    if step is not None and step > 1 and len(numbers) > 4:
        first, second, last = numbers[0], numbers[1], numbers[-1]
        return [f"the {_ordinal(first)}, {_ordinal(second)} … {_ordinal(last)}"]
    found = []
    for first, last in spans(numbers):
        if last - first > 1:
            found.append(f"the {_ordinal(first)} to the {_ordinal(last)}")
        else:
            found += [f"the {_ordinal(number)}" for number in range(first, last + 1)]
    return found


def _ordinal(number: int) -> str:
    tail = "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{tail}"


def _week(week: Week, months: Sequence[int], *, of: str | None = None) -> str:
    parts = []
    if week.days:
        parts.append(_plain_days(week.days))
    special = [f"the {NTHS[nth - 1]} {DAYS[weekday - 1]}" for weekday, nth in week.nths]
    special += [f"the last {DAYS[weekday - 1]}" for weekday in week.lasts]
    if special:
        parts.append(f"{_listed(special)} {of or _of_months(months)}")
        return " and on ".join(parts)
    return f"{parts[0]} {_in_months(months)}" if months else parts[0]


def _plain_days(days: tuple[int, ...]) -> str:
    if days == WEEKDAYS:
        return "weekdays (Monday to Friday)"
    if days == WEEKEND:
        return "weekends (Saturday and Sunday)"
    if len(days) == 7:
        return "every day of the week"
    found = spans(days, around=(1, 7))
    if len(found) == 1 and len(days) > 2:
        return f"{DAYS[found[0][0] - 1]}s to {DAYS[found[0][1] - 1]}s"
    return _listed([f"{DAYS[one - 1]}s" for one in days])


def _such_day(week: Week) -> str:
    """Say a condition on a date: `a Friday`, `a weekday (Monday to Friday)`."""
    found = []
    if week.days == WEEKDAYS:
        found.append("a weekday (Monday to Friday)")
    else:
        found += [f"a {DAYS[one - 1]}" for one in week.days]
    found += [f"the {NTHS[nth - 1]} {DAYS[weekday - 1]}" for weekday, nth in week.nths]
    found += [f"the last {DAYS[weekday - 1]}" for weekday in week.lasts]
    return _listed(found, "or")


def _of_months(months: Sequence[int]) -> str:
    return f"of {_month_names(months)}" if months else "of every month"


def _in_months(months: Sequence[int]) -> str:
    found = spans(months, around=(1, 12))
    if len(found) == 1 and len(months) > 2:
        return f"from {MONTHS[found[0][0] - 1]} to {MONTHS[found[0][1] - 1]}"
    return f"in {_month_names(months)}"


def _month_names(months: Sequence[int]) -> str:
    found = spans(months, around=(1, 12))
    if len(found) == 1 and len(months) > 2:
        return f"{MONTHS[found[0][0] - 1]} to {MONTHS[found[0][1] - 1]}"
    return _listed([MONTHS[month - 1] for month in months])


def _years(years: Sequence[int]) -> str:
    if len(years) > 2 and len(spans(years)) == 1:
        return f"from {years[0]} to {years[-1]}"
    return f"in {_values(years, str)}"


# -- lists ---------------------------------------------------------------------------------------


def _values(values: Sequence[int], say: Callable[[int], str]) -> str:
    step = stepped(values)
    if step not in (None, 1) and len(values) > MANY:
        return f"{say(values[0])}, {say(values[1])}, {say(values[2])} … {say(values[-1])}"
    found = []
    for first, last in spans(values):
        if last - first > 1:
            found.append(f"{say(first)} to {say(last)}")
        else:
            found += [say(value) for value in range(first, last + 1)]
    return _listed(found)


def _listed(words: Sequence[str], last: str = "and") -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


# -- the fields one by one -----------------------------------------------------------------------

FIELDS: Final = ("second", "minute", "hour", "day of month", "month", "day of week", "year")


def time_field(position: int, field: Field) -> str:
    """Say what seconds, minutes or hours are named."""
    name = FIELDS[position]
    if field.kind is Kind.ALL:
        return f"every {name}"
    return _values(field.values, two if position == 2 else str)


def date_field(dates: Dates | None) -> str:
    """Say which days of the month."""
    return "every day" if dates is None else _listed(_items(dates))


def month_field(months: Sequence[int]) -> str:
    """Say which months."""
    return _month_names(months) if months else "every month"


def week_field(week: Week | None) -> str:
    """Say which days of the week."""
    return "any day of the week" if week is None else _week(week, ())


def year_field(years: Sequence[int]) -> str:
    """Say which years."""
    return _years(years).partition(" ")[2] if years else "every year"
