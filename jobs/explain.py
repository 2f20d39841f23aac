"""A schedule explained: in a sentence, field by field, by its next runs, and by what may
surprise about it (cron.md §22 row 8, §2.1, §3.1, §4.2).

Pure: past costs, the zones and the language are handed in. The words are in `jobs.speech`,
the remarks in `jobs.remarks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any, Final

from jobs import remarks
from jobs.calendar import Calendar
from jobs.cron import never_fires
from jobs.due import excluded
from jobs.ledger import MeanCost
from jobs.model import Job, StoredJob
from jobs.remarks import Note
from jobs.schedule import (
    At,
    Cron,
    Dayparts,
    Every,
    Occurrence,
    Repeating,
    Schedule,
    schedule_from_json,
    schedule_to_json,
)
from jobs.speech import SPEECHES, Language, note
from jobs.speech.shape import Shape, dates_of, shape_of, week_of
from jobs.wallclock import midnight, ms, zone
from jobs.written import parse_at, parse_schedule

YEAR: Final = timedelta(days=365)
MOST: Final = 1000  # slots of one answer (cron.md §14)
_DAY: Final = timedelta(days=1)
_MS: Final = timedelta(milliseconds=1)
_MONTH: Final = 30  # days an estimate of costs looks ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about a schedule."""

    after: datetime
    tz: str  # whose days are counted if the schedule has no zone of its own
    other_tz: str = "UTC"  # the runs are told in this zone as well
    count: int = 5
    language: Language = Language.ENGLISH
    spent: MeanCost | None = None
    calendars: Mapping[str, Calendar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FieldWords:
    """One field of an expression."""

    name: str
    text: str
    means: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A coming slot in both zones, with what a change of clocks does to it."""

    occurrence: Occurrence
    local: datetime
    other: datetime
    note: str  # in words; empty: nothing

    def to_json(self, stagger: timedelta) -> dict[str, Any]:
        """Return it in the shape of `cron.explain` (cron.md §14)."""
        slot = self.occurrence
        told: dict[str, Any] = {
            "utc": _utc(slot.instant),
            "atMs": ms(slot.instant),
            "local": _wall(self.local),
            "offset": _offset(self.local),
            "other": _wall(self.other),
            "otherOffset": _offset(self.other),
            "nominal": slot.nominal_local,
            "fold": slot.fold,
            "dst": slot.dst,
            "staggerMs": stagger // _MS,
        }
        return {**told, "note": self.note} if self.note else told


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a day it runs, over the coming year."""

    mean: float
    most: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What it will cost, if its runs go on costing what they did."""

    spent: MeanCost
    runs_per_day: float

    @property
    def usd_per_day(self) -> float | None:
        """Money a day."""
        return None if self.spent.usd is None else self.spent.usd * self.runs_per_day

    @property
    def usd_per_month(self) -> float | None:
        """Money in thirty days."""
        return None if self.usd_per_day is None else self.usd_per_day * _MONTH

    @property
    def tokens_per_day(self) -> float:
        """Tokens a day, input and output."""
        return self.spent.tokens * self.runs_per_day

    def to_json(self) -> dict[str, Any]:
        """Return it in the shape of `cron.explain`."""
        return {
            "runs": self.spent.runs,
            "usdPerRun": self.spent.usd,
            "usdPerDay": self.usd_per_day,
            "usdPerMonth": self.usd_per_month,
            "tokensPerRun": self.spent.tokens,
            "tokensPerDay": self.tokens_per_day,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything there is to say about a schedule."""

    schedule: Schedule
    tz: str
    other_tz: str
    language: Language
    sentence: str
    fields: tuple[FieldWords, ...]
    slots: tuple[Slot, ...]
    notes: tuple[Note, ...]
    rate: Rate | None  # None: it runs once
    cost: Cost | None

    @property
    def offset(self) -> timedelta:
        """How much later than its wall time it fires: its place in the stagger window."""
        staggered = isinstance(self.schedule, Cron) and self.schedule.stagger
        return (
            self.schedule.offset if isinstance(self.schedule, Cron) and staggered else timedelta()
        )

    def to_json(self) -> dict[str, Any]:
        """Return the answer of `cron.explain` (cron.md §14)."""
        return {
            "schedule": schedule_to_json(self.schedule),
            "tz": self.tz,
            "otherTz": self.other_tz,
            "lang": self.language.value,
            "sentence": self.sentence,
            "fields": [
                {"name": one.name, "text": one.text, "means": one.means} for one in self.fields
            ],
            "occurrences": [slot.to_json(self.offset) for slot in self.slots],
            "notes": [{"kind": one.kind, "text": one.text} for one in self.notes],
            "runsPerDay": None
            if self.rate is None
            else {"mean": self.rate.mean, "max": self.rate.most},
            "cost": None if self.cost is None else self.cost.to_json(),
        }


def schedule_of(text: str, *, now: datetime, tz: str) -> Schedule:
    """Return the schedule a person writes: an expression, `every 30m`, `at` an instant.

    Raises `InvalidSchedule`, also for an expression that has no slot to come.
    """
    wish = parse_schedule(text)
    if wish["kind"] == "at":
        return At(parse_at(str(wish["at"]), now=now, tz=tz))
    schedule = schedule_from_json(wish, default_tz=tz, job_id=None, now=now)
    if schedule.next_after(now) is None:
        raise never_fires(text)
    return schedule


def explain(schedule: Schedule, question: Question) -> Explanation:
    """Explain a schedule that belongs to no job."""
    return _explained(schedule, question)


def explain_job(stored: StoredJob, question: Question) -> Explanation:
    """Explain a job's schedule, and what else decides whether it runs."""
    schedule = stored.job.schedule
    tz = schedule.tz if isinstance(schedule, Cron) else question.tz
    more = tuple(remarks.of_job(stored, tz, question.language))
    found = _explained(schedule, question, until=stored.job.policies.until, more=more)
    told = [_with_skip(stored, slot, tz, question) for slot in found.slots]
    return replace(found, slots=tuple(told))


def _explained(
    schedule: Schedule,
    question: Question,
    *,
    until: datetime | None = None,
    more: tuple[Note, ...] = (),
) -> Explanation:
    tz = schedule.tz if isinstance(schedule, Cron) else question.tz
    shape = shape_of(schedule.fields, schedule.hash_id) if isinstance(schedule, Cron) else None
    slots = tuple(islice(_slots(schedule, question, tz, until), question.count))
    rate = None if isinstance(schedule, At) else _rate(schedule, question.after, tz, slots)
    notes = [*_remarks(schedule, shape, question, tz), *more]
    if not isinstance(schedule, At) and 0 < len(slots) < question.count:
        notes.append(remarks.made("few-left", question.language))
    known = question.spent is not None and question.spent.runs > 0
    return Explanation(
        schedule=schedule,
        tz=tz,
        other_tz=question.other_tz,
        language=question.language,
        sentence=_sentence(schedule, shape, tz, question.language),
        fields=_fields(schedule, shape, question.language),
        slots=slots,
        notes=tuple(notes),
        rate=rate,
        cost=Cost(question.spent, rate.mean) if known and question.spent and rate else None,
    )


def _sentence(schedule: Schedule, shape: Shape | None, tz: str, language: Language) -> str:
    speech = SPEECHES[language]
    match schedule:
        case At(at):
            return speech.once(at.astimezone(zone(tz)), tz)
        case Every(period, anchor):
            return speech.every(period, anchor.astimezone(zone(tz)), tz)
        case Cron():
            if shape is None:
                raise AssertionError("an expression has a shape")
            return speech.cron(shape, tz)
        case Dayparts():
            return schedule.describe()


def _fields(schedule: Schedule, shape: Shape | None, language: Language) -> tuple[FieldWords, ...]:
    """Say each field the author wrote; of an alias the five it stands for."""
    if not isinstance(schedule, Cron) or shape is None:
        return ()
    speech, words = SPEECHES[language], schedule.fields.words
    means = (
        speech.time_field(0, shape.seconds),
        speech.time_field(1, shape.minutes),
        speech.time_field(2, shape.hours),
        speech.date_field(dates_of(words[3], schedule.hash_id)),
        speech.month_field(shape.months),
        speech.week_field(week_of(words[5], schedule.hash_id)),
        speech.year_field(shape.years),
    )
    given = len(schedule.expr.split())
    shown = slice(0 if given > 5 else 1, 7 if given == 7 else 6)
    found = [
        FieldWords(name, word.upper() if word.isalpha() else word, told)
        for name, word, told in zip(speech.FIELDS, words, means, strict=True)
    ]
    return tuple(found[shown])


# -- coming slots --------------------------------------------------------------------------------


def _slots(
    schedule: Schedule, question: Question, tz: str, until: datetime | None
) -> Iterator[Slot]:
    here, there = zone(tz), zone(question.other_tz)
    slot = schedule.occurrence_after(question.after)
    while slot is not None and (until is None or slot.instant <= until):
        yield Slot(
            slot,
            slot.instant.astimezone(here),
            slot.instant.astimezone(there),
            _dst_words(slot, question.language),
        )
        slot = None if isinstance(schedule, At) else schedule.occurrence_after(slot.instant)


def _with_skip(stored: StoredJob, slot: Slot, tz: str, question: Question) -> Slot:
    """Say of a slot that somebody left out once who it was (cron.md §22 row 22)."""
    who = stored.state.skips.get(str(ms(slot.occurrence.instant)))
    if who is None:
        return _with_calendar(stored.job, slot, tz, question)
    words = note("slot-left-out", question.language, who=who)
    return replace(slot, note="; ".join(filter(None, (slot.note, words))))


def _with_calendar(job: Job, slot: Slot, tz: str, question: Question) -> Slot:
    """Say of a slot whose day is excluded why, and when it runs instead, if it does."""
    away = excluded(job, slot.occurrence.instant, question.calendars, tz)
    if away is None:
        return slot
    if away.instead is None:
        words = note("slot-excluded", question.language, because=away.because)
    else:
        local = away.instead.astimezone(zone(tz))
        at = f"{SPEECHES[question.language].day(local.date())} {local:%H:%M}"
        words = note("slot-moved", question.language, at=at, because=away.because)
    return replace(slot, note="; ".join(filter(None, (slot.note, words))))


def _dst_words(slot: Occurrence, language: Language) -> str:
    match slot.dst:
        case "gap":
            wall = (slot.nominal_local or "").partition("T")[2]
            return note("slot-gap", language, nominal=wall.removesuffix(":00"))
        case "overlap":
            return note("slot-second" if slot.fold else "slot-first", language)
        case _:
            return ""


def _remarks(
    schedule: Schedule, shape: Shape | None, question: Question, tz: str
) -> Iterator[Note]:
    if isinstance(schedule, At | Dayparts):
        return
    if isinstance(schedule, Cron) and shape is not None:
        yield from remarks.of_expression(schedule, shape, question.after, question.language)
    yield from remarks.of_clocks(
        schedule, tz, question.after, question.after + YEAR, question.language
    )


# -- how often -----------------------------------------------------------------------------------


def _rate(schedule: Repeating, after: datetime, tz: str, slots: tuple[Slot, ...]) -> Rate:
    """Count the coming year; of what comes more seldom, how long the first is away."""
    found = schedule.count(after, after + YEAR)
    if not found:
        if not slots:
            return Rate(0.0, 0)
        first = slots[0].occurrence.instant
        return Rate(_DAY / max(first - after, _DAY), 1)
    first_day = after.astimezone(zone(tz)).date() + _DAY
    days = [midnight(first_day + n * _DAY, zone(tz)) for n in range(YEAR.days + 1)]
    most = max(schedule.count(start - _MS, end - _MS) for start, end in pairwise(days))
    return Rate(found / YEAR.days, max(most, 1))


# -- JSON ----------------------------------------------------------------------------------------


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=_precision(at))}Z"


def _wall(local: datetime) -> str:
    return local.replace(tzinfo=None).isoformat(timespec=_precision(local))


def _precision(at: datetime) -> str:
    return "milliseconds" if at.microsecond else "seconds"


def _offset(local: datetime) -> str:
    return local.isoformat()[-6:]
