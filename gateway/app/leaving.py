"""Why a gateway stops: a signal, a stop, a restart somebody asked for (operations.md §7)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Final

from engine import process
from engine.clock import Clock
from engine.core import Engine
from gateway import exits, sentinel
from gateway.restarts import Appointment, Restarts, Wanted
from gateway.sentinel import Sentinel

log = logging.getLogger(__name__)

PATIENCE: Final = 1.0  # seconds between the second request to end and the end


@dataclass(slots=True, kw_only=True)
class Leaving:
    """Waited for by the process; asked for by signals, methods and edits of the config."""

    ending: exits.Ending
    home: Path
    clock: Clock
    restarts: Restarts
    environ: Mapping[str, str]
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = "stop"
    again: bool = False  # it stops in order to start anew
    signal: str | None = None
    _timer: asyncio.TimerHandle | None = None

    def ask(self, wanted: Wanted) -> Appointment:
        """Stop in order to start anew: now, after the cooldown, or with one that waits (§7.2)."""
        now, waits = self.clock.now(), self.restarts.pending is not None
        made = self.restarts.ask(wanted, now)
        told = {"because": wanted.reason, "by": wanted.by, "at": made.at.isoformat()}
        log.info("restart asked for", extra=told)
        if self.restarts.wanted is wanted:
            sentinel.write(self.home, Sentinel.of(wanted, now))
        if not waits:
            delay = max((made.at - now).total_seconds(), 0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._begin_again)
        return made

    def hurry(self) -> bool:
        """Make a restart that waits now; False if none does."""
        if self.restarts.pending is None:
            return False
        self._begin_again()
        return True

    async def once(self, engine: Engine) -> None:
        """Run what is due now, and what that makes due at once; then stop."""
        while (due := await engine.loop.tick()) is not None and due <= self.clock.now():
            await engine.idle()
        await engine.idle()
        self.reason = "once"
        self.asked.set()

    def stop_by(self, number: Signals) -> None:
        """Stop because of a signal; at the second one nothing is waited for any more."""
        if self.asked.is_set() and not self.again:
            self._force(number)
            return
        self.restarts.ended_by = number  # it may be the next gateway that has to hear it
        self.reason, self.signal = number.name.lower(), number.name
        self._forget_restart()
        self.asked.set()

    def tell(self) -> None:
        """Write down how it ended, which is well."""
        if self.again:
            by = self.restarts.wanted.by if self.restarts.wanted else ""
            self.ending.tell(exits.Reason.RESTART, code=0, requested_by=by)
            return
        by = exits.stop_requested(self.home) or _supervisor(self.environ)
        if self.reason == "once":
            by = "engine gateway --once"
        self.ending.tell(
            exits.of_stop(self.reason, by), code=0, signal=self.signal, requested_by=by
        )

    def _begin_again(self) -> None:
        self._forget_timer()
        if self.asked.is_set():
            return
        self.restarts.begin(self.clock.now(), self.clock.monotonic())
        self.reason, self.again = "restart", True
        self.asked.set()

    def _forget_restart(self) -> None:
        self._forget_timer()
        self.again, self.restarts.pending = False, None

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _force(self, number: Signals) -> None:
        """Whoever asks twice does not want to wait: an end after a second, whatever runs."""
        log.warning("asked twice to stop: nothing is waited for", extra={"signal": number.name})
        asyncio.get_running_loop().call_later(PATIENCE, self._end, number)

    def _end(self, number: Signals) -> None:
        code, words = 128 + number, "asked twice, so nothing was waited for"
        reason = exits.of_signal(number.name.lower())
        self.ending.tell(reason, code=code, detail=words, signal=number.name)
        process.end_children()  # nobody would be left to end them
        os._exit(code)


def _supervisor(environ: Mapping[str, str]) -> str:
    """Who probably sent a signal nobody announced: systemd names itself in the environment."""
    return "systemd" if environ.get("INVOCATION_ID") and environ.get("NOTIFY_SOCKET") else ""
