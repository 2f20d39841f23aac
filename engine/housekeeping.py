"""The chores: rows that are old enough go, sessions of finished runs are forgotten."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from engine.clock import Clock
from engine.config.schema import Cron
from engine.store import events, outbox, sessions, tasks
from jobs.store import runs
from jobs.store.db import Database, Tx

log = logging.getLogger(__name__)

KEEP_RUNS: Final = timedelta(days=90)  # heartbeat.md §9.2
KEEP_OUTBOX: Final = timedelta(days=30)  # channels.md §11
KEEP_EVENTS: Final = timedelta(days=30)
KEEP_TASKS: Final = timedelta(days=30)


class Housekeeping:
    """Cleans a little, often; never a row that is still open."""

    def __init__(self, *, database: Database, clock: Clock, settings: Callable[[], Cron]) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings

    async def clean(self) -> None:
        """One round."""
        now = self._clock.now()
        retention = self._settings().session_retention

        def work(tx: Tx) -> int:
            gone = runs.prune(tx, now - KEEP_RUNS)
            gone += outbox.prune(tx, now - KEEP_OUTBOX)
            gone += events.prune(tx, now - KEEP_EVENTS)
            gone += tasks.prune(tx, now - KEEP_TASKS)
            if retention:
                gone += len(sessions.reap(tx, now - retention))
            return gone

        gone = await self._database.write(work)
        if gone:
            log.info("old rows removed", extra={"rows": gone})
