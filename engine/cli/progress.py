"""Progress of long work on standard error: a bar on a terminal, a line now and then otherwise."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Final, Self

from engine.clock import SystemClock

_EVERY_SECONDS: Final = 5.0


class Progress:
    """Counts steps towards ``total``. Use as ``with``; standard output stays clean."""

    def __init__(self, what: str, *, total: int) -> None:
        self._what = what
        self._total = max(total, 1)
        self._done = 0
        self._clock = SystemClock()
        self._told = self._clock.monotonic()
        self._bar = _bar(what, self._total) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        """Show the bar, if there is one."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: int = 1) -> None:
        """So many steps more are done."""
        self.at(self._done + steps)

    def at(self, done: int) -> None:
        """So many steps are done in all."""
        self._done = min(done, self._total)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done)
            return
        now = self._clock.monotonic()
        if (now - self._told).total_seconds() >= _EVERY_SECONDS:
            self._told = now
            sys.stderr.write(f"{self._what}: {self._done} of {self._total}\n")


def _bar(what: str, total: int) -> Any:
    from rich.console import Console
    from rich.progress import Progress as Bar

    bar = Bar(console=Console(stderr=True), transient=True)
    bar.add_task(what, total=total)
    return bar
