"""Where the lines lie: a file a day, a new one when it grows too large, old ones gone.

operations.md §11. No timer: what to do is found out at the next line.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from engine.log.lines import local

KEPT: Final = 5  # full files of one name
_NAME: Final = re.compile(r"engine-(\d{4}-\d{2}-\d{2})\.log(?:\.(\d+))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where, how much and how long."""

    folder: Path
    file: Path | None = None  # this one instead of one a day
    most_bytes: int = 104_857_600
    keep: timedelta = timedelta(days=14)

    @property
    def folder_in_use(self) -> Path:
        """The folder in which the lines lie."""
        return self.file.parent if self.file else self.folder

    def path(self, day: date) -> Path:
        """The file of a day."""
        return self.file or self.folder / f"engine-{day.isoformat()}.log"


def placed(folder: Path, file: str | None, home: Path) -> Path | None:
    """Return the one file of `logging.file`: beside the others unless it says where."""
    if not file or not file.strip():
        return None
    given = file.strip()
    return home / given[2:] if given.startswith("~/") else folder / given


def files(place: Place) -> list[Path]:
    """Return every file of lines there is, oldest first."""
    return [path for _, _, path in sorted(_numbered(place))]


def _numbered(place: Place) -> Iterator[tuple[str, int, Path]]:
    if place.file is not None:
        for number in range(KEPT + 1):
            path = _older(place.file, number)
            if path.is_file():
                yield "", -number, path
        return
    for path in place.folder.glob("engine-*.log*"):
        if (named := _NAME.match(path.name)) is not None:
            yield named[1], -int(named[2] or 0), path


def _older(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path


class DayFile(logging.Handler):
    """Appends to the file of the day (0600); called by one thread."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self._day: date | None = None
        self._file: Any = None
        self._size = 0
        self._failing = False
        place.folder_in_use.mkdir(parents=True, exist_ok=True, mode=0o700)

    def adopt(self, place: Place) -> None:
        """Write elsewhere, or by other rules, from the next line on."""
        if place != self._place:
            self._place = place
            self.reopen()

    def reopen(self) -> None:
        """Let go of the file: the next line opens it anew, if somebody moved it."""
        if self._file is not None:
            self._file.close()
        self._file, self._day = None, None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            day = local(record).date()
            if day != self._day or self._file is None:
                self._turn(day)
            line = self.format(record) + "\n"
            length = len(line.encode("utf-8", "replace"))
            if self._size and self._size + length > self._place.most_bytes:
                self._full(day)
            self._file.write(line)
            self._file.flush()
            self._size += length
            self._failing = False
        except Exception:  # noqa: BLE001 - logging's own convention: report, never raise
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - logging's own name
        """Say once what is wrong: a full disk must not fill the terminal too."""
        if not self._failing and sys.stderr is not None:
            self._failing = True
            why, where = sys.exception(), self._place.folder_in_use
            sys.stderr.write(f"the log in {where} is not written: {why}. Fix: check disk\n")

    def close(self) -> None:
        """Let go of the file."""
        self.reopen()
        super().close()

    def _turn(self, day: date) -> None:
        self.reopen()
        path = self._place.path(day)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(handle).st_size
        self._file = os.fdopen(handle, "a", encoding="utf-8", errors="replace")
        self._day = day
        self._tidy(day)

    def _full(self, day: date) -> None:
        """The file becomes the first of the full ones, and the last of those goes."""
        self.reopen()
        path = self._place.path(day)
        for number in range(KEPT, 0, -1):
            newer = _older(path, number - 1)
            if newer.exists():
                newer.replace(_older(path, number))
        self._turn(day)

    def _tidy(self, today: date) -> None:
        if self._place.file is not None:
            return
        oldest = today - self._place.keep
        for path in files(self._place):
            named = _NAME.match(path.name)
            if named is not None and date.fromisoformat(named[1]) <= oldest:
                path.unlink(missing_ok=True)
