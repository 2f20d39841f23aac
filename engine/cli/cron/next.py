"""`engine cron next`: when an expression fires, without a gateway, a config or a database.

It starts in a few hundredths of a second, so it imports neither click, pydantic, SQLAlchemy,
asyncio nor rich; a test keeps it so.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, TextIO

from engine.cli.ending import guarded, refuse, sentence
from engine.clock import SystemClock
from engine.config.paths import host_zone
from jobs.cron import never_fires
from jobs.errors import EngineError, InvalidSchedule, UsageError
from jobs.schedule import Cron, Occurrence, Schedule, schedule_from_json
from jobs.wallclock import zone
from jobs.written import parse_at

COUNT: Final = 5
MOST: Final = 10_000  # slots of one answer
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9800
_OPTIONS: Final = {"--tz": "tz", "--from": "from", "--until": "until", "--count": "count"}
_OF_GATEWAYS: Final = frozenset({"--url", "--port", "--token", "--password", "--timeout"})
_ID: Final = re.compile(r"[\w][\w.:-]*")
_LINE: Final = 'write one like {"expr": "0 9 * * *", "tz": "Europe/London", "count": 3}'
_KEYS: Final = frozenset({"expr", "tz", "from", "until", "count"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked, before the texts are read. None: not given."""

    expr: str
    tz: str | None = None
    after: str | None = None
    until: str | None = None
    count: int | None = None


def run(argv: Sequence[str]) -> int:
    """Answer the words after `cron next`; the exit status, 2 for what cannot be read."""
    return guarded(lambda: _run(argv))


def names_a_job(argv: Sequence[str]) -> bool:
    """Whether a job is asked about, and not an expression: one word that could be its id."""
    words: list[str] = []
    pending = iter(argv)
    for word in pending:
        if word in _OPTIONS or word in _OF_GATEWAYS:
            next(pending, None)
        elif word == "-" or not word.startswith("-"):
            words.append(word)
    return len(words) == 1 and _ID.fullmatch(words[0]) is not None


def _run(argv: Sequence[str]) -> int:
    now, host = SystemClock().now(), host_zone(os.environ)
    try:
        words, given, as_json = _split(argv)
        if words == ["-"]:
            return _answer_lines(sys.stdin, sys.stdout, given, now, host)
        question = _question({**given, "expr": " ".join(words)})
        schedule, slots = _slots(question, now, host)
        found = list(slots)
    except EngineError as error:
        refuse(error, as_json="--json" in argv)
        return UsageError.exit_status
    if as_json:
        sys.stdout.write(json.dumps({"slots": [_utc(slot.instant) for slot in found]}) + "\n")
    else:
        _print(schedule, found, question.tz or host)
    return 0


def _split(argv: Sequence[str]) -> tuple[list[str], dict[str, Any], bool]:
    """Return the words that are no options, the options with values, and `--json`."""
    words: list[str] = []
    given: dict[str, Any] = {}
    as_json = False
    pending = iter(argv)
    for word in pending:
        name, equals, value = word.partition("=")
        if name in _OPTIONS:
            told = value if equals else next(pending, None)
            if told is None:
                raise UsageError(f"{name} needs a value", fix="engine cron next --help")
            given[_OPTIONS[name]] = told
        elif word == "--json":
            as_json = True
        elif word == "--":
            words += pending
        elif word.startswith("--"):
            raise UsageError(
                f"engine cron next has no option {name}", fix="engine cron next --help"
            )
        else:
            words.append(word)
    if not words:
        raise UsageError(
            "engine cron next needs an expression", fix='engine cron next "0 9 * * 1-5"'
        )
    return words, given, as_json


def _answer_lines(
    lines: TextIO, out: TextIO, given: dict[str, Any], now: datetime, host: str
) -> int:
    """Answer one JSON line by one JSON line; an error is an answer too.

    The options of the command line hold for every line that does not say otherwise.
    """
    for line in lines:
        if not line.strip():
            continue
        try:
            answer: dict[str, Any] = {"slots": _told(line, given, now, host)}
        except EngineError as error:
            answer = {"error": sentence(error)}
        out.write(json.dumps(answer, ensure_ascii=False) + "\n")
        out.flush()  # whoever asks may wait for this answer before the next question
    return 0


def _told(line: str, given: dict[str, Any], now: datetime, host: str) -> list[str]:
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError("the line is not JSON", why=str(error), fix=_LINE) from None
    if not isinstance(asked, dict):
        raise UsageError("the line is not a JSON object", fix=_LINE)
    if unknown := sorted(set(asked) - _KEYS):
        raise UsageError(f"unknown key {unknown[0]!r}", fix=f"use {', '.join(sorted(_KEYS))}")
    _schedule, slots = _slots(_question({**given, **asked}), now, host)
    return [_utc(slot.instant) for slot in slots]


def _question(given: dict[str, Any]) -> Question:
    """Check the kinds of what was given; numbers stand for epoch milliseconds in instants."""
    texts: dict[str, str | None] = {}
    for key in ("expr", "tz", "from", "until"):
        value = given.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and key in ("from", "until"):
            value = str(value)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{key} must be a text", why=f"got {value!r}", fix=_LINE)
        texts[key] = value
    expr = (texts["expr"] or "").strip()
    if not expr:
        raise UsageError("there is no expression", fix='write one, as in "0 9 * * 1-5"')
    return Question(
        expr=expr,
        tz=texts["tz"] or None,
        after=texts["from"],
        until=texts["until"],
        count=_count(given.get("count")),
    )


def _count(given: object) -> int | None:
    if given is None:
        return None
    text = str(given)
    if isinstance(given, bool) or not text.isdecimal() or not 1 <= int(text[:9]) <= MOST:
        raise UsageError(
            f"count {text[:20]!r} was refused",
            why=f"it must be a number from 1 to {MOST}",
            fix=f"leave it out for {COUNT}",
        )
    return int(text)


def _slots(question: Question, now: datetime, host: str) -> tuple[Schedule, Iterator[Occurrence]]:
    """Read the question and return its slots, one after the other."""
    tz = question.tz or host
    zone(tz)
    after = _instant("from", question.after, now, tz) if question.after else now
    until = None if question.until is None else _instant("until", question.until, now, tz)
    if len(question.expr.split()) == 1 and not question.expr.startswith("@"):
        raise UsageError(
            f'"{question.expr}" is no cron expression',
            fix='quote five fields, as in "0 9 * * 1-5"; for a job: engine cron show with its id',
        )
    wire = {"kind": "cron", "expr": question.expr}
    try:
        schedule = schedule_from_json(wire, default_tz=tz, job_id=None, now=after)
    except InvalidSchedule:
        from engine.cli.cron.explain import is_phrase

        if not is_phrase(question.expr):
            raise
        raise UsageError(
            f'"{question.expr}" is no cron expression',
            why="words are read by engine cron explain",
            fix=f'engine cron explain "{question.expr}"',
        ) from None
    if schedule.next_after(after) is None:
        raise never_fires(question.expr)
    count = question.count or (COUNT if until is None else MOST)
    return schedule, islice(_between(schedule, after, until), count)


def _instant(name: str, text: str, now: datetime, tz: str) -> datetime:
    """Read an instant; the tz database begins with 1970, and the search ends with 9892."""
    try:
        found = parse_at(text, now=now, tz=tz)
    except InvalidSchedule as error:
        if not error.what.startswith("Invalid"):
            raise  # a wall time that the clocks skip: it says what may be meant
        raise UsageError(
            f"{name} {text[:80]!r} was refused",
            why="it is no instant",
            fix="use one like 2026-12-01T09:00, or a duration from now like 2h",
        ) from None
    if not _FIRST_YEAR <= found.year < _LAST_YEAR:
        raise UsageError(
            f"{name} {text[:80]!r} was refused",
            why=f"it is not within the years {_FIRST_YEAR} to {_LAST_YEAR - 1}",
            fix="choose an instant within them",
        )
    return found


def _between(schedule: Schedule, after: datetime, until: datetime | None) -> Iterator[Occurrence]:
    slot = schedule.occurrence_after(after)
    while slot is not None and (until is None or slot.instant <= until):
        yield slot
        slot = schedule.occurrence_after(slot.instant)


def _print(schedule: Schedule, slots: Sequence[Occurrence], tz: str) -> None:
    """Print a line per slot; what is worth a warning goes to standard error."""
    where = zone(tz)
    for slot in slots:
        local = slot.instant.astimezone(where)
        text = local.isoformat(" ", "seconds")
        sys.stdout.write(f"{text[:19]} {text[19:]} {local:%a}  {_utc(slot.instant)}{_note(slot)}\n")
    if not slots:
        sys.stderr.write("No slot in that time.\n")
    for warning in _warnings(schedule):
        sys.stderr.write(f"Note: {warning}.\n")


def _note(slot: Occurrence) -> str:
    """Say what a change of clocks did to a slot."""
    match slot.dst:
        case "gap":
            wall = (slot.nominal_local or "").partition("T")[2]
            return f"  ({wall} does not exist that day: it runs when the clocks change)"
        case "overlap":
            return f"  (the {'second' if slot.fold else 'first'} of two: the clocks go back)"
        case _:
            return ""


def _warnings(schedule: Schedule) -> Iterator[str]:
    if isinstance(schedule, Cron):
        yield from schedule.fields.warnings
        if schedule.fields.both_days_restricted and not schedule.fields.and_days:
            yield (
                "day of month and day of week are both given: a day that matches either is a"
                " match; write +1 instead of 1 in the last field to ask for both"
            )


def _utc(instant: datetime) -> str:
    precision = "milliseconds" if instant.microsecond else "seconds"
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=precision)}Z"
