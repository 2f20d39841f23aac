"""Why a gateway stops: a signal, a stop, a restart (operations.md §7)."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field
from signal import SIGINT, SIGTERM, Signals

from gateway import exits

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Leaving:
    """Waited for by the process; asked for by signals and by the methods."""

    ending: exits.Ending
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = "stop"
    again: bool = False  # it stops in order to start anew
    signal: str | None = None

    def listen(self) -> None:
        """Be told by the signals that end a process."""
        loop = asyncio.get_running_loop()
        for number in (SIGTERM, SIGINT):
            loop.add_signal_handler(number, self._asked_by, number)

    def start_again(self, reason: str) -> None:
        """Stop in order to start anew."""
        log.info("restart asked for", extra={"because": reason})
        self.reason, self.again = "restart", True
        self.asked.set()

    def tell(self) -> None:
        """Write down how it ended, which is well."""
        self.ending.tell(exits.of_signal(self.reason), code=0, signal=self.signal)

    def _asked_by(self, number: Signals) -> None:
        if self.asked.is_set():  # asked twice: do not wait for turns
            code, words = 128 + number, "asked twice, so nothing was waited for"
            reason = exits.of_signal(number.name.lower())
            self.ending.tell(reason, code=code, detail=words, signal=number.name)
            os._exit(code)
        self.reason, self.signal = number.name.lower(), number.name
        self.again = False
        self.asked.set()
