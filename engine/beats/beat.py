"""The shell of one beat until its turn: look, decide, wait, or go.

A beat is a slot of an agent's grid or a wake. It ends in exactly one row: ran, skipped or
failed, with the gate facts that decided it. While something is in the way that will pass
(a busy agent, spacing, the night for an event) its row says so and it waits; a scheduled
slot gives up after `maxDeferral`, a wake does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from engine.beats.end import BeatEnd
from engine.beats.look import Lookout
from engine.beats.outcome import bounded, overtaken
from engine.beats.probing import Probing
from engine.beats.turn import BeatTurn
from engine.clock import Clock
from engine.decisions import heartbeat
from engine.decisions.gates import Decision, Defer, Run as Go, Skip, decide
from engine.decisions.held import HELD
from engine.decisions.wake import Intent, Wake
from engine.record import Recorder, broken
from engine.roster.roster import Roster
from engine.roster.view import View, facts_of, target_words, wake_words
from engine.sessions import main_key
from engine.suspension import Suspension
from engine.turns.lanes import Lanes
from jobs.ids import new_id
from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.model import Job
from jobs.store.base import Finish
from jobs.wallclock import MILLISECOND

log = logging.getLogger(__name__)

_WENT_FIRST: Final = "a person wrote while the agent was asked; it is asked again afterwards"
SAFETY_POLL: Final = timedelta(seconds=15)


@dataclass(slots=True)
class Pending:
    """A beat on its way; the wake may still be merged with a newer one until it is taken."""

    run: Run
    wake: Wake
    taken: bool = False
    gave_way: int = 0  # how often a person's message went first
    moved: bool = False  # its agent's beats lie elsewhere from now on
    poked: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    waited: timedelta = timedelta()  # when it was looked at last


class Beats:
    """Performs beats; agents are independent of each other."""

    def __init__(
        self,
        *,
        clock: Clock,
        recorder: Recorder,
        lanes: Lanes,
        roster: Callable[[], Roster],
        lookout: Lookout,
        turn: BeatTurn,
        end: BeatEnd,
        probing: Probing,
        boot_id: str,
        replan: Callable[[], Awaitable[None]],
        suspension: Suspension,
    ) -> None:
        self._suspension = suspension
        self._at_it: set[str] = set()  # runs that were let go
        self._clock = clock
        self._recorder = recorder
        self._roster = roster
        self._lookout = lookout
        self._turn = turn
        self._end = end
        self.probing = probing
        self._boot_id = boot_id
        self._replan = replan
        self._one_at_a_time: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._all_waiting: set[asyncio.Event] = set()
        self._complained: dict[str, str] = {}  # agent → the file that was complained about
        lanes.on_idle(self._agent_is_free)

    @property
    def at_it(self) -> int:
        """How many beats are past their gates and not at their end."""
        return len(self._at_it)

    @property
    def turn(self) -> BeatTurn:
        """Who takes their turns."""
        return self._turn

    # -- the two ways in -----------------------------------------------------------------

    def begin(self, job: Job, run: Run) -> Coroutine[Any, Any, None]:
        """Perform a claimed slot of an agent's grid. See `engine.loop.Performer`."""
        agent = self._roster().agent(job.agent_id)
        wake = Wake(
            agent_id=agent.agent_id,
            session_key=main_key(agent.agent_id, main=self._roster().main_key),
            source="interval",
            intent=Intent.SCHEDULED,
            reason="interval",
            requested_at=run.slot or run.claimed_at or self._clock.now(),
        )
        return self._to_the_end(Pending(run=replace(run, wake=wake_words(wake)), wake=wake))

    async def _to_the_end(self, pending: Pending) -> None:
        await self.perform(pending)
        if pending.moved:
            await self._replan()

    def accept(self, wake: Wake) -> Pending:
        """Return a wake as a beat to be: from now on others may be merged with it."""
        now = self._clock.now()
        run = Run(
            id=new_id(now),
            job_id=heartbeat.job_id(wake.agent_id),
            kind="heartbeat",
            agent_id=wake.agent_id,
            trigger=Trigger.WAKE,
            status=RunStatus.CLAIMED,
            requested_at=wake.requested_at,
            claimed_at=now,
            session_key=wake.session_key,
            wake=wake_words(wake),
            boot_id=self._boot_id,
        )
        return Pending(run=run, wake=wake)

    async def enter(self, pending: Pending) -> None:
        """Write the row of an accepted wake; `perform` ends it."""
        await self._recorder.added(pending.run)

    async def perform(self, pending: Pending) -> Run:
        """See a beat to its end; returns its final row."""
        agent_id = pending.wake.agent_id
        lock = self._one_at_a_time.setdefault(agent_id, asyncio.Lock())
        since = self._clock.now()
        while True:
            if (held := await self._suspension.passed()) is not None:
                facts = {**pending.run.facts, **held.facts()}
                pending.run = replace(pending.run, facts=facts)
            async with lock:
                now = self._clock.now()
                wake = pending.wake
                view = await self._lookout.look(pending.run, wake, now)
                if pending.wake is not wake:
                    continue  # merged while we looked: what it is about was not seen yet
                pending.moved = self._complain(view) or view.moved
                await self._end.over_budget(view, now)
                if self._suspension.held:
                    continue  # suspended while we looked: it is looked at again afterwards
                pending.waited = now - since
                decision = self._removed(wake) or decided(view, wake, pending.waited)
                match decision:
                    case Go():
                        pending.taken = True
                        self._at_it.add(pending.run.id)
                        try:
                            ended = await self._probed(pending, view, decision, now)
                        finally:
                            self._at_it.discard(pending.run.id)
                        if ended is not None:
                            return ended
                        pending.taken = False
                        pending.gave_way += 1
                        decision = Defer(SkipReason.PREEMPTED, _WENT_FIRST)
                        await self._note_deferral(pending, view, decision)
                    case Skip():
                        pending.taken = True
                        return await self._skip(pending, view, decision, now)
                    case Defer():
                        await self._note_deferral(pending, view, decision)
            await self._wait(pending, decision, now, since + view.agent.beat.max_deferral)

    def _removed(self, wake: Wake) -> Skip | None:
        if self._roster().knows(wake.agent_id):
            return None
        words = f"agent {wake.agent_id} is not configured any more; its events are kept"
        return Skip(SkipReason.SUPERSEDED, words)

    def look_again(self) -> None:
        """Something else is in force: whoever waits asks the gates once more (§18)."""
        for woken in tuple(self._all_waiting):
            woken.set()

    def _complain(self, view: View) -> bool:
        """Log what is wrong with a checklist, once for each change of the file; was it changed?"""
        agent_id, file = view.agent.agent_id, view.file
        before = self._complained.get(agent_id)
        if before == file.sha256:
            return False
        self._complained[agent_id] = file.sha256
        for warning in file.warnings:
            log.warning(
                "HEARTBEAT.md was not understood throughout",
                extra={"agent": agent_id, "because": warning},
            )
        return before is not None

    async def broke(self, pending: Pending, error: Exception) -> Run:
        """End the row of a wake that met a bug of ours; the event stays queued."""
        log.error("beat broke", exc_info=error, extra={"run_id": pending.run.id})
        run = broken(pending.run, error, self._clock.now())
        await self._recorder.ended(Finish(run=run))
        self._turn.tell(run)
        return run

    # -- waiting -------------------------------------------------------------------------

    async def _note_deferral(self, pending: Pending, view: View, defer: Defer) -> None:
        run = pending.run
        told = run.status is RunStatus.DEFERRED and run.reason is defer.reason
        pending.run = replace(
            run,
            status=RunStatus.DEFERRED,
            reason=defer.reason,
            because=defer.because,
            deferrals=run.deferrals + 1,
            session_key=view.session_key,
            wake=wake_words(pending.wake),
        )
        if not told:
            await self._recorder.changed(pending.run)
            log.info(
                "beat waits",
                extra={"agent": view.agent.agent_id, "reason": defer.reason.value},
            )

    async def _wait(
        self, pending: Pending, defer: Defer, now: datetime, give_up_at: datetime
    ) -> None:
        """Wait for the agent to be free, for the time the gate named, or for a newer wake."""
        until = defer.retry_at or now + SAFETY_POLL
        if pending.wake.intent is Intent.SCHEDULED:
            until = min(until, give_up_at)
        woken = pending.poked
        listeners = self._waiting.setdefault(pending.wake.agent_id, set())
        self._all_waiting.add(woken)
        if defer.retry_at is None:
            listeners.add(woken)
        tasks = [
            asyncio.create_task(self._clock.sleep_until(until), name="beat-clock"),
            asyncio.create_task(woken.wait(), name="beat-poke"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._all_waiting.discard(woken)
            listeners.discard(woken)
            woken.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _agent_is_free(self, agent_id: str) -> None:
        for woken in self._waiting.get(agent_id, ()):
            woken.set()

    # -- the ends ------------------------------------------------------------------------

    async def _skip(self, pending: Pending, view: View, skip: Skip, now: datetime) -> Run:
        run = self._framed(pending, view).skipped(skip.reason, skip.because, now)
        await self._end.skipped(run, view)
        self._turn.tell(run)
        return run

    def _framed(self, pending: Pending, view: View) -> Run:
        """The row with what was looked at: the facts a replay needs."""
        return replace(
            pending.run,
            session_key=view.session_key,
            wake=wake_words(pending.wake),
            facts=facts_of(view, pending.wake)
            | _patience(pending, view)
            | ({"gaveWay": pending.gave_way} if pending.gave_way else {})
            | {key: fact for key, fact in pending.run.facts.items() if key == HELD},
            target=target_words(view),
            next_due_at=view.next_due_at,
        )

    async def _probed(self, pending: Pending, view: View, go: Go, now: datetime) -> Run | None:
        """Ask the agent's probes first: the model only if one of them saw a change (§25-15)."""
        if view.looks_first:
            view = replace(view, probed=await self.probing.asked(view.agent))
        if view.probed is None or view.probed.worth:
            return await self._take(pending, view, go, now)
        skip = Skip(SkipReason.NOTHING_CHANGED, view.probed.because)
        return await self._skip(pending, view, skip, self._clock.now())

    async def _take(self, pending: Pending, view: View, go: Go, now: datetime) -> Run | None:
        """The turn of a beat that passed its gates; None if a person went first."""
        framed = self._framed(pending, view)
        if framed.slot is None and framed.facts["kind"] == "poll":
            framed = replace(framed, next_due_at=view.next_after_poll)
        run = replace(
            framed,
            status=RunStatus.RUNNING,
            reason=None,
            because="",
            started_at=now,
        )
        if go.outside_active_hours:
            run = replace(run, facts={**run.facts, "outsideActiveHours": True})
        return await self._turn.take(run, view, now)


def decided(view: View, wake: Wake, waited: timedelta) -> Decision:
    """Say what becomes of a beat that was looked at. Pure."""
    most = view.agent.beat.max_deferral
    return overtaken(wake, view) or bounded(
        decide(view.snapshot, view.looked_at), wake.intent, waited, most
    )


def _patience(pending: Pending, view: View) -> dict[str, Any]:
    """How long a beat that waited did, and how long it may."""
    if not pending.run.deferrals:
        return {}
    return {
        "waitedMs": pending.waited // MILLISECOND,
        "maxDeferralMs": view.agent.beat.max_deferral // MILLISECOND,
    }
