"""A zone named in a phrase: `9am Berlin time`, `in Tokyo`, `北京时间9点`, `UTC`.

Cities are those of the tz database, and a few large ones that it files under a neighbour.
Abbreviations such as EST and CST are left alone: they name several zones.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Final
from zoneinfo import available_timezones

from jobs.speech.places import CITIES
from jobs.spoken.wish import Doubt

_BESIDE: Final = {
    "beijing": "Asia/Shanghai", "shenzhen": "Asia/Shanghai", "guangzhou": "Asia/Shanghai",
    "hangzhou": "Asia/Shanghai", "munich": "Europe/Berlin", "frankfurt": "Europe/Berlin",
    "hamburg": "Europe/Berlin", "geneva": "Europe/Zurich", "barcelona": "Europe/Madrid",
    "milan": "Europe/Rome", "boston": "America/New_York", "washington": "America/New_York",
    "miami": "America/New_York", "san francisco": "America/Los_Angeles",
    "seattle": "America/Los_Angeles", "houston": "America/Chicago", "dallas": "America/Chicago",
    "mumbai": "Asia/Kolkata", "delhi": "Asia/Kolkata", "bangalore": "Asia/Kolkata",
    "eastern": "America/New_York", "central": "America/Chicago", "mountain": "America/Denver",
    "pacific": "America/Los_Angeles", "utc": "UTC", "gmt": "UTC",
}  # fmt: skip
_CHINESE: Final = {
    "北京": "Asia/Shanghai", "中国": "Asia/Shanghai", "深圳": "Asia/Shanghai",
    "广州": "Asia/Shanghai", "台北": "Asia/Taipei", "日本": "Asia/Tokyo", "韩国": "Asia/Seoul",
    "美东": "America/New_York", "美西": "America/Los_Angeles", "旧金山": "America/Los_Angeles",
    "华盛顿": "America/New_York", "慕尼黑": "Europe/Berlin", "utc": "UTC", "gmt": "UTC",
    "世界": "UTC", "格林尼治": "UTC",
}  # fmt: skip
_AREA: Final = re.compile(r"(?:\bin\s+)?\b([a-z]+(?:/[a-z_+-]+\d*){1,2})(?![\w/])", re.ASCII)
_TIME: Final = re.compile(r"\b((?:[a-z]+[ _]){0,2}[a-z]+)\s+time(?:\s?zone)?\b", re.ASCII)
_IN: Final = re.compile(r"\bin\s+([a-z]+(?:[ _][a-z]+){0,2})", re.ASCII)
_BARE: Final = re.compile(r"\b(?:in\s+)?(utc|gmt)(?![\w+-])", re.ASCII)
_EMPTY: Final = re.compile(r"\(\s*\)")
_ZH_TIME: Final = re.compile(r"([a-z]+|[\u4e00-\u9fff]{2,8}?)\s*时间", re.ASCII)


def taken_out(text: str) -> tuple[str, str | None]:
    """Return the phrase without the zone it names, and the zone. Raises `Doubt` for two."""
    told = unicodedata.normalize("NFKC", text).casefold()
    found: list[str] = []
    while (one := next(_named(told), None)) is not None:
        start, end, name = one
        found.append(name)
        told = _EMPTY.sub(" ", f"{told[:start]} {told[end:]}")
    if len(set(found)) > 1:
        raise Doubt("twice", pieces=" / ".join(found))
    return (told, found[0]) if found else (text, None)


def _named(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the zones of a text, each with its place."""
    for found in _AREA.finditer(text):
        if (name := _areas().get(found[1])) is not None:
            yield *found.span(), name
    yield from _of_time(text)
    yield from _in_city(text)
    yield from _of_chinese_time(text)
    for found in _BARE.finditer(text):
        yield *found.span(), "UTC"


def _of_time(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield ``new york time``: the words before it may be of the phrase."""
    for found in _TIME.finditer(text):
        for word in re.finditer(r"[a-z]+", found[1]):
            if (name := _city(found[1][word.start() :].replace("_", " "))) is not None:
                yield found.start() + word.start(), found.end(), name


def _in_city(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield ``in new york``: the words after it may be of the phrase."""
    for found in _IN.finditer(text):
        ends = [word.end() for word in re.finditer(r"[a-z]+", found[1])]
        for end in reversed(ends):
            if (name := _city(found[1][:end].replace("_", " "))) is not None:
                yield found.start(), found.start(1) + end, name


def _of_chinese_time(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield ``柏林时间``: the characters before it may be of the phrase."""
    for found in _ZH_TIME.finditer(text):
        for skipped in range(len(found[1]) - 1):
            if (name := _chinese_city(found[1][skipped:])) is not None:
                yield found.start(1) + skipped, found.end(), name


def _city(name: str) -> str | None:
    return _BESIDE.get(name) or _cities().get(name)


def _chinese_city(name: str) -> str | None:
    if (known := _CHINESE.get(name)) is not None:
        return known
    english = next((city for city, written in CITIES.items() if written == name), None)
    return None if english is None else _cities().get(english.replace("_", " ").casefold())


@cache
def _areas() -> dict[str, str]:
    """Return the zones by their whole names, in small letters."""
    return {name.casefold(): name for name in available_timezones() if "/" in name}


@cache
def _cities() -> dict[str, str]:
    """Return the zones by the last part of their names; of two, the shorter name."""
    found: dict[str, str] = {}
    for name in sorted(available_timezones(), key=lambda one: (-len(one), one)):
        area, _, city = name.rpartition("/")
        if area and area not in ("Etc", "US", "SystemV", "Brazil", "Canada", "Mexico", "Chile"):
            found[city.replace("_", " ").casefold()] = name
    return found
