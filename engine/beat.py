"""The shell of one beat: look, decide, take the turn, settle it in one transaction.

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

from engine import explain, heartbeat, prompt
from engine.beat_outcome import (
    Alert,
    answered,
    backoff,
    bounded,
    overtaken,
    spoken,
    unanswered,
    unusable,
    verdict_on,
)
from engine.clock import Clock
from engine.events import Bus
from engine.gates import Defer, Run as Go, Skip, decide
from engine.lanes import Lanes
from engine.look import Lookout
from engine.outbox import Delivery
from engine.outcome import Verdict
from engine.record import Also, Recorder, broken
from engine.repetition import Sent
from engine.roster import Roster
from engine.route import NoRoute
from engine.sessions import main_key
from engine.store import events as event_rows, outbox, sent, tasks as task_rows
from engine.target import Route
from engine.toolbox import Toolbox
from engine.turn import TurnOrder, TurnResult, Turns, remember
from engine.view import View, facts_of, target_words, wake_words
from engine.wake import Intent, QueuedEvent, Wake
from jobs.crash import crash_point
from jobs.ids import new_id
from jobs.ledger import Outcome, Run, RunStatus, Trigger
from jobs.model import Job
from jobs.store.base import Finish
from jobs.store.db import Database, Tx

log = logging.getLogger(__name__)

SAFETY_POLL: Final = timedelta(seconds=15)


@dataclass(slots=True)
class Pending:
    """A beat on its way; the wake may still be merged with a newer one until it is taken."""

    run: Run
    wake: Wake
    taken: bool = False
    moved: bool = False  # its agent's beats lie elsewhere from now on
    poked: asyncio.Event = field(default_factory=asyncio.Event)


class Beats:
    """Performs beats; agents are independent of each other."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        bus: Bus,
        recorder: Recorder,
        turns: Turns,
        lanes: Lanes,
        roster: Callable[[], Roster],
        lookout: Lookout,
        toolbox: Toolbox,
        boot_id: str,
        replan: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._recorder = recorder
        self._turns = turns
        self._roster = roster
        self._lookout = lookout
        self._toolbox = toolbox
        self._boot_id = boot_id
        self._replan = replan
        self._one_at_a_time: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._complained: dict[str, str] = {}  # agent → the file that was complained about
        lanes.on_idle(self._agent_is_free)

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
            async with lock:
                now = self._clock.now()
                wake = pending.wake
                view = await self._lookout.look(pending.run, wake, now)
                if pending.wake is not wake:
                    continue  # merged while we looked: what it is about was not seen yet
                pending.moved = view.moved
                self._complain(view)
                decision = overtaken(wake, view) or bounded(
                    decide(view.snapshot, now), wake, view, now - since
                )
                match decision:
                    case Go():
                        pending.taken = True
                        return await self._take(pending, view, decision, now)
                    case Skip():
                        pending.taken = True
                        return await self._skip(pending, view, decision, now)
                    case Defer():
                        await self._note_deferral(pending, view, decision)
            await self._wait(pending, decision, now, since + view.agent.beat.max_deferral)

    def _complain(self, view: View) -> None:
        """Log what is wrong with a checklist, once for each change of the file."""
        agent_id, file = view.agent.agent_id, view.file
        if self._complained.get(agent_id) != file.sha256:
            self._complained[agent_id] = file.sha256
            for warning in file.warnings:
                log.warning(
                    "HEARTBEAT.md was not understood throughout",
                    extra={"agent": agent_id, "because": warning},
                )

    async def broke(self, pending: Pending, error: Exception) -> Run:
        """End the row of a wake that met a bug of ours; the event stays queued."""
        log.error("beat broke", exc_info=error, extra={"run_id": pending.run.id})
        run = broken(pending.run, error, self._clock.now())
        await self._recorder.ended(Finish(run=run))
        self._tell(run, None)
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
        if defer.retry_at is None:
            listeners.add(woken)
        tasks = [
            asyncio.create_task(self._clock.sleep_until(until), name="beat-clock"),
            asyncio.create_task(woken.wait(), name="beat-poke"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
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
        # A skip says nothing about the model: it must not end a series of failures.
        await self._recorder.ended(Finish(run=run, counts=not view.failures))
        self._tell(run, None)
        return run

    def _framed(self, pending: Pending, view: View) -> Run:
        """The row with what was looked at: the facts a replay needs."""
        return replace(
            pending.run,
            session_key=view.session_key,
            wake=wake_words(pending.wake),
            facts=facts_of(view, pending.wake),
            target=target_words(view),
            next_due_at=view.next_due_at,
        )

    async def _take(self, pending: Pending, view: View, go: Go, now: datetime) -> Run:
        agent = view.agent
        run = replace(
            self._framed(pending, view),
            status=RunStatus.RUNNING,
            reason=None,
            because="",
            started_at=now,
        )
        if go.outside_active_hours:
            run = replace(run, facts={**run.facts, "outsideActiveHours": True})
        await self._recorder.began(run)
        ended: list[Run] = []

        async def settle(result: TurnResult) -> None:
            crash_point("after-turn")
            ended.append(await self._settle(run, view, result))

        await self._turns.take(self._order(run, view, now), settle=settle)
        log.info(
            "beat ran",
            extra={"agent": agent.agent_id, "run_id": run.id, "outcome": ended[-1].outcome},
        )
        return ended[-1]

    def _order(self, run: Run, view: View, now: datetime) -> TurnOrder:
        agent = view.agent
        text = prompt.build(
            prompt.PromptFacts(
                now=now,
                zone=agent.zone,
                checklist=view.file.text,
                missing=view.file.missing,
                tasks=tuple((task.name, task.prompt) for task in view.due),
                prose=view.file.prose,
                events=tuple(_event_facts(event) for event in view.events),
                poll=view.polls,
                relay=isinstance(view.found, Route),
                custom=agent.beat.prompt,
            )
        )
        tools = self._toolbox.for_turn(
            agent,
            run_id=run.id,
            session_key=view.session_key,
            kind="heartbeat",
            allow=agent.beat.tools_allow,
        )
        return TurnOrder(
            run_id=run.id,
            agent_id=agent.agent_id,
            session_key=view.session_key,
            kind="heartbeat",
            prompt=text,
            system_prompt=prompt.system(agent.agent_id, "heartbeat", name=agent.name),
            tools=tools,
            model=agent.beat.model,
            fallbacks=agent.beat.fallbacks,
            thinking=agent.thinking,
            workspace=agent.workspace,
            timeout=agent.beat.timeout,
            history=not agent.beat.isolated,
            transcript=prompt.MARKER,
            facts={
                "checklist": view.file.text if view.polls or not view.events else "",
                "events": [event.text for event in view.events],
            },
        )

    async def _settle(self, run: Run, view: View, result: TurnResult) -> Run:
        """The one transaction of a beat: row, session, task times, events, outbox."""
        now = result.ended_at
        if (failure := result.failure) is not None:
            return await self._failed(
                unanswered(run, failure, now), view, failure.retry_after_seconds
            )
        if (reply := result.reply) is None:
            raise AssertionError("a turn without failure has a reply")
        route = view.found if isinstance(view.found, Route) else None
        prefix = self._roster().prefix(view.agent.agent_id, reply, route)
        verdict = verdict_on(reply, view, response_prefix=prefix)
        if verdict.outcome is Outcome.FAILED:
            return await self._failed(unusable(run, verdict, now), view, None)
        said = await self._said(view, verdict)
        out = spoken(answered(run, reply, verdict, now), view, verdict, said, now)
        also: list[Also] = [
            lambda tx: remember(tx, result, acknowledged=verdict.outcome is not Outcome.ALERT),
            lambda tx: event_rows.consume(
                tx, [event.id for event in view.events], now, run_id=run.id
            ),
            lambda tx: task_rows.served(
                tx,
                view.agent.agent_id,
                [(task.name, task.interval) for task in view.due],
                run.slot or now,
                status=verdict.outcome.value,
            ),
        ]
        if (alert := out.alert) is not None:
            also.append(lambda tx: _note(tx, alert, now))
        end = Finish(run=out.run, job_columns={"retry_at": None})
        await self._recorder.ended(end, deliveries=out.deliveries, also=also)
        self._tell(out.run, out.deliveries[-1] if out.deliveries else None)
        return out.run

    async def _said(self, view: View, verdict: Verdict) -> Sent | None:
        """Return when an alert last went where it would go now."""
        route = view.found
        if verdict.outcome is not Outcome.ALERT or isinstance(route, NoRoute):
            return None
        return await self._database.read(lambda tx: _sent(tx, route.lane, verdict.text))

    async def _failed(self, run: Run, view: View, retry_after: float | None) -> Run:
        retry_at = backoff(view, retry_after, run.ended_at or self._clock.now())
        await self._recorder.ended(Finish(run=run, job_columns={"retry_at": retry_at}))
        self._tell(run, None)
        return run

    def _tell(self, run: Run, delivery: Delivery | None) -> None:
        zone = self._roster().agent(run.agent_id).zone
        self._bus.publish("heartbeat", explain.record_words(run, delivery, zone=zone))


def _sent(tx: Tx, lane: str, text: str) -> Sent | None:
    """Return when a text went out to a place; one that still waits there gives way to the new."""
    return None if outbox.still_waits(tx, lane, text) else sent.last(tx, lane, text)


def _note(tx: Tx, alert: Alert, now: datetime) -> None:
    if alert.sent:
        sent.note(tx, alert.lane, alert.text, now)
    else:
        sent.suppress(tx, alert.lane, alert.text)


def _event_facts(event: QueuedEvent) -> prompt.EventFacts:
    return prompt.EventFacts(
        text=event.text, at=event.created_at, trusted=event.trusted, kind=event.kind
    )
