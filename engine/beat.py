"""The shell of one beat: decide, take the turn, settle it in one transaction.

A beat is a slot of an agent's grid or a wake. It ends in exactly one row: ran, skipped or
failed, with the gate facts that decided it. While something is in the way that will pass
(a busy agent, spacing, the night for an event) its row says so and it waits; a scheduled
slot gives up after `maxDeferral`, a wake does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from engine import explain, heartbeat, prompt
from engine.agents.base import Tool, ToolRefused
from engine.agents.secrets import redacted
from engine.agents.tools.heartbeat import valid_response
from engine.clock import Clock
from engine.events import Bus
from engine.gates import Decision, Defer, Run as Go, Skip, decide
from engine.lanes import Lanes
from engine.look import JOB_PREFIX, Lookout, View, facts_of, target_words, wake_words
from engine.outbox import Delivery, Priority, expiry
from engine.outcome import TOKEN, Verdict, classify
from engine.record import Also, Recorder
from engine.roster import AgentProfile, Roster
from engine.route import NoRoute
from engine.sessions import main_key
from engine.store import events as event_rows, meta, outbox, tasks as task_rows
from engine.target import Route
from engine.turn import TurnOrder, TurnResult, Turns, remember
from engine.wake import Intent, QueuedEvent, Wake
from jobs.crash import crash_point
from jobs.ids import new_id
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger
from jobs.model import Job
from jobs.store.base import Finish
from jobs.store.db import Database, Tx

log = logging.getLogger(__name__)

SAFETY_POLL: Final = timedelta(seconds=15)
LONGEST_BACKOFF: Final = timedelta(hours=6)


class BeatTools(Protocol):
    """Where the tools of a beat come from."""

    def __call__(
        self, agent: AgentProfile, *, run_id: str, session_key: str, kind: str
    ) -> Sequence[Tool]:
        """Return the tools of one turn."""


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
        tools_for: BeatTools,
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
        self._tools_for = tools_for
        self._boot_id = boot_id
        self._replan = replan
        self._one_at_a_time: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, set[asyncio.Event]] = {}
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
            job_id=JOB_PREFIX + wake.agent_id,
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
                decision = _overtaken(wake, view) or self._bounded(
                    decide(view.snapshot, now), pending, view, since, now
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

    async def broke(self, pending: Pending, error: Exception) -> Run:
        """End the row of a wake that met a bug of ours; the event stays queued."""
        log.error("beat broke", exc_info=error, extra={"run_id": pending.run.id})
        run = replace(
            pending.run,
            status=RunStatus.FAILED,
            reason=SkipReason.AGENT_RUNNER_FAILURE,
            because="the engine itself failed; the log has the details",
            error={"class": "internal", "message": redacted(f"{type(error).__name__}: {error}")},
            ended_at=self._clock.now(),
        )
        await self._recorder.ended(Finish(run=run))
        self._tell(run, None)
        return run

    # -- waiting -------------------------------------------------------------------------

    @staticmethod
    def _bounded(
        decision: Decision, pending: Pending, view: View, since: datetime, now: datetime
    ) -> Decision:
        """A scheduled slot gives up in the end; the grid brings the next (§6.4)."""
        if not isinstance(decision, Defer) or pending.wake.intent is not Intent.SCHEDULED:
            return decision
        waited = now - since
        if waited < view.agent.beat.max_deferral:
            return decision
        minutes = int(waited.total_seconds() // 60)
        return Skip(decision.reason, f"{decision.because}; given up after {minutes} min")

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
        run = replace(
            self._framed(pending, view),
            status=RunStatus.SKIPPED,
            reason=skip.reason,
            because=skip.because,
            ended_at=now,
        )
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
        tools = self._tools_for(
            agent, run_id=run.id, session_key=view.session_key, kind="heartbeat"
        )
        if agent.beat.tools_allow is not None:
            tools = [tool for tool in tools if tool.name in agent.beat.tools_allow]
        return TurnOrder(
            run_id=run.id,
            agent_id=agent.agent_id,
            session_key=view.session_key,
            kind="heartbeat",
            prompt=text,
            system_prompt=prompt.system(agent.agent_id, "heartbeat"),
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
        if result.failure is not None:
            return await self._failed(run, view, result)
        verdict = self._verdict(view, result)
        if verdict.outcome is Outcome.FAILED:
            return await self._failed(run, view, result, verdict)
        run = _answered(run, result, verdict)
        now = result.ended_at
        run, deliveries, repeated = await self._deliveries(run, view, verdict, now)
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
        if repeated is not None:
            lane, text, sent = repeated
            also.append(
                (lambda tx: meta.note_sent(tx, lane, text, now))
                if sent
                else (lambda tx: meta.note_suppressed(tx, lane, text))
            )
        end = Finish(run=run, job_columns={"retry_at": None})
        await self._recorder.ended(end, deliveries=deliveries, also=also)
        self._tell(run, deliveries[-1] if deliveries else None)
        return run

    def _verdict(self, view: View, result: TurnResult) -> Verdict:
        reply = result.reply
        if reply is None:
            raise AssertionError("a turn without failure has a reply")
        response: Mapping[str, Any] | None = None
        for call in reply.tool_calls:
            if call.name == "heartbeat_respond" and not call.failed:
                with suppress(ToolRefused):  # an invalid answer counts as none (§13 point 2)
                    response = valid_response(call.arguments)
        payloads = list(reply.payloads)
        return classify(
            payloads,
            ack_max_chars=view.agent.beat.ack_max_chars,
            response_prefix=self._roster().response_prefix,
            response=response,
            bare_ack_only=any(event.kind == "exec" for event in view.events),
        )

    async def _deliveries(
        self, run: Run, view: View, verdict: Verdict, now: datetime
    ) -> tuple[Run, list[Delivery], tuple[str, str, bool] | None]:
        """Decide what goes out, and if nothing does, why (rows 23–30 of §7)."""
        route = view.found if isinstance(view.found, Route) else None
        if verdict.outcome is not Outcome.ALERT:
            if route is not None and view.shown.ok:
                return run, [self._delivery(run, view, route, TOKEN, 0, now)], None
            return run, [], None
        if isinstance(view.found, NoRoute):
            return (
                replace(run, reason=view.found.reason, because=view.found.because),
                [],
                None,
            )
        assert route is not None  # noqa: S101 - narrowed above
        if not view.shown.alerts:
            words = f"showAlerts is off for {route.channel}"
            return replace(run, reason=SkipReason.ALERTS_DISABLED, because=words), [], None
        window = view.agent.beat.dedupe_window
        urgent = (verdict.response or {}).get("priority") == "high"
        zone = view.agent.zone
        said = await self._database.read(lambda tx: _said(tx, route.lane, verdict.text))
        fresh = window is None or said is None or not said.at <= now < said.at + window
        if said is not None and not (fresh or view.events or urgent):
            since = said.at.astimezone(zone)
            words = f"the same text was sent there at {since:%Y-%m-%d %H:%M:%S} ({zone.key})"
            run = replace(run, reason=SkipReason.DUPLICATE, because=words)
            return run, [], (route.lane, verdict.text, False)
        text = verdict.text if said is None else said.counted(verdict.text, zone)
        texts = [*(verdict.reasoning if view.agent.beat.include_reasoning else ()), text]
        made = [
            self._delivery(run, view, route, text, number, now) for number, text in enumerate(texts)
        ]
        run = replace(run, delivery_key=made[-1].key)
        return run, made, (route.lane, verdict.text, True)

    def _delivery(
        self, run: Run, view: View, route: Route, text: str, number: int, now: datetime
    ) -> Delivery:
        # A reminder is no periodic noise: it neither expires nor is replaced like a beat's.
        kind = "event" if view.events else "heartbeat"
        return Delivery(
            key=f"heartbeat:{run.id}:{number}",
            route=route,
            text=text,
            kind=kind,
            created_at=now,
            expires_at=expiry(kind, now, every=view.agent.beat.expiry),
            agent_id=view.agent.agent_id,
            run_id=run.id,
            job_id=run.job_id,
            priority=Priority.CRON if view.events else Priority.HEARTBEAT,
        )

    async def _failed(
        self, run: Run, view: View, result: TurnResult, verdict: Verdict | None = None
    ) -> Run:
        failure = result.failure
        now = result.ended_at
        error = {
            "class": failure.failure.value if failure else "internal",
            "message": failure.message if failure else (verdict.because if verdict else ""),
        }
        run = replace(
            run,
            status=RunStatus.FAILED,
            outcome=Outcome.FAILED,
            reason=SkipReason.AGENT_RUNNER_FAILURE,
            because=str(error["message"]),
            error=error,
            reply={"rawText": verdict.dropped} if verdict else {},
            ended_at=now,
        )
        retry_at = _backoff(view, failure.retry_after_seconds if failure else None, now)
        await self._recorder.ended(Finish(run=run, job_columns={"retry_at": retry_at}))
        self._tell(run, None)
        return run

    def _tell(self, run: Run, delivery: Delivery | None) -> None:
        zone = self._roster().agent(run.agent_id).zone
        self._bus.publish("heartbeat", explain.record_words(run, delivery, zone=zone))


def _said(tx: Tx, lane: str, text: str) -> meta.Sent | None:
    """Return when a text went out to a place; one that still waits there gives way to the new."""
    return None if outbox.still_waits(tx, lane, text) else meta.sent(tx, lane, text)


def _overtaken(wake: Wake, view: View) -> Skip | None:
    """End a wake whose events another turn took up: asking again would be about nothing."""
    waiting = {event.id for event in view.events}
    if not wake.event_ids or not waiting.isdisjoint(wake.event_ids):
        return None
    return Skip(SkipReason.NO_PENDING_EVENT, "another turn has taken its events up")


def _event_facts(event: QueuedEvent) -> prompt.EventFacts:
    return prompt.EventFacts(
        text=event.text, at=event.created_at, trusted=event.trusted, kind=event.kind
    )


def _answered(run: Run, result: TurnResult, verdict: Verdict) -> Run:
    reply = result.reply
    words: dict[str, Any] = {
        "rawText": "\n".join(reply.payloads) if reply else "",
        "preview": verdict.preview,
        "droppedText": verdict.dropped,
        "response": dict(verdict.response) if verdict.response else None,
        "reasoning": reply.reasoning if reply else None,
    }
    return replace(
        run,
        status=RunStatus.OK,
        outcome=verdict.outcome,
        usage=reply.usage if reply else None,
        model=reply.model if reply else None,
        provider=reply.provider if reply else None,
        reply={key: value for key, value in words.items() if value},
        ended_at=result.ended_at,
    )


def _backoff(view: View, retry_after: float | None, now: datetime) -> datetime | None:
    """Space failing beats out: an interval doubled per failure, or what the provider says."""
    period = view.agent.beat.period or heartbeat.DEFAULT_EVERY
    wait = min(period * 2 ** min(view.failures, 10), LONGEST_BACKOFF)
    # Half an interval less: a turn takes its time, and the slot meant must not be missed by it.
    floor = now + wait - period / 2 if view.failures else now
    if retry_after is not None:
        floor = max(floor, now + timedelta(seconds=retry_after))
    return floor if floor > now else None
