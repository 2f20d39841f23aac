"""The shell of one scheduled job: an event queued, a turn taken, or a command run.

Execution and delivery are two facts (cron.md §10.3): a run that did its work is `ok`, and
what became of its words stands in the outbox. Words nobody wanted are recorded as not sent,
with the reason, and kept.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from engine import process, prompt, sessions as keys
from engine.agents.base import FailureClass, Tool
from engine.agents.secrets import redacted
from engine.clock import Clock
from engine.outbox import Delivery, Priority, expiry
from engine.outcome import Verdict, classify
from engine.outlet import found_words, last_of
from engine.record import Also, Recorder
from engine.roster import AgentProfile, Roster
from engine.route import NoRoute, TargetWish, resolve
from engine.target import Route
from engine.turn import TurnOrder, TurnResult, Turns, remember
from engine.vitals import Insist
from engine.wake import Intent
from jobs.crash import crash_point
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger
from jobs.model import AgentTurn, Command, HeartbeatBeat, Job, Source, SystemEvent, WakeMode
from jobs.retry import RetryPolicy, after_one_shot, after_recurring
from jobs.schedule import At
from jobs.store import jobs as job_rows
from jobs.store.base import Finish
from jobs.store.db import Database, Tx

TURN_TIMEOUT: Final = timedelta(minutes=60)  # cron.md §8
COMMAND_TIMEOUT: Final = timedelta(minutes=10)
OUTPUT_MOST: Final = 200_000
TIMED_OUT: Final = "cron: job execution timed out"
_SENT_BY_TOOL: Final = "message"


class Wakes(Protocol):
    """Where a main-session job puts its text."""

    async def system_event(
        self,
        text: str,
        *,
        mode: str,
        agent_id: str | None = None,
        session_key: str | None = None,
        source: str,
        by: str,
        trusted: bool = True,
        context_key: str | None = None,
        route: Route | None = None,
        intent: Intent = Intent.MANUAL,
        target: str | None = None,
    ) -> dict[str, Any]:
        """Queue an event, and wake its agent if ``mode`` is now."""


class RunProgram(Protocol):
    """How a command is run: `engine.process.run`, or a pretence of it."""

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str | Path | None = None,
        env: Mapping[str, str],
        no_output_timeout: timedelta | None = None,
        output_most: int,
        drop_rest: bool,
    ) -> process.Ended:
        """Run a program to its end. Raises `OSError` if it cannot be started."""


class JobTools(Protocol):
    """Where the tools of a job's turn come from."""

    def __call__(
        self, agent: AgentProfile, *, run_id: str, session_key: str, kind: str
    ) -> Sequence[Tool]:
        """Return the tools of one turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CronSettings:
    """What the config says about running jobs."""

    max_concurrent_runs: int = 4
    retry: RetryPolicy = RetryPolicy()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What a job's work amounts to, before anybody decided where it goes."""

    run: Run
    verdict: Verdict | None  # None: it failed
    failure: str = ""  # class, if it failed
    turn: TurnResult | None = None
    sent_to: tuple[tuple[str, str], ...] = ()  # (channel, to) the agent wrote to itself


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
        tools_for: JobTools,
        run_program: RunProgram | None = None,
        insist: Insist,
    ) -> None:
        self._insist = insist
        self._database = database
        self._clock = clock
        self._recorder = recorder
        self._turns = turns
        self._wakes = wakes
        self._roster = roster
        self._settings = settings
        self._tools_for = tools_for
        self._run_program: RunProgram = run_program or process.run
        self._places = _Places(lambda: settings().max_concurrent_runs)

    def begin(self, job: Job, run: Run) -> Coroutine[Any, Any, None]:
        """Perform a claimed run. See `engine.loop.Performer`."""
        return self._perform(job, run)

    async def _perform(self, job: Job, run: Run) -> None:
        async with self._places:
            run = replace(run, status=RunStatus.RUNNING, started_at=self._clock.now())
            await self._recorder.began(run)
            match job.payload:
                case SystemEvent(text=text):
                    await self._event(job, run, text)
                case AgentTurn():
                    await self._turn(job, run, job.payload)
                case Command():
                    await self._command(job, run, job.payload)
                case HeartbeatBeat():
                    raise AssertionError("a heartbeat is not performed here")

    # -- main session: an event ----------------------------------------------------------

    async def _event(self, job: Job, run: Run, text: str) -> None:
        now = self._clock.now()
        if not text.strip():
            words = "main job requires non-empty systemEvent text"
            empty = replace(
                run,
                status=RunStatus.SKIPPED,
                reason=SkipReason.EMPTY_EVENT,
                because=words,
                ended_at=now,
            )
            await self._end(job, empty)
            return
        agent = self._roster().agent(job.agent_id)
        mode = "now" if job.wake_mode is WakeMode.NOW else "next-heartbeat"
        told = await self._insist(
            lambda: self._wakes.system_event(
                text,
                mode=mode,
                agent_id=agent.agent_id,
                source="cron",
                by=f"cron {job.name}",
                context_key=f"cron:{job.id}",
                intent=Intent.IMMEDIATE,
                target="last",
            )
        )
        ended = replace(
            run,
            status=RunStatus.OK,
            outcome=Outcome.ACKNOWLEDGED,
            session_key=str(told.get("sessionKey") or ""),
            reply={"summary": f"queued for {agent.agent_id} ({mode})", "eventId": told["eventId"]},
            ended_at=self._clock.now(),
        )
        await self._end(job, ended)

    # -- isolated: a turn ----------------------------------------------------------------

    async def _turn(self, job: Job, run: Run, payload: AgentTurn) -> None:
        agent = self._roster().agent(job.agent_id)
        session = _session_of(job, run, agent, self._roster().main_key)
        run = replace(run, session_key=session)
        order = self._order(job, run, payload, agent, session)

        async def settle(result: TurnResult) -> None:
            crash_point("after-turn")
            await self._settle(job, agent, self._turn_done(run, result))

        await self._turns.take(order, settle=settle)

    def _order(
        self, job: Job, run: Run, payload: AgentTurn, agent: AgentProfile, session: str
    ) -> TurnOrder:
        now = self._clock.now()
        limit = TURN_TIMEOUT if payload.timeout is None else payload.timeout or None
        tools = self._tools_for(agent, run_id=run.id, session_key=session, kind="cron")
        if payload.tools_allow is not None:
            tools = [tool for tool in tools if tool.name in payload.tools_allow]
        own_model = payload.model is not None
        fallbacks = payload.fallbacks
        if fallbacks is None:
            fallbacks = () if own_model else agent.fallbacks
        return TurnOrder(
            run_id=run.id,
            agent_id=agent.agent_id,
            session_key=session,
            kind="cron",
            prompt=prompt.for_job(payload.message, now, agent.zone, run.slot or now),
            system_prompt=prompt.system(agent.agent_id, "cron"),
            tools=tools,
            model=payload.model or agent.model,
            fallbacks=fallbacks,
            thinking=payload.thinking or agent.thinking,
            workspace=agent.workspace,
            timeout=limit,
            history=job.session_target != "isolated",
            transcript=payload.message,
        )

    def _turn_done(self, run: Run, result: TurnResult) -> _Done:
        reply, failure = result.reply, result.failure
        if failure is not None or reply is None:
            name = failure.failure.value if failure else FailureClass.INTERNAL.value
            words = failure.message if failure else "the agent did not answer"
            return _Done(run=_failed(run, name, words, result.ended_at), verdict=None, failure=name)
        verdict = classify(
            reply.payloads, mode="cron", response_prefix=self._roster().response_prefix
        )
        ended = replace(
            run,
            status=RunStatus.OK,
            outcome=verdict.outcome,
            usage=reply.usage,
            model=reply.model,
            provider=reply.provider,
            reply=_reply_words(verdict, "\n".join(reply.payloads)),
            ended_at=result.ended_at,
        )
        if verdict.outcome is Outcome.FAILED:
            ended = _failed(ended, "internal", verdict.because, result.ended_at)
            return _Done(run=ended, verdict=None, failure="internal", turn=result)
        sent = tuple(
            (str(call.arguments.get("channel") or ""), str(call.arguments.get("to") or ""))
            for call in reply.tool_calls
            if call.name == _SENT_BY_TOOL and not call.failed
        )
        return _Done(run=ended, verdict=verdict, turn=result, sent_to=sent)

    # -- a command -----------------------------------------------------------------------

    async def _command(self, job: Job, run: Run, payload: Command) -> None:
        agent = self._roster().agent(job.agent_id)
        limit = COMMAND_TIMEOUT if payload.timeout is None else payload.timeout or None
        seconds = limit.total_seconds() if limit else None
        try:
            async with asyncio.timeout(seconds):
                end = await self._run_program(
                    payload.argv,
                    stdin=(payload.stdin or "").encode(),
                    cwd=payload.cwd or (agent.workspace if agent.workspace.is_dir() else None),
                    env={**os.environ, **payload.env},
                    no_output_timeout=payload.no_output_timeout,
                    output_most=payload.output_max_bytes or OUTPUT_MOST,
                    drop_rest=True,  # how it ends counts, not how much it said
                )
        except TimeoutError:
            done = self._command_failed(run, FailureClass.TIMEOUT, TIMED_OUT)
        except OSError as error:
            words = process.unstarted(error, payload.argv[0], payload.cwd)
            done = self._command_failed(run, FailureClass.INVALID, words)
        else:
            done = self._command_done(run, end)
        crash_point("after-turn")
        await self._settle(job, agent, done)

    def _command_failed(self, run: Run, failure: FailureClass, words: str) -> _Done:
        now = self._clock.now()
        return _Done(
            run=_failed(run, failure.value, words, now), verdict=None, failure=failure.value
        )

    def _command_done(self, run: Run, end: process.Ended) -> _Done:
        out = end.out.decode(errors="replace").strip()
        err = end.err.decode(errors="replace").strip()
        text = f"stdout:\n{out}\n\nstderr:\n{err}" if out and err else out or err
        if end.too_long:
            text += "\n[cut: the output was longer]"
        now = self._clock.now()
        run = replace(run, facts={**run.facts, "exitCode": end.code})
        if end.silent:
            return self._command_failed(run, FailureClass.TIMEOUT, "no output for too long; ended")
        if end.code != 0:
            what = f"signal {-end.code}" if end.code < 0 else f"exit status {end.code}"
            words = redacted(f"{what}: {(err or out)[-500:] or 'no words'}")
            failed = replace(
                _failed(run, FailureClass.INVALID.value, words, now), reply={"rawText": text}
            )
            return _Done(run=failed, verdict=None, failure=FailureClass.INVALID.value)
        verdict = classify([text] if text else [], mode="cron")
        ended = replace(
            run,
            status=RunStatus.OK,
            outcome=verdict.outcome,
            reply=_reply_words(verdict, text),
            ended_at=now,
        )
        return _Done(run=ended, verdict=verdict)

    # -- the end -------------------------------------------------------------------------

    async def _settle(self, job: Job, agent: AgentProfile, done: _Done) -> None:
        """One transaction: run row, session, outbox, and what it means for the job."""
        run, deliveries = done.run, list[Delivery]()
        if done.verdict is not None:
            found = await self._route(job, agent)
            run, deliveries = self._deliveries(job, run, done, found)
        also: list[Also] = []
        if (turn := done.turn) is not None:
            also.append(lambda tx: remember(tx, turn))
        await self._end(job, run, deliveries=deliveries, also=also, failure=done.failure)

    async def _route(self, job: Job, agent: AgentProfile) -> Route | NoRoute:
        spec = job.delivery
        if spec.mode == "none":
            return NoRoute(SkipReason.TARGET_NONE, "delivery is none")
        origin = job.session_key or keys.main_key(agent.agent_id, main=self._roster().main_key)
        known = await self._database.read(lambda tx: last_of(tx, agent.agent_id, origin))
        wish = TargetWish(
            target=spec.channel or "last",
            to=spec.to,
            account_id=spec.account_id,
            thread_id=spec.thread_id,
            source="config",
        )
        return resolve(wish, self._roster().route_facts(agent.agent_id, known))

    def _deliveries(
        self, job: Job, run: Run, done: _Done, found: Route | NoRoute
    ) -> tuple[Run, list[Delivery]]:
        if job.delivery.mode == "none":
            return run, []  # nobody asked for its words
        run = replace(run, target=_target_words(job, found))
        verdict = done.verdict
        if verdict is None or verdict.outcome is not Outcome.ALERT:
            return run, []
        if isinstance(found, NoRoute):
            return replace(run, reason=found.reason, because=found.because), []
        if any(_same_place(sent, found) for sent in done.sent_to):
            words = "the agent sent it there itself with the message tool"
            return replace(run, reason=SkipReason.DUPLICATE, because=words), []
        now = run.ended_at or self._clock.now()
        delivery = Delivery(
            key=f"{job.id}:{run.id}:0",
            route=found,
            text=verdict.text,
            kind="cron",
            created_at=now,
            expires_at=expiry("cron", now),
            agent_id=run.agent_id,
            run_id=run.id,
            job_id=job.id,
            priority=Priority.CRON,
        )
        return replace(run, delivery_key=delivery.key), [delivery]

    async def _end(
        self,
        job: Job,
        run: Run,
        *,
        deliveries: Sequence[Delivery] = (),
        also: Sequence[Also] = (),
        failure: str = "",
    ) -> None:
        now = run.ended_at or self._clock.now()
        following = job.schedule.next_after(now)
        run = replace(run, next_due_at=following)
        stored = await self._database.read(lambda tx: job_rows.get(tx, job.id))
        failures = (stored.state.consecutive_errors if stored else 0) + 1
        columns = _consequences(job, run, failure, failures, now, self._settings().retry)
        effects = list(also)
        if "enabled" in columns:
            effects.append(lambda tx: job_rows.switch_off(tx, job.id, now))
            columns = {key: value for key, value in columns.items() if key != "enabled"}
        if _finished(job, run, now):
            effects.append(lambda tx: _retire(tx, job, run, now))
        await self._recorder.ended(
            Finish(run=run, job_columns=columns), deliveries=deliveries, also=effects
        )


class _Places:
    """A bounded number of places, first come first served; the bound may change."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._taken = 0
        self._queue: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> None:
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
        self._leave()

    def _leave(self) -> None:
        self._taken -= 1
        while self._queue and self._taken < max(1, self._limit()):
            turn = self._queue.pop(0)
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


def _session_of(job: Job, run: Run, agent: AgentProfile, main: str) -> str:
    target = job.session_target
    if target.startswith("session:"):
        return keys.named_key(agent.agent_id, target.removeprefix("session:"))
    if target == "current" and job.session_key:
        return job.session_key
    if target == "main":
        return keys.main_key(agent.agent_id, main=main)
    return keys.cron_key(agent.agent_id, job.id, run_id=run.id)


def _failed(run: Run, failure: str, words: str, now: datetime) -> Run:
    return replace(
        run,
        status=RunStatus.FAILED,
        outcome=Outcome.FAILED,
        reason=SkipReason.AGENT_RUNNER_FAILURE,
        because=words,
        error={"class": failure, "message": words},
        ended_at=now,
    )


def _reply_words(verdict: Verdict, raw: str) -> Mapping[str, Any]:
    words = {"rawText": raw, "preview": verdict.preview, "droppedText": verdict.dropped}
    return {key: value for key, value in words.items() if value}


def _target_words(job: Job, found: Route | NoRoute) -> Mapping[str, Any]:
    return {"requested": job.delivery.channel or job.delivery.mode, **found_words(found)}


def _same_place(sent: tuple[str, str], route: Route) -> bool:
    channel, to = sent
    return channel in ("", route.channel) and to in ("", route.to)


def _finished(job: Job, run: Run, now: datetime) -> bool:
    over = run.status in (RunStatus.OK, RunStatus.SKIPPED)
    return over and isinstance(job.schedule, At) and not _before_its_time(job, run, now)


def _before_its_time(job: Job, run: Run, now: datetime) -> bool:
    """Whether somebody tried a one-shot by hand: its own instant still stands (cron.md §8)."""
    by_hand = run.trigger is Trigger.MANUAL
    return by_hand and isinstance(job.schedule, At) and job.schedule.at > now


def _retire(tx: Tx, job: Job, run: Run, now: datetime) -> None:
    """A one-shot that is over: gone if it succeeded and asked for that, else switched off.

    See cron.md §9.1. One of the config stays, whatever it asks: its row is what says that
    its instant has been served (§13).
    """
    if job.delete_after_run and run.status is RunStatus.OK and job.source is not Source.CONFIG:
        job_rows.delete(tx, job.id)
    else:
        job_rows.switch_off(tx, job.id, now)


def _consequences(
    job: Job, run: Run, failure: str, failures: int, now: datetime, policy: RetryPolicy
) -> dict[str, Any]:
    """Return what a run's end changes at its job (cron.md §9)."""
    if _before_its_time(job, run, now):
        return {}
    if run.status is not RunStatus.FAILED:
        return {"retry_at": None}
    if isinstance(job.schedule, At):
        verdict = after_one_shot(failure, failures, now, policy)
        if verdict.retry_at is not None:
            return {"retry_at": verdict.retry_at, "next_run_at": verdict.retry_at}
        return {"retry_at": None, "enabled": False}
    verdict = after_recurring(failures, now, policy)
    if verdict.disable:
        return {"retry_at": None, "auto_disabled": "consecutive-failures", "enabled": False}
    return {"retry_at": verdict.retry_at}
