"""System events in, wakes out: keeps, merges and starts them (heartbeat.md §6, §15).

An event is durable before anybody is told it was accepted. One that asked for a beat asks
again after a restart, until a beat has seen it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from engine import sessions as keys
from engine.beats.beat import Beats, Pending
from engine.clock import Clock
from engine.decisions.wake import NOW, NewEvent, Wake, again, merge, reason_of
from engine.messages.target import wish_fault
from engine.roster.roster import AgentProfile, Roster
from engine.roster.view import wake_words
from engine.store import events as event_rows
from jobs.errors import InvalidInput
from jobs.ids import made_at
from jobs.ledger import Run
from jobs.store import runs as run_rows
from jobs.store.db import Database, Tx
from jobs.wallclock import ms

AGAIN: Final = timedelta(minutes=30)  # an event whose beat failed or was skipped asks again
_REMEMBERED: Final = 1000  # outcomes kept for whoever asks late


class Waking:
    """The one door for everything that wants an agent's attention."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        beats: Beats,
        roster: Callable[[], Roster],
        next_turn: Callable[[AgentProfile, datetime], Awaitable[datetime | None]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._beats = beats
        self._roster = roster
        self._next_turn = next_turn
        self._pending: dict[tuple[str, str], Pending] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: dict[str, asyncio.Future[Run]] = {}
        self._asked: dict[tuple[str, str], datetime] = {}  # when a session's events last woke
        self._stopping = False

    async def system_event(
        self, event: NewEvent, *, also: Callable[[Tx], None] | None = None
    ) -> dict[str, Any]:
        """Queue an event; with mode now it also wakes its agent.

        ``{ok, eventId, agentId, sessionKey, runsAt, tickId?}`` (§20): ``runsAt`` is null while
        no beat is to come, ``tickId`` is the row of the beat that was woken; ``waitedAlready``
        says that the same one waits since earlier, with its words. Blank text is not
        queued: ``{ok: false}``. Raises `InvalidInput` for an agent nobody knows, a session of
        another agent, or a target that is none. ``also`` is written in the same transaction.
        """
        agent, key = self._addressed(event.agent_id, event.session_key)
        if event.target is not None and (fault := wish_fault(event.target)):
            raise InvalidInput("the event was not queued", why=fault, fix="leave the target out")
        now = self._clock.now()

        def queue(tx: Tx) -> str | None:
            if also is not None:
                also(tx)
            return event_rows.add(tx, event, agent_id=agent, session_key=key, now=now)

        event_id = await self._database.write(queue)
        if event_id is None:
            return {"ok": False, "error": "text required"}
        told = {"ok": True, "eventId": event_id, "agentId": agent, "sessionKey": key}
        if (made := made_at(event_id)) is not None and ms(made) < ms(now):
            told["waitedAlready"] = True
        if event.mode == NOW:
            pending = await self.wake(
                Wake(
                    agent_id=agent,
                    session_key=key,
                    source=event.source,
                    intent=event.intent,
                    reason=reason_of(event.context_key),
                    requested_at=now,
                    event_ids=(event_id,),
                    by=event.by,
                    target=event.target,
                )
            )
            if pending is not None:
                return {**told, "tickId": pending.run.id, "runsAt": ms(now)}
        coming = await self._next_turn(self._roster().agent(agent), now)
        return {**told, "runsAt": ms(coming)}

    def _addressed(self, agent_id: str | None, session_key: str | None) -> tuple[str, str]:
        roster = self._roster()
        default = roster.default_id
        if agent_id is None and session_key:
            agent_id = keys.agent_of(
                keys.normalise(session_key, default_agent=default, main=roster.main_key),
                default_agent=default,
            )
        agent = (agent_id or default).lower()
        roster.refuse_stranger(agent, "the event was not queued")
        key = keys.normalise(session_key, default_agent=agent, main=roster.main_key)
        if not keys.belongs_to(key, agent):
            raise InvalidInput(
                "the event was not queued",
                why=f"session {key} does not belong to agent {agent}",
                fix="leave the agent out, or name the session's own",
            )
        if keys.subagent(key):
            raise InvalidInput(
                "the event was not queued",
                why=f"session {key} is a sub-agent's: it ends by itself and is not woken",
                fix="name the session it was started from, or none",
            )
        return agent, key

    async def wake(self, wake: Wake) -> Pending | None:
        """Start a beat for a wake, or merge it into the one that still waits."""
        if self._stopping:
            return None  # its event is durable and asks again at the next start
        for event_id in wake.event_ids:
            self._outcome(event_id)
        known = self._pending.get(wake.key)
        if known is not None and not known.taken:
            known.wake = merge(known.wake, wake)
            known.run = replace(known.run, wake=wake_words(known.wake))
            known.poked.set()
            return known
        self._asked[wake.key] = self._clock.now()
        pending = self._beats.accept(wake)
        self._pending[wake.key] = pending  # before anything is awaited: two would make two beats
        task = asyncio.create_task(self._performed(pending), name=f"wake-{pending.run.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return pending

    async def by_hand(self, wake: Wake, within: timedelta | None) -> Run | None:
        """Wake because a person asked; the row of the beat, if it ends in time."""
        pending = await self.wake(wake)
        if pending is None or within is None:
            return None
        try:
            async with asyncio.timeout(within.total_seconds()):
                await pending.over.wait()
        except TimeoutError:
            return None
        return pending.run

    async def _performed(self, pending: Pending) -> None:
        key = pending.wake.key
        try:
            await self._beats.enter(pending)
            run = await self._beats.perform(pending)
        except Exception as error:
            run = await self._beats.broke(pending, error)
        finally:
            if self._pending.get(key) is pending:
                del self._pending[key]
        pending.run = run
        pending.over.set()
        for event_id in (*pending.wake.event_ids, *run.facts.get("events", ())):
            future = self._outcome(event_id)
            if not future.done():
                future.set_result(run)

    def _outcome(self, event_id: str) -> asyncio.Future[Run]:
        if event_id not in self._seen:
            while len(self._seen) >= _REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self._seen[event_id] = asyncio.get_running_loop().create_future()
        return self._seen[event_id]

    async def wait(self, event_id: str, within: timedelta) -> Run | None:
        """Return the row of the beat that took the event up, or None if time ran out first."""
        stored = await self._database.read(lambda tx: _taken_up(tx, event_id))
        if stored is not None:
            return stored
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await asyncio.shield(self._outcome(event_id))
        except TimeoutError:
            return None

    async def restore(self) -> int:
        """After a start: events that asked for a beat and were not seen ask again."""
        now = self._clock.now()
        waiting = await self._database.read(lambda tx: event_rows.waking(tx, now))
        known = [event for event in waiting if self._roster().knows(event.agent_id)]
        for event in known:
            await self.wake(again(event, now, "restart"))
        return len(known)

    async def remind(self) -> None:
        """Let events ask again that no beat has seen and nobody asks for any more.

        Their beat failed, or was skipped: no route yet, heartbeats switched off. Without
        this they would wait for a restart wherever no cadence brings the next beat.
        """
        now = self._clock.now()
        waiting = await self._database.read(lambda tx: event_rows.waking(tx, now))
        places = {event.place for event in waiting}
        self._asked = {key: at for key, at in self._asked.items() if key in places}
        known = {key for key in places if self._roster().knows(key[0])}
        late = {key for key in known if not self._lately(key, now)}
        for event in waiting:
            if event.place in late:
                await self.wake(again(event, now, "reminder"))

    def _lately(self, key: tuple[str, str], now: datetime) -> bool:
        """Whether a wake of a session is on its way, or was not long ago."""
        asked = self._asked.get(key)
        return key in self._pending or (asked is not None and asked <= now < asked + AGAIN)

    async def idle(self) -> None:
        """Return when no wake is on its way."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    @property
    def busy(self) -> bool:
        """Whether a wake is on its way."""
        return bool(self._tasks)

    async def stop(self, grace: timedelta) -> None:
        """Take no more, give turns that run their time, and leave the rest to the next start."""
        self._stopping = True
        waiting = [p for p in self._pending.values() if not p.taken]
        tasks = tuple(self._tasks)
        if not tasks:
            return
        if len(waiting) < len(tasks):
            await asyncio.wait(tasks, timeout=grace.total_seconds())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _taken_up(tx: Tx, event_id: str) -> Run | None:
    event = event_rows.get(tx, event_id)
    if event is None or event.seen_by_run is None:
        return None
    return run_rows.get(tx, event.seen_by_run)
