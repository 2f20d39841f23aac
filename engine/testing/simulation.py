"""The whole engine on a clock that somebody moves: a week takes a fraction of a second.

The parts are those of the gateway (`engine.core.Engine`), over a store in memory. What is
replaced is what would reach outside: time, the agent, command jobs, and the sending of
messages. Turn time limits count real time, so a scripted turn never runs into one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from engine import sessions as keys
from engine.beats.look import FileRead
from engine.clock import SystemClock
from engine.config.paths import Paths, host_zone
from engine.core import Circumstances, Engine
from engine.decisions.wake import NewEvent
from engine.events import Event as BusEvent
from engine.messages.address import ChatType, Route
from engine.messages.target import LastRoute
from engine.store import outbox, sessions
from engine.talk.conversation import ChatAnswer, ChatTurn
from engine.testing.agent import OneAgent
from engine.testing.clock import ManualClock
from engine.testing.given import Config, Instant, environment, instant, places, read
from engine.testing.report import Report, report_of
from engine.testing.watched import Watched
from engine.testing.world import AnyAgent, Commands, World, carry
from engine.workspace.bootstrap import read_now
from jobs import wallclock
from jobs.errors import InvalidInput
from jobs.ids import new_id
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import JobQuery, RunQuery
from jobs.store.db import Database

SEED: Final = "simulation"
ALL_JOBS: Final = JobQuery(kinds=("cron", "heartbeat"), enabled=None)
_CALM: Final = 12  # turns of the event loop without any sign of work: everybody waits
_NAP: Final = timedelta(seconds=30)  # for what stays due although it was served


class Simulation:
    """An engine on a manual clock. Use as ``async with``, or `close` it.

    ``config`` is a file, its text, or a mapping; ``start`` an instant, or wall time in
    ``zone``, or now. ``zone`` is also the host's. ``agent`` answers every turn: an `Agent` or
    a function from the request to a text; without one the offline rules do. ``checklist``
    stands in for HEARTBEAT.md, of all agents or by agent id. Commands are not run: ``commands``
    says what they print, or how they end. A ``database`` with a history is gone on from, and
    stays the caller's to close.
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
        self._zone = zone
        self._environ = environment() if environ is None else dict(environ)
        host = zone or host_zone(self._environ)
        now = SystemClock().now() if start is None else instant(start, SystemClock().now(), host)
        self.clock = ManualClock(now)
        self.start = self.clock.now()
        self._paths = paths or places(config, home)
        self._loaded = read(config, self._paths, self._environ)
        self._host_zone = host
        self._world = World(self.clock, agent=agent, checklist=checklist, commands=commands)
        self._given = database
        self._seed = seed
        self._engine: Engine | None = None
        self._watched: Watched | None = None
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
            self._watched = Watched(self._given or await Database.memory())
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
            self._loaded = read(config, self._paths, self._environ)
        await self._begin()

    async def apply(self, config: Config) -> None:
        """Put another config in force, as a reload does."""
        await self.open()
        self._loaded = read(config, self._paths, self._environ)
        await self.engine.apply(self._loaded.config, self._loaded.job_places())
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
                places=self._loaded.job_places(),
                read_file=self._read_file,
                read_context=_read_context,
                run_program=self._world.run_program,
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
        goal = instant(end, self.clock.now(), self.zone.key)
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
        if not self._world.answering:
            return False
        await asyncio.sleep(0.001)
        return True

    async def _carried(self) -> bool:
        """Deliver what waits in the outbox; whether there was any."""
        if not self._posted:
            return False
        self._posted = False
        now = self.clock.now()
        arrived = await self.database.write(lambda tx: carry(tx, now))
        for one, gone in arrived:
            self.engine.bus.publish("outbox", {"key": one.key, "state": "delivered"})
            if gone:
                told = {"action": "removed", "jobId": one.job_id, "runId": one.run_id}
                self.engine.bus.publish("cron", told)
        self._posted = False  # what was just told is no new message
        return bool(arrived)

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
        session: str | None = None,
    ) -> asyncio.Task[ChatAnswer]:
        """Let a person say something; the turn goes on while the clock moves.

        ``run_id`` is what makes the same message the same: unset, each is a new one.
        ``session`` is where it is said, if not in the agent's main session.
        """
        await self.open()
        agent_id = self.engine.roster.agent(agent).agent_id
        chat = ChatTurn(
            run_id=run_id or new_id(self.clock.now()),
            agent_id=agent_id,
            session_key=session or keys.main_key(agent_id, main=self.engine.roster.main_key),
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
        """Everything on record since the simulation began."""
        await self.open()
        query = RunQuery(descending=False, limit=1_000_000, since=self.start)
        found = await self.database.read(lambda tx: run_rows.page(tx, query))
        sent = await self.database.read(lambda tx: outbox.page(tx, limit=1_000_000))
        known = await self.database.read(lambda tx: job_rows.select(tx, ALL_JOBS))
        return report_of(
            found.entries,
            [one for one in sent[0] if one.created_at >= self.start],
            start=self.start,
            until=self.clock.now(),
            zone=self.zone,
            known=[stored.job for stored in known.jobs],
        )

    async def _read_file(self, workspace: Path) -> FileRead:
        return self._world.checklist(workspace, self.engine.roster)

    def _source(self) -> OneAgent:
        return self._world.source(self._loaded.config, self._paths)


async def _read_context(workspace: Path) -> str:
    return read_now(workspace)  # on the spot: no thread holds up a clock that is moved


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
            end = instant(until, sim.start, here)
        planned = sorted(
            ((instant(at, sim.start, here), text) for at, text in events), key=lambda one: one[0]
        )
        for at, text in planned:
            await sim.until(at)
            await sim.event(text)
        return await sim.until(end)
