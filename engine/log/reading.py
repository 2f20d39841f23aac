"""Lines read again: behind a place one has been at, across files that turned, and sifted.

operations.md §11 (`engine logs`, `logs.tail`). A place is a byte offset and the number the disk
has for the file (``mark``): who gives both loses no line when the file turns meanwhile.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from engine.log.files import Place, files
from engine.log.levels import number

LINES: Final = 5000  # the most of one answer
BYTES: Final = 1_000_000


def tail(
    place: Place, cursor: int | None, *, limit: int, most: int, mark: int | None = None
) -> dict[str, Any]:
    """Return the lines behind a cursor, or the newest; half a line waits for its end."""
    there = files(place)
    if not there:
        return {"file": str(place.folder_in_use), "cursor": 0, "size": 0, "lines": []}
    if cursor is None:
        return _newest(there, limit=limit, most=most)
    path, after = _followed(there, mark)
    answer = _read(path, cursor, limit=limit, most=most)
    if after is None or answer["cursor"] < answer["size"]:
        return answer
    if not answer["lines"]:  # read to its end: the next file goes on
        return _read(after, 0, limit=limit, most=most)
    return answer


def _newest(there: list[Path], *, limit: int, most: int) -> dict[str, Any]:
    """The newest lines; where the newest file has few, those of the files before it as well.

    At midnight a new file begins: what happened last night is asked for in the morning.
    """
    answer = _read(there[-1], None, limit=limit, most=most)
    lines, room = answer["lines"], most - answer["size"]
    for path in reversed(there[:-1]):
        if room <= 0 or len(lines) >= limit:
            break
        before = _read(path, None, limit=limit - len(lines), most=room)
        lines, room = [*before["lines"], *lines], room - before["size"]
    return {**answer, "lines": lines}


def _followed(there: list[Path], mark: int | None) -> tuple[Path, Path | None]:
    """The file somebody was at, and the one after it."""
    if mark is not None:
        for at, path in enumerate(there):
            if _mark(path) == mark:
                return path, there[at + 1] if at + 1 < len(there) else None
    return there[-1], None


def _mark(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _read(path: Path, cursor: int | None, *, limit: int, most: int) -> dict[str, Any]:
    with path.open("rb") as log:
        about = os.fstat(log.fileno())
        size = about.st_size
        answer: dict[str, Any] = {"file": str(path), "size": size, "mark": about.st_ino}
        if cursor is not None and cursor > size:  # a new day, or a file somebody emptied
            cursor, answer["reset"] = None, True
        start = max(size - most, 0) if cursor is None else cursor
        if cursor is not None and size - cursor > most:
            start = size - most
            answer |= {"truncated": True, "skippedBytes": start - cursor}
        log.seek(start)
        raw = log.read(size - start)
    if start and start != cursor:  # into the middle of a line
        cut = raw.find(b"\n") + 1
        start, raw = start + cut, raw[cut:]
    whole = raw.rfind(b"\n") + 1
    lines = raw[:whole].splitlines(keepends=True)
    end = start + whole
    if len(lines) > limit:
        answer["truncated"] = True
        if cursor is None:
            lines = lines[-limit:]
        else:  # the rest is told next time
            lines = lines[:limit]
            end = start + sum(len(line) for line in lines)
    shown = [line.decode("utf-8", "replace").rstrip("\n") for line in lines]
    return {**answer, "cursor": end, "lines": shown}


def record(line: str) -> Mapping[str, Any] | None:
    """Return what a line says, None for one that is not ours."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, Mapping) else None


def last_error(place: Place, since: datetime, *, most: int = 64 * 1024) -> str | None:
    """Return the words of the last error in the newest file that is not older than ``since``."""
    there = files(place)
    if not there:
        return None
    for line in reversed(_read(there[-1], None, limit=LINES, most=most)["lines"]):
        said = record(line)
        try:
            if said is not None and said["level"] in ("error", "fatal"):
                return str(said["msg"]) if datetime.fromisoformat(said["ts"]) >= since else None
        except (ValueError, KeyError, TypeError):
            continue  # written by something else
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sieve:
    """Which lines somebody wants to see; all that is set must hold."""

    level: str | None = None  # at least as loud
    grep: re.Pattern[str] | None = None  # anywhere in the line
    subsystem: str | None = None  # this room, and all in it
    job: str | None = None
    agent: str | None = None
    since: datetime | None = None

    @property
    def idle(self) -> bool:
        """Whether it lets everything through."""
        return self == Sieve()

    def __call__(self, line: str) -> bool:
        """Whether this line passes. What is no record passes only if nothing else is asked."""
        if self.grep is not None and self.grep.search(line) is None:
            return False
        said = record(line)
        if said is None:
            return not (self.level or self.subsystem or self.job or self.agent or self.since)
        return self._loud(said) and self._about(said) and self._late(said)

    def _loud(self, said: Mapping[str, Any]) -> bool:
        return self.level is None or number(str(said.get("level"))) >= number(self.level)

    def _about(self, said: Mapping[str, Any]) -> bool:
        room = str(said.get("subsystem", ""))
        wanted = self.subsystem
        inside = wanted is None or f".{wanted}." in f".{room}."
        own = (self.job is None or said.get("jobId") == self.job) and (
            self.agent is None or said.get("agentId") == self.agent
        )
        return inside and own

    def _late(self, said: Mapping[str, Any]) -> bool:
        if self.since is None:
            return True
        try:
            return datetime.fromisoformat(str(said.get("ts"))) >= self.since
        except (ValueError, TypeError):
            return False


def sifted(lines: Iterable[str], sieve: Sieve, limit: int) -> list[str]:
    """Return the newest lines that pass."""
    passed = list(lines) if sieve.idle else [line for line in lines if sieve(line)]
    return passed[-limit:]
