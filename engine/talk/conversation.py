"""Chat turns: a person's message, or a client's, answered in its session.

Waiting system events stand before the text (heartbeat.md §15) and are consumed only if the
turn answered. What the session remembers, the consumed events and the reply in the outbox
are one transaction; the bus is told afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from engine.agents.base import FailureClass, used
from engine.clock import Clock
from engine.events import Bus
from engine.messages import said
from engine.messages.address import Route
from engine.messages.delivery import Delivery, Priority
from engine.messages.media import Media, MediaKind, told
from engine.messages.outbox import expiry
from engine.messages.route import LOCAL
from engine.messages.target import LastRoute
from engine.roster.roster import AgentProfile, Roster
from engine.roster.view import stranger_ids
from engine.sessions import Message, main_key
from engine.store import (
    audit,
    events as event_rows,
    outbox as outbox_rows,
    sessions as session_rows,
)
from engine.suspension import Suspension
from engine.talk.chat_events import ChatEvents
from engine.turns.toolbox import Toolbox, narrowed
from engine.turns.turn import TurnOrder, TurnResult, Turns, recall, remember
from engine.vitals import Insist
from engine.wording import prompt
from engine.wording.outcome import for_person
from engine.wording.prefix import put_before
from jobs.store.db import Database, Tx
from jobs.wallclock import MILLISECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTurn:
    """One message to be answered."""

    run_id: str  # an idempotency key: the same again repeats nothing that was sent
    agent_id: str
    session_key: str
    text: str
    route: Route | None = None  # where the answer goes; None: only back to the caller
    timeout: timedelta | None = None  # None: the agent's default; zero: no limit
    model: str | None = None
    thinking: str | None = None
    extra_system_prompt: str | None = None
    # What was said before, by the caller's own account. Then nothing of the session is read or
    # kept; None: the session remembers.
    earlier: Sequence[Message] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    media: tuple[Media, ...] = ()  # files that came along
    speaker: str | None = None  # who said it, where several speak
    overheard: tuple[tuple[str, str], ...] = ()  # what was said around it, (who, what)
    joined: tuple[str, ...] = ()  # runs of messages that are answered with this one
    left_out: int = 0  # older messages that could not wait
    replayed: bool = False  # another process was at it when it ended

    @property
    def words(self) -> str:
        """What the session keeps: nothing in it can pass for the engine's."""
        if self.speaker is None:
            text = said.words(self.text)
        else:
            text = said.in_group(self.speaker, self.text)
        return "\n".join((text, told(self.media))) if self.media else text

    @property
    def prompt(self) -> str:
        """What the agent is asked: the words, below what it should know about them."""
        notes = [said.left_out(self.left_out)] if self.left_out else []
        notes += [said.AGAIN] if self.replayed else []
        return "\n".join((*notes, said.with_context(self.overheard, self.words)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """What came of it."""

    run_id: str
    status: str  # ok | timeout | error
    payloads: tuple[str, ...] = ()  # for the person; empty if there is nothing to say
    result: TurnResult | None = None
    delivery: Delivery | None = None
    error: Mapping[str, Any] | None = None  # {class, message}
    stop_reason: str | None = None  # aborted | timeout

    def to_wire(self) -> dict[str, Any]:
        """The answer of `agent` (protocol.md §8)."""
        wire: dict[str, Any] = {
            "runId": self.run_id,
            "status": self.status,
            "payloads": [{"text": text, "mediaUrl": None} for text in self.payloads],
            "meta": _meta(self.result),
        }
        if self.error is not None:
            wire["error"] = dict(self.error)
        if self.stop_reason is not None:
            wire["stopReason"] = self.stop_reason
        if self.delivery is not None:
            wire["deliveryStatus"] = str(self.delivery.state)
        return wire


# Fetches what came with a message, and returns it as it lies here now, or why it does not.
Bring = Callable[[ChatTurn], Awaitable[tuple[Media, ...]]]


class Conversation:
    """Answers messages. One instance serves all sessions."""

    def __init__(
        self,
        *,
        database: Database,
        turns: Turns,
        bus: Bus,
        clock: Clock,
        roster: Callable[[], Roster],
        toolbox: Toolbox,
        insist: Insist | None = None,
        hear: Callable[[ChatTurn], Awaitable[str | None]] | None = None,
        suspension: Suspension | None = None,
    ) -> None:
        self._suspension = suspension or Suspension()
        self._bring: Bring | None = None
        self._hear = hear  # answers what is said to the engine itself
        self._insist = insist
        self._database = database
        self._turns = turns
        self._bus = bus
        self._clock = clock
        self._roster = roster
        self._toolbox = toolbox
        self._running: dict[str, tuple[str, asyncio.Task[ChatAnswer]]] = {}
        self._aborted: set[str] = set()

    def use(self, bring: Bring) -> None:
        """Let files that come with messages be brought here by whoever knows the channels."""
        self._bring = bring

    @property
    def at_it(self) -> int:
        """How many messages are being answered, or wait for their lane."""
        return len(self._running)

    async def receive(self, chat: ChatTurn) -> ChatAnswer:
        """Take the turn; the answer is in the session and in the outbox when this returns."""
        await self._suspension.passed()
        told = self._events_of(chat)
        if self._hear is not None and (words := await self._hear(chat)) is not None:
            return await self._answered_at_once(chat, words, told)
        task = asyncio.create_task(self._converse(chat, told), name=f"chat {chat.run_id}")
        self._running[chat.run_id] = (chat.session_key, task)
        try:
            return await task
        except asyncio.CancelledError:
            if chat.run_id not in self._aborted:
                raise
            told.aborted()
            return ChatAnswer(run_id=chat.run_id, status="timeout", stop_reason="aborted")
        finally:
            self._running.pop(chat.run_id, None)
            self._aborted.discard(chat.run_id)

    async def _answered_at_once(self, chat: ChatTurn, words: str, told: ChatEvents) -> ChatAnswer:
        """Answer what no agent need be asked about."""
        reply = answer_to(chat, words, self._clock.now())

        def work(tx: Tx) -> Delivery | None:
            _taken(tx, chat)
            return outbox_rows.add(tx, reply) if reply is not None else None

        delivery = await self._database.write(work)
        told.started()
        if delivery is not None:
            told.queued(delivery)
        told.answered(words)
        return ChatAnswer(run_id=chat.run_id, status="ok", payloads=(words,), delivery=delivery)

    async def abort(self, session_key: str, run_id: str | None = None) -> tuple[str, ...]:
        """Cancel the turns of a session, or one of them; returns those that were cancelled."""
        found = [
            (one, task)
            for one, (key, task) in self._running.items()
            if key == session_key and run_id in (None, one) and not task.done()
        ]
        for one, task in found:
            self._aborted.add(one)
            task.cancel()
        for _, task in found:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        return tuple(one for one, _ in found)

    async def _converse(self, chat: ChatTurn, told: ChatEvents) -> ChatAnswer:
        agent = self._roster().agent(chat.agent_id)
        chat = await self._by_its_model(chat)
        told.started()
        taken = _Taken(chat)

        async def settle(result: TurnResult) -> None:
            words = _words_for(result)
            delivery = self._delivery(chat, agent, result, words)
            taken.payloads = words
            taken.delivery = await self._settled(result, taken, delivery)

        async def prepare(order: TurnOrder, now: datetime) -> TurnOrder:
            asked, order = await self._with_files(chat, order)
            # Read only now: a turn that was ahead in the lane may have taken them.
            pending = await self._database.read(
                lambda tx: event_rows.pending(tx, chat.agent_id, chat.session_key, now)
            )
            # What a command's end has to say is left to the beat.
            mine = [event for event in pending if event.kind != "exec"]
            taken.event_ids = tuple(event.id for event in mine)
            lines = [line for event in mine for line in prompt.preamble(event, agent.dial)]
            # Whoever is asked for a reminder "in ten minutes" must know what time it is.
            told_time = prompt.with_time(order.system_prompt, now, agent.dial)
            summary = await self._summary(chat, agent)
            order = replace(order, system_prompt="\n\n".join(filter(None, (told_time, summary))))
            if strangers := stranger_ids(mine):
                kept, withheld = narrowed(order.tools)
                told_all = f"{order.system_prompt}\n\n{prompt.WITHHELD}"
                order = replace(order, tools=kept, system_prompt=told_all)
                taken.narrowed = {"withheld": list(withheld), "events": strangers}
            return replace(order, prompt="\n".join([*lines, "", asked.prompt])) if lines else order

        order = self._order(chat, agent)
        result = await self._turns.take(order, prepare=prepare, settle=settle)
        answer = _answer(chat, result, taken)
        if answer.delivery is not None:
            told.queued(answer.delivery)
        if answer.error is not None:
            told.failed(str(answer.error["message"]))
        else:
            told.answered(answer.payloads[-1] if answer.payloads else "")
        return answer

    async def _with_files(self, chat: ChatTurn, order: TurnOrder) -> tuple[ChatTurn, TurnOrder]:
        """Bring what came with the message: in the lane, so that what was said later waits."""
        if not chat.media or self._bring is None:
            return chat, order
        chat = replace(chat, media=await self._bring(chat))
        images = tuple(one for one in chat.media if one.path and one.kind is MediaKind.IMAGE)
        order = replace(order, prompt=chat.prompt, transcript=chat.words, images=images)
        return chat, order

    async def _by_its_model(self, chat: ChatTurn) -> ChatTurn:
        """The turn by the model of its session (`sessions.patch`), if none is asked for."""
        if chat.model is not None or chat.earlier is not None:
            return chat
        known = await self._database.read(lambda tx: session_rows.get(tx, chat.session_key))
        return chat if known is None or known.model is None else replace(chat, model=known.model)

    async def _summary(self, chat: ChatTurn, agent: AgentProfile) -> str:
        """Say which channels there are, at the first turn of a new main session (§15)."""
        roster = self._roster()
        channels = {
            name: [one.id for one in facts.accounts]
            for name, facts in roster.channels(agent.agent_id).items()
            if name != LOCAL  # the inbox of this machine is no way to a person elsewhere
        }
        if not channels or chat.session_key != main_key(agent.agent_id, main=roster.main_key):
            return ""

        def work(tx: Tx) -> tuple[bool, LastRoute | None]:
            last = session_rows.last_route(tx, agent.agent_id, chat.session_key)
            return not recall(tx, chat.session_key, limit=1), last

        new, last = await self._database.read(work)
        if not new:
            return ""
        heard = None if last is None else f"{last.channel}:{last.to}"
        return prompt.channel_summary(channels, heard)

    def _events_of(self, chat: ChatTurn) -> ChatEvents:
        return ChatEvents(self._bus, self._clock, run_id=chat.run_id, session_key=chat.session_key)

    async def _settled(
        self, result: TurnResult, taken: _Taken, delivery: Delivery | None
    ) -> Delivery | None:
        """Write what came of the turn; a disk that refuses is asked until it takes it."""

        def attempt() -> Awaitable[Delivery | None]:
            return self._database.write(lambda tx: _settle(tx, result, taken, delivery))

        return await (attempt() if self._insist is None else self._insist(attempt))

    def _order(self, chat: ChatTurn, agent: AgentProfile) -> TurnOrder:
        limit = agent.turn_timeout if chat.timeout is None else chat.timeout or None
        own = prompt.system(agent.agent_id, "chat", name=agent.name)
        beat = agent.beat
        if agent.is_default and beat.enrolled and beat.period and beat.told_in_chats:
            own = f"{own} {prompt.about_beats(beat.period)}"
        return TurnOrder(
            run_id=chat.run_id,
            agent_id=chat.agent_id,
            session_key=chat.session_key,
            kind="chat",
            prompt=chat.prompt,
            system_prompt="\n\n".join(text for text in (own, chat.extra_system_prompt) if text),
            tools=self._toolbox.for_turn(
                agent,
                run_id=chat.run_id,
                session_key=chat.session_key,
                kind="chat",
                model=chat.model or agent.model,
                route=chat.route,
            ),
            model=chat.model or agent.model,
            # A model that was asked for is used or the turn fails: no silent fallback.
            fallbacks=() if chat.model else agent.fallbacks,
            thinking=chat.thinking or agent.thinking,
            workspace=agent.workspace,
            timeout=limit,
            transcript=chat.words,
            history=chat.earlier is None,
            remember=chat.earlier is None,
            earlier=chat.earlier or (),
            facts={**chat.facts, "replayed": True} if chat.replayed else chat.facts,
        )

    def _delivery(
        self, chat: ChatTurn, agent: AgentProfile, result: TurnResult, words: tuple[str, ...]
    ) -> Delivery | None:
        if result.failure is not None:
            return answer_to(chat, not_answered(chat, result.failure.failure), result.ended_at)
        if not words or result.reply is None or self._roster().by_tool:
            return None
        prefix = self._roster().prefix(agent.agent_id, result.reply, chat.route)
        return answer_to(chat, put_before(prefix, words[-1]), result.ended_at)


def answer_to(chat: ChatTurn, text: str, at: datetime) -> Delivery | None:
    """Return the answer on its way to the person; nothing if there are no words, or no way."""
    if chat.route is None or not text:
        return None
    return Delivery(
        key=f"chat:{chat.run_id}:1",
        route=chat.route,
        text=text,
        kind="reply",
        created_at=at,
        expires_at=expiry("reply", at),
        agent_id=chat.agent_id,
        run_id=chat.run_id,
        priority=Priority.REPLY,
    )


def not_answered(chat: ChatTurn, failure: FailureClass) -> str:
    """Say to the person who wrote why there is no answer: no detail of the operator's business."""
    return f"I could not answer: {_PLAINLY[failure]} (run {chat.run_id})."


@dataclass(slots=True)
class _Taken:
    """What one turn took along and left behind."""

    chat: ChatTurn
    event_ids: tuple[str, ...] = ()
    payloads: tuple[str, ...] = ()
    delivery: Delivery | None = None
    narrowed: Mapping[str, Any] | None = None  # the tools withheld, and why


def _settle(
    tx: Tx, result: TurnResult, taken: _Taken, delivery: Delivery | None
) -> Delivery | None:
    """The one transaction of a chat turn: a message it answered is owed no answer any more."""
    remember(tx, result)
    _taken(tx, taken.chat)
    if result.reply is not None and taken.event_ids:
        event_rows.consume(tx, taken.event_ids, result.ended_at, run_id=result.order.run_id)
    _note_tools(tx, result, taken.narrowed)
    return outbox_rows.add(tx, delivery) if delivery is not None else None


def _taken(tx: Tx, chat: ChatTurn) -> None:
    """Whatever is answered with this turn is owed no answer any more."""
    for run_id in (chat.run_id, *chat.joined):
        session_rows.turn_taken(tx, run_id)


def _note_tools(tx: Tx, result: TurnResult, withheld: Mapping[str, Any] | None) -> None:
    """Put on record what a chat has no row for: tools that were withheld, and calls refused."""
    order, reply = result.order, result.reply
    about = {"runId": order.run_id, "sessionKey": order.session_key}
    refused = [] if reply is None else used([call for call in reply.tool_calls if call.failed])
    lines = [("tool.refused", str(call["name"]), call) for call in refused]
    if withheld is not None:
        lines.append(("tools.narrowed", order.session_key, dict(withheld)))
    for action, subject, detail in lines:
        audit.note(
            tx,
            now=result.ended_at,
            actor=f"agent {order.agent_id}",
            action=action,
            subject=subject,
            detail={**detail, **about},
        )


_PLAINLY: Final[Mapping[FailureClass, str]] = {
    FailureClass.RATE_LIMIT: "the model is rate limited",
    FailureClass.OVERLOADED: "the model is overloaded",
    FailureClass.NETWORK: "the model cannot be reached",
    FailureClass.TIMEOUT: "it took too long",
    FailureClass.SERVER_ERROR: "the model's server failed",
    FailureClass.AUTH: "the model refuses its credentials",
    FailureClass.BILLING: "the model's account has no credit",
    FailureClass.MODEL_NOT_FOUND: "the model does not exist",
    FailureClass.INVALID: "the model's answer could not be used",
    FailureClass.INTERNAL: "something in the engine broke",
}


def _words_for(result: TurnResult) -> tuple[str, ...]:
    """Return the payloads a person should see, tokens taken off (heartbeat.md §13.1)."""
    payloads = () if result.reply is None else result.reply.payloads
    return tuple(text for payload in payloads if (text := for_person(payload)))


def _answer(chat: ChatTurn, result: TurnResult, taken: _Taken) -> ChatAnswer:
    failure = result.failure
    if failure is None:
        return ChatAnswer(
            run_id=chat.run_id,
            status="ok",
            payloads=taken.payloads,
            result=result,
            delivery=taken.delivery,
        )
    slow = failure.failure is FailureClass.TIMEOUT
    return ChatAnswer(
        run_id=chat.run_id,
        status="timeout" if slow else "error",
        result=result,
        delivery=taken.delivery,
        error={"class": str(failure.failure), "message": failure.message},
        stop_reason="timeout" if slow else None,
    )


def _meta(result: TurnResult | None) -> dict[str, Any]:
    if result is None:
        return {"durationMs": 0, "aborted": True}
    reply = result.reply
    agent: dict[str, Any] = {"sessionId": result.order.session_key}
    if reply is not None:
        agent |= {"provider": reply.provider, "model": reply.model}
        if reply.usage is not None:
            usage = reply.usage
            agent["usage"] = {
                "input": usage.input_tokens,
                "output": usage.output_tokens,
                "total": usage.total_tokens,
            }
    return {"durationMs": round(result.took / MILLISECOND), "agentMeta": agent}
