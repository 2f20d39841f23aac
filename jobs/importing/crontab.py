"""crontab(5) as jobs: vixie cron, cronie, and the form with a user column (cron.md §22-11).

A line runs `SHELL -c` its command in the home directory, for as long as it likes, and a slot
that nobody served is gone. Zone and environment count from the line they stand on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jobs.errors import InvalidSchedule
from jobs.importing.crontab_fields import ALIASES, timed, translated
from jobs.importing.report import Entry, Notes, Report, Weight, digest, job_id, key_of
from jobs.normal import first_line
from jobs.wallclock import zone as known_zone

KIND: Final = "crontab"
_ENV: Final = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([^\s"'=]+))\s*=\s*(.*?)\s*""")
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")
_ALIAS: Final = re.compile(r"@\w+")
_SHELL: Final = "/bin/sh"
# Set for the job itself, not for its command.
_OURS: Final = frozenset({"CRON_TZ", "MAILTO", "MAILFROM", "RANDOM_DELAY"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the text is meant."""

    zone: str  # of the host: a crontab's times are its
    name: str = ""  # of the file in /etc/cron.d; part of a job's identity
    home: str | None = None  # where the commands of the reader's own crontab start
    user: str = ""  # who the gateway will run them as
    user_column: bool | None = None  # None: look whether there is one
    users: Collection[str] = frozenset()  # of this host, to recognise that column


@dataclass(slots=True)
class _Setting:
    """What the assignments above a line say."""

    zone: str
    zone_known: bool = True
    shell: str = _SHELL
    home: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    mail_to: str | None = None
    delay_minutes: int = 0


@dataclass(frozen=True, slots=True)
class _Line:
    """One command line, taken apart."""

    number: int
    schedule: str  # five fields or an alias
    text: str
    user: str | None
    command: str
    stdin: str | None
    comment: str


def read(text: str, how: Reading) -> Report:
    """Return the jobs of a crontab, in its order.

    Whoever is imported again under the same command and user is the same job: a changed time
    is an edit of it.
    """
    lines = [*_lines(text)]
    column = how.user_column
    if column is None:
        column = _has_user_column([line for _, line, _ in lines], how.users)
    notes = Notes()
    setting = _Setting(zone=how.zone, home=None if column else how.home)
    entries: list[Entry] = []
    seen: dict[tuple[str, str], int] = {}
    for number, line, comment in lines:
        if (found := _ENV.fullmatch(line)) is not None and not timed(line):
            _assign(setting, found, number, notes)
            continue
        command = _taken_apart(number, line, comment, column, notes)
        if command is None:
            continue
        identity = (command.user or "", command.command)
        seen[identity] = seen.get(identity, 0) + 1
        entry = _entry(command, setting, how, seen[identity], notes)
        if entry is not None:
            entries.append(entry)
    _common(entries, notes)
    return Report(kind=KIND, entries=tuple(entries), remarks=notes.all)


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the lines that say something, each with the comment right above it."""
    comment = ""
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip(" \t\r")
        if line.startswith("#"):
            words = line.lstrip("#").strip()
            title = words.strip(" \t-=*")
            # Neither a job that was switched off nor the head of the columns is a title.
            named = title and not timed(words) and not words.startswith("m h ")
            comment = title if named else comment if not title else ""
            continue
        if line:
            yield number, line, comment
        comment = ""


def _has_user_column(lines: list[str], users: Collection[str]) -> bool:
    """Whether the word before every command is a user of this host."""
    found = 0
    for line in lines:
        if not timed(line):
            continue
        words = line.split()
        at = 1 if words[0].startswith("@") else 5
        if len(words) < at + 2 or words[at] not in users:
            return False
        found += 1
    return found > 0


# -- assignments ---------------------------------------------------------------------------------


def _assign(setting: _Setting, found: re.Match[str], number: int, notes: Notes) -> None:
    name, value = found[1] or found[2] or found[3], _unquoted(found[4])
    where = f"line {number}"
    if name not in _OURS:
        setting.env[name] = value
    match name:
        case "CRON_TZ":
            _in_zone(setting, value, where, notes)
        case "TZ":
            notes.add(
                Weight.NOTE,
                where,
                f"TZ={value} is handed to the commands; cron does not schedule by it",
                f"put CRON_TZ={value} above if the times are meant in that zone",
            )
        case "SHELL":
            setting.shell = value or _SHELL
        case "HOME":
            setting.home = value or setting.home
        case "MAILTO":
            setting.mail_to = value
            if value:
                notes.add(
                    Weight.CHANGED,
                    where,
                    f"output was mailed to {value}; here it is kept in the run log",
                    "engine cron edit JOB --announce",
                )
        case "RANDOM_DELAY":
            setting.delay_minutes = int(value) if value.isdecimal() and len(value) < 6 else 0
        case _:
            pass


def _in_zone(setting: _Setting, value: str, where: str, notes: Notes) -> None:
    try:
        known_zone(value)
    except InvalidSchedule:
        why = f"{value!r} is no time zone: when the jobs below it ran, only that cron knows"
        notes.add(Weight.HELD, where, why, "correct CRON_TZ and import it again", value)
        setting.zone_known = False
        return
    setting.zone, setting.zone_known = value, True


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
        return value[1:-1]
    return value


# -- one command ---------------------------------------------------------------------------------


def _taken_apart(number: int, line: str, comment: str, column: bool, notes: Notes) -> _Line | None:
    where = f"line {number}"
    # cronie and others: a leading dash only keeps cron from logging the command
    words = line.removeprefix("-").split(None, 1 if _ALIAS.match(line.removeprefix("-")) else 5)
    count = 1 if words and words[0].startswith("@") else 5
    if len(words) <= count:
        why = "it has no command" if len(words) == count else "it is neither a job nor NAME=value"
        notes.add(Weight.LEFT_OUT, where, why, "correct the line and import it again", line)
        return None
    user, rest = None, words[count]
    if column:
        user, _, rest = rest.partition(" ")
        user, _, tail = user.partition("\t")
        rest = f"{tail} {rest}".strip() if tail else rest.strip()
        if not _USER.fullmatch(user) or not rest:
            notes.add(
                Weight.LEFT_OUT,
                where,
                "it has no user, or no command behind the user",
                "engine cron import --no-user-column, if the file has none",
                line,
            )
            return None
    command, stdin = _percent(rest)
    if not command:
        notes.add(Weight.LEFT_OUT, where, "it has no command", "remove the line", line)
        return None
    return _Line(number, " ".join(words[:count]), line, user, command, stdin, comment)


def _percent(text: str) -> tuple[str, str | None]:
    r"""Split at the first bare `%`: what follows is standard input, line by line; `\%` is one."""
    parts = re.split(r"(?<!\\)%", text)
    command, *lines = (part.replace("\\%", "%") for part in parts)
    return command.strip(), "\n".join(lines) + "\n" if lines else None


def _entry(line: _Line, setting: _Setting, how: Reading, nth: int, notes: Notes) -> Entry | None:
    where = f"line {line.number}"
    schedule = _schedule(line, setting, where, notes)
    if schedule is None:
        return None
    ident = digest(how.name, line.user or "", line.command) + (f"-{nth}" if nth > 1 else "")
    payload: dict[str, Any] = {
        "kind": "command",
        "argv": [setting.shell, "-c", line.command],
        "timeoutSeconds": 0,
    }
    if setting.home is not None:
        payload["cwd"] = setting.home
    if setting.env:
        payload["env"] = dict(setting.env)
    if line.stdin is not None:
        payload["input"] = line.stdin
    if line.user is not None and line.user != how.user:
        notes.add(
            Weight.CHANGED,
            where,
            f"it ran as {line.user}; here it runs as the gateway does",
            "let the gateway run as that user, or give the command its rights",
        )
    job: dict[str, Any] = {
        "id": job_id(KIND, ident),
        "name": first_line(line.comment) or first_line(line.command),
        "schedule": schedule,
        "payload": payload,
        "delivery": {"mode": "none"},
        "misfire": {"policy": "skip"},
    }
    if not setting.zone_known:
        job["enabled"] = False
    if setting.delay_minutes and schedule["kind"] == "cron":
        job["jitterMs"] = setting.delay_minutes * 60_000
    return Entry(key=key_of(KIND, ident), where=where, job=job)


def _schedule(line: _Line, setting: _Setting, where: str, notes: Notes) -> Mapping[str, Any] | None:
    if line.schedule.startswith("@"):
        return _alias(line, setting, where, notes)
    try:
        found = translated(line.schedule)
    except InvalidSchedule as error:
        notes.add(Weight.LEFT_OUT, where, error.what, error.fix or "correct the line", line.text)
        return None
    for weight, why, fix in found.remarks:
        notes.add(weight, where, why, fix, line.schedule)
    made = {"kind": "cron", "expr": found.expr, "tz": setting.zone, "staggerMs": 0}
    return made | ({"dayMatch": "and"} if found.both_days else {})


def _alias(line: _Line, setting: _Setting, where: str, notes: Notes) -> Mapping[str, Any] | None:
    word = line.schedule.lower()
    if word in ALIASES:
        return {"kind": "cron", "expr": word, "tz": setting.zone, "staggerMs": 0}
    if word == "@every_minute":
        return {"kind": "cron", "expr": "* * * * *", "tz": setting.zone, "staggerMs": 0}
    if word[1:].isdecimal() and int(word[1:6]) > 0 and len(word) <= 10:
        why = "it ran that long after its last end; here it is a fixed grid from start to start"
        notes.add(Weight.CHANGED, where, why, text=line.text)
        return {"kind": "every", "everyMs": int(word[1:]) * 1000}
    if word == "@reboot":
        why = "a schedule that fires when the host or the gateway starts is not supported yet"
        fix = "let the service manager of the host run it at boot"
    else:
        why, fix = f"{word} is no alias cron knows", "write five fields"
    notes.add(Weight.LEFT_OUT, where, why, fix, line.text)
    return None


def _common(entries: list[Entry], notes: Notes) -> None:
    if entries:
        notes.add(
            Weight.NOTE,
            "all jobs",
            "cron starts a command again while it still runs; here that slot is skipped and"
            " recorded",
            "engine cron edit JOB --overlap allow",
        )
