"""What somebody said about when, piece by piece, before it is put together. No language here.

A language reads its phrases into a `Wish`; `jobs.spoken.plan` makes a schedule of it. Whatever
is said twice and differently, or cannot be, is a `Doubt`: a refusal with words of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

DAY: Final = timedelta(days=1)
WORKING_DAYS: Final = frozenset({1, 2, 3, 4, 5})  # ISO: Monday = 1
WEEKEND: Final = frozenset({6, 7})
LAST: Final = -1
# The hour a part of the day means when no other is said.
PARTS: Final = {"dawn": 5, "morning": 9, "noon": 12, "afternoon": 15, "evening": 18, "night": 21}


class Doubt(Exception):
    """A phrase that cannot be scheduled as it stands; ``code`` names the sentence that says why."""

    def __init__(self, code: str, **detail: object) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that was assumed and is said; ``code`` names the sentence."""

    code: str
    detail: tuple[tuple[str, object], ...] = ()


def remark(code: str, **detail: object) -> Remark:
    """Return a remark with what its sentence names."""
    return Remark(code, tuple(detail.items()))


@dataclass(frozen=True, slots=True, order=True)
class Clock:
    """A time of day. ``after`` tells that it is the midnight at the end of the day named."""

    hour: int
    minute: int
    after: bool = False

    def __str__(self) -> str:
        return f"{self.hour:02}:{self.minute:02}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A time of day as it was said."""

    text: str
    hour: int
    minute: int = 0
    part: str | None = None  # am | pm | one of PARTS
    plain: bool = False  # it can mean only one hour: 07:00, noon

    @property
    def open(self) -> bool:
        """Whether it may mean morning or afternoon."""
        return self.part is None and not self.plain and 1 <= self.hour <= 12


@dataclass(slots=True)
class Wish:
    """Everything that was said."""

    read: list[str] = field(default_factory=list)  # the pieces that were understood
    period: timedelta | None = None  # every 15 minutes
    step: tuple[int, str] | None = None  # every 2 (day | week | month | year)
    every: bool = False  # it repeats
    times_per: tuple[int, str] | None = None  # twice a (hour | day | week | month)
    delay: timedelta | None = None  # in 20 minutes
    weekdays: frozenset[int] = frozenset()
    nth: tuple[tuple[int, int], ...] = ()  # (1 to 5 or LAST, weekday) of the month
    working: tuple[int, ...] = ()  # first (1) or last working day of the month
    month_days: frozenset[int] = frozenset()  # negative: from the end
    months: frozenset[int] = frozenset()
    year: int | None = None
    days_ahead: int | None = None  # today 0, tomorrow 1
    weeks_ahead: int | None = None  # this week 0, next week 1
    months_ahead: int | None = None
    said: list[Said] = field(default_factory=list)
    part: str | None = None
    window: tuple[Said, Said] | None = None
    minute: int | None = None  # of every hour
    remarks: list[Remark] = field(default_factory=list)

    def set(self, name: str, value: object) -> None:
        """Keep what was said once; raises `Doubt` if it was said otherwise before."""
        before = getattr(self, name)
        if before is not None and before != value:
            raise Doubt("twice", pieces=" / ".join(self.read[-2:]))
        setattr(self, name, value)

    def on(self, year: int, month: int, day: int) -> None:
        """Keep a date, of every year if ``year`` is 0; raises `Doubt` if there is none such."""
        try:
            date(year or 2000, month, day)
        except ValueError:
            raise Doubt("no-day") from None
        self.months |= {month}
        self.month_days |= {day}
        if year:
            self.set("year", year)

    def repeat(self, count: int, unit: str) -> None:
        """Keep that it comes every so many days, weeks, months or years."""
        if count < 1:
            raise Doubt("zero")
        self.every = True
        self.set("step", (count, unit))

    def repeat_after(self, period: timedelta) -> None:
        """Keep that it comes after so much time."""
        if period <= timedelta():
            raise Doubt("zero")
        self.every = True
        self.set("period", period)

    def note(self, code: str, **detail: object) -> None:
        """Keep that something was assumed, once."""
        if (made := remark(code, **detail)) not in self.remarks:
            self.remarks.append(made)

    @property
    def days_of_month(self) -> bool:
        """Whether days of the month were named, in one way or another."""
        return bool(self.month_days or self.working or self.nth)


def clocks(wish: Wish) -> list[Clock]:
    """Return the times of day that were said; what had to be assumed is noted."""
    plain = any(one.hour > 12 for one in wish.said)  # who says 17 means the hours of a day
    found = {clock(wish, one, plain=plain) for one in wish.said}
    return sorted(found)


def clock(wish: Wish, said: Said, *, plain: bool = False) -> Clock:
    """Return one time of day. Raises `Doubt` for what is none."""
    if not (said.hour <= 24 and said.minute < 60) or (said.hour == 24 and said.minute):
        raise Doubt("no-time", text=said.text)
    part = said.part
    if part is None and not said.plain:
        part = wish.part
    if said.hour == 24 or (said.hour == 0 and wish.part == "night"):
        return Clock(0, said.minute, after=True)
    if part is None:
        if said.open and not plain:
            told = Clock(said.hour, said.minute)
            wish.note("open-hour" if said.hour < 12 else "open-noon", text=said.text, time=told)
        return Clock(said.hour, said.minute)
    return _in_part(wish, said, part)


_AFTER_NOON: Final = {  # hours that count from noon in each part of the day
    "pm": range(1, 12), "noon": range(1, 3), "afternoon": range(1, 12),
    "evening": range(4, 12), "night": range(6, 12),
}  # fmt: skip
_AS_IT_IS: Final = {
    "am": range(1, 12), "dawn": range(7), "morning": range(12), "pm": range(12, 13),
    "noon": range(11, 15), "afternoon": range(12, 20), "evening": range(16, 24),
    "night": (*range(6), *range(18, 24)),
}  # fmt: skip


def _in_part(wish: Wish, said: Said, part: str) -> Clock:
    hour, minute = said.hour, said.minute
    if hour in _AFTER_NOON.get(part, ()):
        return Clock(hour + 12, minute)
    if hour in _AS_IT_IS[part]:
        if part == "night" and 0 < hour < 6:
            wish.note("small-hours", text=said.text, time=Clock(hour, minute))
        return Clock(hour, minute)
    if hour == 12 and part in ("am", "dawn"):
        return Clock(0, minute)
    if hour == 12 and part in ("evening", "night"):
        return Clock(0, minute, after=True)
    raise Doubt("not-then" if part in PARTS else "no-time", text=said.text, part=part)


# -- reading a text from left to right -----------------------------------------------------------

Read = Callable[["re.Match[str]", Wish], None]
Patterns = Sequence[tuple["re.Pattern[str]", Read]]


def scan(text: str, patterns: Patterns, filler: re.Pattern[str], word: re.Pattern[str]) -> Wish:
    """Return what a text says: at every place the first pattern that fits is read.

    Raises `Doubt` for a word that none of them knows: nothing is guessed from the rest.
    """
    wish, at, turn = Wish(), 0, _Turn()
    unknown: list[tuple[int, int]] = []
    while at < len(text):
        for pattern, read in patterns:
            if (found := pattern.match(text, at)) is not None and found.end() > at:
                wish.read.append(found[0].strip(" ,、"))
                _reading(read, found, wish)
                turn = _in_order(wish, turn)
                break
        else:
            found = filler.match(text, at)
            if found is None:
                found = word.match(text, at)
                if found is None:
                    raise AssertionError("every place of a text is a word")
                unknown.append((at, found.end()))
        at = found.end()
    if unknown:
        raise Doubt("unknown", read=_quoted(wish.read), words=_quoted(_joined(text, unknown)))
    return wish


def _joined(text: str, places: Sequence[tuple[int, int]]) -> list[str]:
    """Return the words at these places, neighbours as one piece."""
    joined: list[tuple[int, int]] = []
    for start, end in places:
        if joined and not text[joined[-1][1] : start].strip():
            start = joined.pop()[0]
        joined.append((start, end))
    return [text[start:end] for start, end in joined]


def _reading(read: Read, found: re.Match[str], wish: Wish) -> None:
    try:
        read(found, wish)
    except Doubt as doubt:
        doubt.detail.setdefault("piece", wish.read[-1])
        raise


@dataclass(frozen=True, slots=True)
class _Turn:
    """What was said so far: times, and whether days came after them."""

    times: int = 0
    days: tuple[object, ...] = ()
    days_after: bool = False


def _in_order(wish: Wish, before: _Turn) -> _Turn:
    """Refuse times for some days and other times for others: that is more than one schedule."""
    days = (wish.weekdays, wish.nth, wish.working, wish.month_days, wish.days_ahead)
    more_times = len(wish.said) > before.times
    if more_times and before.days_after:
        raise Doubt("two-days")
    after = before.days_after or (before.times > 0 and days != before.days)
    return _Turn(len(wish.said), days, after)


def _quoted(pieces: Sequence[str]) -> str:
    return ", ".join(f"“{piece}”" for piece in pieces[:8])
