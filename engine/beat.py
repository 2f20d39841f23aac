"""The shell of one beat: look, decide, take the turn, settle it in one transaction.

A beat is a slot of an agent's grid or a wake. It ends in exactly one row: ran, skipped or
failed, with the gate facts that decided it. While something is in the way that will pass
(a busy agent, spacing, the night for an event) its row says so and it waits; a scheduled
slot gives up after `maxDeferral`, a wake does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from engine import checklist, heartbeat, prompt
from engine.agents.base import Tool, ToolRefused
from engine.agents.tools.heartbeat import valid_response
from engine.checklist import Checklist, Task
from engine.clock import Clock
from engine.events import Bus
from engine.gates import BeatSnapshot, Decision, Defer, Run as Go, Skip, decide
from engine.lanes import Holder, Lanes
from engine.outbox import Delivery, Priority, expiry
from engine.outcome import TOKEN, Verdict, classify
from engine.outlet import found_words, last_of
from engine.record import Also, Recorder
from engine.roster import AgentProfile, Roster
from engine.route import NoRoute, RouteFacts, TargetWish, resolve
from engine.sessions import beat_key, main_key
from engine.store import events as event_rows, meta, tasks as task_rows
from engine.store.events import SystemEvent
from engine.target import Route
from engine.turn import TurnOrder, TurnResult, Turns, remember
from engine.wake import FLOOD_WINDOW, Intent, Wake, guard
from jobs.crash import crash_point
from jobs.ids import new_id
from jobs.model import Job, Outcome, Run, RunStatus, SkipReason, StoredJob, Trigger
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import Finish
from jobs.store.db import Database, Tx
from jobs.store.rows import ms

log = logging.getLogger(__name__)

SAFETY_POLL: Final = timedelta(seconds=15)
LONGEST_BACKOFF: Final = timedelta(hours=6)
SWITCH: Final = "heartbeat.enabled"  # meta key; with ":<agent>" one agent's
JOB_PREFIX: Final = "heartbeat:"
_STAYS: Final = frozenset({SkipReason.TARGET_NONE, SkipReason.DM_BLOCKED})


@dataclass(frozen=True, slots=True)
class Shown:
    """Which outcomes of a beat a channel shows (heartbeat.md §2.2)."""

    ok: bool = False
    alerts: bool = True
    indicator: bool = True


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
    poked: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What was looked at for one decision."""

    agent: AgentProfile
    snapshot: BeatSnapshot
    session_key: str
    events: tuple[SystemEvent, ...]
    file: Checklist
    due: tuple[Task, ...]
    found: Route | NoRoute
    shown: Shown
    failures: int
    next_due_at: datetime | None


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
        shown: Callable[[str | None, str | None], Shown],
        tools_for: BeatTools,
        seed: str,
        boot_id: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._recorder = recorder
        self._turns = turns
        self._lanes = lanes
        self._roster = roster
        self._shown = shown
        self._tools_for = tools_for
        self._seed = seed
        self._boot_id = boot_id
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

    async def accept(self, wake: Wake) -> Pending:
        """Write the row of a wake; `perform` ends it."""
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
        await self._recorder.added(run)
        return Pending(run=run, wake=wake)

    async def perform(self, pending: Pending) -> Run:
        """See a beat to its end; returns its final row."""
        agent_id = pending.wake.agent_id
        lock = self._one_at_a_time.setdefault(agent_id, asyncio.Lock())
        since = self._clock.now()
        while True:
            async with lock:
                now = self._clock.now()
                view = await self._look(pending, now)
                decision = self._bounded(decide(view.snapshot, now), pending, view, since, now)
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
            error={"class": "internal", "message": f"{type(error).__name__}: {error}"},
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

    # -- looking -------------------------------------------------------------------------

    async def _look(self, pending: Pending, now: datetime) -> View:
        roster = self._roster()
        wake = pending.wake
        agent = roster.agent(wake.agent_id)
        base = beat_key(
            agent.agent_id,
            forced=wake.session_key,
            configured=agent.beat.session,
            main=roster.main_key,
        )
        known = await self._database.read(lambda tx: self._known(tx, agent, base, now))
        events = tuple(known.events)
        raw, file_error = await asyncio.to_thread(_read_checklist, agent.workspace)
        file = checklist.parse(raw)
        slot = pending.run.slot or now
        due = checklist.due_tasks(file.tasks, known.tasks, slot)
        wish = _wish(agent, wake)
        found = resolve(
            wish,
            RouteFacts(
                agent_id=agent.agent_id,
                channels=roster.channels(agent.agent_id),
                last=known.last,
                event=next((e.route for e in reversed(events) if e.route is not None), None),
                local_fallback=roster.local_fallback,
            ),
        )
        place = (found.channel, found.account_id) if isinstance(found, Route) else (None, None)
        shown = self._shown(*place)
        snapshot = self._snapshot(pending, agent, known, file, file_error, due, found, shown, now)
        session = beat_key(
            agent.agent_id,
            forced=wake.session_key,
            configured=agent.beat.session,
            isolated=agent.beat.isolated,
            main=roster.main_key,
        )
        return View(
            agent=agent,
            snapshot=snapshot,
            session_key=session,
            events=events,
            file=file,
            due=due,
            found=found,
            shown=shown,
            failures=known.failures,
            next_due_at=self.next_beat(agent, now),
        )

    def next_beat(self, agent: AgentProfile, after: datetime) -> datetime | None:
        """Return the agent's next slot that lies in its active hours."""
        beat = agent.beat
        if beat.period is None:
            return None
        grid = heartbeat.grid(self._seed, agent.agent_id, beat.period)
        return heartbeat.next_that_runs(grid, beat.active_hours, after)

    async def route_words(self, agent: AgentProfile) -> dict[str, Any]:
        """Return where an alert of this agent would go now, or why it would go nowhere."""
        roster = self._roster()
        key = main_key(agent.agent_id, main=roster.main_key)
        last = await self._database.read(lambda tx: last_of(tx, agent.agent_id, key))
        facts = RouteFacts(
            agent_id=agent.agent_id,
            channels=roster.channels(agent.agent_id),
            last=last,
            local_fallback=roster.local_fallback,
        )
        return found_words(resolve(agent.beat.wish, facts))

    def _known(self, tx: Tx, agent: AgentProfile, session_key: str, now: datetime) -> _Known:
        stored = job_rows.get(tx, JOB_PREFIX + agent.agent_id)
        return _Known(
            events=event_rows.pending(tx, agent.agent_id, session_key, now),
            tasks=task_rows.last_slots(tx, agent.agent_id),
            last=last_of(tx, agent.agent_id, session_key),
            starts=run_rows.starts_since(tx, agent.agent_id, now - 2 * FLOOD_WINDOW),
            poll_at=run_rows.last_poll(tx, agent.agent_id),
            enabled=switched_on(tx, agent.agent_id),
            stored=stored,
        )

    def _snapshot(
        self,
        pending: Pending,
        agent: AgentProfile,
        known: _Known,
        file: Checklist,
        file_error: str | None,
        due: tuple[Task, ...],
        found: Route | NoRoute,
        shown: Shown,
        now: datetime,
    ) -> BeatSnapshot:
        wake, beat = pending.wake, agent.beat
        own = pending.run.id
        starts = [at for run_id, at in known.starts if run_id != own]
        holders = [h for h in self._lanes.busy(agent.agent_id) if h.run_id != own]
        events = bool(known.events)
        scheduled = wake.intent is Intent.SCHEDULED
        next_due = pending.run.slot if scheduled else None
        unroutable = isinstance(found, NoRoute) and found.reason not in _STAYS
        return BeatSnapshot(
            intent=wake.intent,
            enabled=known.enabled,
            enrolled=beat.period is not None or not scheduled,
            not_enrolled_because=beat.because,
            backoff_until=known.stored.state.retry_at if known.stored else None,
            failures=known.failures,
            held_back=guard(
                wake.intent,
                now,
                next_due=next_due,
                last_start=max(starts, default=None),
                starts=starts,
            ),
            recent_run_at=_recent(known.poll_at, pending.run, beat.period),
            active_hours=beat.active_hours,
            has_events=events,
            file_error=file_error,
            file_empty=file.empty and not file.tasks,
            tasks=tuple(task.name for task in file.tasks),
            tasks_due=tuple(task.name for task in due),
            visible=shown.ok or shown.alerts or shown.indicator,
            no_route=(found.reason, found.because)
            if unroutable and isinstance(found, NoRoute)
            else None,
            cron_running=_busy_words(holders, "cron", now),
            turns_in_flight=_busy_words(holders, "chat", now),
        )

    # -- the ends ------------------------------------------------------------------------

    async def _skip(self, pending: Pending, view: View, skip: Skip, now: datetime) -> Run:
        run = replace(
            self._framed(pending, view),
            status=RunStatus.SKIPPED,
            reason=skip.reason,
            because=skip.because,
            ended_at=now,
        )
        await self._recorder.ended(Finish(run=run))
        self._tell(run, None)
        return run

    def _framed(self, pending: Pending, view: View) -> Run:
        """The row with what was looked at: the facts a replay needs."""
        return replace(
            pending.run,
            session_key=view.session_key,
            wake=wake_words(pending.wake),
            facts=_facts(view, pending.wake),
            target=_target_words(view),
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
                "checklist": "" if view.events else view.file.text,
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
            bare_ack_only=any(prompt_kind(event) == "exec" for event in view.events),
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
        if window is not None and not view.events and not urgent:
            sent_at = await self._database.read(
                lambda tx: meta.sent_at(tx, route.lane, verdict.text)
            )
            if sent_at is not None and sent_at <= now < sent_at + window:
                words = f"the same text was sent there at {sent_at:%Y-%m-%d %H:%M:%SZ}"
                run = replace(run, reason=SkipReason.DUPLICATE, because=words)
                return run, [], (route.lane, verdict.text, False)
        texts = [*(verdict.reasoning if view.agent.beat.include_reasoning else ()), verdict.text]
        made = [
            self._delivery(run, view, route, text, number, now) for number, text in enumerate(texts)
        ]
        run = replace(run, delivery_key=made[-1].key)
        return run, made, (route.lane, verdict.text, True)

    def _delivery(
        self, run: Run, view: View, route: Route, text: str, number: int, now: datetime
    ) -> Delivery:
        # A reminder is no periodic noise: it neither expires nor is replaced like a beat's.
        kind = "cron" if view.events else "heartbeat"
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
        self._bus.publish("heartbeat", heartbeat.record_words(run, delivery))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the store knows about an agent, read at once."""

    events: list[SystemEvent]
    tasks: dict[str, datetime]
    last: Any
    starts: list[tuple[str, datetime]]
    poll_at: datetime | None
    enabled: bool
    stored: StoredJob | None

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self.stored.state.consecutive_errors if self.stored else 0


def switched_on(tx: Tx, agent_id: str | None = None) -> bool:
    """Whether heartbeats are on: all of them, and this agent's."""
    if meta.get(tx, SWITCH) == "off":
        return False
    return agent_id is None or meta.get(tx, f"{SWITCH}:{agent_id}") != "off"


def _wish(agent: AgentProfile, wake: Wake) -> TargetWish:
    """A cron wake says `last`: the configured recipient belongs to another target."""
    wish = agent.beat.wish
    if wake.target is None:
        return wish
    return TargetWish(target=wake.target, source="config", direct_policy=wish.direct_policy)


def _read_checklist(workspace: Path) -> tuple[bytes | None, str | None]:
    """Return the file's bytes and what is wrong with it; a file that is not there is no error."""
    path = workspace / "HEARTBEAT.md"
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(workspace.resolve()):
            return None, f"{path} links outside the workspace"
        return path.read_bytes(), None
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, f"{path} cannot be read: {error.strerror}"


def _recent(poll_at: datetime | None, run: Run, period: timedelta | None) -> datetime | None:
    """A slot closer than half an interval to a poll that was asked for is not due (§4)."""
    if poll_at is None or run.slot is None or period is None:
        return None
    return poll_at if poll_at > run.slot - period / 2 else None


def _busy_words(holders: Sequence[Holder], kind: str, now: datetime) -> tuple[str, ...]:
    return tuple(
        f"run {holder.run_id}, {holder.age(now).total_seconds():.0f} s"
        for holder in holders
        if holder.kind == kind
    )


def prompt_kind(event: SystemEvent) -> str:
    """Return what an event is about: a reminder, a finished command, or a note."""
    head = (event.context_key or "").partition(":")[0]
    return head if head in ("cron", "exec") else "note"


def _event_facts(event: SystemEvent) -> prompt.EventFacts:
    return prompt.EventFacts(
        text=event.text, at=event.created_at, trusted=event.trusted, kind=prompt_kind(event)
    )


def wake_words(wake: Wake) -> dict[str, Any]:
    """Return a wake as the record keeps it."""
    return {
        "source": wake.source,
        "intent": wake.intent.value,
        "reason": wake.reason,
        **({"by": wake.by} if wake.by else {}),
        **({"eventIds": list(wake.event_ids)} if wake.event_ids else {}),
    }


def _facts(view: View, wake: Wake) -> dict[str, Any]:
    """Return the gate facts of a decision, JSON-ready: with them it can be replayed."""
    beat = view.snapshot
    facts: dict[str, Any] = {
        "kind": "event" if view.events else "tasks" if view.due else "poll",
        "intent": wake.intent.value,
        "enabled": beat.enabled,
        "enrolled": beat.enrolled,
        "failures": beat.failures,
        "events": [event.id for event in view.events],
        "file": {
            "sha256": view.file.sha256,
            "bytes": view.file.size,
            "empty": view.file.empty,
            "missing": view.file.missing,
        },
        "shown": {
            "ok": view.shown.ok,
            "alerts": view.shown.alerts,
            "indicator": view.shown.indicator,
        },
    }
    if view.file.warnings:
        facts["warnings"] = list(view.file.warnings)
    if beat.active_hours is not None:
        facts["activeHours"] = beat.active_hours.describe()
    if beat.tasks:
        facts["tasks"] = {"all": list(beat.tasks), "due": list(beat.tasks_due)}
    if beat.backoff_until is not None:
        facts["backoffUntilMs"] = ms(beat.backoff_until)
    busy = [*beat.cron_running, *beat.turns_in_flight]
    if busy:
        facts["blockedBy"] = busy
    return facts


def _target_words(view: View) -> dict[str, Any]:
    wish = view.agent.beat.wish
    return {"requested": wish.target, "source": wish.source, **found_words(view.found)}


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
    # The slot itself comes due at the end of the interval: it is the first retry.
    floor = now + wait - period
    if retry_after is not None:
        floor = max(floor, now + timedelta(seconds=retry_after))
    return floor if floor > now else None
