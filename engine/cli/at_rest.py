"""A home whose gateway is down, looked at: its config and its store, read-only (cron.md §11.2)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from engine.cli.ask import Line
from engine.cli.place import Place, shown
from engine.clock import SystemClock
from jobs.errors import GatewayDown

if TYPE_CHECKING:
    from engine.config.load import Loaded
    from engine.scheduling import Outlook
    from jobs.store.db import Database, Tx

T = TypeVar("T")


def loaded(place: Place) -> Loaded:
    """Its config, as the gateway would read it."""
    from engine.config.load import load

    paths = place.paths
    return load(paths.config, place.environ, state=paths.state, resolve_secrets=True)


async def opened(place: Place, config: Loaded) -> Database:
    """Its store, for reading; an empty one where there is none yet."""
    from jobs.store.db import Database

    url = config.config.store.url
    where = None if url is None else url.reveal()
    there = await asyncio.to_thread(place.paths.database.exists)
    if where is None and not there:
        return await Database.memory()
    return await Database.open(where or place.paths.database, read_only=True)


def read(place: Place, work: Callable[[Tx, Loaded], T]) -> T:
    """Run a work on what was committed last."""
    config = loaded(place)

    async def ask(database: Database) -> T:
        return await database.read(lambda tx: work(tx, config))

    return asyncio.run(_with(place, config, ask))


def looked(line: Line, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the gateway what is to come; where none runs on this home, its config and store."""
    try:
        return dict(line.call(method, params))
    except GatewayDown:
        if not line.at_home:
            raise
    place = line.place
    config = loaded(place)

    async def ask(database: Database) -> dict[str, Any]:
        outlook = _outlook(place, config, database)
        answer = outlook.explain if method == "cron.explain" else outlook.timeline
        return await answer(params)

    found = asyncio.run(_with(place, config, ask))
    _say_so(place)
    return found


class Asked(Protocol):
    """Who answers a method: the gateway, or its store while it is down."""

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> Any:
        """Return the answer."""


class Store:
    """Answers what is only read, from what was committed last (design.md §5)."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._config = loaded(place)

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: timedelta | None = None,  # noqa: ARG002 - as a gateway is asked
    ) -> Any:
        """Return what the gateway would answer."""
        return asyncio.run(
            _with(self._place, self._config, lambda db: self._answer(db, method, params or {}))
        )

    async def _answer(self, database: Database, method: str, params: Mapping[str, Any]) -> Any:
        from engine.config import effective
        from engine.history import History
        from engine.profiles import roster_of
        from engine.scheduling import reading
        from jobs.store import jobs as job_rows

        default = effective.default_agent(self._config.config)
        match method:
            case "cron.list":
                return await database.read(lambda tx: reading.listing(tx, params, default))
            case "cron.runs":
                reading.check_log(params)
                return await database.read(lambda tx: reading.run_log(tx, params))
            case "cron.get":
                ref = str(params["id"])
                return await database.read(
                    lambda tx: reading.wire(tx, job_rows.find(tx, ref), default)
                )
            case "heartbeat.history":
                roster = roster_of(self._config.config, self._place.paths, self._place.zone)
                history = History(database, zone_of=lambda agent: roster.agent(agent).zone)
                return await history.page(params)
            case _:
                raise AssertionError(f"{method} is not answered from the store")


@contextmanager
def reading(line: Line) -> Iterator[Asked]:
    """The gateway, for reading; where none runs on this home, its store, and that is said."""
    with ExitStack() as hold:
        try:
            asked: Asked = hold.enter_context(line.open())
        except GatewayDown:
            if not line.at_home or not line.place.paths.database.exists():
                raise
            asked = Store(line.place)
            _say_so(line.place)
        yield asked


def _say_so(place: Place) -> None:
    where = shown(place.paths.database, place.paths)
    sys.stderr.write(f"The gateway is not running; answered from the store ({where}).\n")


async def _with(place: Place, config: Loaded, ask: Callable[[Database], Awaitable[T]]) -> T:
    database = await opened(place, config)
    try:
        return await ask(database)
    finally:
        await database.close()


def _outlook(place: Place, config: Loaded, database: Database) -> Outlook:
    from engine.config.calendars import calendars
    from engine.profiles import roster_of
    from engine.scheduling import Outlook
    from engine.settings import Settings

    roster = roster_of(config.config, place.paths, place.zone)
    clock = SystemClock()
    found = calendars(config.config, place.paths.config.parent, clock.now(), place.zone)
    settings = Settings(config=config.config, roster=roster, environ=place.environ, calendars=found)
    return Outlook(database=database, clock=clock, sight=settings.outlook)
