"""Jobs as a crontab(5), and what a crontab cannot say.

Only commands can be lines; the rest stand as comments, so that nobody believes they are there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from jobs import codec, policies
from jobs.importing.report import Notes, Remark, Weight, listed
from jobs.model import Command, Job
from jobs.normal import first_line
from jobs.schedule import At, Cron, Dayparts, Every
from jobs.wallclock import EPOCH

_RANGES: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_TOKEN: Final = re.compile(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/(\d+))?")
_WORD: Final = re.compile(r"[a-z]{3}")
_MONTHS: Final = [
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
]
_DAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_WORDS: Final = {
    3: {word: str(number) for number, word in enumerate(_MONTHS, 1)},
    4: {word: str(number) for number, word in enumerate(_DAYS)},
}
_LONGEST: Final = 998  # characters of a command that vixie cron takes
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(weeks=1)
_SHELLS: Final = ("sh", "/bin/sh")


class _Unsaid(Exception):
    """A crontab has no words for it."""


@dataclass(frozen=True, slots=True)
class Crontab:
    """The text, and what got lost."""

    text: str
    remarks: tuple[Remark, ...]


def crontab(jobs: Iterable[Mapping[str, Any]]) -> Crontab:
    """Return jobs in their wire shape (cron.md §1) as a crontab with zones (`CRON_TZ`)."""
    notes = Notes()
    lines: list[str] = []
    zone = ""
    for wire in jobs:
        job = codec.job_from_json(wire)
        where = f"{job.name} ({job.id})"
        try:
            when, tz = _when(job)
            command = _command(job)
        except _Unsaid as error:
            fix = f"run it from cron while the gateway runs: engine cron run {job.id}"
            notes.add(Weight.LEFT_OUT, where, str(error), fix)
            lines += ["", f"# {_title(job)}: not in this file, {error}"]
            continue
        if tz != zone:
            lines += ["", f"CRON_TZ={tz}"]
            zone = tz
        _remark(job, command, where, notes)
        line = f"{when} {command}"
        lines += ["", f"# {_title(job)}", line if job.enabled else f"# switched off: {line}"]
    return Crontab("\n".join([*lines, ""]).lstrip("\n"), notes.all)


def _title(job: Job) -> str:
    return first_line(job.name)


# -- what ----------------------------------------------------------------------------------------


def _command(job: Job) -> str:
    payload = job.payload
    if not isinstance(payload, Command):
        raise _Unsaid("it is words for an agent, not a command")
    argv = payload.argv
    plain = len(argv) == 3 and argv[0] in _SHELLS and argv[1] == "-c"
    line = argv[2].strip() if plain else shlex.join(argv)
    before = []
    if payload.cwd:
        before.append(f"cd {shlex.quote(payload.cwd)} &&")
    if payload.env:
        pairs = (shlex.quote(f"{name}={value}") for name, value in payload.env.items())
        before.append(f"env {' '.join(pairs)}")
    if before and plain:
        line = f"/bin/sh -c {shlex.quote(line)}"
    line = " ".join([*before, line])
    if "\n" in line or "\r" in line:
        raise _Unsaid("its command has several lines")
    line = line.replace("%", "\\%")
    return line if payload.stdin is None else line + _stdin(payload.stdin)


def _stdin(text: str) -> str:
    lines = text.removesuffix("\n").replace("%", "\\%").split("\n")
    return "".join(f"%{line}" for line in lines)


def _remark(job: Job, command: str, where: str, notes: Notes) -> None:
    lost = _lost(job)
    if lost:
        notes.add(Weight.CHANGED, where, f"a crontab cannot say: {listed(sorted(lost))}")
    if isinstance(job.payload, Command) and job.payload.cwd is None:
        why = "cron starts it in the home directory, not in the agent's workspace"
        notes.add(Weight.CHANGED, where, why, "give the job a cwd")
    if len(command) > _LONGEST:
        why = f"its command has {len(command)} characters; some crons take {_LONGEST}"
        notes.add(Weight.CHANGED, where, why, "put it into a script")
    if not job.enabled:
        notes.add(Weight.NOTE, where, "it is switched off, and so it is a comment")


def _lost(job: Job) -> list[str]:
    """Return what the job asks for and no line of a crontab does."""
    schedule, payload = job.schedule, job.payload
    asked = {
        "misfire": job.misfire.policy != "skip",
        "delivery": job.delivery.mode != "none",
        "stagger": isinstance(schedule, Cron) and bool(schedule.stagger),
    }
    if isinstance(payload, Command):
        stdin = payload.stdin
        asked["timeoutSeconds"] = payload.timeout != timedelta()
        asked["input without an end of its last line"] = stdin is not None and stdin[-1:] != "\n"
    return [*policies.to_json(job.policies), *(name for name, said in asked.items() if said)]


# -- when ----------------------------------------------------------------------------------------


def _when(job: Job) -> tuple[str, str]:
    """Return fields and zone."""
    match job.schedule:
        case At():
            raise _Unsaid("a crontab repeats, and this runs once")
        case Every():
            return _grid(job.schedule), "UTC"
        case Cron():
            return _fields(job.schedule), job.schedule.tz
        case Dayparts():
            raise _Unsaid("its cadence differs by the hour")


def _grid(every: Every) -> str:
    """Return a cadence that fits into hours, days or weeks as fields of UTC."""
    period, since = every.period, every.anchor - EPOCH
    minute = since // _MINUTE % 60
    hour = since // _HOUR % 24
    if since % _MINUTE or period % _MINUTE:
        raise _Unsaid("its cadence is not one of whole minutes")
    if _HOUR % period == timedelta():
        return f"{_stepped(minute % (period // _MINUTE), period // _MINUTE, 59)} * * * *"
    if period % _HOUR == timedelta() and _DAY % period == timedelta():
        return f"{minute} {_stepped(hour % (period // _HOUR), period // _HOUR, 23)} * * *"
    if period == _WEEK:
        return f"{minute} {hour} * * {(since // _DAY + 4) % 7}"  # 1970 began on a Thursday
    raise _Unsaid("its cadence does not fit into hours, days or a week")


def _stepped(first: int, step: int, last: int) -> str:
    if step == 1:
        return "*"
    if first + step > last:
        return str(first)
    return f"*/{step}" if first == 0 else f"{first}-{last}/{step}"


def _fields(schedule: Cron) -> str:
    expr = schedule.expr.lower()
    if expr.startswith("@"):
        return expr
    words = expr.split()
    if len(words) == 7:
        raise _Unsaid("a crontab has no years")
    if len(words) == 6:
        if words[0] != "0":
            raise _Unsaid("a crontab has no seconds")
        words = words[1:]
    words = ["*" if word == "?" else word for word in words]
    if "h" in words[0] or "h" in words[1]:
        words[0] = ",".join(map(str, schedule.fields.minutes))
        words[1] = ",".join(map(str, schedule.fields.hours))
    dom, dow = words[2], words[4]
    both = "*" not in (dom, dow)
    if both and (schedule.day_match == "and" or dow.startswith("+")):
        if not (dom.startswith("*") or dow.startswith("*")):
            raise _Unsaid("a crontab cannot ask for a date and a weekday at once")
        return " ".join(_field(place, word.removeprefix("+")) for place, word in enumerate(words))
    # cron would take both fields together where one of them begins with a star.
    return " ".join(
        _field(place, word.removeprefix("+"), starless=both and place in (2, 4))
        for place, word in enumerate(words)
    )


def _field(place: int, word: str, *, starless: bool = False) -> str:
    names = _WORDS.get(place, {})
    plain = _WORD.sub(
        lambda found: names.get(found[0], found[0]), word
    )  # cron takes no lists of names
    return ",".join(_part(place, token, starless) for token in plain.split(","))


def _part(place: int, token: str, starless: bool) -> str:
    found = _TOKEN.fullmatch(token)
    if found is None or (place in (2, 4) and _is_special(token)):
        raise _Unsaid(f"a crontab has no {token!r}")
    first, last, step = found.groups()
    low, high = _RANGES[place]
    if first == "*":
        if not step:
            return f"{low}-{high}" if starless else "*"
        return f"{low}-{6 if place == 4 else high}/{step}" if starless else token
    if last is None:
        return f"{first}-{6 if place == 4 else high}/{step}" if step else first
    if first.isdecimal() and last.isdecimal() and int(first) > int(last):
        if step:
            raise _Unsaid(f"a crontab has no {token!r}")
        return f"{first}-{high},{low}-{last}"
    return token


def _is_special(token: str) -> bool:
    """Whether it is one of `L`, `LW`, `15W`, `5L`: letters that are no name."""
    letters = re.sub(r"[^a-z]", "", token)
    return letters in ("l", "w", "lw") or "#" in token
