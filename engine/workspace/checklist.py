"""HEARTBEAT.md: is there anything to do, and which tasks does it hold (heartbeat.md §11). Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from engine.workspace import tasks as task_list
from engine.workspace.tasks import Task

ACK_TOKEN: Final = "HEARTBEAT_OK"  # noqa: S105 - prompts ask for it, outcomes look for it
LARGEST: Final = 64 * 1024  # bytes read; the rest is cut, and said so
_CUT: Final = "\n[cut: HEARTBEAT.md is longer than 64 KiB]\n"
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TEMPLATE: Final = re.compile(
    r"<!--\s*engine:template\s*-->.*?<!--\s*/engine:template\s*-->", re.DOTALL
)
_FRONT_MATTER: Final = re.compile(r"\A---\n.*?\n---(?:\n|\Z)", re.DOTALL)
_IGNORABLE: Final = re.compile(r"#+(\s.*)?|[-*+]\s*(\[[\sXx]?\]\s*)?|```[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """The file as a beat sees it. ``missing``: there is none, so the agent decides."""

    text: str
    empty: bool
    tasks: tuple[Task, ...] = ()  # those its beats ask for
    own: tuple[Task, ...] = ()  # those that are jobs of their own
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
    found, prose, complaints = task_list.read(text)
    tasks = tuple(task for task in found if task.enabled and not task.own)
    own = tuple(task for task in found if task.own)
    return Checklist(
        text=text,
        empty=effectively_empty(prose if own and not tasks else text),
        tasks=tasks,
        own=own,
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
