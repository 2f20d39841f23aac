"""The `tasks:` of a HEARTBEAT.md: grammar, and which are due (heartbeat.md §11.2, §11.3). Pure.

A task rides on its agent's beat. One that asks for a schedule, a model, a target, a budget or
retries of its own is a job in the one store (design.md §1, `engine.beats.task_jobs`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Final
from zoneinfo import ZoneInfo

from jobs import cron
from jobs.calendar.days import EVERY_DAY
from jobs.duration import parse_duration
from jobs.errors import EngineError, InvalidInput
from jobs.hours import ActiveHours, minute_of
from jobs.policies import Budget
from jobs.wallclock import zone as zone_of
from jobs.windows import Window, weekdays_of

_FIELD: Final = re.compile(r"(?P<dash>-\s+)?(?P<key>[A-Za-z_][\w-]*):\s*(?P<value>.*)")
_KNOWN: Final = frozenset(
    {
        "name", "interval", "every", "cron", "tz", "prompt", "model", "target", "enabled",
        "priority", "days", "activehours", "budget", "retry",
    }
)  # fmt: skip
_SPELT: Final = {"activehours": "activeHours"}
_PRIORITIES: Final = ("high", "normal", "low")
_ALL_DAY: Final = (0, 24 * 60)
_TOLERANCE: Final = timedelta(seconds=60)
_CLOCK_STEP: Final = timedelta(minutes=5)
_BUDGET: Final = re.compile(
    r"\$?\s*(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>[a-z$]*)(?:\s*(?:/|a|per)\s*day)?"
)
_UNITS: Final = {"tokens": "tokens", "token": "tokens", "usd": "usd", "$": "usd", "runs": "runs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One entry of a `tasks:` block."""

    name: str
    prompt: str
    interval: timedelta = timedelta()  # zero: at every beat
    cron: str | None = None  # instead of an interval
    tz: str | None = None  # of cron; None: the person's
    model: str | None = None
    target: str | None = None  # None: where alerts of its agent go
    hours: tuple[int, int] | None = None  # minutes of the day; None: all of it
    weekdays: frozenset[int] = EVERY_DAY
    priority: str = "normal"
    budget: Budget | None = None
    retries: int | None = None  # None: as all jobs
    enabled: bool = True

    @property
    def own(self) -> bool:
        """Whether it is a job of its own, and not asked for by its agent's beats."""
        return any(
            asked is not None
            for asked in (self.cron, self.model, self.target, self.budget, self.retries)
        )

    def window(self, zone: ZoneInfo) -> Window | None:
        """Return when it may run; None if always."""
        if self.hours is None and self.weekdays == EVERY_DAY:
            return None
        return Window(ActiveHours(*(self.hours or _ALL_DAY), zone), self.weekdays)


# -- the grammar -----------------------------------------------------------------------------


@dataclass(slots=True)
class _Draft:
    line: int
    fields: dict[str, str]


def read(text: str) -> tuple[tuple[Task, ...], str, tuple[str, ...]]:
    """Return the tasks, the text without them, and what was wrong (§11.2 [E])."""
    lines = text.splitlines()
    drafts: list[_Draft] = []
    taken: set[int] = set()
    number = 0
    while number < len(lines):
        if lines[number].strip() == "tasks:":
            end = _block(lines, number + 1, drafts)
            taken |= set(range(number, end))
            number = end
        else:
            number += 1
    tasks, warnings = _settled(drafts)
    prose = "\n".join(line for n, line in enumerate(lines) if n not in taken)
    return tasks, prose if tasks else text, tuple(warnings)


def _block(lines: Sequence[str], start: int, drafts: list[_Draft]) -> int:
    """Read one block; returns the first line that is not part of it."""
    number, draft = start, None
    while number < len(lines):
        line, stripped = lines[number], lines[number].strip()
        if not stripped or stripped.startswith("# "):
            number += 1
            continue
        found = _FIELD.fullmatch(stripped)
        begins = bool(found and found["dash"])
        indented = line[:1] in (" ", "\t")
        if found is None or not (begins or (draft is not None and indented)):
            break
        if begins:
            draft = _Draft(number + 1, {})
            drafts.append(draft)
        value = found["value"].strip()
        number += 1
        if value in ("|", ">", "|-", ">-"):
            value, number = _scalar(lines, number, len(line) - len(line.lstrip()), value)
        if draft is not None:
            draft.fields[found["key"].lower()] = _unquoted(value)
    return number


def _scalar(lines: Sequence[str], start: int, indent: int, style: str) -> tuple[str, int]:
    """Read a block scalar: every following line that is indented deeper, or blank."""
    number, body = start, []
    while number < len(lines):
        line = lines[number]
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        body.append(line)
        number += 1
    margin = min((len(li) - len(li.lstrip()) for li in body if li.strip()), default=0)
    words = [line[margin:].rstrip() for line in body]
    joined = ("\n" if style[0] == "|" else " ").join(words).strip("\n")
    return joined + ("" if style.endswith("-") else "\n"), number


def _unquoted(value: str) -> str:
    for quote in ('"', "'"):
        if value.startswith(quote):
            value = value[1:]
        if value.endswith(quote):
            value = value[:-1]
    return value


def _settled(drafts: Sequence[_Draft]) -> tuple[tuple[Task, ...], list[str]]:
    tasks: dict[str, Task] = {}
    warnings = []
    for draft in drafts:
        where, fields = f"HEARTBEAT.md line {draft.line}", draft.fields
        warnings += [f"{where}: {_unknown(key)}" for key in fields if key not in _KNOWN]
        name = fields.get("name", "").strip()
        if missing := _missing(name, fields):
            warnings.append(f"{where}: the task has no {' and no '.join(missing)}; it is skipped")
            continue
        if name in tasks:
            warnings.append(f"{where}: a second task named {name!r}; it is skipped")
            continue
        try:
            tasks[name] = _task(name, fields)
        except EngineError as error:
            why = f" ({error.why})" if error.why else ""
            warnings.append(f"{where}: task {name!r} is skipped: {error.what}{why}")
    return tuple(tasks.values()), warnings


def _missing(name: str, fields: Mapping[str, str]) -> list[str]:
    given = {
        "name": name,
        "interval": fields.get("interval") or fields.get("every") or fields.get("cron"),
        "prompt": fields.get("prompt", "").strip(),
    }
    return [word for word, value in given.items() if not value]


def _task(name: str, fields: Mapping[str, str]) -> Task:
    """Read one task. Raises `EngineError` with what is wrong."""
    expression = fields.get("cron") or None
    interval = fields.get("interval") or fields.get("every") or "0"
    if expression is not None:
        if fields.get("interval") or fields.get("every"):
            raise InvalidInput("it has both interval and cron", fix="leave one of them out")
        cron.parse(expression, hash_id=name)
    tz = fields.get("tz") or None
    priority = fields.get("priority", "").lower() or "normal"
    if priority not in _PRIORITIES:
        raise InvalidInput(
            f"priority {priority!r} is not known", fix=f"use {', '.join(_PRIORITIES)}"
        )
    return Task(
        name=name,
        prompt=fields["prompt"],
        interval=parse_duration(interval, default_unit="m"),
        cron=expression,
        tz=None if tz is None else zone_of(tz).key,
        model=fields.get("model") or None,
        target=fields.get("target") or None,
        hours=_hours(fields.get("activehours", "")),
        weekdays=weekdays_of([one.strip() for one in fields.get("days", "").split(",") if one]),
        priority=priority,
        budget=_budget(fields.get("budget", "")),
        retries=_whole("retry", fields.get("retry", "")),
        enabled=fields.get("enabled", "").lower() not in ("false", "no", "off"),
    )


def _hours(text: str) -> tuple[int, int] | None:
    """Read `09:00-18:00`."""
    if not text:
        return None
    start, dash, end = (one.strip() for one in text.partition("-"))
    if not dash:
        raise InvalidInput(f"activeHours {text!r} has no end", fix="write 09:00-18:00")
    opens, closes = minute_of(start, end=False), minute_of(end, end=True)
    if opens == closes:
        raise InvalidInput(f"activeHours {text!r} never opens", fix="write 09:00-18:00")
    return opens, closes


def _budget(text: str) -> Budget | None:
    """Read `20000 tokens`, `0.50 usd`, `5 runs`, or several of them after each other: a day's."""
    if not text:
        return None
    found: dict[str, float] = {}
    for part in text.split(","):
        read = _BUDGET.fullmatch(part.strip().lower())
        unit = _UNITS.get("$" if "$" in part else read["unit"]) if read else None
        if read is None or unit is None or not float(read["amount"]):
            raise InvalidInput(
                f"budget {part.strip()!r} cannot be read",
                fix="write 20000 tokens, 0.50 usd or 5 runs",
            )
        found[unit] = float(read["amount"])
    tokens, runs = found.get("tokens"), found.get("runs")
    return Budget(
        tokens_per_day=None if tokens is None else int(tokens),
        cost_per_day=found.get("usd"),
        runs_per_day=None if runs is None else int(runs),
    )


def _whole(key: str, text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise InvalidInput(f"{key} {text!r} is no number", fix=f"write {key}: 2")
    return int(text)


def _unknown(key: str) -> str:
    spelt = {one: _SPELT.get(one, one) for one in _KNOWN}
    near = get_close_matches(key, sorted(_KNOWN), 1)
    return f"unknown key {key!r}" + (f", did you mean {spelt[near[0]]!r}?" if near else "")


# -- which are due ---------------------------------------------------------------------------


def is_due(
    interval: timedelta,
    last: datetime | None,
    slot: datetime,
    *,
    now: datetime | None = None,
    tolerance: timedelta = timedelta(),
) -> bool:
    """Whether ``interval`` has passed since ``last`` (§11.3).

    A ``last`` far ahead of ``now`` means that the clock was set back: then it is due. One
    that is only later than ``slot`` was a newer slot, whose beat waited less than this one's.
    """
    if last is None or interval <= timedelta():
        return True
    if last > slot:
        return last > (now or slot) + _CLOCK_STEP
    return slot - last >= interval - tolerance


def due_tasks(
    tasks: Sequence[Task],
    last_slots: Mapping[str, datetime | None],
    slot: datetime,
    now: datetime,
    zone: ZoneInfo,
) -> tuple[Task, ...]:
    """Return the tasks that are due in a slot: urgent ones first, else in the order of the file.

    Slots are compared, not start times: a beat that began late must not halve the rate.
    """
    due = [
        task
        for task in tasks
        if ((window := task.window(zone)) is None or window.contains(slot))
        and is_due(
            task.interval,
            last_slots.get(task.name),
            slot,
            now=now,
            tolerance=min(_TOLERANCE, task.interval * 0.05),
        )
    ]
    return tuple(sorted(due, key=lambda task: _PRIORITIES.index(task.priority)))


def next_task_at(
    tasks: Sequence[Task], last_slots: Mapping[str, datetime | None], now: datetime, zone: ZoneInfo
) -> datetime | None:
    """Return when the first task comes due again; None if nobody knows."""
    found = [task_at(task, last_slots.get(task.name), now, zone) for task in tasks]
    return min((at for at in found if at is not None), default=None)


def task_at(task: Task, last: datetime | None, now: datetime, zone: ZoneInfo) -> datetime | None:
    """Return when a task comes due: after its interval, in its hours; None if never again."""
    at = now if last is None else max(last + task.interval, now)
    window = task.window(zone)
    return at if window is None or window.contains(at) else window.next_opening(at)
