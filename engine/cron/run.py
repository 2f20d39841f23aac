"""The shell of one scheduled job: an event queued, a turn taken, or a command run.

What its work amounts to is decided in `engine.cron.outcome`; how it ends is `engine.cron.end`'s.
"""

from __future__ import annotations

import asyncio
import os
from collections import ChainMap
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from engine import process, sessions as keys
from engine.agents.base import FailureClass
from engine.agents.preflight import Preflight
from engine.clock import Clock
from engine.cron.end import CronEnd
from engine.cron.outcome import Done, answered, failed, printed, unanswered
from engine.cron.wait import (
    LOOK_AGAIN,
    Cleared,
    Ends,
    Threshold,
    handed,
    marked,
    quoted,
    remember_gate,
)
from engine.decisions.cron_gates import CHEAPER
from engine.decisions.heartbeat import is_task
from engine.decisions.interrupted import withdrawn
from engine.decisions.wake import NEXT_HEARTBEAT, NOW, Intent, NewEvent
from engine.messages.address import Route
from engine.messages.route import NoRoute
from engine.process import RunProgram
from engine.record import Also, Recorder
from engine.roster.roster import AgentProfile, Roster
from engine.store import holds
from engine.suspension import Suspension
from engine.turns.lanes import Places
from engine.turns.toolbox import Toolbox, narrowed
from engine.turns.turn import TurnOrder, TurnResult, Turns, remember
from engine.vitals import Insist
from engine.wording import prompt
from engine.wording.outcome import interim
from jobs.claims import paused_words
from jobs.crash import crash_point
from jobs.ledger import SCHEDULED_FOR, START_AT, Outcome, Run, RunStatus, SkipReason, Trigger
from jobs.model import AgentTurn, Command, Errand, HeartbeatBeat, Job, SystemEvent, WakeMode
from jobs.retry import RetryPolicy
from jobs.store import jobs as job_rows
from jobs.store.db import Database
from jobs.values import changed
from jobs.wallclock import instant

TURN_TIMEOUT: Final = timedelta(minutes=60)  # cron.md §8
COMMAND_TIMEOUT: Final = timedelta(minutes=10)
OUTPUT_MOST: Final = 200_000
JUST_CLAIMED: Final = timedelta(seconds=1)  # its job is as it was read then
_LEAST: Final = timedelta(minutes=1)  # for the second answer of a turn that only promised one
TIMED_OUT: Final = "cron: job execution timed out"


class Wakes(Protocol):
    """Where a main-session job puts its text."""

    async def system_event(self, event: NewEvent) -> dict[str, Any]:
        """Queue an event, and wake its agent if its mode is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CronSettings:
    """What the config says about running jobs."""

    enabled: bool = True
    max_concurrent_runs: int = 4
    retry: RetryPolicy = RetryPolicy()  # noqa: RUF009 - frozen


class CronRuns:
    """Performs cron jobs, a bounded number at once, first come first served."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        recorder: Recorder,
        turns: Turns,
        wakes: Wakes,
        roster: Callable[[], Roster],
        settings: Callable[[], CronSettings],
        toolbox: Toolbox,
        end: CronEnd,
        preflight: Preflight,
        ends: Ends,
        run_program: RunProgram | None = None,
        insist: Insist,
        suspension: Suspension,
    ) -> None:
        self._suspension = suspension
        self._insist = insist
        self._database = database
        self._clock = clock
        self._recorder = recorder
        self._turns = turns
        self._wakes = wakes
        self._roster = roster
        self._settings = settings
        self._toolbox = toolbox
        self._end = end
        self._preflight = preflight
        self._run_program: RunProgram = run_program or process.run
        self._waiting: set[str] = set()  # runs
        self._by_hand: set[str] = set()  # jobs somebody runs now
        self._places = Places(lambda: settings().max_concurrent_runs)
        self._threshold = Threshold(
            database=database,
            clock=clock,
            run_program=self._run_program,
            folder_of=lambda job: _folder(roster().agent(job.agent_id)),
            ends=ends,
        )

    def begin(self, job: Job, run: Run) -> Coroutine[Any, Any, None]:
        """Perform a claimed run. See `engine.loop.Performer`."""
        if run.trigger is Trigger.MANUAL:
            return self._perform_by_hand(job, run)
        return self._perform(job, run)

    def waits(self, run_id: str) -> bool:
        """Whether a run still waits for its instant, or for another job."""
        return run_id in self._waiting

    async def _perform_by_hand(self, job: Job, run: Run) -> None:
        self._by_hand.add(job.id)
        try:
            await self._perform(job, run)
        finally:
            self._by_hand.discard(job.id)

    async def _waited(self, job: Job, run: Run) -> Run:
        """Wait for what a run waits for, and then for one that was begun by hand meanwhile."""
        asked = job.policies
        if START_AT not in run.facts and asked.after is None:
            return run
        beside = asked.overlap is not None and asked.overlap.policy == "allow"
        self._waiting.add(run.id)
        try:
            run = await self._threshold.waited(job, run)
            while job.id in self._by_hand and not (beside or run.status.final):
                await self._clock.sleep_until(self._clock.now() + LOOK_AGAIN)
        finally:
            self._waiting.discard(run.id)
        return run

    async def _perform(self, job: Job, run: Run) -> None:
        if run.trigger is not Trigger.MANUAL:
            run = await self._waited(job, run)
        if run.status.final:
            await self._end.end(job, run)
            return
        async with self._places:
            run = await self._unless_suspended(run)
            asked, run = await self._still_wanted(job, run)
            if run.status.final:
                await self._end.end(job, run)
                return
            job = asked
            run = changed(run, status=RunStatus.RUNNING, reason=None, started_at=self._clock.now())
            await self._recorder.began(run)
            cleared = await self._threshold.asked(job, run)
            if cleared.run.status.final:
                await self._end.end(job, cleared.run, failure=cleared.failure)
                return
            await self._work(job, cleared)

    async def _unless_suspended(self, run: Run) -> Run:
        """Wait while the gateway is suspended; the run counts as one that has not begun."""
        if not self._suspension.held:
            return run
        self._waiting.add(run.id)
        try:
            held = await self._suspension.passed()
        finally:
            self._waiting.discard(run.id)
        return run if held is None else changed(run, facts={**run.facts, **held.facts()})

    async def _still_wanted(self, job: Job, run: Run) -> tuple[Job, Run]:
        """Return the job as it is when a wait is over, and the run: final if it may not begin.

        It may have waited for its instant, for another job, behind another run, for a place.
        """
        now = self._clock.now()
        if is_task(job) and run.trigger is not Trigger.MANUAL:
            run = await self._unless_paused(job, run, now)
        just = run.claimed_at is not None and timedelta() <= now - run.claimed_at < JUST_CLAIMED
        if just or run.status.final:
            return job, run
        stored = await self._database.read(lambda tx: job_rows.readable(tx, job.id))
        enabled = self._settings().enabled
        over = withdrawn(run, stored, now, cron_enabled=enabled, then=job)
        return job if stored is None else stored.job, over or run

    async def _unless_paused(self, job: Job, run: Run, now: datetime) -> Run:
        """A pause of an agent's beats holds the tasks of its checklist, too."""
        overlay = await self._database.read(lambda tx: holds.paused(tx, job.agent_id, now))
        if overlay is None:
            return run
        zone = self._roster().agent(job.agent_id).zone
        words = f"the heartbeat is held: {paused_words(overlay, zone)}"
        return run.skipped(SkipReason.PAUSED, words, now)

    async def _work(self, job: Job, cleared: Cleared) -> None:
        match job.payload:
            case SystemEvent(text=text):
                await self._event(job, cleared.run, text)
            case AgentTurn():
                await self._turn(job, cleared, job.payload)
            case Command():
                await self._command(job, cleared, job.payload)
            case HeartbeatBeat() | Errand():
                raise AssertionError("what is the system's own is not performed here")

    # -- main session: an event ----------------------------------------------------------

    async def _event(self, job: Job, run: Run, text: str) -> None:
        now = self._clock.now()
        if not text.strip():
            words = "main job requires non-empty systemEvent text"
            await self._end.end(job, run.skipped(SkipReason.EMPTY_EVENT, words, now))
            return
        agent = self._roster().agent(job.agent_id)
        event = NewEvent(
            text=text,
            mode=NOW if job.wake_mode is WakeMode.NOW else NEXT_HEARTBEAT,
            agent_id=agent.agent_id,
            source="cron",
            by=f"cron {job.name}",
            context_key=f"cron:{job.id}",
            intent=Intent.IMMEDIATE,
            target="last",
        )
        told = await self._insist(lambda: self._wakes.system_event(event))
        ended = changed(
            run,
            status=RunStatus.OK,
            outcome=Outcome.ACKNOWLEDGED,
            session_key=str(told.get("sessionKey") or ""),
            reply={
                "summary": f"queued for {agent.agent_id} ({event.mode})",
                "eventId": told["eventId"],
            },
            ended_at=self._clock.now(),
        )
        await self._end.end(job, ended)

    # -- isolated: a turn ----------------------------------------------------------------

    async def _turn(self, job: Job, cleared: Cleared, payload: AgentTurn) -> None:
        agent = self._roster().agent(job.agent_id)
        session = _session_of(job, cleared.run, agent, self._roster().main_key)
        run = changed(cleared.run, session_key=session)
        order = self._order(job, run, payload, agent, session)
        if _outside(payload):
            tools, withheld = narrowed(order.tools)
            order = changed(order, tools=tools)
            told = {"withheld": list(withheld), "because": "words from outside"}
            run = changed(run, facts={**run.facts, "tools": told})
        by_hand = run.trigger is Trigger.MANUAL
        if gone := await self._preflight.missing(self._turns.servers(order), afresh=by_hand):
            words = f"no model server answers: {gone}"
            now = self._clock.now()
            await self._end.end(job, run.skipped(SkipReason.PREFLIGHT_UNREACHABLE, words, now))
            return
        if beside := await self._handed(job, cleared):
            order = changed(order, prompt=f"{order.prompt}\n\n{beside}")

        async def settle(result: TurnResult) -> None:
            crash_point("after-turn")
            found = await self._end.route(job, agent)
            done = self._turn_done(run, result, found)
            also = [lambda tx: remember(tx, result), *_kept(job, cleared, done)]
            await self._end.settle(job, agent, done, found, also=also)

        async def unless_promised(result: TurnResult) -> None:
            if not _promises(result):
                await settle(result)

        first = await self._turns.take(order, settle=unless_promised)
        if _promises(first):  # nobody waits for what it promised: it is asked once more
            again = _again(order, first)
            await self._turns.take(again, settle=lambda second: settle(_with_cost(second, first)))

    async def _handed(self, job: Job, cleared: Cleared) -> str:
        """Return what the gate and other jobs said, quoted for the prompt."""
        said = {"the gate": cleared.gate_output} if cleared.gate_output else {}
        if job.policies.context_from:
            said |= await self._database.read(lambda tx: handed(tx, job))
        return quoted(said)

    def _order(
        self, job: Job, run: Run, payload: AgentTurn, agent: AgentProfile, session: str
    ) -> TurnOrder:
        now = self._clock.now()
        limit = TURN_TIMEOUT if payload.timeout is None else payload.timeout or None
        tools = self._toolbox.for_turn(
            agent,
            run_id=run.id,
            session_key=session,
            kind="cron",
            allow=payload.tools_allow,
            job_id=job.id,
            model=run.facts.get(CHEAPER) or payload.model or agent.model,
        )
        own_model = payload.model is not None
        fallbacks = payload.fallbacks
        if fallbacks is None:
            fallbacks = () if own_model else agent.fallbacks
        return TurnOrder(
            run_id=run.id,
            agent_id=agent.agent_id,
            session_key=session,
            kind="cron",
            prompt=prompt.for_job(_said(payload), now, agent.dial, _meant(run) or now),
            system_prompt=prompt.system(agent.agent_id, "cron", name=agent.name),
            tools=tools,
            model=run.facts.get(CHEAPER) or payload.model or agent.model,
            fallbacks=fallbacks,
            thinking=payload.thinking or agent.thinking,
            workspace=agent.workspace,
            timeout=limit,
            history=job.session_target != "isolated",
            light=payload.light_context,
            transcript=payload.message,
        )

    def _turn_done(self, run: Run, result: TurnResult, found: Route | NoRoute) -> Done:
        if result.reply is None:
            return unanswered(run, result.failure, result.ended_at)
        route = found if isinstance(found, Route) else None
        prefix = self._roster().prefix(result.order.agent_id, result.reply, route)
        return answered(run, result.reply, result.ended_at, response_prefix=prefix)

    # -- a command -----------------------------------------------------------------------

    async def _command(self, job: Job, cleared: Cleared, payload: Command) -> None:
        run = cleared.run
        agent = self._roster().agent(job.agent_id)
        limit = COMMAND_TIMEOUT if payload.timeout is None else payload.timeout or None
        seconds = limit.total_seconds() if limit else None
        try:
            async with asyncio.timeout(seconds):
                end = await self._run_program(
                    payload.argv,
                    stdin=(payload.stdin or "").encode(),
                    cwd=payload.cwd or _folder(agent),
                    env=ChainMap({**payload.env, **marked(job, run)}, os.environ),
                    no_output_timeout=payload.no_output_timeout,
                    output_most=payload.output_max_bytes or OUTPUT_MOST,
                    drop_rest=True,  # how it ends counts, not how much it said
                )
        except TimeoutError:
            done = failed(run, FailureClass.TIMEOUT, TIMED_OUT, self._clock.now())
        except OSError as error:
            words = process.unstarted(error, payload.argv[0], payload.cwd)
            done = failed(run, FailureClass.INVALID, words, self._clock.now())
        else:
            done = _command_done(run, end, self._clock.now())
        crash_point("after-turn")
        found = await self._end.route(job, agent)
        await self._end.settle(job, agent, done, found, also=_kept(job, cleared, done))


def _outside(payload: AgentTurn) -> bool:
    """Whether a message comes from outside, and nobody vouched for it."""
    return payload.external and not payload.allow_unsafe_external_content


def _said(payload: AgentTurn) -> str:
    return prompt.from_outside(payload.message) if _outside(payload) else payload.message


def _promises(result: TurnResult) -> bool:
    """Whether the agent only said that it will do the work, and used no tool to (cron.md §8)."""
    reply = result.reply
    return reply is not None and not reply.tool_calls and interim("\n".join(reply.payloads))


def _again(order: TurnOrder, first: TurnResult) -> TurnOrder:
    """Return the order that asks for the result itself, in the time that is left."""
    said = "" if first.reply is None else first.reply.text
    left = None if order.timeout is None else max(order.timeout - first.took, _LEAST)
    return changed(order, prompt=prompt.for_job_again(order.prompt, said), timeout=left)


def _with_cost(result: TurnResult, earlier: TurnResult) -> TurnResult:
    """Return the second answer with what the first cost as well."""
    reply, before = result.reply, earlier.reply
    if reply is None or before is None or reply.usage is None or before.usage is None:
        return result
    return changed(result, reply=changed(reply, usage=before.usage + reply.usage))


def _command_done(run: Run, end: process.Ended, at: datetime) -> Done:
    if not end.silent:
        return printed(run, end.code, end.out, end.err, at, cut=end.too_long)
    run = changed(run, facts={**run.facts, "exitCode": end.code})
    return failed(run, FailureClass.TIMEOUT, "no output for too long; ended", at)


def _kept(job: Job, cleared: Cleared, done: Done) -> list[Also]:
    """Return what is remembered of the gate: nothing, if the work it let in failed."""
    return [] if done.failure else [lambda tx: remember_gate(tx, job, cleared)]


def _meant(run: Run) -> datetime | None:
    """Return the slot a run serves, or stands for."""
    return run.slot or instant(run.facts.get(SCHEDULED_FOR))


def _folder(agent: AgentProfile) -> str | None:
    return str(agent.workspace) if agent.workspace.is_dir() else None


def _session_of(job: Job, run: Run, agent: AgentProfile, main: str) -> str:
    target = job.session_target
    if target.startswith("session:"):
        return keys.named_key(agent.agent_id, target.removeprefix("session:"), main=main)
    if target == "current" and job.session_key:
        return job.session_key
    if target == "main":
        return keys.main_key(agent.agent_id, main=main)
    return keys.cron_key(agent.agent_id, job.id, run_id=run.id)
