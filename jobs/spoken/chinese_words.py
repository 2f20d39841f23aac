"""The Chinese words for times and days: how they are written, and what they are worth."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from jobs.spoken.wish import WEEKEND, WORKING_DAYS, Doubt, Said, Wish

_DIGITS: Final = {
    "零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7,
    "八": 8, "九": 9,
}  # fmt: skip
WEEKDAYS: Final = {
    "一": 1, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "日": 7, "天": 7, "1": 1, "2": 2, "3": 3,
    "4": 4, "5": 5, "6": 6, "7": 7,
}  # fmt: skip
PARTS: Final = {
    "凌晨": "dawn", "清晨": "morning", "早晨": "morning", "早上": "morning", "早间": "morning",
    "今早": "morning", "上午": "morning", "中午": "noon", "下午": "afternoon", "午后": "afternoon",
    "傍晚": "evening", "晚上": "night", "晚间": "night", "夜里": "night", "夜间": "night",
    "夜晚": "night", "深夜": "night", "半夜": "night", "早": "morning", "晚": "night",
}  # fmt: skip
_SECONDS: Final = {"秒": 1, "分": 60, "刻": 900, "小": 3600, "钟": 3600, "天": 86_400, "日": 86_400}
_SIMPLE: Final = str.maketrans(
    "週點後個鐘兩號時禮間從這隔過開與淩", "周点后个钟两号时礼间从这隔过开与凌"
)


def _half_day(found: re.Match[str]) -> str:
    hour, minute, half = int(found[1]), found[2], found[3]
    if hour == 12:
        part = "凌晨" if half == "am" else "中午"
    else:
        part = "上午" if half == "am" else "下午"
    return f"{part}{hour}{minute or '点'}"


_WEEKDAYS_EN: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_Into = str | Callable[[re.Match[str]], str]
_ENGLISH: Final[tuple[tuple[str, _Into], ...]] = (
    (r"(\d{1,2})(:\d{2})?\s*([ap]m)", _half_day),
    (r"(?:at|@)\s*(\d{1,2})(?![\d:点])", r"\1点"),
    (r"(?:at|on)\s", " "),
    (r"(?:week|work)days?", "工作日"),
    (r"weekends?", "周末"),
    (r"(?:every|each)", "每"),
    (r"daily", "每天"),
    (r"today", "今天"),
    (r"tomorrow", "明天"),
    (r"midnight", "午夜"),
    (r"noon", "中午"),
    (r"morning", "早上"),
    (r"afternoon", "下午"),
    (r"evening", "傍晚"),
    (r"night", "晚上"),
    (r"(?:mins?|minutes?)", "分钟"),
    (r"(?:hrs?|hours?)", "小时"),
    (r"(?:secs?|seconds?)", "秒"),
    (r"days?", "天"),
    (r"weeks?", "周"),
    (r"months?", "月"),
    *(
        (rf"{name}(?:s?day|nesday|rsday|urday)?s?", f"周{sign}")
        for name, sign in zip(_WEEKDAYS_EN, "一二三四五六日", strict=True)
    ),
)
_MIXED: Final = tuple(
    (re.compile(rf"(?<![a-z]){pattern}(?![a-z])"), into) for pattern, into in _ENGLISH
)
NUMERAL: Final = r"(?:\d{1,4}|[零〇一二两三四五六七八九十]{1,3})"
WEEK: Final = r"(?:周|星期|礼拜)"
WEEKDAY: Final = r"[一二三四五六日天1-7]"
# A digit before `点` begins a time and is no weekday: 周一三点 is Monday at three.
MORE: Final = r"(?:[一二三四五六日天](?![点时:十])|[1-7](?![\d点时:号日]))"
AND: Final = r"[、,和及与跟]"
TO: Final = r"(?:到|至|-|~|—)"
PART: Final = "(?:" + "|".join(sorted(PARTS, key=len, reverse=True)) + ")"
LENGTH: Final = (
    rf"(?:半个?(?:小时|钟头)|{NUMERAL}个半(?:小时|钟头)|{NUMERAL}(?:\.\d)?个?"
    rf"(?:秒钟?|分钟|分|刻钟|小时半?|钟头|天|日|个?{WEEK})(?:零?{NUMERAL}分钟?)?)"
)
TIME: Final = (
    rf"(?:(?:{PART})?(?:{NUMERAL}(?:点钟?|时)(?:半|[一三]刻|整|零?{NUMERAL}分?)?"
    rf"|\d{{1,2}}:\d{{2}})|中午|正午|零点|午夜|半夜)"
)
DAYS: Final = (
    rf"(?:{WEEK}{WEEKDAY}{TO}(?:{WEEK}{WEEKDAY}|{MORE})"
    rf"|{WEEK}{WEEKDAY}(?:{AND}?(?:{WEEK}{WEEKDAY}|{MORE}))*|工作日|平日|周末|双休日)"
)
PLACE: Final = rf"(?:最后|倒数第一|首|第{NUMERAL})一?个?"


def number(text: str) -> int:
    """Return the number: digits, or up to ninety-nine in characters."""
    if text.isdecimal():
        return int(text)
    tens, ten, ones = text.partition("十")
    if any(one not in _DIGITS for one in tens + ones) or (ten and max(len(tens), len(ones)) > 1):
        raise Doubt("zero")
    if not ten:
        return int("".join(str(_DIGITS[one]) for one in text))
    return (_DIGITS[tens] if tens else 1) * 10 + (_DIGITS[ones] if ones else 0)


def length(text: str) -> tuple[timedelta, set[str]]:
    """Return a length of time, and the first characters of its units."""
    total, units = 0.0, set()
    for count, half, unit in re.findall(
        rf"({NUMERAL}(?:\.\d)?|半)(个?半)?个?(秒|分|刻|小|钟|天|日|{WEEK})", text
    ):
        worth = 0.5 if count == "半" else float(count) if "." in count else number(count)
        total += (worth + (0.5 if half else 0)) * _SECONDS.get(unit[0], 604_800)
        units.add(unit[0])
    if text.endswith("小时半"):
        total += 1800
    return timedelta(seconds=total), units


def said(text: str, wish: Wish) -> Said:
    """Return a time of day; the part of the day goes on to the next time without one."""
    if text in ("中午", "正午"):
        return Said(text=text, hour=12, plain=True)
    if text in ("零点", "午夜", "半夜"):
        return Said(text=text, hour=0, plain=True)
    part = None
    told = text
    if (named := re.match(PART, text)) is not None:
        part, told = PARTS[named[0]], text[named.end() :]
    hour_text, _, rest = re.sub("[点时]", ":", told, count=1).partition(":")
    hour, minute = number(hour_text), 0
    rest = rest.removeprefix("钟").removesuffix("分").removesuffix("整").removeprefix("零")
    if rest:
        minute = {"半": 30, "一刻": 15, "三刻": 45}.get(rest) or number(rest)
    if part is None and hour <= 12 and wish.said:
        part = wish.said[-1].part
    plain = part is None and hour_text.startswith(("0", "零"))
    return Said(text=text, hour=hour, minute=minute, part=part, plain=plain)


def normal(text: str) -> str:
    """Return the text in simplified characters and plain digits, without spaces.

    English words that people mix in are those they stand for: `每天 9am` is `每天上午9点`.
    """
    told = unicodedata.normalize("NFKC", text).casefold().translate(_SIMPLE)
    for pattern, into in _MIXED:
        told = pattern.sub(into, told)
    return re.sub(r"\s+|[。!]+$", "", told)


def days(text: str) -> frozenset[int]:
    """Return the weekdays of a list, a range or a group."""
    if text in ("周末", "双休日"):
        return WEEKEND
    if text in ("工作日", "平日"):
        return WORKING_DAYS
    named = [WEEKDAYS[one] for one in re.sub(WEEK, "", text) if one in WEEKDAYS]
    if re.search(TO, text):
        return frozenset((named[0] - 1 + n) % 7 + 1 for n in range((named[1] - named[0]) % 7 + 1))
    return frozenset(named)
