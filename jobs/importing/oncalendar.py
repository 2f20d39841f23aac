"""Calendar events of systemd.time(7) as expressions of ours.

`Mon..Fri *-*-* 09:00`, `*-*~01` (the last day of a month), `*:0/15`, `weekly`, a zone behind it.
systemd wants weekday and date both; a repetition counts on from its first value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from jobs import cron
from jobs.errors import InvalidSchedule
from jobs.wallclock import EPOCH, zone

SHORT: Final = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "semi-annually": "*-01,07-01 00:00:00",
    "biannually": "*-01,07-01 00:00:00",
    "bi-annually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
    "anually": "*-01-01 00:00:00",
}
_PART: Final = r"[0-9*,./]+"
_DATE: Final = re.compile(rf"(?:({_PART})-)?({_PART})([-~])({_PART})")
_TIME: Final = re.compile(rf"({_PART}):({_PART})(?::({_PART}))?")
_TOKEN: Final = re.compile(r"(\d{1,6})(?:\.\.(\d{1,6}))?(?:/(\d{1,6}))?")
_FRACTION: Final = re.compile(r"(?<!\.)\.\d+")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONG: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # a range runs inside it
_NAMES: Final = ("second", "minute", "hour", "day", "month", "year")
_RANGES: Final = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (1970, 2099))
_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _YEAR = range(6)


@dataclass(frozen=True, slots=True)
class Calendar:
    """One calendar event: an expression, or one instant (``at``, ISO 8601)."""

    expr: str = ""
    tz: str | None = None  # None: the host's
    both_days: bool = False
    at: str | None = None


def read(text: str) -> Calendar:
    """Return a calendar event as an expression. Raises `InvalidSchedule` quoting what is wrong."""
    words = text.split()
    if not words:
        raise _unread(text, "it is empty")
    if words[0].startswith("@") and len(words) == 1:
        return _instant(text, words[0][1:])
    tz = _zone(words)
    if len(words) == 1 and words[0].lower() in SHORT:
        words = SHORT[words[0].lower()].split()
    weekdays = _weekdays(text, words.pop(0)) if words and words[0][0].isalpha() else "*"
    date, time = _date_and_time(text, words)
    fields = [_component(text, place, part) for place, part in enumerate(time)]
    year, month, dash, day = date
    dom = _from_the_end(text, day) if dash == "~" else _component(text, _DAY, day)
    fields += [dom, _component(text, _MONTH, month), weekdays]
    years = _component(text, _YEAR, year)
    expr = " ".join(fields + ([years] if years != "*" else []))
    if years == "*" and fields[0] == "0":
        expr = " ".join(fields[1:])
    both = dom != "*" and weekdays != "*"
    cron.parse(expr, day_match="and" if both else "or")
    return Calendar(expr, tz, both)


def _instant(text: str, seconds: str) -> Calendar:
    if not seconds.isdecimal() or len(seconds) > 11:
        raise _unread(text, "@ is followed by the seconds since 1970")
    at = EPOCH + timedelta(seconds=int(seconds))
    return Calendar(at=at.isoformat().replace("+00:00", "Z"))


def _zone(words: list[str]) -> str | None:
    """Take the zone off the end, if there is one."""
    last = words[-1]
    if len(words) < 2 or not last[0].isalpha():
        return None
    try:
        zone(last)
    except InvalidSchedule:
        return None
    return words.pop()


def _weekdays(text: str, word: str) -> str:
    found = []
    for part in word.lower().rstrip(",").split(","):
        first, _, last = part.replace("..", "-").partition("-")
        begin, end = _weekday(text, first), _weekday(text, last or first)
        if _WEEK.index(begin) > _WEEK.index(end):
            raise _unread(text, f"{part} ends before it begins: a week is Monday to Sunday")
        days = _WEEK[_WEEK.index(begin) : _WEEK.index(end) + 1]
        found += [_DAYS.index(day) or 7 for day in days]
    return "*" if len(set(found)) == 7 else _runs(sorted(set(found)))


def _weekday(text: str, word: str) -> str:
    if word in _DAYS:
        return word
    if word in _LONG:
        return word[:3]
    raise _unread(text, f"{word!r} is no day of the week")


def _runs(days: list[int]) -> str:
    """Return numbers as ranges: `1-5`, `1,3`."""
    runs: list[list[int]] = []
    for day in days:
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _date_and_time(
    text: str, words: list[str]
) -> tuple[tuple[str, str, str, str], tuple[str, str, str]]:
    """Return (year, month, dash or tilde, day) and (second, minute, hour)."""
    date, time = ("*", "*", "-", "*"), ("0", "0", "0")
    if len(words) > 2 or (len(words) == 2 and ":" not in words[1]):
        raise _unread(text, "it is not weekday, date, time and zone")
    for word in words:
        if ":" in word:
            found = _TIME.fullmatch(_FRACTION.sub("", word))
            if found is None:
                raise _unread(text, f"{word!r} is no time of day")
            time = (found[3] or "0", found[2], found[1])
        else:
            found = _DATE.fullmatch(word)
            if found is None:
                raise _unread(text, f"{word!r} is no date")
            date = (found[1] or "*", found[2], found[3], found[4])
    return date, time


def _component(text: str, place: int, part: str) -> str:
    if part == "*":
        return "*"
    tokens = [_token(text, place, token) for token in part.split(",")]
    return "*" if "*" in tokens else ",".join(tokens)


def _values(text: str, place: int, token: str) -> tuple[int, int | None, int | None]:
    """Return first, last and step of `a`, `a..b`, `a/n`, `a..b/n`."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise _unread(text, f"{_NAMES[place]} {token!r} cannot be read")
    low, high = _RANGES[place]
    first = int(found[1])
    last = int(found[2]) if found[2] else None
    if place == _YEAR and first < 100:
        first += 2000 if first < 70 else 1900
    for value in (first, *([] if last is None else [last])):
        if not low <= value <= high:
            raise _unread(text, f"{_NAMES[place]} {value} is out of range {low}–{high}")
    if last is not None and last < first:
        raise _unread(text, f"{_NAMES[place]} {token} ends before it begins")
    return first, last, int(found[3]) if found[3] else None


def _token(text: str, place: int, token: str) -> str:
    low, high = _RANGES[place]
    first, last, step = _values(text, place, token)
    end = high if last is None else last
    if not step:
        return str(first) if last is None or last == first else f"{first}-{last}"
    if step > end - first:
        return str(first)
    if last is not None:
        return f"{first}-{last}" if step == 1 else f"{first}-{last}/{step}"
    if first > low:
        return f"{first}-{high}" if step == 1 else f"{first}/{step}"
    # From its first value on a field is a wildcard: it follows real time when clocks change.
    return "*" if step == 1 else f"*/{step}"


def _from_the_end(text: str, part: str) -> str:
    """Return days counted from the end of the month: `01` is the last one, `07/1` the last week."""
    if part == "*":
        return "*"
    back: set[int] = set()
    for token in part.split(","):
        first, last, step = _values(text, _DAY, token)
        if step and last is None:
            back |= set(range(first, 0, -step))
        else:
            back |= set(range(first, (last or first) + 1, step or 1))
    return ",".join("L" if day == 1 else f"L-{day - 1}" for day in sorted(back))


def _unread(text: str, why: str) -> InvalidSchedule:
    return InvalidSchedule(
        f"calendar event {text.strip()!r} cannot be read",
        why=why,
        fix="compare with: systemd-analyze calendar",
    )
