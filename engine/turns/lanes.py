"""Lanes: one turn at a time per session, a bounded number in all, first come first served.

A session's lane is held from before its history is read until its answer is recorded, so
two turns never see half of each other. Who waits for a busy session does not hold up others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.clock import Clock
from jobs.values import changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has or wants a lane. ``running`` tells which."""

    run_id: str
    session_key: str
    agent_id: str
    kind: str  # heartbeat | cron | chat
    since: datetime  # asked for it, or got it
    running: bool

    def age(self, now: datetime) -> timedelta:
        """How long it has held, or waited."""
        return max(now - self.since, timedelta())


@dataclass(slots=True, eq=False)
class _Ticket:
    holder: Holder
    admitted: asyncio.Future[None] = field(repr=False)
    give_way: Callable[[], None] | None = None


IdleListener = Callable[[str], None]


class Lanes:
    """The turnstile in front of every agent turn (design.md §8, maxConcurrent)."""

    def __init__(self, max_concurrent: int, *, clock: Clock) -> None:
        self._limit = max(1, max_concurrent)
        self._clock = clock
        self._running: dict[str, _Ticket] = {}  # by session key
        self._waiting: list[_Ticket] = []
        self._listeners: list[IdleListener] = []

    def resize(self, max_concurrent: int) -> None:
        """Change the bound; turns that run are not disturbed."""
        self._limit = max(1, max_concurrent)
        self._admit()

    @asynccontextmanager
    async def hold(
        self,
        session_key: str,
        *,
        agent_id: str,
        kind: str,
        run_id: str,
        give_way: Callable[[], None] | None = None,
    ) -> AsyncIterator[Holder]:
        """Wait for the session's lane and a place, then hold both until the block ends.

        ``give_way`` is called, once or more, when a person waits for what is held here: their
        message must not wait for a beat's model (heartbeat.md §10).
        """
        loop = asyncio.get_running_loop()
        ticket = _Ticket(
            holder=Holder(
                run_id=run_id,
                session_key=session_key,
                agent_id=agent_id,
                kind=kind,
                since=self._clock.now(),
                running=False,
            ),
            give_way=give_way,
            admitted=loop.create_future(),
        )
        self._waiting.append(ticket)
        self._admit()
        if kind == "chat" and not ticket.admitted.done():
            self._ask_to_give_way(session_key)
        try:
            await ticket.admitted
            yield ticket.holder
        finally:
            self._leave(ticket)

    def busy(self, agent_id: str | None = None) -> tuple[Holder, ...]:
        """Turns that run or wait, oldest first; of one agent, or of all."""
        tickets = (*self._running.values(), *self._waiting)
        holders = (ticket.holder for ticket in tickets)
        return tuple(
            sorted(
                (one for one in holders if agent_id is None or one.agent_id == agent_id),
                key=lambda one: (not one.running, one.since),
            )
        )

    def on_idle(self, listener: IdleListener) -> Callable[[], None]:
        """Call ``listener(agent_id)`` when an agent's last turn has ended; returns its stop."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def _ask_to_give_way(self, session_key: str) -> None:
        """Ask who holds this session's lane, or where all places are taken the newest that may."""
        holder = self._running.get(session_key)
        if holder is None and len(self._running) >= self._limit:
            may = [one for one in self._running.values() if one.give_way is not None]
            holder = max(may, key=lambda one: one.holder.since, default=None)
        if holder is not None and holder.give_way is not None:
            holder.give_way()

    def _admit(self) -> None:
        for ticket in tuple(self._waiting):
            if len(self._running) >= self._limit:
                return
            key = ticket.holder.session_key
            # A waiter whose task was cancelled leaves by itself.
            if key in self._running or ticket.admitted.done():
                continue
            self._waiting.remove(ticket)
            ticket.holder = changed(ticket.holder, since=self._clock.now(), running=True)
            self._running[key] = ticket
            ticket.admitted.set_result(None)

    def _leave(self, ticket: _Ticket) -> None:
        key = ticket.holder.session_key
        if self._running.get(key) is ticket:
            del self._running[key]
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
        self._admit()
        if not self.busy(ticket.holder.agent_id):
            for listener in tuple(self._listeners):
                listener(ticket.holder.agent_id)


class Places:
    """A bounded number of places, first come first served; the bound may change."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._taken = 0
        self._queue: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> None:
        """Wait for a place and take it."""
        if self._taken < max(1, self._limit()) and not self._queue:
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            elif turn in self._queue:  # who left before us may have passed it over already
                self._queue.remove(turn)
            raise

    async def __aexit__(self, *_: object) -> None:
        """Give the place to whoever waits first."""
        self._leave()

    def _leave(self) -> None:
        self._taken -= 1
        while self._queue and self._taken < max(1, self._limit()):
            turn = self._queue.pop(0)
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
