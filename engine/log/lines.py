"""How a record looks: one JSON object for the file, a short line for whoever watches."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from engine.log.levels import word

_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# What the code calls them, and what lines call them (operations.md §11).
_NAMES: Final[Mapping[str, str]] = {
    "agent": "agentId", "job": "jobId", "account": "accountId", "run": "runId",
    "session": "sessionKey",
}  # fmt: skip
_COLOURS: Final[Mapping[str, str]] = {
    "fatal": "35", "error": "31", "warn": "33", "info": "36", "debug": "2", "trace": "2",
}  # fmt: skip

Hide = Callable[[str], str]


def facts(record: logging.LogRecord) -> dict[str, Any]:
    """Return what came in ``extra``, by the names lines have for it."""
    return {
        _NAMES.get(key) or _camel(key): value
        for key, value in record.__dict__.items()
        if key not in _OWN
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def local(record: logging.LogRecord) -> datetime:
    """When it was, on the clock of this machine."""
    return datetime.fromtimestamp(record.created, UTC).astimezone()


class JsonLines(logging.Formatter):
    """One JSON object a line (operations.md §11, record)."""

    def __init__(self, hide: Hide = str, boot_id: str = "") -> None:
        super().__init__()
        self._hide = hide
        self._boot_id = boot_id

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "ts": local(record).isoformat(timespec="milliseconds"),
            "level": word(record.levelno),
            "subsystem": record.name,
            "msg": record.getMessage(),
            **facts(record),
        }
        if trace := _trace(self, record):
            line["err"] = trace
        if self._boot_id:
            line["bootId"] = self._boot_id
        return self._hide(json.dumps(line, ensure_ascii=False, default=str))


class Console(logging.Formatter):
    """A short line: `pretty` with colour where there is any, `compact` without its details."""

    def __init__(self, hide: Hide = str, *, style: str = "pretty", colour: bool = False) -> None:
        super().__init__()
        self._hide = hide
        self._compact = style == "compact"
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said = word(record.levelno)
        room = ".".join(record.name.split(".")[-2:])
        text = f"{local(record):%H:%M:%S} {painted(said, colour=self._colour)} [{room}] "
        text += record.getMessage()
        if not self._compact:
            text += "".join(f" {key}={value}" for key, value in facts(record).items())
        if trace := _trace(self, record):
            text += f"\n{trace}" if not self._compact else f" ({trace.splitlines()[-1]})"
        return self._hide(text)


def painted(level: str, *, colour: bool) -> str:
    """Return a level, five wide, in its colour where there is any."""
    padded = f"{level:5}"
    return f"\x1b[{_COLOURS.get(level, '0')}m{padded}\x1b[0m" if colour else padded


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if record.exc_info and not record.exc_text:
        record.exc_text = formatter.formatException(record.exc_info)
    return record.exc_text or ""
