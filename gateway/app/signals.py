"""What a gateway does when it is sent a signal (operations.md §7)."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1

from engine.config.keeping.outcome import Outcome
from gateway.app.leaving import Leaving
from gateway.app.standing import Standing
from gateway.restarts import Wanted
from jobs.errors import EngineError

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Signals:
    """Hears them from `listen` on, until the next gateway of this process does."""

    standing: Standing
    leaving: Leaving
    _reloading: set[asyncio.Task[None]] = field(default_factory=set)

    def listen(self) -> None:
        """Be told of every signal that means something here."""
        loop = asyncio.get_running_loop()
        heard: dict[int, Callable[[], None]] = {
            SIGUSR1: self._restart,
            SIGHUP: self._reopen,
            SIGQUIT: dump,
        }
        for number, work in heard.items():
            loop.add_signal_handler(number, work)
        for end in (SIGTERM, SIGINT):
            loop.add_signal_handler(end, self.leaving.stop_by, end)

    def _restart(self) -> None:
        """SIGUSR1: a restart that waits is made now, another only where the config allows it."""
        if self.leaving.hurry():
            log.info("SIGUSR1: the restart that waited is made now")
        elif self.standing.loaded.config.commands.restart:
            self.leaving.ask(Wanted(reason="SIGUSR1", by="SIGUSR1"))
        else:
            log.warning(
                "SIGUSR1 was not heard: no restart is pending, and commands.restart is false"
            )

    def _reopen(self) -> None:
        """SIGHUP: what rotates logs from outside, and what edits the config, says so by this."""
        self.standing.logs.reopen()
        log.info("SIGHUP: the log is open anew, the config is read again")
        task = asyncio.create_task(self._read_again(self.standing.reload), name="sighup")
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _read_again(self, reload: Callable[[str, Wanted | None], Awaitable[Outcome]]) -> None:
        try:
            await reload("sighup", None)
        except EngineError as refused:
            log.error(  # noqa: TRY400 - a refusal is no traceback
                "config was not reloaded; the previous one stays in force",
                extra={"because": str(refused)},
            )


def dump() -> None:
    """SIGQUIT: where every task stands goes to the log, and everything goes on."""
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    for task in tasks:
        where = io.StringIO()
        task.print_stack(file=where)
        log.warning("a task stands here", extra={"task": task.get_name(), "at": where.getvalue()})
    log.warning("SIGQUIT: the stacks of %d tasks are in the log", len(tasks))
