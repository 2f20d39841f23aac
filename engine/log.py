"""Logs: JSON lines in the state directory, short lines on the console, no secret in either."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

HIDDEN: Final = "__ENGINE_REDACTED__"
KEEP_FILES: Final = 14
_NOISY: Final = (
    "alembic", "apscheduler", "anthropic", "httpx", "httpx2", "httpcore", "httpcore2", "openai",
    "uvicorn", "watchfiles", "websockets",
)  # fmt: skip
_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class Redactor:
    """Knows the secrets of a config and takes them out of any text (design.md P7)."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets: tuple[str, ...] = ()
        self.learn(secrets)

    def learn(self, secrets: Collection[str]) -> None:
        """Know these from now on; too short ones would hide ordinary words."""
        known = {*self._secrets, *(secret for secret in secrets if len(secret) >= 6)}
        self._secrets = tuple(sorted(known, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return text


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what came in ``extra``."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in record.__dict__.items() if key not in _OWN},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return self._redact(json.dumps(line, ensure_ascii=False, default=str))


class Console(logging.Formatter):
    """A short line for whoever watches the terminal."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        more = " ".join(
            f"{key}={value}" for key, value in record.__dict__.items() if key not in _OWN
        )
        text = f"{at:%H:%M:%S} {record.levelname.lower():7} {record.getMessage()} {more}".rstrip()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return self._redact(text)


class DayFile(logging.Handler):
    """Appends to `engine-YYYY-MM-DD.log` (0600); the newest two weeks are kept."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._day = ""
        self._file: Any = None
        self._failing = False
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            day = datetime.fromtimestamp(record.created, UTC).date().isoformat()
            if day != self._day:
                self._turn(day)
            self._file.write(self.format(record) + "\n")
            self._file.flush()
            self._failing = False
        except Exception:  # noqa: BLE001 - logging's own convention: report, never raise
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - logging's own name
        """Say once what is wrong: a full disk must not fill the terminal too."""
        if not self._failing and sys.stderr is not None:
            self._failing = True
            why = sys.exception()
            sys.stderr.write(f"the log in {self._folder} is not written: {why}. Fix: check disk\n")

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _turn(self, day: str) -> None:
        if self._file is not None:
            self._file.close()
        path = self._folder / f"engine-{day}.log"
        path.touch(mode=0o600, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._day = day
        for old in sorted(self._folder.glob("engine-*.log"))[:-KEEP_FILES]:
            old.unlink(missing_ok=True)


def set_up(folder: Path, *, verbose: bool, secrets: Collection[str] = ()) -> Redactor:
    """Send every log record to the day's file and to stderr; returns the redactor."""
    redact = Redactor(secrets)
    file = DayFile(folder)
    file.setFormatter(JsonLines(redact))
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(Console(redact))
    console.setLevel(logging.DEBUG if verbose else logging.INFO)
    root = logging.getLogger()
    root.handlers[:] = [file, console]
    root.setLevel(logging.INFO)
    for own in ("engine", "gateway", "jobs"):
        logging.getLogger(own).setLevel(logging.DEBUG if verbose else logging.INFO)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return redact
