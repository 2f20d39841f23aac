"""After a start: settles what an earlier process left open, and begins what never began.

What becomes of each row is decided in `engine.decisions.interrupted`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from engine import process
from engine.clock import Clock
from engine.decisions import interrupted
from engine.record import Recorder
from jobs.ledger import Run
from jobs.model import Job
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import Finish
from jobs.store.db import Database, Tx

log = logging.getLogger(__name__)


class Recovery:
    """One per process: `settle` before anything is claimed, `resume` once it may run."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        recorder: Recorder,
        dispatch: Callable[[Job, Run], None],
        end: Callable[[Job, Run], Awaitable[None]],
        cron_enabled: Callable[[], bool],
        boot_id: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._recorder = recorder
        self._dispatch = dispatch
        self._end = end  # of scheduled jobs
        self._cron_enabled = cron_enabled
        self._boot_id = boot_id
        self._kept: list[Run] = []  # claimed by an earlier process, never begun

    async def settle(self) -> None:
        """End every row an earlier process left open: one row each tells the story.

        What was claimed and never began is kept, and begins when `resume` is called.
        """
        now = self._clock.now()

        ended, self._kept = await self._database.write(lambda tx: settled(tx, self._boot_id, now))
        if ended:  # one that goes on would meet its own second try
            marks = [f"{process.RUN_MARK}={run.id}" for run in ended]
            await asyncio.to_thread(process.end_marked, *marks)
        for run in ended:
            self._recorder.tell(run)
        if ended or self._kept:
            log.warning(
                "an earlier process left runs open",
                extra={"interrupted": len(ended), "begin_now": len(self._kept)},
            )

    async def resume(self) -> None:
        """Begin what an earlier process claimed and never began, unless it is too late for it.

        The config may have changed meanwhile: what is gone or switched off does not begin.
        """
        now = self._clock.now()
        kept, self._kept = self._kept, []
        for run in kept:
            stored = await self._database.read(lambda tx, of=run.job_id: job_rows.readable(tx, of))  # type: ignore[misc]  # bound now
            over = interrupted.called_off(run, stored, now, cron_enabled=self._cron_enabled())
            if over is not None and stored is not None and run.kind == "cron":
                await self._end(stored.job, over)
            elif over is not None:
                await self._recorder.ended(Finish(run=over))
            elif stored is not None:
                self._dispatch(stored.job, run)


def settled(tx: Tx, boot_id: str, now: datetime) -> tuple[list[Run], list[Run]]:
    """End what another process than ``boot_id`` left open; return what ended, and what is kept."""
    ended, kept = [], []
    for run in run_rows.interrupted(tx, boot_id):
        over = interrupted.settled(run, job_rows.readable(tx, run.job_id), now)
        if over is None:
            run_rows.adopt(tx, run.id, boot_id)
            kept.append(interrupted.adopted(run, boot_id, now))
            continue
        run_rows.finish(tx, [Finish(run=over.run)])
        ended.append(over.run)
        if over.switch_off:
            job_rows.switch_off(tx, run.job_id, now)
        if over.again_at is not None:
            again = {"next_run_at": over.again_at, "retry_at": over.again_at}
            job_rows.set_state(tx, run.job_id, **again)
    return ended, kept
