"""English phrases about when, read into a `Wish` from left to right."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from jobs.spoken.english_words import (
    AND,
    DAYS,
    MONTH,
    NUM,
    OF_MONTH,
    PART,
    PLACE,
    PLACES,
    SPAN,
    SURE_TIME,
    TH,
    TIME,
    TO,
    WEEKDAY,
    WORKDAYS,
    days,
    month,
    normal,
    place,
    said,
    span,
    weekday,
)
from jobs.spoken.wish import DAY, LAST, WORKING_DAYS, Doubt, Patterns, Read, Said, Wish, scan

_Match = re.Match[str]
_HOUR: Final = timedelta(hours=1)
_ADVERBS: Final = {
    "hourly": "hour", "daily": "day", "nightly": "day", "weekly": "week",
    "fortnightly": "fortnight", "monthly": "month", "quarterly": "quarter", "yearly": "year",
    "annually": "year",
}  # fmt: skip
_LENGTHS: Final = {"second": timedelta(seconds=1), "minute": timedelta(minutes=1), "hour": _HOUR}
_STEPS: Final = {"fortnight": (2, "week"), "quarter": (3, "month")}


def read(text: str) -> Wish:
    """Return what an English phrase says. Raises `Doubt`."""
    return scan(normal(text), _PATTERNS, _FILLER, _WORD)


# -- how often -----------------------------------------------------------------------------------


def _repeat(wish: Wish, count: int, unit: str) -> None:
    if unit in _LENGTHS:
        wish.repeat_after(count * _LENGTHS[unit])
    else:
        size, plain = _STEPS.get(unit, (1, unit))
        wish.repeat(count * size, plain)


def _unit(found: _Match, wish: Wish) -> None:
    _repeat(wish, 1, found["unit"])


def _every_other(found: _Match, wish: Wish) -> None:
    if re.fullmatch(WEEKDAY, found["unit"]):
        wish.repeat(2, "week")
        wish.weekdays |= {weekday(found["unit"])}
    else:
        _repeat(wish, 2, found["unit"])


def _every_nth_day(found: _Match, wish: Wish) -> None:
    wish.repeat(place(found["nth"]), "day")


def _count(found: _Match, wish: Wish) -> None:
    _repeat(wish, int(found["count"]), found["unit"].rstrip("s"))


def _period(found: _Match, wish: Wish) -> None:
    length, units = span(found["span"])
    if set(units) & set("smh") or length % DAY:
        wish.repeat_after(length)
    elif units in ("w", "f"):
        wish.repeat(length // (7 * DAY), "week")
    else:
        wish.repeat(length // DAY, "day")


def _adverb(found: _Match, wish: Wish) -> None:
    _repeat(wish, 1, _ADVERBS[found[0]])
    if found[0] == "nightly":
        wish.set("part", "night")


def _times_per(found: _Match, wish: Wish) -> None:
    many = found["many"].split()[0]
    count = {"once": 1, "twice": 2, "thrice": 3}.get(many) or int(many)
    wish.every = True
    wish.set("times_per", (count, _ADVERBS.get(found["unit"], found["unit"])))


def _twofold(_found: _Match, _wish: Wish) -> None:
    raise Doubt("twofold")


def _slashes(_found: _Match, _wish: Wish) -> None:
    raise Doubt("slashes")


def _months_later(_found: _Match, _wish: Wish) -> None:
    raise Doubt("month-length")


def _delay(found: _Match, wish: Wish) -> None:
    wish.set("delay", span(found["span"])[0])


def _every(_found: _Match, wish: Wish) -> None:
    wish.every = True


# -- on which days -------------------------------------------------------------------------------


def _nth(found: _Match, wish: Wish) -> None:
    places = [place(one) for one in re.findall(PLACE, found["places"])]
    kind = found["kind"]
    wish.every = True
    if re.fullmatch(WEEKDAY, kind):
        if any(one > 5 or one == 0 for one in places):
            raise Doubt("no-day")
        wish.nth += tuple((one, weekday(kind)) for one in places)
    elif kind.startswith("day"):
        _keep_days(places, wish)
    elif set(places) <= {1, LAST}:
        wish.working += tuple(places)
    else:
        raise Doubt("no-day")
    if found.groupdict().get("month"):
        wish.months |= {month(found["month"])}


def _keep_days(numbers: list[int], wish: Wish) -> None:
    if not all(one == LAST or 1 <= one <= 31 for one in numbers):
        raise Doubt("no-day")
    wish.month_days |= set(numbers)


def _month_day_range(found: _Match, wish: Wish) -> None:
    first, last = place(found["first"]), place(found["last"])
    if first >= last:
        raise Doubt("no-day")
    _keep_days([*range(first, last + 1)], wish)
    wish.every = wish.every or bool(found["of"])


def _ends_of_month(found: _Match, wish: Wish) -> None:
    end = "end" in found[0]
    wish.month_days |= {LAST if end else 1}
    wish.every = True
    wish.note("month-end" if end else "month-start", text=found[0])


def _month_days(found: _Match, wish: Wish) -> None:
    numbers = [int(one) for one in re.findall(r"\d+", found["days"])]
    _keep_days(numbers + ([2] if "second" in found["days"] else []), wish)
    each = re.match(r"(?:on )?(?:every|each)", found[0])
    wish.every = wish.every or bool(each or found.groupdict().get("of"))
    if found.groupdict().get("next"):
        wish.set("months_ahead", 1)


def _next_month(_found: _Match, wish: Wish) -> None:
    wish.set("months_ahead", 1)


def _date(found: _Match, wish: Wish) -> None:
    wish.on(int(found["year"] or 0), month(found["month"]), int(found["day"]))


def _iso_date(found: _Match, wish: Wish) -> None:
    year, number, day = map(int, found["date"].split("-"))
    wish.on(year, number, day)


def _months(found: _Match, wish: Wish) -> None:
    wish.months |= {month(one) for one in re.findall(MONTH, found[0])}


def _month_range(found: _Match, wish: Wish) -> None:
    first, last = month(found["first"]), month(found["last"])
    wish.months |= {(first - 1 + n) % 12 + 1 for n in range((last - first) % 12 + 1)}


def _yearly(_found: _Match, wish: Wish) -> None:
    wish.repeat(1, "year")


def _weekdays(found: _Match, wish: Wish) -> None:
    named = days(found["days"])
    plural = any(one.endswith("days") for one in re.findall(WEEKDAY, found["days"]))
    wish.weekdays |= named
    wish.every = wish.every or plural or len(named) > 1
    if re.match(WORKDAYS, found["days"]):
        wish.note("workdays")


def _except(found: _Match, wish: Wish) -> None:
    wish.weekdays = (wish.weekdays or frozenset(range(1, 8))) - days(found["days"])
    wish.every = True
    if not wish.weekdays:
        raise Doubt("no-day")


def _near_weekday(found: _Match, wish: Wish) -> None:
    wish.weekdays |= {weekday(found["day"])}
    if found["which"] in ("next", "this"):
        wish.set("weeks_ahead", int(found["which"] == "next"))


def _near_day(found: _Match, wish: Wish) -> None:
    later = re.search(r"day\safter\s", found[0]) is not None  # an afternoon is none
    wish.set("days_ahead", 2 if later else int("tomorrow" in found[0]))
    if (part := re.search(PART, found[0])) is not None:
        wish.set("part", part[0])


# -- at what time --------------------------------------------------------------------------------


def _part(found: _Match, wish: Wish) -> None:
    wish.set("part", found["part"])
    if re.match(r"every|each", found[0]) or found[0].endswith("s"):
        wish.every = True


def _times(found: _Match, wish: Wish) -> None:
    wish.said += [said(one[0]) for one in re.finditer(TIME, found["times"])]


def _window(found: _Match, wish: Wish) -> None:
    wish.set("window", (said(found["first"]), said(found["last"])))


def _office_hours(_found: _Match, wish: Wish) -> None:
    hours = (Said(text="09:00", hour=9, plain=True), Said(text="17:00", hour=17, plain=True))
    wish.set("window", hours)
    wish.weekdays |= WORKING_DAYS
    wish.note("business-hours")


def _minute(found: _Match, wish: Wish) -> None:
    text = found[0]
    if "half" in text:
        number = 30
    elif "quarter" in text:
        number = 15
    else:
        number = int((re.findall(r"\d+", text) or ["0"])[0])
    wish.set("minute", 60 - number if re.search(r" to ", text) else number)
    if not 0 <= number < 60:
        raise Doubt("no-time", text=text)


_EACH: Final = r"(?:every|each|once every|once an?|once per|per)\s"
_STEP: Final = r"(?:second|minute|hour|day|week|fortnight|month|quarter|year)"
_KIND: Final = rf"(?:{WORKDAYS}|days?)"
_ON: Final = r"(?:on\s)?(?:(?:every|each)\s)?(?:the\s)?"
_TEXTS: Final[tuple[tuple[str, Read], ...]] = (
    (r"bi-?(?:weekly|monthly|annual(?:ly)?)|semi-?\w+ly", _twofold),
    (r"\d{1,2}/\d{1,2}(?:/\d{2,4})?", _slashes),
    (rf"(?:in|after)\s(?:{NUM}|an?)\s(?:months?|years?)", _months_later),
    (rf"(?:in|after)\s(?P<span>{SPAN})(?:\sfrom\snow)?", _delay),
    (rf"(?P<span>{SPAN})\s(?:from\snow|later)", _delay),
    (
        (
            r"(?P<many>once|twice|thrice|\d+ times)\s(?:(?:an?|per|each|every)\s)?"
            r"(?P<unit>hour|day|week|month|hourly|daily|weekly|monthly)"
        ),
        _times_per,
    ),
    (
        (
            rf"{_ON}(?P<places>{PLACES})\s(?P<kind>{WEEKDAY}|{_KIND})"
            rf"(?:{OF_MONTH}|\s(?:of|in)\s(?P<month>{MONTH}))"
        ),
        _nth,
    ),
    (rf"(?:every|each)\s(?:other|second|2nd|alternate)\s(?P<unit>{WEEKDAY}|{_STEP})", _every_other),
    (rf"(?:every|each)\s(?P<nth>{TH})\sday(?!{OF_MONTH}|\s(?:of|in)\s{MONTH})", _every_nth_day),
    (rf"{_EACH}(?P<count>\d{{1,3}})\s(?P<unit>months?|quarters?|years?)", _count),
    (rf"{_EACH}(?P<span>{SPAN})", _period),
    (rf"{_EACH}(?P<unit>{_STEP})", _unit),
    ("|".join(_ADVERBS), _adverb),
    (rf"{_ON}(?P<places>{PLACES})\s(?P<kind>{WEEKDAY})", _nth),
    (rf"{_ON}(?P<places>1st|last)\s(?P<kind>{_KIND})", _nth),
    (rf"(?:at\s)?(?:the\s)?(?:month[\s-]end|(?:end|start|beginning){OF_MONTH})", _ends_of_month),
    (
        (
            rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?(?P<month>{MONTH})"
            r"(?:\s?,?\s?(?P<year>\d{4}))?"
        ),
        _date,
    ),
    (
        (
            rf"(?P<month>{MONTH})\s(?:the\s)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?"
            r"(?![:.]\d|\s?[ap]m)(?:\s?,?\s(?P<year>2[01]\d\d)(?!:))?"
        ),
        _date,
    ),
    (r"(?P<date>\d{4}-\d{2}-\d{2})(?:t(?=\d))?", _iso_date),
    (
        rf"(?:from\s)?(?:the\s)?(?P<first>{TH}){TO}(?:the\s)?(?P<last>{TH})(?P<of>{OF_MONTH})?",
        _month_day_range,
    ),
    (
        (
            rf"{_ON}(?P<days>{TH}(?:{AND}(?:the\s)?{TH})*|second(?={OF_MONTH}))(?:\sdays?)?"
            rf"(?:(?P<of>{OF_MONTH})|(?P<next>\sof\snext\smonth))?"
        ),
        _month_days,
    ),
    (
        (
            rf"(?:on\s)?days?\s(?P<days>\d{{1,2}}(?:{AND}\d{{1,2}})*)"
            rf"(?:(?P<of>{OF_MONTH})|(?P<next>\sof\snext\smonth))?"
        ),
        _month_days,
    ),
    (r"next\smonth", _next_month),
    (rf"(?:from\s)?(?P<first>{MONTH}){TO}(?P<last>{MONTH})", _month_range),
    (rf"(?:every|each)(?=\s{MONTH})", _yearly),
    (rf"(?:(?:in|of|during)\s)?{MONTH}(?:{AND}{MONTH})*", _months),
    (rf"(?:except|but(?:\snot)?)\s(?:on\s|for\s)?(?P<days>{DAYS})", _except),
    (
        rf"(?P<which>next|this|coming|upcoming)\s(?:week\s(?:on\s)?)?(?P<day>{WEEKDAY})",
        _near_weekday,
    ),
    (rf"(?P<day>{WEEKDAY})\s(?:of\s)?(?P<which>next|this)\sweek", _near_weekday),
    (rf"(?P<days>{DAYS})", _weekdays),
    (
        rf"(?:the\s)?day\safter\stomorrow|tomorrow(?:\s{PART})?|today|tonight|this\s{PART}",
        _near_day,
    ),
    (rf"(?:from|between)\s(?P<first>{TIME})(?:{TO}|\sand\s)(?P<last>{TIME})", _window),
    (rf"(?P<first>{TIME}){TO}(?P<last>{TIME})", _window),
    (r"(?:during|in)\s(?:business|office|working|work)\shours", _office_hours),
    (
        (
            r"(?:at\s)?(?:half|(?:a\s)?quarter|\d{1,2}(?:\sminutes?)?)\s(?:past|to)"
            r"\s(?:the|every|each)\shour"
        ),
        _minute,
    ),
    (r"(?:at\s)?(?::\d{2}|minute\s\d{1,2}|\d{1,2}(?:\sminutes?)?\spast(?!\s\d))", _minute),
    (r"on\sthe\s(?:half[\s-])?hour", _minute),
    (rf"(?:at|@)\s?(?:about\s|around\s)?(?P<times>{TIME}(?:{AND}(?:at\s)?{TIME})*)", _times),
    (rf"(?P<times>{SURE_TIME}(?:{AND}(?:at\s)?{TIME})*)", _times),
    (rf"(?:(?:every|each|in\sthe|at)\s)?(?P<part>{PART})s?", _part),
    (r"every|each", _every),
)
_PATTERNS: Final[Patterns] = tuple(
    (re.compile(rf"(?:{text})(?![\w:])"), handler) for text, handler in _TEXTS
)
_FILLER: Final = re.compile(r"\s|,|;|(?:at|on|the|of|and|in|please|sharp|exactly)(?!\w)")
_WORD: Final = re.compile(r"[\w'.:/-]+|.", re.DOTALL)
