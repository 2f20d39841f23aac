"""Chinese phrases about when, read into a `Wish` from left to right."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from jobs.spoken.chinese_words import (
    AND,
    DAYS,
    LENGTH,
    NUMERAL,
    PART,
    PARTS,
    PLACE,
    TIME,
    TO,
    WEEK,
    WEEKDAY,
    WEEKDAYS,
    days,
    length,
    normal,
    number,
    said,
)
from jobs.spoken.wish import DAY, LAST, WORKING_DAYS, Doubt, Patterns, Read, Said, Wish, scan

_Match = re.Match[str]


def read(text: str) -> Wish:
    """Return what a Chinese phrase says. Raises `Doubt`."""
    return scan(normal(text), _PATTERNS, _FILLER, _WORD)


# -- how often -----------------------------------------------------------------------------------


def _every_length(found: _Match, wish: Wish) -> None:
    period, units = length(found["length"])
    unit = "天" if units <= {"天", "日"} else "周" if units <= {"周", "星", "礼"} else ""
    if not unit:
        return wish.repeat_after(period)
    count = period // (DAY if unit == "天" else 7 * DAY)
    if "隔" in found[0]:
        # 每隔一天 is every other day; 每隔两天 may be every second or every third.
        if count != 1:
            raise Doubt("skipping", count=count, more=count + 1, unit=unit)
        count = 2
    return wish.repeat(count, "day" if unit == "天" else "week")


def _every_unit(found: _Match, wish: Wish) -> None:
    match found["unit"][0]:
        case "分":
            wish.repeat_after(timedelta(minutes=1))
        case "刻":
            wish.repeat_after(timedelta(minutes=15))
        case "小" | "钟":
            wish.repeat_after(timedelta(hours=1))
        case "天" | "日":
            wish.repeat(1, "day")
        case "月":
            wish.repeat(1, "month")
        case "季":
            wish.repeat(3, "month")
        case "年":
            wish.repeat(1, "year")
        case _:
            wish.repeat(1, "week")


def _every_months(found: _Match, wish: Wish) -> None:
    count = number(found["count"])
    unit = found["unit"]
    wish.repeat(count * (3 if unit == "季" else 1), "year" if unit == "年" else "month")


def _every_other(found: _Match, wish: Wish) -> None:
    unit = found["unit"]
    wish.repeat(2, "day" if unit in "天日" else "month" if unit == "月" else "week")
    if found.groupdict().get("day"):
        wish.weekdays |= {WEEKDAYS[found["day"]]}


def _every_part(found: _Match, wish: Wish) -> None:
    wish.repeat(1, "day")
    wish.set("part", PARTS[found["part"]])


def _times_per(found: _Match, wish: Wish) -> None:
    units = {"天": "day", "日": "day", "小": "hour", "月": "month"}
    wish.every = True
    wish.set("times_per", (number(found["count"]), units.get(found["unit"][0], "week")))


def _delay(found: _Match, wish: Wish) -> None:
    wish.set("delay", length(found["length"])[0])


# -- on which days -------------------------------------------------------------------------------


def _nth(found: _Match, wish: Wish) -> None:
    for places, day in re.findall(rf"((?:{PLACE}{AND}?)+){WEEK}({WEEKDAY})", found[0]):
        for told in re.findall(rf"最后|倒数第一|首|第{NUMERAL}", places):
            which = 1 if told == "首" else LAST if told[0] in "最倒" else number(told[1:])
            if which > 5 or which == 0:
                raise Doubt("no-day")
            wish.nth += ((which, WEEKDAYS[day]),)
    wish.every = True


def _working(found: _Match, wish: Wish) -> None:
    wish.working += (LAST if "最后" in found[0] else 1,)
    wish.every = True


def _month_days(found: _Match, wish: Wish) -> None:
    _keep_days([number(one) for one in re.findall(NUMERAL, found[0])], wish)


def _month_day_range(found: _Match, wish: Wish) -> None:
    first, last = number(found["first"]), number(found["last"])
    if first >= last:
        raise Doubt("no-day")
    _keep_days([*range(first, last + 1)], wish)


def _keep_days(numbers: list[int], wish: Wish) -> None:
    if not all(1 <= one <= 31 for one in numbers):
        raise Doubt("no-day")
    wish.month_days |= set(numbers)


def _from_the_end(found: _Match, wish: Wish) -> None:
    place = number(found["count"]) if found["count"] else 1
    if not 1 <= place <= 28:
        raise Doubt("no-day")
    wish.month_days |= {-place}


def _ends_of_month(found: _Match, wish: Wish) -> None:
    end = "初" not in found[0]
    wish.month_days |= {LAST if end else 1}
    wish.note("month-end" if end else "month-start", text=found[0])
    if found[0][0] == "每":
        wish.repeat(1, "month")
    elif found[0][0] in "本下":
        wish.set("months_ahead", int(found[0][0] == "下"))


def _month_ahead(found: _Match, wish: Wish) -> None:
    wish.set("months_ahead", int(found[0][0] == "下"))


def _date(found: _Match, wish: Wish) -> None:
    wish.on(int(found["year"] or 0), number(found["month"]), number(found["day"]))


def _months(found: _Match, wish: Wish) -> None:
    _keep_months([number(one) for one in re.findall(NUMERAL, found[0])], wish)


def _month_range(found: _Match, wish: Wish) -> None:
    first, last = number(found["first"]), number(found["last"])
    _keep_months([first, last], wish)
    wish.months |= {(first - 1 + n) % 12 + 1 for n in range((last - first) % 12 + 1)}


def _keep_months(numbers: list[int], wish: Wish) -> None:
    if not all(1 <= one <= 12 for one in numbers):
        raise Doubt("no-day")
    wish.months |= set(numbers)


def _weekdays(found: _Match, wish: Wish) -> None:
    named = days(found["days"])
    wish.weekdays |= named
    wish.every = wish.every or bool(found["every"]) or len(named) > 1
    if found["days"] in ("工作日", "平日"):
        wish.note("workdays")


def _except(found: _Match, wish: Wish) -> None:
    wish.weekdays = (wish.weekdays or frozenset(range(1, 8))) - days(found["days"])
    wish.every = True
    if not wish.weekdays:
        raise Doubt("no-day")


def _week_ahead(found: _Match, wish: Wish) -> None:
    wish.set("weeks_ahead", {"本": 0, "这": 0, "下": 1, "下下": 2}[found["which"]])
    wish.weekdays |= days(found["days"])


def _near_day(found: _Match, wish: Wish) -> None:
    text = found[0]
    ahead = {"今": 0, "当": 0, "明": 1, "后": 2, "大": 3}[text[0]]
    wish.set("days_ahead", ahead)
    if text[-1] in "早晚":
        wish.set("part", PARTS[text[-1]])


# -- at what time --------------------------------------------------------------------------------


def _times(found: _Match, wish: Wish) -> None:
    wish.said.append(said(found[0], wish))


def _part(found: _Match, wish: Wish) -> None:
    wish.set("part", PARTS[found[0]])


def _window(found: _Match, wish: Wish) -> None:
    first = said(found["first"], Wish())
    last = said(found["last"], Wish(said=[first]))
    wish.set("window", (first, last))


def _office_hours(_found: _Match, wish: Wish) -> None:
    hours = (Said(text="9点", hour=9, plain=True), Said(text="17点", hour=17, plain=True))
    wish.set("window", hours)
    wish.weekdays |= WORKING_DAYS
    wish.note("business-hours")


def _half_years(_found: _Match, wish: Wish) -> None:
    wish.repeat(6, "month")


def _minute(found: _Match, wish: Wish) -> None:
    minute = number(found["minute"]) if found["minute"] else 0
    wish.set("minute", minute)
    if minute > 59:
        raise Doubt("no-time", text=found[0])
    wish.repeat_after(timedelta(hours=1))


def _every(_found: _Match, wish: Wish) -> None:
    wish.every = True


_UNIT: Final = rf"(?:分钟|刻钟|小时|钟头|天|日|{WEEK}|月|季度|年)"
_TEXTS: Final[tuple[tuple[str, Read], ...]] = (
    (rf"(?:再?过|再)(?P<length>{LENGTH})(?:之后|以后|后)?", _delay),
    (rf"(?P<length>{LENGTH})(?:之后|以后|后)", _delay),
    (rf"(?:每|一)个?(?P<unit>{_UNIT})(?P<count>{NUMERAL})[次回]", _times_per),
    (rf"每?隔(?:一个?)?(?P<unit>{WEEK})(?P<day>{WEEKDAY})", _every_other),
    (r"每?隔(?:一个?)?(?P<unit>天|日|周|星期|月)", _every_other),
    (rf"每个?小时的?第?(?P<minute>{NUMERAL})分钟?|每?个?(?:小时的?)?整点", _minute),
    (rf"每隔?(?P<length>{LENGTH})", _every_length),
    (r"每隔?半年", _half_years),
    (r"每个?月(?:底|末|初)", _ends_of_month),
    (rf"每隔?(?P<count>{NUMERAL})个?(?P<unit>月|季|年)度?", _every_months),
    (rf"(?P<every>(?:每个?|逢)(?:{WEEK}的?(?={WEEK}))?)(?P<days>{DAYS})", _weekdays),
    (r"每(?P<part>早上|早|晚上|晚)(?!间)", _every_part),
    (rf"每一?个?(?P<unit>{_UNIT})", _every_unit),
    (
        rf"(?:{PLACE}{AND}?)+{WEEK}{WEEKDAY}(?:{AND}(?:{PLACE}{AND}?)+{WEEK}{WEEKDAY})*",
        _nth,
    ),
    (r"(?:最后一?|第一|首)个?工作日", _working),
    (rf"最后一?[天日]|倒数第(?P<count>{NUMERAL})[天日]", _from_the_end),
    (r"(?:本|下个?)?月(?:底|末|初)", _ends_of_month),
    (rf"(?:(?P<year>\d{{4}})年)?(?P<month>{NUMERAL})月(?P<day>{NUMERAL})[日号]", _date),
    (r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})", _date),
    (r"下个?月|本月|这个月", _month_ahead),
    (rf"从?(?P<first>{NUMERAL})月?份?{TO}(?P<last>{NUMERAL})月份?", _month_range),
    (rf"{NUMERAL}月份?(?:{AND}{NUMERAL}月份?)*", _months),
    (rf"从?(?P<first>{NUMERAL})[号日]?{TO}(?P<last>{NUMERAL})[号日]", _month_day_range),
    (rf"{NUMERAL}[号日]?(?:{AND}{NUMERAL}[号日]?)*(?<=[号日])", _month_days),
    (rf"第{NUMERAL}[天日]", _month_days),
    (rf"除了?(?P<days>{DAYS})(?:之外|以外|外)?", _except),
    (
        rf"(?P<which>下下|下|本|这)个?(?P<days>{WEEK}{WEEKDAY})",
        _week_ahead,
    ),
    (rf"(?P<every>)(?P<days>{DAYS})", _weekdays),
    (r"今[早晚]|明[早晚]|大?后天|今[天日]|明[天日]|当天", _near_day),
    (r"(?:工作|上班|办公)时间(?:内|里)?", _office_hours),
    (rf"从?(?P<first>{TIME}){TO}(?P<last>{TIME})(?:之间|期间|间)?", _window),
    (TIME, _times),
    (PART, _part),
    ("每", _every),
)
_PATTERNS: Final[Patterns] = tuple((re.compile(text), handler) for text, handler in _TEXTS)
_FILLER: Final = re.compile(r"[的在于、,和及与跟请都各按]|分别|一次|准时")
_WORD: Final = re.compile(r"[a-z0-9]+|.", re.DOTALL)
