"""What works and what does not: parts that must live as long as the process, watched.

A part that fails is logged once when it begins to and once when it works again, stands in
`health` and `/readyz` meanwhile, and goes on: nothing here ends because of an error
(operations.md §6.3, `failing`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final, TypeVar

from engine.agents.secrets import redacted
from engine.clock import Clock
from jobs.errors import EngineError, StoreUnavailable
from jobs.store.db import Database

log = logging.getLogger(__name__)

T = TypeVar("T")

# Waits between tries; the last one repeats.
PATIENCE: Final = tuple(timedelta(seconds=s) for s in (1, 2, 5, 10, 30))


class Vitals:
    """The parts that fail now, by name, each with its reason."""

    def __init__(self) -> None:
        self._failing: dict[str, str] = {}

    @property
    def failing(self) -> Mapping[str, str]:
        """What fails now; empty when all is well."""
        return dict(self._failing)

    def hurt(self, name: str, error: BaseException) -> None:
        """A part has failed. Said aloud the first time, until it is `well` again."""
        if name not in self._failing:
            known = isinstance(error, EngineError)
            log.error("%s fails: %s", name, error, exc_info=None if known else error)
        self._failing[name] = redacted(str(error) or type(error).__name__)

    def well(self, name: str) -> None:
        """A part has done its work."""
        if self._failing.pop(name, None) is not None:
            log.warning("%s works again", name)


class Insist:
    """Repeats a write the disk refuses until it is taken: what it says exists nowhere else.

    For facts (a run has ended, a message has left), not for wishes: who asks for something
    new is refused and may ask again.
    """

    def __init__(self, database: Database, *, clock: Clock, vitals: Vitals) -> None:
        self._database = database
        self._clock = clock
        self._vitals = vitals

    async def __call__(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what ``work`` returns in the end; it gives up only when the store is closed."""
        failures = 0
        while True:
            try:
                done = await work()
            except StoreUnavailable as error:
                if self._database.closed:
                    raise
                self._vitals.hurt("store", error)
                wait = PATIENCE[min(failures, len(PATIENCE) - 1)]
                failures += 1
                await self._clock.sleep_until(self._clock.now() + wait)
            else:
                self._vitals.well("store")
                return done


async def keep(
    name: str, work: Callable[[], Awaitable[None]], *, clock: Clock, vitals: Vitals
) -> None:
    """Run ``work`` until it returns or is cancelled: if it fails it is begun again.

    ``work`` calls `Vitals.well` itself when it gets somewhere.
    """
    failures = 0
    while True:
        began = clock.monotonic()
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the seam of one part: it is begun again
            vitals.hurt(name, error)
        else:
            return
        failures = 0 if clock.monotonic() - began > PATIENCE[-1] else failures
        wait = PATIENCE[min(failures, len(PATIENCE) - 1)]
        failures += 1
        await clock.sleep_until(clock.now() + wait)
