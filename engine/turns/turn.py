"""One agent turn: lane, history, time limit, answer or classified failure, memory.

The seam between the engine and whatever answers: an agent may raise anything, a turn
returns a value. What the words amount to (`engine.wording.outcome`) and what the run becomes
(`engine.record`) is decided by whoever ordered the turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from engine.agents.base import (
    Agent,
    AgentFailure,
    FailureClass,
    Message,
    Tool,
    TurnReply,
    TurnRequest,
    storable,
    watched,
)
from engine.agents.secrets import redacted
from engine.clock import Clock
from engine.messages.media import Media
from engine.store import sessions as session_rows
from engine.turns.lanes import Lanes
from jobs.duration import format_duration
from jobs.errors import EngineError
from jobs.store.db import Database, Tx
from jobs.values import changed, swift

log = logging.getLogger(__name__)

HISTORY_MOST: Final = 200  # messages handed to an agent


class AgentSource(Protocol):
    """Where agents come from: `engine.agents.factory.AgentFactory`, or a test's own."""

    def build(self, ref: str | None, fallbacks: Sequence[str] = ()) -> Agent:
        """Return the agent of a ref, or raise `AgentFailure`."""

    def servers(self, ref: str | None, fallbacks: Sequence[str] = ()) -> Sequence[str | None]:
        """Return which servers must be there, one per ref; None: none."""


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOrder:
    """One turn to be taken."""

    run_id: str
    agent_id: str
    session_key: str
    kind: str  # heartbeat | cron | chat
    prompt: str
    system_prompt: str = ""
    tools: Sequence[Tool] = ()
    model: str | None = None  # a ref; None: offline
    fallbacks: Sequence[str] = ()
    thinking: str | None = None
    workspace: Path | None = None
    timeout: timedelta | None = None  # None: no limit; counts from when the lane is held
    history: bool = True  # False: the agent sees nothing of the session
    earlier: Sequence[Message] = ()  # shown in place of the session's history
    remember: bool = True  # False: the session sees nothing of the turn
    light: bool = False  # True: the agent is shown no files of its workspace
    transcript: str | None = None  # what the session keeps in place of the prompt
    facts: Mapping[str, Any] = field(default_factory=dict)
    images: tuple[Media, ...] = ()  # shown to a model that takes them


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class TurnResult:
    """What came of it: a reply, or a failure, or neither if a person's message went first."""

    order: TurnOrder
    started_at: datetime  # the lane was held
    ended_at: datetime
    reply: TurnReply | None = None
    failure: AgentFailure | None = None
    preempted: bool = False

    @property
    def took(self) -> timedelta:
        """How long the agent was at it, waiting for the lane not counted."""
        return self.ended_at - self.started_at


ReadContext = Callable[[Path], Awaitable[str]]  # `engine.workspace.bootstrap.read_context`
Settle = Callable[[TurnResult], Awaitable[None]]
Prepare = Callable[[TurnOrder, datetime], Awaitable[TurnOrder]]


class Turns:
    """Takes turns, one at a time per session."""

    def __init__(
        self,
        *,
        database: Database,
        lanes: Lanes,
        agents: AgentSource,
        clock: Clock,
        read_context: ReadContext | None = None,
    ) -> None:
        self._read_context = read_context
        self._database = database
        self._lanes = lanes
        self._agents = agents
        self._at_it: dict[AgentSource, int] = {}  # how many turns each source's agents are at
        self._ended = asyncio.Event()
        self._clock = clock
        self._failing: dict[str, AgentFailure] = {}

    @property
    def lanes(self) -> Lanes:
        """Who is at it."""
        return self._lanes

    @property
    def failing(self) -> Mapping[str, AgentFailure]:
        """Agents whose last turn in this process failed, and why."""
        return dict(self._failing)

    def servers(self, order: TurnOrder) -> Sequence[str | None]:
        """Return which servers the models of an order need; see `AgentSource`."""
        return self._agents.servers(order.model, order.fallbacks)

    def use(self, agents: AgentSource) -> None:
        """Take agents from elsewhere from now on: the config has changed."""
        self._agents = agents
        self._failing.clear()  # what failed was another model, or another key to it

    async def left(self, agents: AgentSource) -> None:
        """Return when no turn is taken by agents of ``agents`` any more."""
        while agents in self._at_it:
            self._ended.clear()
            await self._ended.wait()

    async def take(
        self, order: TurnOrder, *, prepare: Prepare | None = None, settle: Settle | None = None
    ) -> TurnResult:
        """Wait for the session's lane, ask the agent, and settle the result before leaving it.

        ``prepare`` is called once the lane is held: it may note the start and complete the
        order with what must not be read earlier. ``settle`` records the result in a
        transaction of its own and calls `remember` there; without it the exchange is
        remembered and nothing else. Whatever the agent does comes back as a value; only
        cancellation and the two callbacks raise. A beat gives way to a person who waits for
        it, unless it has changed something already (heartbeat.md §10): then nothing is settled.
        """
        way = _Way()
        async with self._lanes.hold(
            order.session_key,
            agent_id=order.agent_id,
            kind=order.kind,
            run_id=order.run_id,
            give_way=way.give if order.kind == "heartbeat" else None,
        ):
            now = self._clock.now()
            if prepare is not None:
                order = await prepare(order, now)
            result = await self._answered(order, now, way)
            if result.preempted:
                return result
            self._note(result)
            if settle is not None:
                await settle(result)
            elif order.remember:
                await self._database.write(lambda tx: remember(tx, result))
            return result

    def _note(self, result: TurnResult) -> None:
        if result.failure is not None:
            self._failing[result.order.agent_id] = result.failure
        else:
            self._failing.pop(result.order.agent_id, None)

    async def _answered(self, order: TurnOrder, started_at: datetime, way: _Way) -> TurnResult:
        reply, failure = None, None
        seen = changed(order, tools=[watched(tool, way.touched) for tool in order.tools])
        limit = order.timeout.total_seconds() if order.timeout else None
        try:
            async with asyncio.timeout(limit) as way.limit:
                reply = await self._ask(seen, started_at)
                way.limit = None  # it has answered: too late to give way
        except AgentFailure as known:
            failure = known
        except TimeoutError:
            if not way.given:
                failure = AgentFailure(FailureClass.TIMEOUT, _too_slow(order))
        except EngineError as refusal:
            failure = AgentFailure(FailureClass.INTERNAL, redacted(str(refusal)))
        except Exception as error:
            # The seam of one agent turn: a bug of an agent or a tool fails this run only.
            log.exception("agent turn failed", extra={"run_id": order.run_id})
            failure = AgentFailure(
                FailureClass.INTERNAL, redacted(f"{type(error).__name__}: {error}")
            )
        return TurnResult(
            order=order,
            started_at=started_at,
            ended_at=self._clock.now(),
            reply=reply,
            failure=failure,
            preempted=reply is None and failure is None,
        )

    async def _ask(self, order: TurnOrder, now: datetime) -> TurnReply:
        agents = self._agents
        self._at_it[agents] = self._at_it.get(agents, 0) + 1
        try:
            return await self._asked(agents.build(order.model, order.fallbacks), order, now)
        finally:
            self._at_it[agents] -= 1
            if not self._at_it[agents]:
                del self._at_it[agents]
                self._ended.set()

    async def _asked(self, agent: Agent, order: TurnOrder, now: datetime) -> TurnReply:
        history: Sequence[Message] = order.earlier
        if order.history:
            history = await self._database.read(lambda tx: recall(tx, order.session_key))
        told = order.system_prompt
        if self._read_context is not None and order.workspace is not None and not order.light:
            context = await self._read_context(order.workspace)
            told = "\n\n".join(text for text in (told, context) if text)
        reply = await agent.answer(
            TurnRequest(
                run_id=order.run_id,
                agent_id=order.agent_id,
                session_key=order.session_key,
                kind=order.kind,
                prompt=order.prompt,
                system_prompt=told,
                history=history,
                tools=order.tools,
                model=order.model,
                thinking=order.thinking,
                workspace=order.workspace,
                now=now,
                facts=order.facts,
                images=order.images,
            )
        )
        return changed(
            reply,
            payloads=tuple(storable(text) for text in reply.payloads),
            reasoning=storable(reply.reasoning) if reply.reasoning else reply.reasoning,
        )


@dataclass(slots=True)
class _Way:
    """Whether a turn may still give way, and whether it has."""

    touched: list[str] = field(default_factory=list)  # tools that changed something
    limit: asyncio.Timeout | None = None
    given: bool = False

    def give(self) -> None:
        """End the turn now, unless it has changed something or is over."""
        limit = self.limit
        if limit is None or self.touched or self.given or limit.expired():
            return
        self.given = True
        limit.reschedule(asyncio.get_running_loop().time())


def _too_slow(order: TurnOrder) -> str:
    if order.kind == "cron":
        return "cron: job execution timed out"  # cron.md §8: clients look for these words
    limit = "its time" if order.timeout is None else format_duration(order.timeout)
    return f"no answer within {limit}"


def recall(tx: Tx, session_key: str, *, limit: int = HISTORY_MOST) -> tuple[Message, ...]:
    """Return what an agent is shown of a session, oldest first (heartbeat.md §17).

    Beats that had nothing to say are left out: they would teach the model to say nothing.
    """
    return session_rows.history(tx, session_key, limit)


def remember(tx: Tx, result: TurnResult, *, acknowledged: bool = False) -> None:
    """Write the exchange into its session, in the caller's transaction.

    ``acknowledged`` marks a beat that had nothing to say: kept in the transcript, not shown
    to the agent again, and no sign of life of the session. After a failure only a person's
    words are kept.
    """
    order = result.order
    if not order.remember or (result.failure is not None and order.kind != "chat"):
        return
    lines = [Message(role="user", text=order.transcript or order.prompt, at=result.started_at)]
    if result.reply is not None and result.reply.text:
        lines.append(Message(role="assistant", text=result.reply.text, at=result.ended_at))
    session_rows.append(
        tx,
        order.session_key,
        agent_id=order.agent_id,
        messages=lines,
        now=result.ended_at,
        run_id=order.run_id,  # what a beat or a job was told is no word of a person
        hidden=acknowledged,
    )
