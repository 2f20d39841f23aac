"""HEARTBEAT.md: is there anything to do, and which tasks does it hold (heartbeat.md §11). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Final

from jobs.duration import parse_duration
from jobs.errors import InvalidSchedule

ACK_TOKEN: Final = "HEARTBEAT_OK"  # noqa: S105 - prompts ask for it, outcomes look for it
LARGEST: Final = 64 * 1024  # bytes read; the rest is cut, and said so
_CUT: Final = "\n[cut: HEARTBEAT.md is longer than 64 KiB]\n"
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TEMPLATE: Final = re.compile(
    r"<!--\s*engine:template\s*-->.*?<!--\s*/engine:template\s*-->", re.DOTALL
)
_FRONT_MATTER: Final = re.compile(r"\A---\n.*?\n---(?:\n|\Z)", re.DOTALL)
_IGNORABLE: Final = re.compile(r"#+(\s.*)?|[-*+]\s*(\[[\sXx]?\]\s*)?|```[A-Za-z0-9_-]*")
_FIELD: Final = re.compile(r"(?P<dash>-\s+)?(?P<key>[A-Za-z_][\w-]*):\s*(?P<value>.*)")
_KNOWN: Final = frozenset(
    {"name", "interval", "every", "prompt", "model", "target", "enabled", "priority", "days"}
)
_TOLERANCE: Final = timedelta(seconds=60)
_CLOCK_STEP: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One entry of a `tasks:` block."""

    name: str
    interval: timedelta  # zero: at every beat
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """The file as a beat sees it. ``missing``: there is none, so the agent decides."""

    text: str
    empty: bool
    tasks: tuple[Task, ...] = ()
    warnings: tuple[str, ...] = ()
    prose: str = ""  # the text without its tasks block
    sha256: str = ""
    size: int = 0
    missing: bool = False


MISSING: Final = Checklist(text="", empty=False, missing=True)


def parse(raw: bytes | None) -> Checklist:
    """Read the file's bytes; None for a file that is not there."""
    if raw is None:
        return MISSING
    warnings = []
    text = raw[:LARGEST].decode("utf-8", errors="replace")
    if len(raw) > LARGEST:
        warnings.append(f"HEARTBEAT.md has {len(raw)} bytes; only the first {LARGEST} are read")
        text += _CUT
    if "�" in text:
        warnings.append("HEARTBEAT.md is not UTF-8 throughout; unreadable bytes were replaced")
    text = text.removeprefix("﻿").replace("\r\n", "\n")
    tasks, prose, complaints = _tasks(text)
    return Checklist(
        text=text,
        empty=effectively_empty(text),
        tasks=tasks,
        warnings=(*warnings, *complaints),
        prose=prose,
        sha256=hashlib.sha256(raw).hexdigest(),
        size=len(raw),
    )


def effectively_empty(text: str) -> bool:
    """Whether nothing in the file asks for anything (§11.1)."""
    body = text.removeprefix("﻿").replace("\r\n", "\n")
    body = _TEMPLATE.sub("", _FRONT_MATTER.sub("", body))
    for line in _COMMENT.sub("", body).splitlines():
        stripped = line.strip()
        if stripped and not _IGNORABLE.fullmatch(stripped):
            return False
    return True


# -- tasks -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Draft:
    line: int
    fields: dict[str, str]


def _tasks(text: str) -> tuple[tuple[Task, ...], str, tuple[str, ...]]:
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
        name, prompt = fields.get("name", "").strip(), fields.get("prompt", "")
        interval = fields.get("interval") or fields.get("every") or ""
        missing = [
            word
            for word, value in (("name", name), ("interval", interval), ("prompt", prompt.strip()))
            if not value
        ]
        if missing:
            warnings.append(f"{where}: the task has no {' and no '.join(missing)}; it is skipped")
        elif name in tasks:
            warnings.append(f"{where}: a second task named {name!r}; it is skipped")
        elif fields.get("enabled", "").lower() not in ("false", "no", "off"):
            try:
                every = parse_duration(interval, default_unit="m")
            except InvalidSchedule as error:
                warnings.append(f"{where}: task {name!r} is skipped: {error.what}")
                continue
            tasks[name] = Task(name=name, interval=every, prompt=prompt)
    return tuple(tasks.values()), warnings


def _unknown(key: str) -> str:
    near = get_close_matches(key, sorted(_KNOWN), 1)
    return f"unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else "")


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
) -> tuple[Task, ...]:
    """Return the tasks that are due in a slot, in the order of the file.

    Slots are compared, not start times: a beat that began late must not halve the rate.
    """
    return tuple(
        task
        for task in tasks
        if is_due(
            task.interval,
            last_slots.get(task.name),
            slot,
            now=now,
            tolerance=min(_TOLERANCE, task.interval * 0.05),
        )
    )


def next_task_at(
    tasks: Sequence[Task], last_slots: Mapping[str, datetime | None]
) -> datetime | None:
    """Return when the first task comes due again; None if one has never run."""
    times = [
        last + task.interval if (last := last_slots.get(task.name)) is not None else None
        for task in tasks
    ]
    known = [at for at in times if at is not None]
    return min(known) if known and len(known) == len(times) else None
