"""What every handler has at hand: the engine, the caller, and the tables of running work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from engine.clock import Clock
from gateway.auth.visits import Visits
from gateway.protocol import frames
from gateway.protocol.frames import Encoded
from gateway.protocol.handshake import Session
from gateway.replay import Replay
from gateway.rpc.boards import Board
from gateway.rpc.core import Answer, Core
from gateway.rpc.presence import Presence
from gateway.rpc.subscriptions import Subscriptions, Tell
from gateway.rpc.windows import Windows
from jobs.errors import EngineError, StoreUnavailable
from jobs.wallclock import ms

log = logging.getLogger(__name__)

KEPT_FOR: Final = timedelta(milliseconds=300_000)
KEPT_ENTRIES: Final = 1000
HEALTH_AGE: Final = timedelta(seconds=10)  # operations.md §9.7

T = TypeVar("T")
ANSWERED: Final = object()  # returned by a handler that has written its answer itself
Publish = Callable[[str, object], None]
End = Callable[[Callable[[Session], bool], int, str], None]  # whom, code, reason


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way through a handler."""

    session: Session
    reply: Callable[[str], None]  # writes a further frame to the caller, if it is still there
    request_id: str
    address: str = ""  # where the caller is

    @property
    def caller(self) -> str:
        """Whose writes are counted together (§6): a device, an address, else this connection."""
        return self.session.device_id or self.address or self.session.conn_id

    @property
    def by(self) -> str:
        """How the audit names the caller."""
        return f"rpc:{self.session.name}"


class Tasks:
    """Work that outlives the socket it came from; owned by the desk, ended with it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start ``work``; a failure nobody waits for is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("background work failed", extra={"task": task.get_name()}, exc_info=error)

    async def close(self) -> None:
        """Cancel what is left and wait for it."""
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running))


class Once:
    """Idempotency keys (protocol.md §8): a repeat gets the first answer, error or not.

    A concurrent repeat waits for the first. 5 minutes, 1000 entries, oldest evicted first;
    what is still running is never evicted. What the disk refused was not done, so its repeat
    is tried again.
    """

    def __init__(self, tasks: Tasks, clock: Clock) -> None:
        self._tasks = tasks
        self._clock = clock
        self._answers: dict[str, tuple[datetime, asyncio.Task[object]]] = {}

    async def run(self, key: str, work: Callable[[], Coroutine[Any, Any, object]]) -> object:
        """Do ``work`` unless ``key`` was used; the caller may go away, the work goes on."""
        self._evict()
        known = self._answers.get(key)
        if known is not None and _undone(known[1]):
            known = None
        task = known[1] if known is not None else self._tasks.spawn(work(), f"once {key}")
        if known is None:
            self._answers[key] = (self._clock.now(), task)
        return await asyncio.shield(task)

    def _evict(self) -> None:
        limit = self._clock.now() - KEPT_FOR
        for key, (at, task) in tuple(self._answers.items()):
            if at > limit and len(self._answers) < KEPT_ENTRIES:
                return
            if task.done():
                del self._answers[key]


def _undone(task: asyncio.Task[object]) -> bool:
    """Whether work ended without anything having been written."""
    ended = task.done() and not task.cancelled()
    return ended and isinstance(task.exception(), StoreUnavailable)


@dataclass(slots=True, eq=False)
class ClientRun:
    """A turn a client started; ``run_id`` is its idempotency key (§8)."""

    run_id: str
    started_at: datetime
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[Answer] | None = None
    accepted: Mapping[str, Any] = field(default_factory=dict)
    ended_at: datetime | None = None
    waiting: list[Callable[[ClientRun], None]] = field(default_factory=list)


class ClientRuns:
    """Turns by run id, for replays and `agent.wait`; kept like idempotency keys."""

    def __init__(self, tasks: Tasks, clock: Clock) -> None:
        self._tasks = tasks
        self._clock = clock
        self._runs: dict[str, ClientRun] = {}
        self._awaited: dict[str, asyncio.Event] = {}  # of runs that have not begun
        self._waiting: dict[str, int] = {}

    def find(self, run_id: str) -> ClientRun | None:
        """The run, if it was started here a short while ago."""
        return self._runs.get(run_id)

    def start(self, run_id: str, work: Coroutine[Any, Any, Answer]) -> ClientRun:
        """Start a turn; whoever is in ``waiting`` when it ends is told."""
        self._evict()
        run = ClientRun(run_id, self._clock.now())
        if (event := self._awaited.pop(run_id, None)) is not None:
            run.ended = event
        self._runs[run_id] = run
        run.task = self._tasks.spawn(work, f"run {run_id}")
        run.task.add_done_callback(lambda _: self._end(run))
        return run

    async def wait(self, run_id: str, within: timedelta) -> ClientRun | None:
        """The run once it has ended, or nothing in time; an unknown run may still appear."""
        run = self._runs.get(run_id)
        event = run.ended if run else self._awaited.setdefault(run_id, asyncio.Event())
        self._waiting[run_id] = self._waiting.get(run_id, 0) + 1
        try:
            async with asyncio.timeout(within.total_seconds()):
                await event.wait()
        except TimeoutError:
            return None
        finally:
            self._waiting[run_id] -= 1
            if not self._waiting[run_id]:  # the last one takes the chair away
                del self._waiting[run_id]
                self._awaited.pop(run_id, None)
        return self._runs.get(run_id)

    def _end(self, run: ClientRun) -> None:
        run.ended_at = self._clock.now()
        run.ended.set()
        waiting, run.waiting = run.waiting, []
        for tell in waiting:
            tell(run)

    def _evict(self) -> None:
        limit = self._clock.now() - KEPT_FOR
        for run_id, run in tuple(self._runs.items()):
            if run.started_at > limit and len(self._runs) < KEPT_ENTRIES:
                return
            if run.ended_at is not None:
                del self._runs[run_id]


class HealthBoard:
    """The `health` answer, ready as text. Refreshed off the request path, one at a time."""

    def __init__(self, core: Core, clock: Clock, tasks: Tasks, publish: Publish) -> None:
        self.version = 0
        self._core = core
        self._clock = clock
        self._tasks = tasks
        self._publish = publish
        self._answer: Encoded | None = None
        self._facts: dict[str, Any] = {}
        self._at: datetime | None = None
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def facts(self) -> Mapping[str, Any]:
        """The newest snapshot; empty before the first refresh."""
        return self._facts

    async def answer(self, *, probe: bool) -> Encoded:
        """The newest snapshot; a stale one is served and refreshed behind."""
        if probe or self._answer is None:
            await self.refresh()
        elif self._stale():
            self.renew()
        return self._answer or Encoded("{}")

    def at_hand(self) -> Encoded | None:
        """The newest snapshot, unless it is time for another."""
        return None if self._answer is None or self._stale() else self._answer

    def renew(self) -> asyncio.Task[None]:
        """Start a refresh unless one is on its way."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = self._tasks.spawn(self._refresh(), "health refresh")
        return self._refreshing

    async def refresh(self) -> None:
        """Refresh now; joins the refresh that is on its way."""
        await asyncio.shield(self.renew())

    def _stale(self) -> bool:
        return self._at is None or self._clock.now() - self._at > HEALTH_AGE

    async def _refresh(self) -> None:
        began = self._clock.monotonic()
        try:
            facts = dict(await self._core.health())
        except EngineError as error:
            # Never the last good answer for ever: what fails is what is asked about.
            facts = {**self._facts, "ok": False, "failing": {"health": str(error)}}
        took = self._clock.monotonic() - began
        self._at = self._clock.now()
        self._facts = {
            "ok": True,
            **facts,
            "ts": ms(self._at),
            "durationMs": took // timedelta(milliseconds=1),
        }
        self._answer = Encoded(frames.encode(self._facts))
        self.version += 1
        self._publish("health", self._answer)


@dataclass(slots=True, kw_only=True)
class Desk:
    """Handed to every handler."""

    core: Core
    clock: Clock
    presence: Presence
    tasks: Tasks
    once: Once
    runs: ClientRuns
    health: HealthBoard
    cron_status: Board
    last_heartbeat: Board
    publish: Publish
    end: End
    subscriptions: Subscriptions
    replay: Replay
    visits: Visits = field(default_factory=Visits)
    farewells: dict[str, str] = field(default_factory=dict)  # after the answer, by connection
    writes: Windows = field(default_factory=Windows)

    def dismiss(
        self, whom: Callable[[Session], bool], reason: str, *, after_answer_to: Session
    ) -> None:
        """Close the connections of some (4001); the caller's own once it has its answer."""
        own = after_answer_to.conn_id
        if whom(after_answer_to):
            self.farewells[own] = reason
        self.end(lambda one: one.conn_id != own and whom(one), 4001, reason)

    def state_version(self) -> dict[str, int]:
        """The counters that go with `presence` and `health` events (§7.1)."""
        return {"presence": self.presence.version, "health": self.health.version}

    def announce_presence(self) -> None:
        """Tell everyone who is around."""
        self.publish("presence", {"presence": self.presence.listing(self.clock.now())})


def _nobody(_: Callable[[Session], bool], _code: int, _reason: str) -> None:
    """There is nobody to close."""


def new_desk(
    core: Core,
    clock: Clock,
    presence: Presence,
    publish: Publish,
    tell: Tell,
    end: End = _nobody,
    replay: Replay | None = None,
) -> Desk:
    """Build a desk with empty tables."""
    tasks = Tasks()
    return Desk(
        core=core,
        clock=clock,
        presence=presence,
        tasks=tasks,
        once=Once(tasks, clock),
        runs=ClientRuns(tasks, clock),
        health=HealthBoard(core, clock, tasks, publish),
        cron_status=Board(lambda: core.scheduling.status(), lambda: core.standing, clock),
        last_heartbeat=Board(lambda: core.heartbeats.last(), lambda: core.standing, clock),
        publish=publish,
        end=end,
        subscriptions=Subscriptions(tell, clock),
        replay=replay or Replay(),
    )


Handler = Callable[[Desk, Call, Any], Awaitable[object]]  # the third: the method's params
