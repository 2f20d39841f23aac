"""Schedules in Chinese."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from jobs.speech.places import AREAS, CITIES
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

DAYS: Final = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")
ROUNDS: Final = ("分钟", "小时", "天")  # after which seconds, minutes and hours begin again
NTHS: Final = ("第一个", "第二个", "第三个", "第四个", "第五个")
UNITS: Final = {Unit.SECOND: "秒", Unit.MINUTE: "分钟", Unit.HOUR: "小时"}


def zone(name: str) -> str:
    """`欧洲/柏林时间`; a city without a Chinese name here keeps its own."""
    if name in UTC_NAMES:
        return "UTC时间"
    area, _, city = name.rpartition("/")
    if area in AREAS and city in CITIES:
        return f"{AREAS[area]}/{CITIES[city]}时间"
    return f"{name} 时间"


def day(at: date) -> str:
    """`2026年3月29日（周日）`."""
    return f"{at.year}年{at.month}月{at.day}日（{DAYS[at.weekday()]}）"


def span(value: timedelta) -> str:
    """`1小时30分钟`."""
    left = value // timedelta(milliseconds=1)
    parts = []
    for name, size in (
        ("天", 86_400_000),
        ("小时", 3_600_000),
        ("分钟", 60_000),
        ("秒", 1000),
        ("毫秒", 1),
    ):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts) or "0秒"


def cron(shape: Shape, tz: str) -> str:
    """Say a whole expression."""
    days = _days(shape)
    pause = "，" if days and not _is_clock(shape.timing) else ""
    years = f"（仅限{_values(shape.years, str)}年）" if shape.years else ""
    if len(shape.years) == 1 and days.startswith("每年"):
        days, years = f"{shape.years[0]}{days.removeprefix('每')}", ""
    return f"{days}{pause}{_timing(shape.timing)}{years}，{zone(tz)}"


def every(period: timedelta, anchor: datetime, tz: str) -> str:
    """Say a fixed cadence."""
    words = span(period)
    if words in ("1天", "1小时", "1分钟", "1秒"):
        words = words[1:]
    start = f"{anchor.year}年{anchor.month}月{anchor.day}日{anchor:%H:%M:%S}"
    return f"每{words}一次，自{start}起计，{zone(tz)}"


def once(at: datetime, tz: str) -> str:
    """Say a single instant."""
    return f"仅一次：{day(at)}{clock(at.hour * 3600 + at.minute * 60 + at.second)}，{zone(tz)}"


# -- the time of day -----------------------------------------------------------------------------


def _is_clock(timing: Timing) -> bool:
    """Whether it begins with times of day, which follow a day without a pause."""
    return isinstance(timing, Times) or (isinstance(timing, Cadence) and bool(timing.windows))


def _timing(timing: Timing) -> str:
    match timing:
        case Times(at):
            exact = any(second % 60 for second in at)
            return _listed([clock(second, exact=exact) for second in at])
        case Cadence():
            return _cadence(timing)
        case Mixed(seconds, minutes, hours):
            return _mixed(seconds, minutes, hours)


def _cadence(cadence: Cadence) -> str:
    words = _often(cadence.unit, cadence.every)
    if cadence.windows:
        return f"{_listed([_window(*window) for window in cadence.windows])}，{words}"
    if cadence.unit is Unit.HOUR:
        return f"{words}的第{cadence.minute}分" if cadence.minute else f"{words}整点"
    return words


def _window(first: int, last: int) -> str:
    return clock(first) if first == last else f"{clock(first)}至{clock(last)}"


def _often(unit: Unit, count: int) -> str:
    return f"每{'' if count == 1 else count}{UNITS[unit]}"


def _mixed(seconds: Field, minutes: Field, hours: Field) -> str:
    all_hours = hours.kind is Kind.ALL
    in_hours = "每小时" if all_hours else f"{_values(hours.values, two)}时"
    if seconds.values == (0,):
        if minutes.even:
            return f"{in_hours}内，{_often(Unit.MINUTE, minutes.step)}"
        return f"{in_hours}的第{_values(minutes.values, str)}分"
    if minutes.kind is Kind.ALL:
        in_minutes = "每分钟" if all_hours else f"{in_hours}的每分钟"
    else:
        in_minutes = f"{in_hours}的第{_values(minutes.values, str)}分"
    if seconds.even:
        return f"{in_minutes}内，{_often(Unit.SECOND, seconds.step)}"
    return f"{in_minutes}的第{_values(seconds.values, str)}秒"


# -- days ----------------------------------------------------------------------------------------


def _days(shape: Shape) -> str:
    dates, week, months = shape.dates, shape.week, shape.months
    if dates is not None and week is not None:
        joint = "且为" if shape.both else "或"
        such = _such_day(week) if shape.both else _week(week, alone=not months)
        return f"{_lead(months)}{_listed(_items(dates))}{joint}{such}"
    if dates is not None:
        return f"{_lead(months)}{_listed(_items(dates))}"
    if week is not None:
        return _week_days(week, months)
    if months:
        return f"每年{_month_names(months)}的每天"
    return "每天" if _is_clock(shape.timing) else ""


def _lead(months: Sequence[int]) -> str:
    """What stands before a day of the month: `每月`, `每年1月`, `每年1月、7月的`."""
    if not months:
        return "每月"
    return f"每年{_month_names(months)}{'' if len(months) == 1 else '的'}"


def _items(dates: Dates) -> list[str]:
    found = []
    step = stepped(dates.numbers) if len(dates.numbers) > 2 else None
    if step is not None and step > 1 and len(dates.numbers) > 4:
        found.append(f"{dates.numbers[0]}、{dates.numbers[1]}……{dates.numbers[-1]}日")
    else:
        for first, last in spans(dates.numbers):
            if last - first > 1:
                found.append(f"{first}日至{last}日")
            else:
                found += [f"{number}日" for number in range(first, last + 1)]
    found += [f"{first}日至最后一天" for first in dates.to_last]
    found += [f"离{number}日最近的工作日" for number in dates.near]
    found += [f"倒数第{back + 1}天" if back else "最后一天" for back in dates.lasts]
    return [*found, *(["最后一个工作日"] if dates.last_weekday else [])]


def _week_days(week: Week, months: Sequence[int]) -> str:
    lead = f"每年{_month_names(months)}的" if months else ""
    return f"{lead}{_week(week, alone=not months)}"


def _week(week: Week, *, alone: bool) -> str:
    """Say days of the week. Not alone: the months before them say which ones are meant."""
    parts = []
    if week.days:
        parts.append(_plain_days(week.days))
    special = _special(week)
    if special:
        parts.append(f"{'每月' if alone else ''}{_listed(special)}")
    return "和".join(parts)


def _special(week: Week) -> list[str]:
    nths = [f"{NTHS[nth - 1]}{DAYS[weekday - 1]}" for weekday, nth in week.nths]
    return nths + [f"最后一个{DAYS[weekday - 1]}" for weekday in week.lasts]


def _plain_days(days: tuple[int, ...]) -> str:
    if days == WEEKDAYS:
        return "工作日（周一至周五）"
    if days == WEEKEND:
        return "周末（周六、周日）"
    if len(days) == 7:
        return "每天"
    found = spans(days, around=(1, 7))
    if len(found) == 1 and len(days) > 2:
        return f"每{DAYS[found[0][0] - 1]}至{DAYS[found[0][1] - 1]}"
    return f"每{_listed([DAYS[one - 1] for one in days])}"


def _such_day(week: Week) -> str:
    """Say a condition on a date: `周五`, `工作日（周一至周五）`."""
    found = []
    if week.days == WEEKDAYS:
        found.append("工作日（周一至周五）")
    else:
        found += [DAYS[one - 1] for one in week.days]
    return _listed([*found, *_special(week)], "或")


def _month_names(months: Sequence[int]) -> str:
    found = spans(months, around=(1, 12))
    if len(found) == 1 and len(months) > 2:
        first, last = found[0]
        return f"{first}月至{'次年' if last < first else ''}{last}月"
    return "、".join(f"{month}月" for month in months)


# -- lists ---------------------------------------------------------------------------------------


def _values(values: Sequence[int], say: Callable[[int], str]) -> str:
    step = stepped(values)
    if step not in (None, 1) and len(values) > MANY:
        return f"{say(values[0])}、{say(values[1])}、{say(values[2])}……{say(values[-1])}"
    found = []
    for first, last in spans(values):
        if last - first > 1:
            found.append(f"{say(first)}至{say(last)}")
        else:
            found += [say(value) for value in range(first, last + 1)]
    return "、".join(found)


def _listed(words: Sequence[str], last: str = "和") -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{'、'.join(words[:-1])}{last}{words[-1]}"


# -- the fields one by one -----------------------------------------------------------------------

FIELDS: Final = ("秒", "分", "时", "日", "月", "星期", "年")
_EACH: Final = ("每秒", "每分钟", "每小时")


def time_field(position: int, field: Field) -> str:
    """Say what seconds, minutes or hours are named."""
    if field.kind is Kind.ALL:
        return _EACH[position]
    return _values(field.values, two if position == 2 else str)


def date_field(dates: Dates | None) -> str:
    """Say which days of the month."""
    return "每天" if dates is None else _listed(_items(dates))


def month_field(months: Sequence[int]) -> str:
    """Say which months."""
    return _month_names(months) if months else "每月"


def week_field(week: Week | None) -> str:
    """Say which days of the week."""
    return "不限星期" if week is None else _week(week, alone=True)


def year_field(years: Sequence[int]) -> str:
    """Say which years."""
    return f"{_values(years, str)}年" if years else "每年"
