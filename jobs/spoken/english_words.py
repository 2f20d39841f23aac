"""The English words for times and days: how they are written, and what they are worth."""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta
from typing import Final

from jobs.spoken.wish import LAST, WEEKEND, WORKING_DAYS, Said

_SMALL: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# "second" is left alone: it may be a length of time.
_PLACES: Final = (
    "first", "", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth",
)  # fmt: skip
_SUFFIX: Final = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}


def _numbers() -> dict[str, str]:
    """Return every number that is written out, and every place but the second."""
    found = {word: str(n) for n, word in enumerate(_SMALL)}
    places = {word: n for n, word in enumerate(_PLACES, 1) if word} | {"second": 2}
    for tens, word in enumerate(_TENS, 2):
        found[word] = str(tens * 10)
        found |= {f"{word}-{_SMALL[n]}": str(tens * 10 + n) for n in range(1, 10)}
        if tens <= 3:
            places[f"{word[:-1]}ieth"] = tens * 10
            places |= {f"{word}-{_PLACES[n - 1]}": tens * 10 + n for n in (1, *range(3, 10))}
            places[f"{word}-second"] = tens * 10 + 2
    del places["second"]
    return found | {word: f"{n}{_SUFFIX.get(n, 'th')}" for word, n in places.items()}


_NUMBERS: Final = _numbers()
_TEN: Final = "|".join(_TENS)
_WRITTEN: Final = re.compile(rf"\b(?:{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})\b")
_REWRITTEN: Final = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"\b([ap])\.?\s?m\b\.?", r"\1m"),
        (r"\s*\bo[' ]?clock\b", " o'clock"),
        (rf"\b({_TEN})[\s-]([a-z]+)", r"\1-\2"),
        (r"(\d+)\s+and\s+a\s+half\s+(hours?|minutes?|days?|weeks?)", r"\1.5 \2"),
        (r"\ban?\s+(hour|minute|day|week)\s+and\s+a\s+half\b", r"1.5 \1"),
        (r"\b3\s+quarters\s+of\s+an\s+hour\b", "45 minutes"),
        (r"(?<!on the )\bhalf(?:\s+an?)?[\s-]hour\b", "30 minutes"),
        (r"\bhalf-?hourly\b", "every 30 minutes"),
        (r"\b(every|each)\s+single\b", r"\1"),
        (
            r"\bat\s+(\d{1,2})\s+([1-5][05])(?=\s*(?:[ap]m\b|in the|at night|every|on\b|daily|$))",
            r"at \1:\2",
        ),
        (r"(?<=\d{4}-\d\d-\d\d)t(?=\d)", " "),
        (r"(?<!on the )\b(?:a\s+)?quarter(?:\s+of\s+an)?[\s-]hour\b", "15 minutes"),
        (r"\s+", " "),
    )
)


def normal(text: str) -> str:
    """Return the text in small letters and digits: `Every half hour` is `every 30 minutes`."""
    told = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").strip(" .!?\t\n")
    first, *others = _REWRITTEN
    for pattern, into in (first, *others[:2]):
        told = pattern.sub(into, told)
    told = _WRITTEN.sub(lambda found: _NUMBERS[found[0]], told)
    for pattern, into in others[2:]:
        told = pattern.sub(into, told)
    return told


# -- pieces of patterns --------------------------------------------------------------------------

NUM: Final = r"\d{1,4}(?:\.\d{1,2})?"
_LETTERS: Final = r"s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?"
SPAN: Final = (
    rf"(?:{NUM}\s?|an?\s)(?:{_LETTERS}|fortnights?)(?![a-z])"
    rf"(?:(?:\sand\s|,\s|\s)?{NUM}\s?(?:{_LETTERS})(?![a-z]))*"
)
WEEKDAY: Final = (
    r"(?:mondays?|tuesdays?|wednesdays?|thursdays?|fridays?|saturdays?|sundays?"
    r"|mon|tues?|weds?|thu(?:rs?)?|fri|sat|sun)(?!\w)"
)
MONTH: Final = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)(?!\w)"
)
AND: Final = r"(?:\s?,\s?(?:and\s|&\s?)?|\sand\s|\s?&\s?|\s?/\s?)"
TO: Final = r"\s?(?:to|thru|through|until|till|-|–)\s?"
TH: Final = r"\d{1,2}(?:st|nd|rd|th)"
PLACE: Final = rf"(?:{TH}|second|last)"
PLACES: Final = rf"{PLACE}(?:{AND}(?:the\s)?{PLACE})*"
OF_MONTH: Final = r"\s(?:of|in)\s(?:the|each|every|a|any)\smonth"
PART: Final = r"(?:morning|afternoon|evening|night)"
_OF_DAY: Final = r"(?:\sin\sthe\s(?:morning|afternoon|evening)|\sat\snight)?"
_WORDS: Final = r"noon|midday|midnight|half\spast\s\d{1,2}|(?:a\s)?quarter\s(?:past|to)\s\d{1,2}"
TIME: Final = (
    rf"(?:{_WORDS}|\d{{1,2}}\s(?:minutes?\s)?(?:past|to)\s\d{{1,2}}"
    r"|(?:\d{1,2}[:.]\d{2}|\d{1,2}(?!\d|st|nd|rd|th))(?:\s?o'clock)?(?:\s?[ap]m(?!\w))?"
    rf"|[01]\d[0-5]\d|2[0-3][0-5]\d){_OF_DAY}"
)
# A time that can be nothing else, without `at` before it.
SURE_TIME: Final = (
    rf"(?:{_WORDS}|\d{{1,2}}:\d{{2}}(?:\s?[ap]m)?|\d{{1,2}}(?:\.\d{{2}})?\s?[ap]m"
    rf"|\d{{1,2}}\so'clock(?:\s[ap]m)?)(?!\w){_OF_DAY}"
)
WORKDAYS: Final = r"(?:week\s?days?|work\s?days?|working\sdays?|business\sdays?)"
DAYS: Final = (
    rf"(?:{WEEKDAY}{TO}{WEEKDAY}|{WEEKDAY}(?:(?:{AND}|\s){WEEKDAY})*|{WORKDAYS}|week\s?ends?)"
)

# -- what they are worth -------------------------------------------------------------------------

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "f": 1_209_600}
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS: Final = (
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"
)  # fmt: skip


def span(text: str) -> tuple[timedelta, str]:
    """Return the length of a `SPAN`, and the letters of its units."""
    found = re.findall(rf"({NUM}|\ban?(?=\s))\s?([smhdwf])", text)
    seconds = sum((1.0 if n[0] == "a" else float(n)) * _SECONDS[unit] for n, unit in found)
    return timedelta(seconds=seconds), "".join(unit for _, unit in found)


def weekday(text: str) -> int:
    """Return the number of a weekday, Monday = 1."""
    return _WEEKDAYS.index(text[:3]) + 1


def month(text: str) -> int:
    """Return the number of a month."""
    return _MONTHS.index(text[:3]) + 1


def place(text: str) -> int:
    """Return the number of `3rd`, `second` or `last`."""
    if text in ("last", "second"):
        return LAST if text == "last" else 2
    return int(text[:-2])


def days(text: str) -> frozenset[int]:
    """Return the weekdays of a list, a range or a group."""
    if re.match(r"week\s?end", text):
        return WEEKEND
    if re.match(WORKDAYS, text):
        return WORKING_DAYS
    named = [weekday(one) for one in re.findall(WEEKDAY, text)]
    if re.fullmatch(rf"{WEEKDAY}{TO}{WEEKDAY}", text):
        return frozenset((named[0] - 1 + n) % 7 + 1 for n in range((named[1] - named[0]) % 7 + 1))
    return frozenset(named)


def said(text: str) -> Said:
    """Return a time of day."""
    part = next((one for one in ("morning", "afternoon", "evening", "night") if one in text), None)
    if (half := re.search(r"([ap]m)(?!\w)", text)) is not None:
        part = half[1]
    if text.startswith(("noon", "midday", "midnight")):
        return Said(text=text, hour=0 if text.startswith("midn") else 12, plain=True)
    numbers = [int(one) for one in re.findall(r"\d+", text)]
    if (words := re.match(r"(?:a )?(half|quarter|\d+) (?:minutes? )?(past|to)", text)) is not None:
        minutes = {"half": 30, "quarter": 15}.get(words[1], numbers[0])
        if words[2] == "past":
            return Said(text=text, hour=numbers[-1], minute=minutes, part=part)
        return Said(text=text, hour=(numbers[-1] or 24) - 1, minute=60 - minutes, part=part)
    if re.match(r"\d{4}", text):
        return Said(text=text, hour=numbers[0] // 100, minute=numbers[0] % 100, plain=True)
    minute = numbers[1] if len(numbers) > 1 else 0
    plain = part is None and text.startswith("0")
    return Said(text=text, hour=numbers[0], minute=minute, part=part, plain=plain)
