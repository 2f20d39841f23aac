"""Calendars as the config writes them (`cron.calendars`): strict, refused with path and fix.

Reading a file is the caller's work: `files` says which are named, `calendars_of` takes their
texts. Nothing is half accepted: the first fault refuses the whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from difflib import get_close_matches
from typing import Any, Final, TypeGuard, TypeVar

from jobs.calendar import ics
from jobs.calendar.days import EVERY_DAY, NAMES, Calendar, Days, Span, Weekdays, Yearly
from jobs.calendar.events import Events
from jobs.calendar.recurrence import Unusable
from jobs.errors import InvalidInput, InvalidSchedule
from jobs.wallclock import zone

KEYS: Final = ("include", "exclude", "weekdays", "makeUp", "ics", "tz")
MOST_ENTRIES: Final = 5_000
_YEARS: Final = 40  # as far as a cron expression is searched
_MOST_WORK: Final = 400_000  # a calendar that asks more of one question is looked at less far
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_YEARLY: Final = re.compile(r"(\d{2})-(\d{2})", re.ASCII)
_FORMS: Final = "2026-10-01, 2026-10-01..2026-10-07, 12-25, sat, mon-fri or holidays.ics"
_LEAP_YEAR: Final = 2000
_T = TypeVar("_T")


def files(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the .ics files the calendars name, each once, before anything is judged."""
    found: dict[str, None] = {}
    for entry in config.values():
        if isinstance(entry, Mapping):
            for key in ("ics", "include", "exclude"):
                given = entry.get(key)
                told = given if isinstance(given, list | tuple) else [given]
                found |= dict.fromkeys(one.strip() for one in told if _is_file(one))
    return tuple(found)


def calendars_of(
    config: Mapping[str, Any], *, texts: Mapping[str, str], tz: str, today: date
) -> dict[str, Calendar]:
    """Return the calendars by name; ``tz`` is the zone of those that name none.

    ``texts`` are the contents of `files`. Raises `InvalidInput` with the path, what is wrong
    and what would be right; a calendar that allows no day, forty years before and after
    ``today``, is refused too.
    """
    return {
        name: _Entry(f"cron.calendars.{name}", texts, today).read(name, entry, tz)
        for name, entry in config.items()
    }


def _is_file(given: object) -> TypeGuard[str]:
    return isinstance(given, str) and given.strip().lower().endswith(".ics")


def _refused(path: str, why: str, fix: str = "") -> InvalidInput:
    return InvalidInput(f"{path} was refused", why=why, fix=fix, path=path)


class _Entry:
    """Reads one calendar."""

    def __init__(self, path: str, texts: Mapping[str, str], today: date) -> None:
        self._path, self._texts, self._today = path, texts, today
        self._tz = "UTC"

    def read(self, name: str, given: Any, tz: str) -> Calendar:
        if not _NAME.fullmatch(name):
            raise _refused(self._path, f"{name!r} is no name", "use letters, digits, . _ and -")
        if not isinstance(given, Mapping):
            raise _refused(self._path, f"got {given!r}", f"use an object of {', '.join(KEYS)}")
        for key in given:
            if key not in KEYS:
                raise self._unknown(key)
        self._tz = self._zone(given.get("tz"), tz)
        given = {key: value for key, value in given.items() if value is not None}
        if not given.keys() - {"tz"}:
            raise _refused(self._path, "it says nothing", "give exclude, include or weekdays")
        include = self._list(given, "include", self._days) if "include" in given else None
        made = Calendar(
            name=name,
            include=include,
            exclude=(*self._list(given, "exclude", self._days), *self._ics(given)),
            weekdays=self._weekdays(given),
            make_up=self._list(given, "makeUp", self._make_up),
            tz=self._tz,
        )
        self._consistent(made)
        return made

    def _unknown(self, key: object) -> InvalidInput:
        spelt = {known.lower(): known for known in KEYS}
        near = get_close_matches(str(key).lower(), spelt, n=1, cutoff=0.6)
        return _refused(
            f"{self._path}.{key}",
            f"the key is not known{f'; did you mean {spelt[near[0]]!r}?' if near else ''}",
            f"rename it to {spelt[near[0]]}" if near else f"use one of: {', '.join(KEYS)}",
        )

    def _zone(self, given: Any, usual: str) -> str:
        try:
            return zone(usual if given is None else str(given)).key
        except InvalidSchedule as error:
            raise _refused(f"{self._path}.tz", error.why, error.fix) from None

    def _list(
        self, given: Mapping[str, Any], key: str, read: Callable[[str, str], _T]
    ) -> tuple[_T, ...]:
        path, told = f"{self._path}.{key}", given.get(key, [])
        if not isinstance(told, list | tuple):
            raise _refused(path, f"got {told!r}", f"write a list: [{told!r}]")
        if key in given and not told:
            raise _refused(path, "the list is empty", f"name days, or leave {key} out")
        if len(told) > MOST_ENTRIES:
            raise _refused(path, f"{len(told)} entries; {MOST_ENTRIES} at most", "use an .ics file")
        return tuple(self._one(f"{path}[{n}]", one, read) for n, one in enumerate(told))

    @staticmethod
    def _one(path: str, given: Any, read: Callable[[str, str], _T]) -> _T:
        if not isinstance(given, str):
            raise _refused(path, f"got {given!r}, which is no text", f"write it like {_FORMS}")
        return read(path, given.strip())

    def _days(self, path: str, text: str) -> Days:
        if _is_file(text):
            return self._file(path, text)
        first, dots, last = (part.strip() for part in text.partition(".."))
        if _DATE.fullmatch(first):
            return self._span(path, first, last if dots else first)
        if (start := _YEARLY.fullmatch(first)) is not None:
            end = _YEARLY.fullmatch(last) if dots else start
            if end is not None:
                return Yearly(_month_day(path, start), _month_day(path, end))
        if not dots and (days := _weekdays(text)):
            return Weekdays(days)
        near = get_close_matches(text.lower(), NAMES, n=1, cutoff=0.6)
        raise _refused(
            path,
            f"{text[:60]!r} names no day{f'; did you mean {near[0]!r}?' if near else ''}",
            f"write it like {_FORMS}",
        )

    def _span(self, path: str, first: str, last: str) -> Span:
        try:
            span = Span(date.fromisoformat(first), date.fromisoformat(last))
        except ValueError:
            raise _refused(
                path, f"{first}..{last} has a date that does not exist", f"write it like {_FORMS}"
            ) from None
        if span.last < span.first:
            raise _refused(path, f"{first} is after {last}", f"write {last}..{first}")
        return span

    def _make_up(self, path: str, text: str) -> Span:
        first, dots, last = (part.strip() for part in text.partition(".."))
        if not _DATE.fullmatch(first):
            raise _refused(path, f"{text[:60]!r} is no date", "write make-up days like 2026-10-10")
        return self._span(path, first, last if dots else first)

    def _weekdays(self, given: Mapping[str, Any]) -> frozenset[int]:
        def read(path: str, text: str) -> frozenset[int]:
            if days := _weekdays(text):
                return days
            near = get_close_matches(text.lower(), NAMES, n=1, cutoff=0.6)
            why = f"{text[:60]!r} is no weekday{f'; did you mean {near[0]!r}?' if near else ''}"
            raise _refused(path, why, f"use {', '.join(NAMES)} or a range like mon-fri")

        found = self._list(given, "weekdays", read)
        return frozenset().union(*found) if found else EVERY_DAY

    def _ics(self, given: Mapping[str, Any]) -> tuple[Days, ...]:
        told = given.get("ics")
        if told is None:
            return ()
        path = f"{self._path}.ics"
        many = isinstance(told, list | tuple)
        return tuple(
            self._one(f"{path}[{n}]" if many else path, one, self._file)
            for n, one in enumerate(told if many else [told])
        )

    def _file(self, path: str, name: str) -> Events:
        if not _is_file(name):
            raise _refused(path, f"{name[:60]!r} is no .ics file", "name a file like holidays.ics")
        if name not in self._texts:
            raise _refused(path, f"{name} was not read", "check that the file exists")
        try:
            return ics.parse(self._texts[name], file=name, tz=self._tz)
        except Unusable as error:
            raise _refused(path, f"{name}: {error}", "mend or export the file again") from None

    def _consistent(self, made: Calendar) -> None:
        """Refuse what contradicts itself: a day both out and made up, a calendar of no day."""
        for day in made.make_up:
            if day in made.exclude:
                raise _refused(
                    f"{self._path}.makeUp",
                    f"{day} is excluded as well",
                    "leave it out of one of them",
                )
        if any(made.allows(day) for day in _days_around(self._today, made)):
            return
        raise _refused(
            self._path,
            "it allows no day: jobs that ask it would never run",
            "check include, exclude and weekdays",
        )


def _days_around(today: date, made: Calendar) -> Iterator[date]:
    """Return the days that may show that a calendar allows any, the likeliest first."""
    for number in range(min(_YEARS * 366, _MOST_WORK // made.cost)):
        yield today + timedelta(days=number)
        yield today - timedelta(days=number)


def _weekdays(text: str) -> frozenset[int] | None:
    """Return the weekdays of `mon`, `Monday`, `mon-fri` or `sat-sun`; None for anything else."""
    first, dash, last = (part.strip().lower() for part in text.partition("-"))
    start, end = _weekday(first), _weekday(last if dash else first)
    if start is None or end is None:
        return None
    return frozenset((start + n) % 7 for n in range((end - start) % 7 + 1))


def _weekday(text: str) -> int | None:
    full = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    return next((n for n, name in enumerate(full) if text in (name, NAMES[n])), None)


def _month_day(path: str, found: re.Match[str]) -> tuple[int, int]:
    month, day = int(found[1]), int(found[2])
    try:
        date(_LEAP_YEAR, month, day)
    except ValueError:
        raise _refused(path, f"{found[0]} is a day of no year", "write it like 12-25") from None
    return month, day
