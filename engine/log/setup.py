"""Every record to the file and the console, beside the loop: who logs waits for no disk."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from typing import Any, Final

from engine.log.files import DayFile, Place
from engine.log.levels import LEVELS, from_environment
from engine.log.lines import Console, JsonLines
from engine.log.redaction import DEFAULTS, Redactor

_OURS: Final = ("engine", "gateway", "jobs")
_NOISY: Final = (
    "alembic", "apscheduler", "anthropic", "httpx", "httpx2", "httpcore", "httpcore2", "openai",
    "uvicorn", "watchfiles", "websockets",
)  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the config and the call ask of the log."""

    place: Place
    level: str = "info"
    console_level: str = "info"
    console_style: str = "pretty"
    patterns: Sequence[str] | None = None  # instead of the ones built in
    hide_shapes: bool = True  # also what only looks like a secret
    verbose: bool = False  # more on the console, and nothing else

    @property
    def looked_for(self) -> Sequence[str]:
        """The patterns in force."""
        if not self.hide_shapes:
            return ()
        return DEFAULTS if self.patterns is None else self.patterns


class Aside(QueueHandler):
    """Takes a record as it is now; the words are made here, the writing is done by another."""

    def __init__(self, queue: Any, owner: Log) -> None:
        super().__init__(queue)
        self.owner = owner

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Freeze what may change before it is written: the arguments, and the traceback."""
        if record.exc_info and not record.exc_text:
            record.exc_text = _PLAIN.formatException(record.exc_info)
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        return record


_PLAIN: Final = logging.Formatter()


class Log:
    """The log of this process: one file, one console, one thread that writes both."""

    def __init__(
        self, wish: Wish, environ: Mapping[str, str], *, redact: Redactor, boot_id: str = ""
    ) -> None:
        self.redact = redact
        self._environ = environ
        self._boot_id = boot_id
        self._file = DayFile(wish.place)
        self._console = logging.StreamHandler(sys.stderr)
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._listener = QueueListener(
            self._queue, self._file, self._console, respect_handler_level=True
        )
        self._running = False
        self._set(wish)

    @property
    def files(self) -> Place:
        """Where its lines lie."""
        return self._wish.place

    def start(self) -> None:
        """Take every record from now on."""
        root = logging.getLogger()
        for before in root.handlers:
            if isinstance(before, Aside):  # this process restarts in place
                before.owner.stop()
        root.handlers[:] = [Aside(self._queue, self)]
        self._listener.start()
        self._running = True
        atexit.register(self.stop)
        if (amiss := from_environment(self._environ)[1]) is not None:
            log.warning(amiss)

    def adopt(self, wish: Wish) -> None:
        """Follow the wishes of another config."""
        self.drain()
        self._set(wish)

    def drain(self) -> None:
        """Return when everything said so far is written."""
        if self._running:
            self._listener.stop()
            self._listener.start()

    def reopen(self) -> None:
        """Open the file anew: somebody moved it away."""
        self.drain()
        self._file.reopen()

    def stop(self) -> None:
        """Write what is left and let go."""
        atexit.unregister(self.stop)
        if self._running:
            self._running = False
            self._listener.stop()
            self._file.close()

    def _set(self, wish: Wish) -> None:
        self._wish = wish
        asked, _ = from_environment(self._environ)
        level = LEVELS[asked or wish.level]
        console = LEVELS["debug" if wish.verbose and not asked else asked or wish.console_level]
        self.redact.look_for(wish.looked_for)
        self._file.adopt(wish.place)
        self._file.setFormatter(JsonLines(self.redact, self._boot_id))
        self._file.setLevel(level)
        self._console.setFormatter(self._console_lines(wish.console_style))
        self._console.setLevel(console)
        least = min(level, console)
        logging.getLogger().setLevel(max(least, logging.INFO))
        for own in _OURS:
            logging.getLogger(own).setLevel(least)
        for noisy in _NOISY:
            logging.getLogger(noisy).setLevel(max(least, logging.WARNING))

    def _console_lines(self, style: str) -> logging.Formatter:
        if style == "json":
            return JsonLines(self.redact, self._boot_id)
        plain = "NO_COLOR" in self._environ or self._environ.get("TERM") == "dumb"
        colour = style == "pretty" and not plain and sys.stderr.isatty()
        return Console(self.redact, style=style, colour=colour)


def set_up(
    wish: Wish,
    *,
    secrets: Collection[str] = (),
    environ: Mapping[str, str] | None = None,
    boot_id: str = "",
) -> Log:
    """Send every log record to the file and to stderr."""
    known = os.environ if environ is None else environ
    made = Log(wish, known, redact=Redactor(secrets), boot_id=boot_id)
    made.start()
    return made
