"""The turn of a beat: taken, then settled in one transaction.

What it comes to is decided in `engine.beats.outcome`; here it is done and written down.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from engine.agents.base import FailureClass, Tool
from engine.beats import probing
from engine.beats.end import BeatEnd
from engine.beats.errands import escalation_job, look_job, watch
from engine.beats.outcome import (
    Alert,
    Spoken,
    answered,
    next_check,
    reading,
    same_again,
    spoken,
    unanswered,
    unusable,
    verdict_on,
)
from engine.clock import Clock
from engine.events import Bus
from engine.ledger import explain
from engine.messages.address import Route
from engine.messages.delivery import Delivery
from engine.messages.kept import Kept, print_of
from engine.messages.repetition import Sent
from engine.messages.route import NoRoute
from engine.record import Also, Recorder
from engine.ring import Ring
from engine.roster.roster import Roster
from engine.roster.view import View, stranger_ids
from engine.store import events as event_rows, kept, outbox, sent, tasks as task_rows
from engine.turns.toolbox import Toolbox, narrowed
from engine.turns.turn import TurnOrder, TurnResult, Turns, remember
from engine.wording import prompt
from engine.wording.outcome import Verdict
from jobs.crash import crash_point
from jobs.ledger import Outcome, Run
from jobs.model import Job
from jobs.store.db import Database, Tx
from jobs.wallclock import ms

log = logging.getLogger(__name__)


class BeatTurn:
    """Takes the turns of beats that may run."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        bus: Bus,
        recorder: Recorder,
        end: BeatEnd,
        turns: Turns,
        roster: Callable[[], Roster],
        toolbox: Toolbox,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._recorder = recorder
        self._end = end
        self._turns = turns
        self._roster = roster
        self._toolbox = toolbox
        self.ring = Ring(ms(clock.now()))  # what was published, for who was away

    async def take(self, run: Run, view: View, now: datetime) -> Run | None:
        """Take the turn of a beat that goes ahead; returns its final row.

        None: a person's message went first, and the beat has to look again.
        """
        tools, run = self._tools(run, view)
        order = self._order(run, view, now, tools)
        run = replace(run, facts={**run.facts, "prompt": _provenance(order)})
        await self._recorder.began(run)
        ended: list[Run] = []

        async def settle(result: TurnResult) -> None:
            crash_point("after-turn")
            ended.append(await self._settle(run, view, result))

        result = await self._turns.take(order, settle=settle)
        if result.preempted:
            return None
        log.info(
            "beat ran",
            extra={"agent": run.agent_id, "run_id": run.id, "outcome": ended[-1].outcome},
        )
        return ended[-1]

    async def rehearse(self, run: Run, view: View, now: datetime, *, ask: bool) -> dict[str, Any]:
        """Say what the turn of a beat would be; if ``ask``, what its reply comes to (§25-4)."""
        every, run = self._tools(run, view)
        tools, withheld = narrowed(every, rehearsed=True)
        order = replace(self._order(run, view, now, tools), remember=False)
        told: dict[str, Any] = {
            "prompt": order.prompt,
            "systemPrompt": order.system_prompt,
            "tools": [tool.name for tool in tools],
            "withheld": list(withheld),
            "model": order.model,
        }
        if not ask:
            return told

        async def settle(_: TurnResult) -> None:
            """Nothing is kept."""

        result = await self._turns.take(order, settle=settle)
        if (reply := result.reply) is None:
            failure = result.failure
            error = (
                None
                if failure is None
                else {"class": failure.failure.value, "message": failure.message}
            )
            return {**told, "outcome": Outcome.FAILED.value, "error": error}
        route = view.found if isinstance(view.found, Route) else None
        prefix = self._roster().prefix(view.agent.agent_id, reply, route)
        verdict = verdict_on(reply, view, response_prefix=prefix)
        said, held = await self._known(view, verdict, now)
        out = spoken(answered(run, reply, verdict, now), view, verdict, said, now, held=held)
        return {
            **told,
            "outcome": verdict.outcome.value,
            "text": verdict.text,
            "droppedText": verdict.dropped,
            "wouldSend": [one.text for one in out.deliveries],
            "reason": out.run.reason.value if out.run.reason else None,
            "because": out.run.because or verdict.because,
            "tokens": reply.usage.total_tokens if reply.usage else None,
            "costUsd": reply.usage.cost_usd if reply.usage else None,
        }

    def tell(self, run: Run, delivery: Delivery | None = None) -> None:
        """Publish how a beat ended."""
        zone = self._roster().agent(run.agent_id).zone
        words = explain.record_words(run, delivery, zone=zone)
        self._bus.publish("heartbeat", self.ring.add(words))

    def _tools(self, run: Run, view: View) -> tuple[Sequence[Tool], Run]:
        """Return the tools of a beat, and its row, which says if any are withheld (§25 row 20)."""
        agent = view.agent
        tools = self._toolbox.for_turn(
            agent,
            run_id=run.id,
            session_key=view.session_key,
            kind="heartbeat",
            allow=agent.beat.tools_allow,
            model=_model(view),
        )
        strangers = stranger_ids(view.events)
        if not strangers:
            return tools, run
        kept, withheld = narrowed(tools)
        told = {"withheld": list(withheld), "because": "untrusted events", "events": strangers}
        return kept, replace(run, facts={**run.facts, "tools": told})

    def _order(self, run: Run, view: View, now: datetime, tools: Sequence[Tool]) -> TurnOrder:
        agent = view.agent
        text = prompt.build(
            prompt.PromptFacts(
                now=now,
                dial=agent.dial,
                checklist=view.file.text,
                missing=view.file.missing,
                tasks=tuple((task.name, task.prompt) for task in view.due),
                prose=view.file.prose,
                events=view.events,
                poll=view.polls,
                relay=isinstance(view.found, Route),
                narrowed="tools" in run.facts,
                by_tool=self._roster().by_tool,
                custom=agent.beat.prompt,
            )
        )
        return TurnOrder(
            run_id=run.id,
            agent_id=agent.agent_id,
            session_key=view.session_key,
            kind="heartbeat",
            prompt=text,
            system_prompt=prompt.system(agent.agent_id, "heartbeat", name=agent.name),
            tools=tools,
            model=_model(view),
            fallbacks=() if _cheaper(view) else agent.beat.fallbacks,
            thinking=agent.thinking,
            workspace=agent.workspace,
            timeout=agent.beat.timeout,
            history=not agent.beat.isolated,
            light=agent.beat.light,
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
                unanswered(run, failure, now), view, failure.failure, failure.retry_after_seconds
            )
        if (reply := result.reply) is None:
            raise AssertionError("a turn without failure has a reply")
        route = view.found if isinstance(view.found, Route) else None
        prefix = self._roster().prefix(view.agent.agent_id, reply, route)
        verdict = verdict_on(reply, view, response_prefix=prefix)
        said, held = await self._known(view, verdict, now)
        rules = reading(run, view, verdict, prefix=prefix, said=said, held=held)
        run = replace(run, facts={**run.facts, "reading": rules})
        if verdict.outcome is Outcome.FAILED:
            return await self._failed(unusable(run, verdict, now), view, FailureClass.INTERNAL)
        out = spoken(answered(run, reply, verdict, now), view, verdict, said, now, held=held)
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
        if (probed := view.probed) is not None:
            also.append(lambda tx: probing.remember(tx, view.agent.agent_id, probed))
        if (alert := out.alert) is not None:
            also.append(lambda tx: _note(tx, alert, now))
        for look in _looks(view, verdict, out, now):
            also.append(partial(watch, look=look, now=now))
        await self._end.answered(out.run, view, deliveries=out.deliveries, also=also)
        self.tell(out.run, out.deliveries[-1] if out.deliveries else None)
        return out.run

    async def _known(
        self, view: View, verdict: Verdict, now: datetime
    ) -> tuple[Sent | None, Kept | None]:
        """Return when an alert last went where it would go now, and who asked not to hear it."""
        route, agent = view.found, view.agent
        if verdict.outcome is not Outcome.ALERT or isinstance(route, NoRoute):
            return None, None
        same, loosely = same_again(verdict, view), agent.beat.dedupe_loosely
        prints = print_of(agent.agent_id, verdict.text)
        return await self._database.read(
            lambda tx: (
                _sent(tx, route.lane, same, loosely=loosely),
                kept.held(tx, prints, now),
            )
        )

    async def _failed(
        self, run: Run, view: View, failure: FailureClass, retry_after: float | None = None
    ) -> Run:
        await self._end.failed(run, view, failure=failure, retry_after=retry_after)
        self.tell(run)
        return run


def _looks(view: View, verdict: Verdict, out: Spoken, now: datetime) -> Iterator[Job]:
    """Yield what is to be looked at before the next beat."""
    if (escalation := _escalation(view, verdict, out, now)) is not None:
        yield escalation
    if (at := next_check(verdict, view, now)) is not None:
        yield look_job(view.agent, at)


def _escalation(view: View, verdict: Verdict, out: Spoken, now: datetime) -> Job | None:
    """Return the look at whether somebody acknowledged an alert, if one was asked for."""
    plan = view.agent.beat.escalate
    if plan is None or out.alert is None or not out.alert.sent:
        return None
    if plan.only_high and (verdict.response or {}).get("priority") != "high":
        return None
    return escalation_job(view.agent, out.run.id, now + plan.after)


def _sent(tx: Tx, lane: str, same: str, *, loosely: bool) -> Sent | None:
    """Return when a text went out to a place; one that still waits there gives way to the new."""
    waits = outbox.still_waits(tx, lane, same, loosely=loosely)
    return None if waits else sent.last(tx, lane, same)


def _cheaper(view: View) -> str | None:
    """The model that answers while the budget is spent."""
    return view.purse.model if view.purse else None


def _model(view: View) -> str | None:
    return _cheaper(view) or view.agent.beat.model


def _note(tx: Tx, alert: Alert, now: datetime) -> None:
    if alert.sent:
        sent.note(tx, alert.lane, alert.same, now)
    else:
        sent.suppress(tx, alert.lane, alert.same)


def _provenance(order: TurnOrder) -> Mapping[str, str]:
    """Say which wording of the prompts an agent was asked with, and which text it was."""
    digest = hashlib.sha256(order.prompt.encode()).hexdigest()[:12]
    return {"version": prompt.version(), "sha256": digest}
