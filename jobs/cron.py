"""The cron dialect: text to field sets, and the search over them in wall time (cron.md §3.1).

croniter expands the grammar; what it reads wrongly or not at all (sixth field, `?`, `5L`,
`LW`, `L-n`, `nW`, `+dow`, oversize steps) is settled here before it is asked. The search
knows nothing of zones: it works on local seconds since 1970.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple, NoReturn

from jobs.errors import InvalidSchedule

DAY: Final = 86_400
LONGEST: Final = 256  # characters
HORIZON: Final = 40  # years without a match: it never fires (a Monday 29 February needs 28)
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_MOST_TIMES: Final = 4096  # times of day kept as one list; beyond it, searched field by field
_LENGTHS: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_NAMES: Final = ("second", "minute", "hour", "day of month", "month", "day of week", "year")
_RANGES: Final = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7), (1970, 2099))
_MONTH_WORDS: Final = {
    word: n
    for n, word in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_DAY_WORDS: Final = {
    word: n for n, word in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
}
_SIZES: Final = (60, 60, 24, 31, 12, 7, 130)  # different values of each field
_DOM, _MONTH, _DOW, _YEAR = 3, 4, 5, 6
_TOKEN: Final = re.compile(r"(\*|[a-z0-9]+(?:-[a-z0-9]+)?)(?:/(\d+))?")
_WORD: Final = re.compile(r"[a-z]{3}")
_RANDOM: Final = re.compile(r"r(?![a-z])")
_HASH: Final = re.compile(r"h(?:\((\d+)-(\d+)\))?(?:/(\d+))?")


class Oddity(NamedTuple):
    """A part of an expression that is read, but may not mean what it seems to."""

    kind: str  # wraps | one-value
    position: int  # of its field, seconds 0 and year 6
    token: str


_ODD: Final = {
    "wraps": "runs past the end and wraps around",
    "one-value": "steps over all but its first value",
}


class CronFields:
    """An expression, read once: which seconds of which days it names."""

    __slots__ = (
        "_any_day",
        "_dom",
        "_dow",
        "_first",
        "_months",
        "_shapes",
        "_times",
        "and_days",
        "both_days_restricted",
        "hours",
        "minutes",
        "oddities",
        "seconds",
        "text",
        "wildcard",
        "words",
        "years",
    )

    def __init__(
        self,
        text: str,
        *,
        seconds: tuple[int, ...],
        minutes: tuple[int, ...],
        hours: tuple[int, ...],
        months: frozenset[int],
        dom: _DaysOfMonth | None,
        dow: _DaysOfWeek | None,
        years: tuple[int, ...] | None,
        and_days: bool,
        wildcard: bool,
        oddities: tuple[Oddity, ...],
        words: tuple[str, ...],
    ) -> None:
        self.text = text
        self.words = words  # seven, seconds first and year last, aliases read
        self.seconds, self.minutes, self.hours = seconds, minutes, hours
        self.years = years
        self.and_days = and_days
        self.wildcard = wildcard
        self.both_days_restricted = dom is not None and dow is not None
        self.oddities = oddities
        self._months = months
        self._dom, self._dow = dom, dow
        self._any_day = dom is None and dow is None and len(months) == 12 and years is None
        # A month is known by its length and the weekday it begins on: 28 shapes in all.
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._first = hours[0] * 3600 + minutes[0] * 60 + seconds[0]
        few = len(hours) * len(minutes) * len(seconds) <= _MOST_TIMES
        self._times = (
            tuple(h * 3600 + m * 60 + s for h in hours for m in minutes for s in seconds)
            if few
            else None
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may not mean what it seems to, in words."""
        return tuple(f"{_NAMES[o.position]}: {o.token} {_ODD[o.kind]}" for o in self.oddities)

    def next_local(self, local: int) -> int | None:
        """Return the first match at or after a wall time, both in local seconds since 1970."""
        ordinal, second = divmod(local, DAY)
        if self._any_day:
            at = self._next_time(second)
            return ordinal * DAY + at if at is not None else (ordinal + 1) * DAY + self._first
        day = date.fromordinal(ordinal + _EPOCH_ORDINAL)
        dom = day.day
        days = self._matching(day.year, day.month, ordinal - dom + 1)
        index = bisect_left(days, dom)
        if index < len(days):
            if days[index] != dom:
                return (ordinal + days[index] - dom) * DAY + self._first
            at = self._next_time(second)
            if at is not None:
                return ordinal * DAY + at
            if index + 1 < len(days):
                return (ordinal + days[index + 1] - dom) * DAY + self._first
        return self._later_month(day.year, day.month, ordinal - dom + 1)

    def count_local(self, start: int, end: int) -> int:
        """Return how many matches lie in ``start <= local < end``."""
        if end <= start:
            return 0
        first, last = start // DAY, (end - 1) // DAY
        whole = len(self.hours) * len(self.minutes) * len(self.seconds)
        found = whole * self._count_days(first, last)
        if self._count_days(first, first):
            found -= self._count_times(start % DAY)
        if self._count_days(last, last):
            found -= whole - self._count_times((end - 1) % DAY + 1)
        return found

    def _count_days(self, first: int, last: int) -> int:
        """Return how many matching days there are from ``first`` to ``last``, both included."""
        if self._any_day:
            return last - first + 1
        day, found = first, 0
        while day <= last:
            at = date.fromordinal(day + _EPOCH_ORDINAL)
            month_start = day - at.day + 1
            days = self._matching(at.year, at.month, month_start)
            found += bisect_right(days, last - month_start + 1) - bisect_left(days, at.day)
            day = month_start + _length(at.year, at.month)
        return found

    def _count_times(self, second: int) -> int:
        """Return how many matches of a day come before ``second``."""
        if self._times is not None:
            return bisect_left(self._times, second)
        hour, rest = divmod(second, 3600)
        minute, second = divmod(rest, 60)
        of_minute, of_hour = len(self.seconds), len(self.seconds) * len(self.minutes)
        found = bisect_left(self.hours, hour) * of_hour
        if hour in self.hours:
            found += bisect_left(self.minutes, minute) * of_minute
            if minute in self.minutes:
                found += bisect_left(self.seconds, second)
        return found

    def _later_month(self, year: int, month: int, start: int) -> int | None:
        """Return the first match of the months after the one that begins on day ``start``."""
        last = self.years[-1] if self.years else min(year + HORIZON, date.max.year - 1)
        while True:
            start += _length(year, month)
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
            if year > last:
                return None
            if month in self._months and (days := self._matching(year, month, start)):
                return (start + days[0] - 1) * DAY + self._first

    def _next_time(self, second: int) -> int | None:
        if self._times is not None:
            index = bisect_left(self._times, second)
            return self._times[index] if index < len(self._times) else None
        hour, rest = divmod(second, 3600)
        minute, second = divmod(rest, 60)
        return self._field_by_field(hour, minute, second)

    def _field_by_field(self, hour: int, minute: int, second: int) -> int | None:
        first_second, first_minute = self.seconds[0], self.minutes[0]
        h = bisect_left(self.hours, hour)
        if h == len(self.hours):
            return None
        if self.hours[h] != hour:
            return self.hours[h] * 3600 + first_minute * 60 + first_second
        m = bisect_left(self.minutes, minute)
        if m < len(self.minutes) and self.minutes[m] == minute:
            s = bisect_left(self.seconds, second)
            if s < len(self.seconds):
                return hour * 3600 + minute * 60 + self.seconds[s]
            m += 1
        if m < len(self.minutes):
            return hour * 3600 + self.minutes[m] * 60 + first_second
        if h + 1 < len(self.hours):
            return self.hours[h + 1] * 3600 + first_minute * 60 + first_second
        return None

    def _matching(self, year: int, month: int, start: int) -> tuple[int, ...]:
        """Return the matching days of the month that begins on day ``start`` since 1970."""
        if month not in self._months or (self.years is not None and year not in self.years):
            return ()
        shape = (start + 3) % 7 * 32 + _length(year, month)  # 1970 began on a Thursday
        days = self._shapes.get(shape)
        if days is None:
            days = self._shapes[shape] = self._match(shape // 32, shape % 32)
        return days

    def _match(self, first: int, length: int) -> tuple[int, ...]:
        if self._dom is None:
            every = range(1, length + 1)
            return tuple(every if self._dow is None else sorted(self._dow.of(first, length)))
        by_date = self._dom.of(first, length)
        if self._dow is None:
            return tuple(sorted(by_date))
        by_week = self._dow.of(first, length)
        return tuple(sorted(by_date & by_week if self.and_days else by_date | by_week))


def _length(year: int, month: int) -> int:
    if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        return 29
    return _LENGTHS[month]


class _DaysOfMonth:
    """Days of a month: numbers, `L`, `L-n`, `nW`, `LW`, and ranges up to `L`."""

    __slots__ = ("from_to_last", "last_weekday", "lasts", "numbers", "weekdays_near")

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.lasts: set[int] = set()  # days before the last one
        self.from_to_last: set[int] = set()
        self.weekdays_near: set[int] = set()
        self.last_weekday = False

    def of(self, first: int, length: int) -> set[int]:
        """Return the days of a month of ``length`` days that begins on weekday ``first``."""
        days = {day for day in self.numbers if 1 <= day <= length}
        days |= {length - back for back in self.lasts if back < length}
        for start in self.from_to_last:
            days |= set(range(start, length + 1))
        days |= {_near(day, first, length) for day in self.weekdays_near if day <= length}
        if self.last_weekday:
            days.add(_near(length, first, length))
        return days


def _near(day: int, first: int, length: int) -> int:
    """Return the weekday nearest to a day, staying in the month. Monday is 0."""
    weekday = (first + day - 1) % 7
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < length else day - 2
    return day


class _DaysOfWeek:
    """Weekdays, Sunday 0: every one, the nth, or the last of the month."""

    __slots__ = ("every", "lasts", "nths")

    def __init__(self) -> None:
        self.every: set[int] = set()
        self.nths: set[tuple[int, int]] = set()
        self.lasts: set[int] = set()

    def of(self, first: int, length: int) -> set[int]:
        """Return the days of a month of ``length`` days that begins on weekday ``first``."""
        days = {day for day in range(1, length + 1) if (first + day) % 7 in self.every}
        for weekday, nth in self.nths:
            day = 1 + (weekday - 1 - first) % 7 + 7 * (nth - 1)
            if day <= length:
                days.add(day)
        for weekday in self.lasts:
            day = 1 + (weekday - 1 - first) % 7
            days.add(day + 7 * ((length - day) // 7))
        return days


@lru_cache(maxsize=512)
def parse(expr: str, *, hash_id: str | None = None, day_match: str = "or") -> CronFields:
    """Return the fields of an expression.

    ``hash_id`` (the job's id) is what `H` is spread by. Raises `InvalidSchedule` naming the
    field and its position, also for an expression that can never fire.
    """
    words = _words(expr)
    oddities: list[Oddity] = []
    for position, word in enumerate(words):
        bare = word.removeprefix("+") if position == _DOW else word
        _check(expr, position, bare, oddities)
    and_days = day_match == "and" or words[_DOW].startswith("+")
    dom, plain_dom = _days_of_month(words[_DOM])
    dow, plain_dow = _days_of_week(words[_DOW].removeprefix("+"))
    plain = [*words[:_DOM], plain_dom, words[_MONTH], plain_dow, *words[6:]]
    expanded = _expand(expr, plain, hash_id)
    if dom is not None:
        dom.numbers |= _numbers(expanded[_DOM])
    if dow is not None:
        dow.every |= _numbers(expanded[_DOW])
    fields = CronFields(
        expr,
        seconds=_sorted(expanded[0], 0, 59),
        minutes=_sorted(expanded[1], 0, 59),
        hours=_sorted(expanded[2], 0, 23),
        months=frozenset(_sorted(expanded[_MONTH], 1, 12)),
        dom=dom,
        dow=dow,
        years=_years(expanded),
        and_days=and_days,
        wildcard=words[1].startswith("*") or words[2].startswith("*"),
        oddities=tuple(oddities),
        words=tuple(words),
    )
    start = date(fields.years[0], 1, 1) if fields.years else date(2096, 3, 1)
    if fields.next_local((start.toordinal() - _EPOCH_ORDINAL) * DAY) is None:
        raise never_fires(expr)
    return fields


def never_fires(expr: str) -> InvalidSchedule:
    """Return the refusal of an expression without a next time (cron.md §3.1)."""
    return InvalidSchedule(
        f'cron expression "{expr}" has no upcoming run time and would never fire',
        fix="choose a day that exists (L is the last of any month) and a year to come",
    )


def _words(expr: str) -> list[str]:
    """Split into seven fields, seconds first and year last."""
    text = expr.strip().lower()
    if len(text) > LONGEST:
        raise InvalidSchedule(
            "the cron expression was refused",
            why=f"it is longer than {LONGEST} characters",
            fix="make two jobs of it",
        )
    if text.startswith("@"):
        if text == "@reboot":
            raise InvalidSchedule(
                "@reboot was refused",
                why="this version has no schedule that fires when the gateway starts",
                fix="let the service manager of the host run it at boot",
            )
        if text not in _ALIASES:
            known = ", ".join(_ALIASES)
            raise InvalidSchedule(
                f'cron expression "{expr}" was refused',
                why=f"{text.split()[0]!r} is no known alias",
                fix=f"use one of {known}, or five fields",
            )
        text = _ALIASES[text]
    words = text.split()
    match len(words):
        case 5:
            return ["0", *words, "*"]
        case 6:
            return [*words, "*"]
        case 7:
            return words
        case count:
            raise InvalidSchedule(
                f'cron expression "{expr}" was refused',
                why=f"it has {count} fields",
                fix="write minute hour day-of-month month day-of-week, with seconds before"
                " and a year after them if needed",
            )


def _check(expr: str, position: int, word: str, oddities: list[Oddity]) -> None:
    """Refuse what croniter would read as something else, field by field."""
    for token in word.split(","):
        if position in (_DOM, _DOW) and _special(position, token):
            continue
        if token.startswith("h") and (found := _HASH.fullmatch(token)):
            _check_hash(expr, position, found)
            _check_step(expr, position, token, found[3])
            continue
        found = _TOKEN.fullmatch(token)
        if found is None:
            _refuse(expr, position, token, _unread(token))
        bounds = [_value(expr, position, part) for part in found[1].split("-") if part != "*"]
        if len(bounds) == 2 and bounds[0] > bounds[1]:
            if position == _YEAR:
                _refuse(expr, position, token, "ends before it begins")
            oddities.append(Oddity("wraps", position, token))
        if _check_step(expr, position, token, found[2]) == _SIZES[position]:
            oddities.append(Oddity("one-value", position, token))


def _special(position: int, token: str) -> bool:
    """Whether a day token is one of the forms handled here (L, W, #, ?)."""
    if token == "?":  # noqa: S105 - a day field, not a secret
        return True
    if position == _DOM:
        return _DOM_SPECIAL.fullmatch(token) is not None
    return _DOW_SPECIAL.fullmatch(token) is not None


_DOM_SPECIAL: Final = re.compile(
    r"l|lw|l-([1-9]|[12]\d|30)|([1-9]|[12]\d|3[01])w|w([1-9]|[12]\d|3[01])|([1-9]|[12]\d|3[01])-l"
)
_DAY: Final = r"(?:[0-7]|sun|mon|tue|wed|thu|fri|sat)"
_DOW_SPECIAL: Final = re.compile(rf"(?P<nth>{_DAY})#(?P<n>[1-5]|l)|l(?P<a>{_DAY})|(?P<b>{_DAY})l")


def _check_hash(expr: str, position: int, found: re.Match[str]) -> None:
    low, high = _RANGES[position]
    for part in (found[1], found[2]):
        if part is not None and not low <= int(part) <= high:
            _out_of_range(expr, position, part)


def _value(expr: str, position: int, part: str) -> int:
    words = {_MONTH: _MONTH_WORDS, _DOW: _DAY_WORDS}.get(position, {})
    if part in words:
        return words[part]
    if not part.isdecimal():
        _refuse(expr, position, part, _unread(part, "is no number or known name"))
    low, high = _RANGES[position]
    if not low <= int(part) <= high:
        _out_of_range(expr, position, part)
    return int(part)


def _unread(token: str, otherwise: str = "cannot be read") -> str:
    """Say why; `R` is a form of croniter's that would be another time after every restart."""
    if _RANDOM.match(token):
        return "would pick another time at every start; H picks one and keeps it"
    return otherwise


def _check_step(expr: str, position: int, token: str, step: str | None) -> int | None:
    """Return the step, if there is one; `*/60` is as long as the range, `*/61` too long."""
    if step is None:
        return None
    low, high = _RANGES[position]
    if int(step) == 0:
        _refuse(expr, position, token, "has a step of zero")
    if int(step) > _SIZES[position]:
        upper = _NAMES[position + 1] if position < len(_NAMES) - 1 else "field"
        _refuse(
            expr,
            position,
            token,
            f"has a step larger than the range {low}–{high}; write the step in the {upper}"
            " instead, or use every <duration>",
        )
    return int(step)


def _out_of_range(expr: str, position: int, part: str) -> NoReturn:
    low, high = _RANGES[position]
    raise InvalidSchedule(
        f'{_NAMES[position]}: "{part}" is out of range {low}–{high}'
        f' (field {_shown(expr, position)} of "{expr}")',
        fix=f"write a number from {low} to {high}",
    )


def _refuse(expr: str, position: int, token: str, why: str) -> NoReturn:
    at = expr.lower().find(token)
    shown = expr[at : at + len(token)] if at >= 0 else token  # as the author wrote it
    raise InvalidSchedule(
        f'{_NAMES[position]}: "{shown}" {why} (field {_shown(expr, position)} of "{expr}")',
        fix="correct that field; engine cron next shows what an expression means",
    )


def _shown(expr: str, position: int) -> int:
    """Return the field's number as the author counts it."""
    return position + 1 if len(expr.split()) > 5 else max(position, 1)


def _days_of_month(word: str) -> tuple[_DaysOfMonth | None, str]:
    """Return the special days, and what is left for croniter."""
    if word in ("*", "?"):
        return None, "*"
    days, plain = _DaysOfMonth(), []
    for token in word.split(","):
        if token == "lw":  # noqa: S105 - a day field
            days.last_weekday = True
        elif token == "l":  # noqa: S105 - a day field
            days.lasts.add(0)
        elif token.startswith("l-"):
            days.lasts.add(int(token[2:]))
        elif token.endswith("-l"):
            days.from_to_last.add(int(token[:-2]))
        elif "w" in token:
            days.weekdays_near.add(int(token.strip("w")))
        else:
            plain.append("*" if token == "?" else token)  # noqa: S105 - a day field
    return days, ",".join(plain) or "-"


def _days_of_week(word: str) -> tuple[_DaysOfWeek | None, str]:
    if word in ("*", "?"):
        return None, "*"
    days, plain = _DaysOfWeek(), []
    for token in word.split(","):
        found = _DOW_SPECIAL.fullmatch(token)
        if found is None:
            plain.append("*" if token == "?" else token)  # noqa: S105 - a day field
            continue
        name = found["nth"] or found["a"] or found["b"]
        weekday = _DAY_WORDS[name] if name in _DAY_WORDS else int(name) % 7
        if found["nth"] and found["n"] != "l":
            days.nths.add((weekday, int(found["n"])))
        else:
            days.lasts.add(weekday)
    return days, ",".join(plain) or "-"


def _expand(expr: str, words: list[str], hash_id: str | None) -> list[list[object]]:
    """Return the values of each field; fields settled elsewhere (`-`) are empty."""
    found: list[list[object]] = []
    for position, word in enumerate(words):
        field: list[object] = []
        for token in () if word == "-" else word.split(","):
            hashed = token.startswith("h")
            if hashed and hash_id is None:
                raise InvalidSchedule(
                    f'cron expression "{expr}" was refused',
                    why="H needs a job to be spread by",
                    fix="write a number in its place, or ask with a job: engine cron show",
                )
            try:
                field += expand_token(position, token, hash_id if hashed else None)
            except (ValueError, KeyError) as error:  # croniter's errors are ValueErrors
                raise InvalidSchedule(
                    f'cron expression "{expr}" was refused',
                    why=str(error),
                    fix="correct that field; engine cron next shows what an expression means",
                ) from None
        found.append(field)
    return found


@lru_cache(maxsize=2048)
def expand_token(position: int, token: str, hash_id: str | None) -> tuple[object, ...]:
    """Return what one token of a field names; of ``*`` a star. Many expressions have few parts."""
    if token == "*":  # noqa: S105 - a field, not a secret
        return ("*",)
    if hash_id is None:
        words = {_MONTH: _MONTH_WORDS, _DOW: _DAY_WORDS}.get(position, {})
        token = _WORD.sub(lambda word: str(words[word[0]]), token)
        return _plain(position, token)
    from croniter import croniter  # here, not above: 60 ms that most commands need not pay

    place = (position - 1) % 6 if position < 6 else 6  # croniter counts the seconds sixth
    fields = ["*"] * 7
    fields[place] = token
    expanded, _nth = croniter.expand(" ".join(fields), hash_id=hash_id.encode())
    return tuple(expanded[place])


def _plain(position: int, token: str) -> tuple[int, ...]:
    """Expand a number, a range or a step: nothing to look up in a library, nothing to load.

    A test compares with croniter, which reads `5-5` as every value and loses the step of a
    range where it wraps around (`59-1/2` as 59 alone).
    """
    low, high = _RANGES[position]
    bounds, _slash, step = token.partition("/")
    first, dash, last = bounds.partition("-")
    if position == _DOW:
        high = 6
        if first == "7" and dash and last != "7":
            first = "0"  # Sunday begins a range as 0 and ends it as 7
    start = low if first == "*" else int(first)
    end = high if first == "*" or (step and not dash) else int(last or first)
    size = high - low + 1
    beyond = end + 1 if start <= end else end + 1 + size  # around the end of the field
    values = range(start, beyond, int(step or 1))
    if position == _DOW:
        return tuple(sorted({day % 7 for day in values}))
    return tuple(sorted({(value - low) % size + low for value in values}))


def _numbers(field: list[object]) -> set[int]:
    """Return the numbers croniter named; a star in a mixed day field is every day."""
    if "*" in field:
        return set(range(32))
    return {int(str(value)) for value in field}


def _sorted(field: list[object], low: int, high: int) -> tuple[int, ...]:
    return tuple(range(low, high + 1)) if "*" in field else tuple(sorted(_numbers(field)))


def _years(expanded: list[list[object]]) -> tuple[int, ...] | None:
    return None if "*" in expanded[6] else tuple(sorted(_numbers(expanded[6])))
