"""The chores: rows that are old or too many go, sessions of finished runs are forgotten."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from engine.clock import Clock
from engine.config.schema.cron import Cron
from engine.store import audit, events, kept, outbox, sent, sessions, tasks
from jobs.model import ERRAND
from jobs.store import runs
from jobs.store.db import Database, Tx

log = logging.getLogger(__name__)

KEEP_BEATS: Final = timedelta(days=90)  # heartbeat.md §9.2
KEEP_OUTBOX: Final = timedelta(days=30)  # channels.md §11
KEEP_EVENTS: Final = timedelta(days=30)
KEEP_TASKS: Final = timedelta(days=30)
KEEP_SENT: Final = timedelta(days=30)  # longer than any window in which a text is a repetition
KEEP_RESPONSES: Final = timedelta(days=30)  # how long a client may go on from an answer
KEEP_AUDIT: Final = timedelta(days=400)  # who changed what: a year, and what it is compared with
PORTION: Final = 5000
ROUNDS: Final = 200  # portions of runs removed in one go; the rest waits for the next


class Housekeeping:
    """Cleans a little, often; never a row that is still open."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        settings: Callable[[], Cron],
        inbox: Callable[[], timedelta | None],
    ) -> None:
        self._inbox = inbox  # how long words that reached nobody are kept
        self._database = database
        self._clock = clock
        self._settings = settings

    async def clean(self) -> None:
        """One round."""
        now = self._clock.now()
        gone = await self._database.write(lambda tx: self._old(tx, now))
        log_of = self._settings().run_log
        for kind, span in (
            ("heartbeat", KEEP_BEATS),
            (ERRAND, KEEP_BEATS),
            ("cron", log_of.kept_for),
        ):
            gone += await self._old_runs(kind, now - span)
        keep = log_of.kept_per_job
        for job_id in await self._database.read(lambda tx: runs.longest(tx, keep)):
            gone += await self._in_portions(
                lambda tx, most, job=job_id: runs.prune_job(tx, job, keep, limit=most)  # type: ignore[misc]  # bound now
            )
        if gone:
            log.info("old rows removed", extra={"rows": gone})

    def _old(self, tx: Tx, now: datetime) -> int:
        gone = outbox.prune(tx, now - KEEP_OUTBOX)
        gone += events.prune(tx, now - KEEP_EVENTS)
        gone += tasks.prune(tx, now - KEEP_TASKS)
        gone += sent.prune(tx, now - KEEP_SENT)
        gone += sessions.prune_seen(tx)
        gone += len(sessions.reap_responses(tx, now - KEEP_RESPONSES))
        gone += audit.prune(tx, now - KEEP_AUDIT)
        if (kept_for := self._inbox()) is not None:
            gone += kept.prune(tx, now - kept_for, now)
        retention = self._settings().session_retention
        if retention:
            gone += len(sessions.reap(tx, now - retention))
        crowded = [
            key
            for channel, account in outbox.accounts(tx)
            for key in outbox.overflow(tx, channel, account, now)
        ]
        if crowded:
            log.warning("messages cancelled: too many waited", extra={"messages": len(crowded)})
        return gone

    async def _old_runs(self, kind: str, before: datetime) -> int:
        """Remove runs that are too old; they are looked for while others write."""
        gone = 0
        for _ in range(ROUNDS):
            places = await self._database.read(lambda tx: runs.old(tx, kind, before, limit=PORTION))
            if places:
                await self._database.write(partial(runs.remove, places=places))
            gone += len(places)
            if len(places) < PORTION:
                break
        return gone

    async def _in_portions(self, work: Callable[[Tx, int], int]) -> int:
        """Remove a portion at a time, so that no other write waits long."""
        gone = 0
        for _ in range(ROUNDS):
            removed = await self._database.write(lambda tx: work(tx, PORTION))
            gone += removed
            if removed < PORTION:
                break
        return gone
