"""What is worth a remark about a schedule: parts that may not mean what they seem to, changes
of clocks, and what else a job asks for. Part of `jobs.explain`; pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from jobs import wallclock
from jobs.errors import InvalidSchedule
from jobs.model import StoredJob
from jobs.policies import Budget
from jobs.schedule import MAKE_UP_GAP, SECOND, Cron, Every
from jobs.speech import SPEECHES, Language, note
from jobs.speech.shape import Dates, Shape
from jobs.wallclock import EPOCH, Segment, zone

FIRST: Final = 3  # runs told under either reading of the days
_STEPS: Final = re.compile(r"(?:\*|\d+)/(\d+)")
_SIZES: Final = (60, 60, 24)
_UNITS: Final = (SECOND, timedelta(minutes=1), timedelta(hours=1))
_LENGTHS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Note:
    """A remark: what kind it is, and its words."""

    kind: str  # a key of `jobs.speech.notes.NOTES`
    text: str


def made(kind: str, language: Language, **facts: object) -> Note:
    """Return a remark in the words of a language."""
    return Note(kind, note(kind, language, **facts))


# -- the expression ------------------------------------------------------------------------------


def of_expression(
    schedule: Cron, shape: Shape, after: datetime, language: Language
) -> Iterator[Note]:
    """Say which parts of an expression may not mean what they seem to (cron.md §3.1)."""
    fields = schedule.fields
    names = SPEECHES[language].FIELDS
    if fields.both_days_restricted and not fields.and_days:
        yield _either(schedule, after, language)
    for odd in fields.oddities:
        yield made(odd.kind, language, field=names[odd.position], token=odd.token)
    yield from _restarts(schedule, shape, language)
    if (number := _not_in_every_month(shape)) is not None:
        yield made("short-months", language, number=number)
    if any(re.match(r"\+?h", token) for word in fields.words for token in word.split(",")):
        yield made("hashed", language)
    if schedule.stagger:
        on_the_hour = (fields.minutes, fields.seconds) == ((0,), (0,))
        kind = "stagger-hour" if on_the_hour else "stagger"
        yield made(kind, language, offset=_short(schedule.offset))


def _either(schedule: Cron, after: datetime, language: Language) -> Note:
    """Tell the first runs if either day must match, and if both must."""
    either = _first_runs(schedule, after, language)
    try:
        both = _first_runs(replace(schedule, day_match="and"), after, language)
    except InvalidSchedule:  # no day is both
        both = note("never", language)
    return made("either-day", language, either=either, both=both)


def _first_runs(schedule: Cron, after: datetime, language: Language) -> str:
    found: list[str] = []
    where, days = zone(schedule.tz), SPEECHES[language].DAYS
    at = schedule.next_after(after)
    while at is not None and len(found) < FIRST:
        local = at.astimezone(where)
        name = days[local.weekday()]
        found.append(f"{name[:3] if name.isascii() else name} {local:%Y-%m-%d %H:%M}")
        at = schedule.next_after(at)
    return ", ".join(found) or note("never", language)


def _restarts(schedule: Cron, shape: Shape, language: Language) -> Iterator[Note]:
    """Say which steps do not fit their field: they start anew, and one step is shorter."""
    fields, speech = schedule.fields, SPEECHES[language]
    goes_on = (shape.minutes, shape.hours, None)
    for position, next_field in enumerate(goes_on):
        found = _STEPS.fullmatch(fields.words[position])
        values = (fields.seconds, fields.minutes, fields.hours)[position]
        if found is None or len(values) < 2 or (next_field and len(next_field.values) < 2):
            continue
        step = int(found[1])
        short = _SIZES[position] - values[-1] + values[0]
        if short != step:
            yield made(
                "restarts",
                language,
                field=speech.FIELDS[position],
                token=fields.words[position],
                round=speech.ROUNDS[position],
                first=values[0],
                last=values[-1],
                short=speech.span(short * _UNITS[position]),
                step=speech.span(step * _UNITS[position]),
            )
    word = fields.words[3]
    if (found := _STEPS.fullmatch(word)) and int(found[1]) > 1 and shape.dates is not None:
        numbers = shape.dates.numbers
        if len(numbers) > 1:
            yield made(
                "restarts-monthly",
                language,
                field=speech.FIELDS[3],
                token=word,
                first=numbers[0],
                last=numbers[-1],
            )


def _not_in_every_month(shape: Shape) -> int | None:
    """Return the day that some of the months have not, if that day is all there is."""
    dates = shape.dates
    if dates is None or shape.week is not None or len(dates.numbers) != 1:
        return None
    if dates != Dates(numbers=dates.numbers):
        return None
    months = shape.months or range(1, 13)
    number = dates.numbers[0]
    return number if number > 28 and any(_LENGTHS[m - 1] < number for m in months) else None


def _short(span: timedelta) -> str:
    """Return `03:12`, with hours before and thousandths after if there are any."""
    left, ms = divmod(span // timedelta(milliseconds=1), 1000)
    minutes, seconds = divmod(left, 60)
    hours, minutes = divmod(minutes, 60)
    tail = f".{ms:03}" if ms and not left else ""
    return f"{f'{hours}:' if hours else ''}{minutes:02}:{seconds:02}{tail}"


# -- changes of clocks ---------------------------------------------------------------------------


def of_clocks(
    schedule: Cron | Every, tz: str, after: datetime, until: datetime, language: Language
) -> Iterator[Note]:
    """Say what the changes of clocks in a span of time do to the runs (cron.md §4.2)."""
    found = list(wallclock.changes(tz, _seconds(after), _seconds(until)))
    if isinstance(schedule, Every):
        if found and schedule.period >= _HOUR and not schedule.period % _HOUR:
            days = ", ".join(SPEECHES[language].day(_left(now).date()) for now in found[:2])
            yield made("elapsed", language, days=days)
        return
    for now in found:
        touched = _forward(schedule, now) if now.offset > now.before else _back(schedule, now)
        if touched is not None:
            kind, facts = touched
            if "nominal" in facts:
                facts["nominal"] = _nominal(facts["nominal"], facts.pop("more"), language)
            day = SPEECHES[language].day(_left(now).date())
            walls = {"left": _wall(_left(now)), "reached": _wall(_reached(now))}
            if _left(now).date() != _reached(now).date():
                walls = {
                    "left": f"{_left(now):%m-%d %H:%M}",
                    "reached": f"{_reached(now):%m-%d %H:%M}",
                }
            yield made(kind, language, day=day, **walls, **facts)


_Touched = tuple[str, dict[str, Any]]


def _forward(schedule: Cron, now: Segment) -> _Touched | None:
    fields = schedule.fields
    first, last = now.since + now.before, now.since + now.offset
    nominal = fields.next_local(first)
    if nominal is None or nominal >= last:
        return None
    if fields.wildcard:
        return "gap-cadence", {}
    facts: dict[str, Any] = {"nominal": nominal, "more": fields.count_local(first, last) - 1}
    gap = last - first
    if gap > MAKE_UP_GAP:
        return "lost-day", facts
    if schedule.dst.gap == "skip":
        return "gap-skipped", facts
    local = last if schedule.dst.gap == "run-after" else nominal + gap
    return "gap-runs", {**facts, "at": _wall(_local(local) + schedule.offset)}


def _back(schedule: Cron, now: Segment) -> _Touched | None:
    fields = schedule.fields
    first, last = now.since + now.offset, now.since + now.before
    nominal = fields.next_local(first)
    if nominal is None or nominal >= last:
        return None
    if fields.wildcard or schedule.dst.overlap == "both":
        return "overlap-both", {}
    more = fields.count_local(first, last) - 1
    return f"overlap-{schedule.dst.overlap}", {"nominal": nominal, "more": more}


def _nominal(local: int, more: int, language: Language) -> str:
    words = _wall(_local(local))
    return note("and-more", language, nominal=words, more=more) if more else words


def _left(now: Segment) -> datetime:
    return _local(now.since + now.before)


def _reached(now: Segment) -> datetime:
    return _local(now.since + now.offset)


def _local(seconds: int) -> datetime:
    """Return wall time; the zone it carries means nothing."""
    return EPOCH + timedelta(seconds=seconds)


def _wall(at: datetime) -> str:
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"


def _seconds(at: datetime) -> int:
    return (at - EPOCH) // SECOND


# -- the job -------------------------------------------------------------------------------------


def of_job(stored: StoredJob, tz: str, language: Language) -> Iterator[Note]:
    """Say what else decides whether a job runs at its slots (cron.md §22)."""
    asked, speech = stored.job.policies, SPEECHES[language]
    if not stored.job.enabled:
        yield made("disabled", language)
    elif stored.state.paused is not None:
        yield made("paused", language)
    yield from _limits(stored, tz, language)
    if asked.calendars is not None:
        kind = f"calendars-{asked.calendars.on_excluded}"
        yield made(kind, language, names=", ".join(asked.calendars.names))
    if asked.active_hours is not None:
        yield made(f"hours-{asked.active_hours}", language)
    if asked.jitter:
        yield made("jitter", language, span=speech.span(asked.jitter))
    if asked.budget is not None:
        yield _budget(asked.budget, language)
    if asked.gate is not None:
        yield made("gate", language)
    if asked.after is not None:
        yield made("after", language, job=asked.after.job)


def _budget(budget: Budget, language: Language) -> Note:
    counts = (("tokens-of", budget.tokens_per_day), ("runs-of", budget.runs_per_day))
    most = [note(key, language, many=many) for key, many in counts if many is not None]
    if budget.cost_per_day is not None:
        most.append(f"${budget.cost_per_day:g}")
    if budget.warn_only:
        return made("budget-warn", language, most=", ".join(most))
    if budget.fallback_model is not None:
        return made("budget-model", language, most=", ".join(most), model=budget.fallback_model)
    return made("budget", language, most=", ".join(most))


def _limits(stored: StoredJob, tz: str, language: Language) -> Iterator[Note]:
    asked = stored.job.policies
    if asked.until is not None:
        at = asked.until.astimezone(zone(tz))
        day = SPEECHES[language].day(at.date())
        yield made("until", language, at=f"{day} {at:%H:%M}")
    if asked.max_runs is not None:
        yield made("max-runs", language, most=asked.max_runs, had=stored.state.run_count)
    if asked.max_runs_per_day is not None:
        yield made("max-runs-per-day", language, most=asked.max_runs_per_day)
