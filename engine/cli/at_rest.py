"""A home whose gateway is down, looked at: its config and its store, read-only (cron.md §11.2)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from engine.cli.ask import Line
from engine.cli.place import Place, shown
from engine.clock import SystemClock
from jobs.errors import ConfigInvalid, EngineError, GatewayDown

if TYPE_CHECKING:
    from engine.beats.look import Lookout
    from engine.config.load import Loaded
    from engine.inquiry import Inquiry
    from engine.inquiry.coming import Coming
    from engine.scheduling import Outlook
    from engine.scheduling.reading import Way
    from engine.settings import Settings
    from jobs.store.db import Database, Tx

T = TypeVar("T")
DOWN: Final[Mapping[str, Any]] = {"gateway": {"running": False}}  # in an answer of the store


def loaded(place: Place) -> Loaded:
    """Its config, as the gateway would read it."""
    from engine.config.load import load

    paths = place.paths
    return load(paths.config, place.environ, state=paths.state, resolve_secrets=True)


def readable(place: Place) -> Loaded:
    """Its config for whoever reads what was: no program that keeps secrets is run for that.

    A secret this shell cannot follow keeps nobody from it either: only the gateway needs it.
    """
    from engine.config.freshness import unresolved
    from engine.config.load import load

    config, state = place.paths.config, place.paths.state
    try:
        return load(config, place.environ, state=state, resolve_secrets=True, programs=False)
    except ConfigInvalid as error:
        issues = error.detail.get("issues")
        if not isinstance(issues, list) or len(unresolved(error)) != len(issues):
            raise
    return load(config, place.environ, state=state)


def config_fault(place: Place) -> EngineError | None:
    """Why the config file cannot be used, if it cannot."""
    from engine.config.load import load

    try:
        load(place.paths.config, place.environ, state=place.paths.state, credentials=True)
    except EngineError as error:
        return error
    return None


def secrets_fault(place: Place) -> EngineError | None:
    """Why a start from here would be refused for its secrets; no program is asked for one."""
    from engine.config.load import load

    paths = place.paths
    try:
        load(paths.config, place.environ, state=paths.state, resolve_secrets=True, programs=False)
    except ConfigInvalid as error:
        return error
    return None


async def opened(place: Place, config: Loaded) -> Database:
    """Its store, for reading; an empty one where there is none yet."""
    from jobs.store.db import Database

    url = config.config.store.url
    if url is not None and url.known is None:
        url = loaded(place).config.store.url  # says why it leads nowhere, or asks its program
    where = None if url is None else url.reveal()
    there = await asyncio.to_thread(place.paths.database.exists)
    if where is None and not there:
        return await Database.memory()
    return await Database.open(where or place.paths.database, read_only=True)


def read(place: Place, work: Callable[[Tx, Loaded], T]) -> T:
    """Run a work on what was committed last."""
    config = readable(place)

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
    config = readable(place)

    async def ask(database: Database) -> dict[str, Any]:
        outlook = _outlook(place, config, database)
        answer = outlook.explain if method == "cron.explain" else outlook.timeline
        return await answer(params)

    found = asyncio.run(_with(place, config, ask))
    say_so(line)
    return {**found, **DOWN}


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
        self._config = readable(place)

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: timedelta | None = None,  # noqa: ARG002 - as a gateway is asked
    ) -> Any:
        """Return what the gateway would answer, and that it was not asked."""
        answer = asyncio.run(
            _with(self._place, self._config, lambda db: self._answer(db, method, params or {}))
        )
        # A job is pasted into configs as it stands.
        told = isinstance(answer, dict) and method != "cron.get"
        return {**answer, **DOWN} if told else answer

    def _way(self) -> Way:
        from engine.outlet import way_of
        from engine.roster.profiles import roster_of

        roster = roster_of(self._config.config, self._place.paths, self._place.zone)
        return lambda tx, job: way_of(tx, roster, job)

    async def _answer(self, database: Database, method: str, params: Mapping[str, Any]) -> Any:
        from engine.config import effective
        from engine.inquiry import told_of_run
        from engine.roster.profiles import roster_of
        from engine.scheduling import reading
        from jobs.store import jobs as job_rows

        default = effective.default_agent(self._config.config)
        match method:
            case "cron.list":
                way = self._way()
                return await database.read(lambda tx: reading.listing(tx, params, default, way))
            case "cron.runs":
                reading.check_log(params)
                return await database.read(lambda tx: reading.run_log(tx, params))
            case "cron.get":
                ref, way = str(params["id"]), self._way()
                stored = await database.read(lambda tx: job_rows.find(tx, ref))
                told = await database.read(lambda tx: reading.wire(tx, stored, default))
                shown = await database.read(lambda tx: reading.preview(tx, stored, way))
                return {**told, "deliveryPreview": shown}
            case "cron.explain":
                roster = roster_of(self._config.config, self._place.paths, self._place.zone)
                ref = str(params["runId"])
                return await database.read(
                    lambda tx: told_of_run(tx, ref, zone_of=lambda agent: roster.agent(agent).zone)
                )
            case _:
                return await self._beats(database, method, params)

    async def _beats(self, database: Database, method: str, params: Mapping[str, Any]) -> Any:
        """Return what is asked of beats, or of words that reached nobody."""
        from engine.ledger.history import History
        from engine.roster.profiles import roster_of
        from jobs.wallclock import instant

        match method:
            case "heartbeat.history":
                roster = roster_of(self._config.config, self._place.paths, self._place.zone)
                history = History(
                    database,
                    SystemClock(),
                    zone_of=lambda agent: roster.agent(agent).zone,
                    hours_of=lambda agent: roster.agent(agent).beat.active_hours,
                )
                if params.get("summary"):
                    return await history.summary(params, SystemClock().now())
                return await history.page(params)
            case "heartbeat.tasks":
                return await _tasks(self._place, self._config, database, params.get("agentId"))
            case "channels.routes":
                from engine.talk import ways

                roster = roster_of(self._config.config, self._place.paths, self._place.zone)
                now = SystemClock().now()
                return await database.read(lambda tx: ways.listing(tx, roster, params, now))
            case "heartbeat.cost":
                asked = await _inquiry(self._place, self._config, database)
                return await _costs(asked, self._config, database, params)
            case "heartbeat.next":
                ahead = await _coming(self._place, self._config, database)
                return await ahead.next(params, SystemClock().now())
            case "heartbeat.replay":
                return await _replayed(self._place, self._config, database, str(params["runId"]))
            case "heartbeat.explain":
                inquiry = await _inquiry(self._place, self._config, database)
                then = instant(params.get("atMs"))
                return await inquiry.told(params.get("agentId"), SystemClock().now(), at=then)
            case _:
                return await database.read(lambda tx: _words(tx, method, params))


def _words(tx: Tx, method: str, params: Mapping[str, Any]) -> Any:
    """Return messages, and words that reached nobody."""
    from engine.talk import inbox_desk, outbox_desk

    now = SystemClock().now()
    match method:
        case "heartbeat.inbox":
            return inbox_desk.listing(tx, params, now)
        case "heartbeat.inbox.show":
            return inbox_desk.shown(tx, str(params["id"]), now)
        case "outbox.list":
            return outbox_desk.listing(tx, params, now)
        case "outbox.show":
            return outbox_desk.shown(tx, str(params["key"]))
        case "inbox.list":
            from engine.store import inbox

            return inbox.listing(tx, params)
        case "pairing.list":
            from gateway import pairing

            return pairing.listing(tx, params, now)
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
            say_so(line)
        yield asked


def say_so(line: Line) -> None:
    """Say before the answer that no gateway gave it; JSON has a field of its own for that."""
    if not line.as_json:
        tell_down(line.place)


def tell_down(place: Place) -> None:
    """Say that the gateway does not run, and what answered."""
    where = shown(place.paths.database, place.paths)
    sys.stderr.write(f"The gateway is not running; answered from the store ({where}).\n")


async def _with(place: Place, config: Loaded, ask: Callable[[Database], Awaitable[T]]) -> T:
    database = await opened(place, config)
    try:
        return await ask(database)
    finally:
        await database.close()


async def _tasks(
    place: Place, config: Loaded, database: Database, agent_id: str | None
) -> dict[str, Any]:
    from engine.beats.task_jobs import told_of
    from engine.core import INSTALLATION
    from engine.store import meta

    seed = await database.read(lambda tx: meta.get(tx, INSTALLATION)) or ""
    roster = _settings(place, config).roster
    return await told_of(database, roster, agent_id, seed=seed, now=SystemClock().now())


async def _costs(
    inquiry: Inquiry, config: Loaded, database: Database, params: Mapping[str, Any]
) -> dict[str, Any]:
    from engine.agents.configured import prices
    from engine.inquiry.costs import Costs, query_of

    costs = Costs(
        database=database,
        lookout=inquiry.lookout,
        roster=inquiry.roster,
        prices=prices(config.config),
    )
    return await costs.report(query_of(params), SystemClock().now())


def told_without_config(
    place: Place, agent_id: str | None, *, at: datetime | None = None
) -> dict[str, Any]:
    """`heartbeat.explain` from the store of this home alone: its config cannot be read."""
    from engine import why
    from engine.inquiry import stored_facts, told_of_past
    from jobs.wallclock import zone

    now, agent = SystemClock().now(), agent_id or "main"
    past = at is not None and at <= now
    if not place.paths.database.exists():
        return why.told_of_now(why.Facts(agent_id=agent, now=now))

    def ask(tx: Tx) -> dict[str, Any]:
        if at is not None and past:
            where = zone(place.zone)
            return told_of_past(tx, agent, at, now=now, where=where, live=False)
        return why.told_of_now(stored_facts(tx, agent, now))

    return _of_file(place, ask)


def run_without_config(place: Place, ref: str) -> dict[str, Any]:
    """Why a run ended as it did, from the store of this home alone."""
    from engine.inquiry import told_of_run
    from jobs.wallclock import zone

    return _of_file(place, lambda tx: told_of_run(tx, ref, zone_of=lambda _: zone(place.zone)))


def _of_file(place: Place, work: Callable[[Tx], dict[str, Any]]) -> dict[str, Any]:
    from jobs.store.db import Database

    async def ask() -> dict[str, Any]:
        database = await Database.open(place.paths.database, read_only=True)
        try:
            return await database.read(work)
        finally:
            await database.close()

    return asyncio.run(ask())


def _settings(place: Place, config: Loaded) -> Settings:
    from engine.config.calendars import calendars
    from engine.roster.profiles import roster_of
    from engine.settings import Settings

    now = SystemClock().now()
    found = calendars(config.config, place.paths.config.parent, now, place.zone)
    roster = roster_of(config.config, place.paths, place.zone, calendars=found)
    return Settings(config=config.config, roster=roster, environ=place.environ, calendars=found)


def _outlook(place: Place, config: Loaded, database: Database) -> Outlook:
    from engine.scheduling import Outlook

    settings = _settings(place, config)
    return Outlook(database=database, clock=SystemClock(), sight=settings.outlook)


async def _inquiry(place: Place, config: Loaded, database: Database) -> Inquiry:
    from engine.inquiry import Inquiry

    settings = _settings(place, config)
    lookout = await _lookout(settings, database)
    return Inquiry(database=database, lookout=lookout, roster=settings.roster, config=config.config)


async def _coming(place: Place, config: Loaded, database: Database) -> Coming:
    from engine.inquiry.coming import Coming

    settings = _settings(place, config)
    lookout = await _lookout(settings, database)
    return Coming(
        database=database,
        lookout=lookout,
        roster=lambda: settings.roster,
        phased=lookout.phased,
    )


async def _replayed(
    place: Place, config: Loaded, database: Database, run_id: str
) -> dict[str, Any]:
    from engine.inquiry import hindsight

    settings = _settings(place, config)
    lookout = await _lookout(settings, database)
    return await hindsight.replay(
        run_id, database=database, lookout=lookout, roster=settings.roster
    )


async def _lookout(settings: Settings, database: Database) -> Lookout:
    from engine.beats.look import Lookout
    from engine.core import INSTALLATION
    from engine.store import meta
    from engine.turns.lanes import Lanes

    seed = await database.read(lambda tx: meta.get(tx, INSTALLATION))
    return Lookout(
        database=database,
        lanes=Lanes(1, clock=SystemClock()),
        roster=lambda: settings.roster,
        shown=settings.shown,
        seed=seed or "",
        config_hash=lambda: settings.digest,
    )
