"""Jobs declared in the config file: short forms, and what a new set changes (cron.md §13). Pure.

`expand` turns every entry into a job or says what is wrong with it; nothing is applied unless
all are right. `plan` compares the declared set with the stored one. A stored job keeps its
state through every edit; a job whose entry is unchanged is not in the plan at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from jobs import chains, codec
from jobs.due import first_run
from jobs.edit import Rules, create
from jobs.errors import EngineError, InvalidSchedule
from jobs.model import Job, Source, StoredJob
from jobs.normal import object_of, refuse, short_delivery
from jobs.schedule import At, Every
from jobs.written import is_relative, parse_schedule

_FLAG: Final = re.compile(r"--([a-z]+)((?:-[a-z]+)*)")
KEY: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SHORT: Final = {"agent": "agentId", "session": "sessionTarget", "wake": "wakeMode"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One entry in its normal form."""

    key: str
    job: Job
    anchored: bool = False  # the entry fixes the grid of its `every` itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with one entry."""

    key: str
    text: str


class Act(StrEnum):
    """What happens to one job."""

    ADD = "add"
    UPDATE = "update"
    REVIVE = "revive"
    DISABLE = "disable"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step of a plan; ``state`` are the state columns that change with it."""

    act: Act
    job: Job
    next_run_at: datetime | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a declared set changes, in the order of the keys."""

    changes: tuple[Change, ...] = ()

    def of(self, act: Act) -> tuple[Change, ...]:
        """Return the changes of one sort."""
        return tuple(change for change in self.changes if change.act is act)


def expand(
    entries: Mapping[str, Any], rules: Rules
) -> tuple[tuple[Declared, ...], tuple[Problem, ...]]:
    """Return every entry as a job, and what is wrong with those that are none."""
    rules = replace(rules, stagger=False, past=True)
    made: list[Declared] = []
    problems: list[Problem] = []
    for key in sorted(entries):
        try:
            made.append(_declared(key, entries[key], rules))
        except EngineError as error:
            problems.append(Problem(key=key, text=_in_the_file(error)))
    find = chains.among(entry.job for entry in made)
    for entry in made:
        if names := chains.circle(entry.job, find):
            text = f"after goes round in a circle: {chains.circle_words(names)}"
            problems.append(Problem(key=entry.key, text=text))
    return tuple(made), tuple(problems)


def plan(
    declared: Iterable[Declared],
    stored: Sequence[StoredJob],
    *,
    now: datetime,
    removal: str = "disable",
    orphan_retention: timedelta = timedelta(days=30),
) -> Plan:
    """Return how the stored jobs must change to be the declared ones.

    ``stored`` may hold any jobs; those of other sources are left alone, but one that has the
    id of a declared job is a problem for `collisions` to tell before.
    """
    mine = {each.job.id: each for each in stored if each.job.source is Source.CONFIG}
    entries = tuple(declared)
    taken_over = adopted(entries, stored)
    changes = []
    wanted = set()
    for entry in sorted(entries, key=lambda each: each.key):
        if entry.key in taken_over:
            continue
        wanted.add(entry.job.id)
        current = mine.get(entry.job.id)
        change = _added(entry, now) if current is None else _changed(entry, current, now)
        if change is not None:
            changes.append(change)
    for job_id in sorted(mine.keys() - wanted):
        change = _removed(mine[job_id], now, removal, orphan_retention)
        if change is not None:
            changes.append(change)
    return Plan(changes=tuple(changes))


def adopted(declared: Iterable[Declared], stored: Sequence[StoredJob]) -> frozenset[str]:
    """Return the keys whose job was taken over at run time: their entries do nothing any more."""
    ours = {
        each.job.id: each.job.declaration_key
        for each in stored
        if each.job.source is Source.RUNTIME
    }
    return frozenset(
        entry.key for entry in declared if ours.get(entry.job.id, "") == entry.job.declaration_key
    )


def collisions(declared: Iterable[Declared], stored: Sequence[StoredJob]) -> tuple[Problem, ...]:
    """Return the declared keys whose job id or declaration key another job already has."""
    entries = tuple(declared)
    taken_over = {f"cfg:{key}" for key in adopted(entries, stored)}
    taken = {
        name: each.job.source
        for each in stored
        if each.job.source is not Source.CONFIG and each.job.id not in taken_over
        for name in (each.job.id, each.job.declaration_key)
        if name is not None
    }
    return tuple(
        Problem(
            key=entry.key,
            text=f"another job ({taken[name]}) has the id {name}; remove it, or use another key",
        )
        for entry in entries
        for name in (entry.job.id, entry.job.declaration_key)
        if name in taken
    )


def key_of(job: Job) -> str:
    """Return the config key of a declared job."""
    return job.id.removeprefix("cfg:")


# -- one entry -----------------------------------------------------------------------------------


def _in_the_file(error: EngineError) -> str:
    """A refusal in the words of the file: it has keys, and no flags."""
    command = error.fix.startswith("engine ")
    fix = error.fix if command else _without_flags(error.fix)
    return str(EngineError(_without_flags(error.what), why=_without_flags(error.why), fix=fix))


def _without_flags(text: str) -> str:
    text = text.replace("--at, --every, or --cron", "schedule, every, or cron")
    return _FLAG.sub(lambda found: found[1] + found[2].title().replace("-", ""), text)


def _declared(key: str, entry: Any, rules: Rules) -> Declared:
    if not KEY.fullmatch(key):
        raise refuse(
            f"the key {key!r} was refused",
            why="a key is 1 to 64 of a-z, 0-9, dot, dash and underscore, and starts with a letter"
            " or digit",
        )
    given = object_of(entry, f"cron.jobs.{key}")
    for fixed in ("id", "source", "declarationKey"):
        if fixed in given:
            raise refuse(f"{fixed} cannot be set here", why="it is made of the key")
    for short, full in _SHORT.items():
        if short in given:
            given[full] = given.pop(short)
    if "deliver" in given:
        given["delivery"] = short_delivery(given.pop("deliver"))
    written = schedule = given.get("schedule")
    if isinstance(schedule, str):
        schedule = given["schedule"] = parse_schedule(schedule)
    spec = schedule if isinstance(schedule, Mapping) else {}
    if is_relative(spec.get("at", given.get("at"))):
        raise refuse(
            "a relative instant was refused",
            why="it would mean another time after every restart",
            fix="write the date: at 2026-12-01T09:00",
        )
    given.setdefault("name", key)
    given["declarationKey"] = f"config:{key}"
    try:
        job = create(given, rules, job_id=f"cfg:{key}", source=Source.CONFIG)
    except InvalidSchedule as error:
        raise _of_words(written, rules) or error from error
    anchored = any(name in where for where in (spec, given) for name in ("anchor", "anchorMs"))
    return Declared(key=key, job=job, anchored=anchored)


def _of_words(written: Any, rules: Rules) -> InvalidSchedule | None:
    """Return the refusal of a schedule in words, which is for the command line (cron.md §13)."""
    from jobs.spoken import is_spoken, understand  # a large room, only for this

    if not isinstance(written, str) or not is_spoken(written):
        return None
    try:
        spoken = understand(written, now=rules.now, tz=rules.default_tz)
    except InvalidSchedule:
        return None
    wire = spoken.schedule
    match wire["kind"]:
        case "cron":
            zone = f', tz: "{spoken.tz}"' if spoken.names_zone else ""
            meant = f'"{wire["expr"]}"{zone}'
        case "at":
            meant = f'"at {wire["at"]}"'
        case _:
            meant = json.dumps(dict(wire))
    return InvalidSchedule(
        f"{written!r} was refused as a schedule",
        why="words are read by engine cron add; the config takes what they mean",
        fix=f"schedule: {meant}",
    )


# -- one change ----------------------------------------------------------------------------------


def _added(entry: Declared, now: datetime) -> Change:
    return Change(act=Act.ADD, job=entry.job, next_run_at=first_run(entry.job, now))


def _changed(entry: Declared, current: StoredJob, now: datetime) -> Change | None:
    job = _settled(entry, current.job)
    orphan = current.state.orphaned_at is not None
    if not orphan and (codec.revision(job) == current.revision or _switched_off(job, current)):
        return None
    act = Act.REVIVE if orphan else Act.UPDATE
    cleared: dict[str, Any] = {"orphaned_at": None, "auto_disabled": None}
    begins = job.enabled and not current.job.enabled
    if job.schedule == current.job.schedule and not begins:
        kept = current.state.next_run_at if job.enabled else None
        return Change(act=act, job=job, next_run_at=kept, state=cleared)
    done = isinstance(job.schedule, At) and job.schedule == current.job.schedule
    if done and current.state.last_status is not None:
        # A one-shot that has had its run never runs again for the same instant.
        return Change(act=act, job=job, next_run_at=None, state=cleared)
    return Change(
        act=act,
        job=job,
        next_run_at=first_run(job, now),
        state={**cleared, "schedule_activated_at": now, "retry_at": None},
    )


def _switched_off(job: Job, current: StoredJob) -> bool:
    """Say whether the two differ only in what the job's own runs did: failed too often, or done.

    Only another definition takes that back (cron.md §13): a restart is none.
    """
    done = isinstance(job.schedule, At) and current.state.last_status is not None
    ended = current.state.auto_disabled is not None or done
    return ended and codec.revision(replace(job, enabled=False)) == current.revision


def _settled(entry: Declared, before: Job) -> Job:
    """Keep what the entry does not say: when the job was made, and the grid it runs on."""
    schedule, old = entry.job.schedule, before.schedule
    if (
        isinstance(schedule, Every)
        and isinstance(old, Every)
        and schedule.period == old.period
        and not entry.anchored
    ):
        schedule = old
    return replace(entry.job, schedule=schedule, created_at=before.created_at)


def _removed(
    current: StoredJob, now: datetime, removal: str, retention: timedelta
) -> Change | None:
    since = current.state.orphaned_at
    if removal == "delete" or (since is not None and now - since > retention):
        return Change(act=Act.DELETE, job=current.job)
    if since is not None:
        return None
    job = replace(current.job, enabled=False, updated_at=now)
    return Change(act=Act.DISABLE, job=job, state={"orphaned_at": now})
