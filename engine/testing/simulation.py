"""The whole engine on a clock that somebody moves: a week takes a fraction of a second.

The parts are those of the gateway (`engine.core.Engine`), over a store in memory. What is
replaced is what would reach outside: time, the agent, command jobs, and the sending of
messages. Turn time limits count real time, so a scripted turn never runs into one.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from zoneinfo import ZoneInfo

from engine import sessions as keys
from engine.agents.base import Agent, TurnRequest
from engine.agents.configured import load_script
from engine.agents.offline import OfflineAgent
from engine.clock import SystemClock
from engine.config.load import Loaded, load
from engine.config.paths import Paths, host_zone, resolve
from engine.conversation import ChatAnswer, ChatTurn
from engine.core import Circumstances, Engine
from engine.events import Event as BusEvent
from engine.look import FileRead, read_now
from engine.outbox import Delivery, Event
from engine.process import Ended
from engine.scheduling import Place
from engine.store import outbox, sessions
from engine.target import ChatType, LastRoute, Route
from engine.testing.agent import OneAgent, ScriptedAgent, agent_of
from engine.testing.clock import ManualClock
from engine.testing.report import Report, report_of
from engine.wake import NewEvent
from jobs import wallclock
from jobs.errors import InvalidInput
from jobs.ids import new_id
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import RunQuery
from jobs.store.db import Database, Tx, Work
from jobs.written import parse_at

T = TypeVar("T")
Config = str | Path | Mapping[str, Any]
Instant = str | datetime
AnyAgent = Agent | Callable[[TurnRequest], str]
Commands = Callable[[Sequence[str]], str | Ended]

SEED: Final = "simulation"
_CALM: Final = 12  # turns of the event loop without any sign of work: everybody waits
_NAP: Final = timedelta(seconds=30)  # for what stays due although it was served
_SIDE_EFFECTS: Final = frozenset({"write"})  # of an agent the caller did not bring


class Simulation:
    """An engine on a manual clock. Use as ``async with``, or `close` it.

    ``config`` is a file, its text, or a mapping; ``start`` an instant, or wall time in
    ``zone``, or now. ``zone`` is also the host's. ``agent`` answers every turn: an `Agent` or
    a function from the request to a text; without one the offline rules do. ``checklist``
    stands in for HEARTBEAT.md, of all agents or by agent id. Commands are not run: ``commands``
    says what they print, or how they end.
    """

    def __init__(
        self,
        config: Config,
        *,
        start: Instant | None = None,
        zone: str | None = None,
        agent: AnyAgent | None = None,
        checklist: str | Mapping[str, str] | None = None,
        commands: Commands | None = None,
        home: Path | None = None,
        paths: Paths | None = None,
        environ: Mapping[str, str] | None = None,
        database: Database | None = None,
        seed: str = SEED,
    ) -> None:
        self.checklist = checklist
        self._zone = zone
        self._environ = _environment() if environ is None else dict(environ)
        host = zone or host_zone(self._environ)
        now = SystemClock().now() if start is None else _instant(start, SystemClock().now(), host)
        self.clock = ManualClock(now)
        self.start = self.clock.now()
        self._paths = paths or _places(config, home)
        self._loaded = _read(config, self._paths, self._environ)
        self._host_zone = host
        self._agent = agent
        self._commands = commands or _pretended
        self._given = database
        self._seed = seed
        self._engine: Engine | None = None
        self._turns: OneAgent | None = None
        self._watched: _Watched | None = None
        self._chats: set[asyncio.Task[ChatAnswer]] = set()
        self._posted = False  # something waits in the outbox

    # -- life ----------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The engine; there is one after the first `until`, `advance`, or ``async with``."""
        if self._engine is None:
            raise InvalidInput(
                "the simulation has not begun", fix="await sim.open(), or use `async with`"
            )
        return self._engine

    @property
    def database(self) -> Database:
        """The store behind it."""
        return self.engine.database

    @property
    def zone(self) -> ZoneInfo:
        """The zone reports are told in: the one given, else the config's person's."""
        return wallclock.zone(self._zone) if self._zone else self.engine.roster.default_zone

    def now(self) -> datetime:
        """Where the clock stands."""
        return self.clock.now()

    async def open(self) -> Self:
        """Start the engine, if it is not started."""
        if self._engine is None:
            self._watched = _Watched(self._given or await Database.memory())
            await self._begin()
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop the engine and let go of the store, unless it was handed in."""
        for chat in self._chats:
            chat.cancel()
        if self._engine is not None:
            await self._engine.stop(timedelta())
            self._engine = None
        watched, self._watched = self._watched, None
        if watched is not None and self._given is None:
            await watched.close()

    def dispose(self) -> None:
        """Let go of a store of our own without an event loop: for fixtures."""
        watched, self._watched = self._watched, None
        if watched is not None and self._given is None:
            watched.dispose()

    async def restart(
        self, *, down_for: timedelta = timedelta(), config: Config | None = None
    ) -> None:
        """Stop, let time pass without an engine, and start again on the same store."""
        await self.open()
        await self.engine.stop(timedelta())
        self.clock.move_to(self.clock.now() + down_for)
        if config is not None:
            self._loaded = _read(config, self._paths, self._environ)
        await self._begin()

    async def apply(self, config: Config) -> None:
        """Put another config in force, as a reload does."""
        await self.open()
        self._loaded = _read(config, self._paths, self._environ)
        await self.engine.apply(self._loaded.config, _job_places(self._loaded))
        self.engine.turns.use(self._source())
        await self._settle()

    async def _begin(self) -> None:
        if self._watched is None:
            raise AssertionError("a simulation begins with its store")
        self._engine = Engine(
            database=self._watched,
            clock=self.clock,
            config=self._loaded.config,
            seed=self._seed,
            circumstances=Circumstances(
                paths=self._paths,
                host_zone=self._host_zone,
                environ=self._environ,
                boot_id=new_id(self.clock.now()),
                places=_job_places(self._loaded),
                read_file=self._read_file,
                run_program=self._run_program,
            ),
        )
        self._engine.turns.use(self._source())
        self._engine.bus.listen(self._noted)
        self._posted = True  # by an engine before this one, perhaps
        await self._engine.start()
        await self._engine.resume()
        await self._settle()

    # -- time ----------------------------------------------------------------------------

    async def until(
        self, end: Instant, *, on_step: Callable[[datetime], None] | None = None
    ) -> Report:
        """Let everything happen that happens before ``end``, and report on all so far.

        ``end`` itself is left to the next call, so that calls in a row leave nothing out.
        """
        await self.open()
        goal = _instant(end, self.clock.now(), self.zone.key)
        if goal < self.clock.now():
            raise InvalidInput(
                "the simulation cannot go back",
                why=f"it is {self.clock.now().isoformat()}, asked for {goal.isoformat()}",
                fix="name a later instant",
            )
        while (following := await self._step()) is not None and following < goal:
            self.clock.move_to(max(following, self.clock.now()))
            if on_step is not None:
                on_step(following)
        self.clock.move_to(goal)
        await self._settle()
        return await self.report()

    async def advance(self, by: timedelta) -> Report:
        """Let some time pass."""
        return await self.until(self.clock.now() + by)

    async def _step(self) -> datetime | None:
        """Serve what is due now; return when something happens next."""
        due = await self._tick()
        if due is not None and due <= self.clock.now():  # a retry without a wait
            due = await self._tick()
        if due is not None and due <= self.clock.now():
            due = self.clock.now() + _NAP
        known = [at for at in (due, self.clock.next_sleeper()) if at is not None]
        return min(known, default=None)

    async def _tick(self) -> datetime | None:
        due = await self.engine.loop.tick()
        before = self._works
        await self._settle()
        return due if before == self._works else await self.database.read(job_rows.next_due)

    @property
    def _works(self) -> int:
        return self._watched.works if self._watched is not None else 0

    async def _settle(self) -> None:
        """Return when nothing more happens before the clock moves; messages have arrived."""
        while True:
            await self._calm()
            if not await self._carried():
                return

    async def _calm(self) -> None:
        engine, watched = self.engine, self._watched
        calm, seen = 0, (-1, -1)
        while engine.running.jobs() or engine.waking.busy or self._chats:
            await asyncio.sleep(0)
            signs = (self._works, self.clock.sleeps)
            waits_outside = watched is not None and watched.pending > 0
            calm = calm + 1 if signs == seen and not waits_outside else 0
            seen = signs
            if calm >= _CALM and not await self._agent_is_out():
                return

    async def _agent_is_out(self) -> bool:
        """Wait a moment in real time for a turn that waits for something real."""
        if self._turns is None or self._turns.busy <= self.clock.sleepers:
            return False
        await asyncio.sleep(0.001)
        return True

    async def _carried(self) -> bool:
        """Deliver what waits in the outbox; whether there was any."""
        if not self._posted:
            return False
        self._posted = False
        now = self.clock.now()
        waiting = await self.database.read(lambda tx: outbox.ready(tx, now, 100))
        if waiting:
            await self.database.write(lambda tx: _carry(tx, waiting, now))
        return bool(waiting)

    def _noted(self, event: BusEvent) -> None:
        self._posted = self._posted or event.name == "outbox"

    # -- what happens from outside -------------------------------------------------------

    async def event(
        self, text: str, *, mode: str = "now", agent: str | None = None
    ) -> dict[str, Any]:
        """Queue a system event, as `engine system event` does; with ``now`` it wakes."""
        await self.open()
        answer = await self.engine.waking.system_event(
            NewEvent(text=text, mode=mode, agent_id=agent, source="cli", by="simulation")
        )
        await self._settle()
        return answer

    async def contact(self, channel: str, to: str, *, agent: str | None = None) -> None:
        """Let a person have written from there: ``last`` leads to them from now on."""
        await self.open()
        roster = self.engine.roster
        agent_id = roster.agent(agent).agent_id
        facts = roster.channels(agent_id).get(channel)
        route = LastRoute(
            agent_id=agent_id,
            session_key=keys.main_key(agent_id, main=roster.main_key),
            channel=channel,
            account_id=(facts.default_account if facts else None) or "default",
            to=to,
            chat_type=ChatType.DIRECT,
            set_at=self.clock.now(),
            set_by="simulation",
        )
        await self.database.write(lambda tx: sessions.set_route(tx, route))

    async def say(
        self,
        text: str,
        *,
        agent: str | None = None,
        route: Route | None = None,
        run_id: str | None = None,
    ) -> asyncio.Task[ChatAnswer]:
        """Let a person say something; the turn goes on while the clock moves.

        ``run_id`` is what makes the same message the same: unset, each is a new one.
        """
        await self.open()
        agent_id = self.engine.roster.agent(agent).agent_id
        chat = ChatTurn(
            run_id=run_id or new_id(self.clock.now()),
            agent_id=agent_id,
            session_key=keys.main_key(agent_id, main=self.engine.roster.main_key),
            text=text,
            route=route,
        )
        task = asyncio.create_task(self.engine.conversation.receive(chat), name="simulated-chat")
        self._chats.add(task)
        task.add_done_callback(self._chats.discard)
        await self._settle()
        return task

    # -- what came of it -----------------------------------------------------------------

    async def report(self) -> Report:
        """Everything on record so far."""
        await self.open()
        query = RunQuery(descending=False, limit=1_000_000)
        found = await self.database.read(lambda tx: run_rows.page(tx, query))
        sent = await self.database.read(lambda tx: outbox.page(tx, limit=1_000_000))
        return report_of(
            found.entries, sent[0], start=self.start, until=self.clock.now(), zone=self.zone
        )

    # -- what stands in for the world ----------------------------------------------------

    def _source(self) -> OneAgent:
        if self._agent is not None:
            agent = agent_of(self._agent)
            if isinstance(agent, ScriptedAgent):
                agent.clock = self.clock
            self._turns = OneAgent(agent)
            return self._turns
        offline = self._loaded.config.models.providers.get("offline")
        named = offline.script if offline is not None else None
        script = load_script(self._paths.expand(named)) if named else ()
        self._turns = OneAgent(OfflineAgent(script, sleep=self._sleep), without_tools=_SIDE_EFFECTS)
        return self._turns

    async def _sleep(self, span: timedelta) -> None:
        await self.clock.sleep_until(self.clock.now() + span)

    async def _read_file(self, workspace: Path) -> FileRead:
        given = self.checklist
        if given is None:
            return read_now(workspace)
        if isinstance(given, str):
            return given.encode(), None
        agents = self.engine.roster.agents.values()
        owner = next((one.agent_id for one in agents if one.workspace == workspace), "")
        return (given[owner].encode(), None) if owner in given else (None, None)

    async def _run_program(self, argv: Sequence[str], **_how: Any) -> Ended:
        said = self._commands(argv)
        return said if isinstance(said, Ended) else Ended(code=0, out=said.encode(), err=b"")


async def simulate(
    config: Config,
    start: Instant,
    *,
    until: Instant | None = None,
    days: float | None = None,
    zone: str | None = None,
    agent: AnyAgent | None = None,
    checklist: str | Mapping[str, str] | None = None,
    events: Sequence[tuple[Instant, str]] = (),
) -> Report:
    """Run a config over a span of time: ``until`` an instant, or for ``days`` (7)."""
    async with Simulation(config, start=start, zone=zone, agent=agent, checklist=checklist) as sim:
        here = sim.zone.key
        end = sim.start + timedelta(days=7 if days is None else days)
        if until is not None:
            end = _instant(until, sim.start, here)
        planned = sorted(
            ((_instant(at, sim.start, here), text) for at, text in events), key=lambda one: one[0]
        )
        for at, text in planned:
            await sim.until(at)
            await sim.event(text)
        return await sim.until(end)


class _Watched(Database):
    """A store that counts what it is asked, so that a simulation knows when all is quiet."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner, path=inner.path)
        self._inner = inner
        self.works = 0  # asked for so far
        self.pending = 0  # asked for and not answered

    async def write(self, work: Work[T]) -> T:
        return await self._counted(super().write(work))

    async def read(self, work: Work[T]) -> T:
        return await self._counted(super().read(work))

    async def _counted(self, asked: Coroutine[Any, Any, T]) -> T:
        self.works += 1
        self.pending += 1
        try:
            return await asked
        finally:
            self.pending -= 1

    def dispose(self) -> None:
        """Close a store in memory: nothing of it ever waits."""
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._inner.close())
        finally:
            loop.close()


def _carry(tx: Tx, waiting: Sequence[Delivery], now: datetime) -> None:
    """The whole journey of messages: nobody refuses them."""
    for one in waiting:
        if outbox.move(tx, one.key, Event.ATTEMPT, now, attempts=1, first_attempt_at=now):
            outbox.move(tx, one.key, Event.ACCEPTED, now, message_ids=(f"sim-{one.key}",))


def _pretended(argv: Sequence[str]) -> str:
    return f"(not run in a simulation) {' '.join(argv)}"


def _instant(given: Instant, now: datetime, zone: str) -> datetime:
    if isinstance(given, datetime):
        if given.tzinfo is None:
            given = given.replace(tzinfo=wallclock.zone(zone))
        return given
    return parse_at(given, now=now, tz=zone)


def _environment() -> dict[str, str]:
    """The variables a config may name; none that steers an engine on this machine."""
    return {key: value for key, value in os.environ.items() if not key.startswith("ENGINE_")}


def _places(config: Config, home: Path | None) -> Paths:
    if not isinstance(config, Mapping) and not _is_text(config):
        path = Path(config).absolute()
        state = home or path.parent
    else:
        # Nothing is created there: a checklist that is handed in needs no file.
        state = home or Path(tempfile.gettempdir()) / "engine-simulation"
        path = state / "engine.json"
    return resolve({"ENGINE_STATE_DIR": str(state), "ENGINE_CONFIG_PATH": str(path)})


def _is_text(config: str | Path) -> bool:
    return isinstance(config, str) and ("{" in config or "\n" in config)


def _read(config: Config, paths: Paths, environ: Mapping[str, str]) -> Loaded:
    raw: bytes | None = None
    path = paths.config
    if isinstance(config, Mapping):
        raw = json.dumps(config).encode()
    elif _is_text(config):
        raw = str(config).encode()
    else:
        path = Path(config).absolute()
        if not path.is_file():
            raise InvalidInput(
                "the simulation has no config",
                why=f"{path} is not a file",
                fix="name the engine.json, or hand in a mapping",
            )
    return load(path, environ, state=paths.state, raw=raw)


def _job_places(loaded: Loaded) -> dict[str, Place]:
    places = {key: loaded.place("cron", "jobs", key) for key in loaded.config.cron.jobs}
    return {
        key: Place(file=place.file, line=place.line)
        for key, place in places.items()
        if place is not None
    }
