"""The days an .ics file names: the part of RFC 5545 that says which days an event touches.

All-day and timed events, repeated (RRULE, RDATE), excepted (EXDATE), moved (RECURRENCE-ID) or
cancelled. What a file says beyond that (alarms, people, places) is passed over unread; what it
says about days and we cannot follow is refused, for a holiday left out is a wrong ping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from typing import Final

from jobs.calendar.events import DAY, Again, Events, Marked, Shape, When
from jobs.calendar.recurrence import Counting, Rule, Unusable, parse_rule
from jobs.duration import parse_duration
from jobs.errors import InvalidSchedule
from jobs.wallclock import zone

LONGEST: Final = 2_000_000  # characters
MOST_EVENTS: Final = 20_000
_MOSTDAYS: Final = 100_000  # of all events that come once
_MOST_COST: Final = 2_000  # days one question may look at, for all events that come again
_LONGEST_EVENT: Final = 400  # days
_LONGEST_AGAIN: Final = 62
_DEEPEST: Final = 8
_LINE: Final = re.compile(
    r"(BEGIN|END|DTSTART|DTEND|DURATION|RRULE|EXRULE|RDATE|EXDATE|RECURRENCE-ID|UID|SUMMARY|STATUS"
    r"|X-APPLE-SPECIAL-DAY)((?:;(?:[^:;\"]|\"[^\"]*\")*)*):(.*)",
    re.IGNORECASE | re.DOTALL,
)
_WHEN: Final = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?", re.ASCII)
_MANY: Final = ("RDATE", "EXDATE")
# How published lists of Chinese holidays mark a weekend day that is worked instead.
_WORKED: Final = re.compile(r"补班|调休上班|(?:^|[\s(（])班(?:[\s)）｜|]|$)")
# What Outlook calls the zones that most of its users live in (Unicode CLDR, windowsZones).
_WINDOWS: Final = {
    "utc": "UTC",
    "gmt standard time": "Europe/London",
    "greenwich standard time": "Atlantic/Reykjavik",
    "w. europe standard time": "Europe/Berlin",
    "central europe standard time": "Europe/Budapest",
    "central european standard time": "Europe/Warsaw",
    "romance standard time": "Europe/Paris",
    "e. europe standard time": "Europe/Chisinau",
    "fle standard time": "Europe/Kiev",
    "gtb standard time": "Europe/Bucharest",
    "russian standard time": "Europe/Moscow",
    "israel standard time": "Asia/Jerusalem",
    "india standard time": "Asia/Calcutta",
    "china standard time": "Asia/Shanghai",
    "taipei standard time": "Asia/Taipei",
    "singapore standard time": "Asia/Singapore",
    "tokyo standard time": "Asia/Tokyo",
    "korea standard time": "Asia/Seoul",
    "aus eastern standard time": "Australia/Sydney",
    "new zealand standard time": "Pacific/Auckland",
    "eastern standard time": "America/New_York",
    "central standard time": "America/Chicago",
    "mountain standard time": "America/Denver",
    "pacific standard time": "America/Los_Angeles",
    "e. south america standard time": "America/Sao_Paulo",
}


@dataclass(slots=True)
class _Raw:
    """A VEVENT as it stands: the lines that matter, by name."""

    line: int
    one: dict[str, tuple[str, str]] = field(default_factory=dict)
    many: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def text(self, key: str) -> str:
        return self.one.get(key, ("", ""))[1].strip()

    @property
    def name(self) -> str:
        told = re.sub(r"\\([,;\\])", r"\1", self.text("SUMMARY").replace("\\n", " "))
        return " ".join("".join(c if c.isprintable() else " " for c in told[:60]).split())


def parse(text: str, *, file: str, tz: str) -> Events:
    """Return the days a file names, as days of the zone ``tz``.

    Raises `Unusable` with the line and the event. The work is bounded, whatever is written.
    """
    if len(text) > LONGEST:
        raise Unusable(f"it is longer than {LONGEST // 1_000_000} million characters")
    return _Reader(file, tz).read(_events(text.removeprefix("\ufeff")))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Return the lines with their numbers, the folded ones whole."""
    first, parts = 1, [""]
    for number, line in enumerate(re.split(r"\r?\n|\r", text), 1):
        if line[:1] in (" ", "\t"):
            parts.append(line[1:])
            continue
        yield first, "".join(parts)
        first, parts = number, [line]
    yield first, "".join(parts)


def _events(text: str) -> list[_Raw]:
    """Return the events of the file, with nothing of them read yet."""
    found: list[_Raw] = []
    inside: list[str] = []
    for number, line in _lines(text):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        key, value = match[1].upper(), match[3]
        if key in ("BEGIN", "END"):
            _enter(inside, number, key, value.strip().upper())
            if key == "BEGIN" and inside[-1] == "VEVENT":
                found.append(_Raw(number))
        elif inside and inside[-1] == "VEVENT":
            _keep(found[-1], key, (match[2], value))
        if len(found) > MOST_EVENTS:
            raise Unusable(f"line {number}: more than {MOST_EVENTS} events")
    if inside:
        raise Unusable(f"it is cut short: END:{inside[-1][:20]} is missing")
    if "BEGIN:VCALENDAR" not in text.upper():
        raise Unusable("it is not an iCalendar file: BEGIN:VCALENDAR is missing")
    return found


def _enter(inside: list[str], number: int, key: str, name: str) -> None:
    """Go into a component or out of it."""
    if key == "BEGIN":
        inside.append(name)
        if len(inside) > _DEEPEST:
            raise Unusable(f"line {number}: more than {_DEEPEST} components in each other")
    elif not inside or inside.pop() != name:
        raise Unusable(f"line {number}: END:{name[:20]} ends nothing")


def _keep(event: _Raw, key: str, value: tuple[str, str]) -> None:
    if key in _MANY:
        event.many.setdefault(key, []).append(value)
    elif event.one.setdefault(key, value) is not value and key != "SUMMARY":
        raise Unusable(f"line {event.line}: the event has {key} twice")


@contextmanager
def _named(event: _Raw) -> Iterator[None]:
    """Say of which event a complaint is."""
    try:
        yield
    except (Unusable, InvalidSchedule, OverflowError) as error:
        why = "a date is out of range" if isinstance(error, OverflowError) else error
        raise Unusable(f"line {event.line}, “{event.name}”: {why}") from None


class _Reader:
    """Turns the events of one file into days."""

    def __init__(self, file: str, tz: str) -> None:
        self._file, self._tz = file, tz
        self._counting = Counting()
        self._days = self._cost = 0

    def read(self, events: list[_Raw]) -> Events:
        moved: dict[str, list[When]] = {}
        for event in events:
            if "RECURRENCE-ID" in event.one:
                with _named(event):
                    moved.setdefault(event.text("UID"), []).append(
                        self._one(event.one["RECURRENCE-ID"])
                    )
        events = [one for one in events if one.text("STATUS").upper() != "CANCELLED"]
        marks = [one.text("X-APPLE-SPECIAL-DAY").upper() for one in events]
        # Apple's lists also name festivals that are no days off: there only the marked ones count.
        marked = "WORK-HOLIDAY" in marks
        listed, worked = [], []
        for event, mark in zip(events, marks, strict=True):
            if mark == "ALTERNATE-WORKDAY" or _WORKED.search(event.name):
                worked.append(event)
            elif not marked or mark == "WORK-HOLIDAY":
                listed.append(event)
        return Events(self._file, self._marked(listed, moved), self._marked(worked, moved))

    def _marked(self, events: Iterable[_Raw], moved: dict[str, list[When]]) -> Marked:
        once: dict[date, str] = {}
        again: list[Again] = []
        for event in events:
            with _named(event):
                self._event(event, moved, once, again)
        return Marked(once, tuple(again))

    def _event(
        self,
        event: _Raw,
        moved: dict[str, list[When]],
        once: dict[date, str],
        again: list[Again],
    ) -> None:
        if "DTSTART" not in event.one:
            raise Unusable("it has no DTSTART")
        if "EXRULE" in event.one:
            raise Unusable("it has an EXRULE; write EXDATE")
        start = self._one(event.one["DTSTART"])
        shape = self._shape(event, start)
        out = [one for told in event.many.get("EXDATE", []) for one in self._told(told)]
        if "RECURRENCE-ID" not in event.one and event.text("UID"):
            out += moved.pop(event.text("UID"), [])
        excepted = frozenset(one.wall(start.tz).date() for one in out)
        more = [one for told in event.many.get("RDATE", []) for one in self._told(told)]
        name = event.name or "(unnamed)"
        for begins in (start.day, *(one.wall(start.tz).date() for one in more)):
            if begins not in excepted:
                self._spread(name, shape, begins, once)
        if "RRULE" in event.one:
            again.append(Again(name, self._rule(event, start), self._short(shape), excepted))
            self._cost += again[-1].cost
            if self._cost > _MOST_COST:
                raise Unusable("too many events come again")

    def _spread(self, name: str, shape: Shape, begins: date, once: dict[date, str]) -> None:
        first, last = shape.days(begins)
        length = (last - first).days + 1
        self._days += length
        if length > _LONGEST_EVENT or self._days > _MOSTDAYS:
            raise Unusable(f"the events take more than {_MOSTDAYS} days, or one is too long")
        for number in range(length):
            once.setdefault(first + number * DAY, name)

    def _short(self, shape: Shape) -> Shape:
        if shape.most > _LONGEST_AGAIN:
            raise Unusable(f"it comes again and takes more than {_LONGEST_AGAIN} days")
        return shape

    def _rule(self, event: _Raw, start: When) -> Rule:
        rule, count, until = parse_rule(event.text("RRULE"), start.day)
        if count is not None:
            return replace(rule, until=self._counting.last(rule, count))
        if until is None:
            return rule
        told = self._when(until, start.tz)
        end = told.wall(start.tz)
        # On its last day an event counts only if it begins by then.
        late = told.time is not None and start.time is not None and end.time() < start.time
        return replace(rule, until=end.date() - DAY if late else end.date())

    def _shape(self, event: _Raw, start: When) -> Shape:
        if "DTEND" in event.one:
            end = self._one(event.one["DTEND"])
            length = end.wall(self._tz) - start.wall(self._tz)
        elif "DURATION" in event.one:
            length = parse_duration(event.text("DURATION").removeprefix("+"))
        else:
            length = timedelta()
        if length < timedelta():
            raise Unusable("it ends before it begins")
        if start.time is None:
            length = max(DAY, length)  # many write the day itself as the end of an all-day event
        return Shape(time=start.time, tz=start.tz, length=length, reader=self._tz)

    def _told(self, told: tuple[str, str]) -> list[When]:
        """Return what a line with parameters says; RDATE and EXDATE may say many things."""
        params = dict(_params(told[0]))
        if params.get("RANGE"):
            raise Unusable(f"RANGE={params['RANGE'][:20]} changes every day after it")
        tz = _zone(params["TZID"]) if "TZID" in params else None
        return [
            self._when(value.partition("/")[0], tz) for value in told[1].split(",") if value.strip()
        ]

    def _one(self, told: tuple[str, str]) -> When:
        found = self._told(told)
        if len(found) != 1:
            raise Unusable(f"{told[1].strip()[:30]!r} is not a date or time")
        return found[0]

    def _when(self, text: str, tz: str | None) -> When:
        found = _WHEN.fullmatch(text.strip().upper())
        if found is None:
            raise Unusable(f"{text.strip()[:30]!r} is not a date or time")
        year, month, day, hour, minute, second, utc = found.groups()
        try:
            on = date(int(year), int(month), int(day))
            if hour is None:
                return When(day=on)
            at = time(int(hour), int(minute), min(int(second), 59))
        except ValueError:
            raise Unusable(f"{text.strip()[:30]!r} does not exist") from None
        return When(day=on, time=at, tz="UTC" if utc else tz)


def _params(text: str) -> Iterator[tuple[str, str]]:
    for part in re.findall(r";((?:[^;\"]|\"[^\"]*\")*)", text):
        key, _, value = part.partition("=")
        yield key.upper(), value.strip('"')


def _zone(name: str) -> str:
    """Return the IANA name: as it stands, of Outlook's name, or at the end of a longer one."""
    known = _WINDOWS.get(name.lower(), name).strip("/")
    parts = known.split("/")[-3:]
    for number in range(len(parts)):
        try:
            return zone("/".join(parts[number:])).key
        except InvalidSchedule:
            continue
    raise Unusable(f"TZID {name[:40]!r} is not in the tz database")
