"""A message from a person, from the platform's hand to the agent's (channels.md §3–§5).

Admission is one transaction: dedupe, route, cursor. Only then is the platform told, and
only then does a turn begin. What is refused is recorded with its reason and starts nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from engine.address import ChatType, Route
from engine.agents.base import FailureClass
from engine.clock import Clock
from engine.conversation import ChatTurn, answer_to, not_answered
from engine.delivery import Delivery
from engine.media import from_json, to_json
from engine.sessions import MAIN, chat_key
from engine.store import audit, outbox, sessions
from engine.store.routes import route_of, route_text
from engine.target import LastRoute
from engine.unheard import Unheard, way_in
from engine.vitals import Insist, Vitals
from gateway import pairing
from gateway.channels import answers
from gateway.channels.base import Inbound
from gateway.channels.policy import Policy, Verdict, judge
from gateway.store import pairings
from jobs.errors import StoreUnavailable
from jobs.store.db import Database, Tx

log = logging.getLogger(__name__)

MAX_AGE: Final = timedelta(hours=6)  # older messages move the route and start no turn
# Everyday traffic that is not addressed to us: a log line each, no row.
QUIET: Final = frozenset({Unheard.MENTION_REQUIRED, Unheard.DUPLICATE, Unheard.NO_MESSAGE})

Showing = Callable[[Route | None], AbstractAsyncContextManager[None]]
Converse = Callable[[ChatTurn], Awaitable[object]]
PolicyOf = Callable[[str, str], Policy]  # (channel, account)
AgentOf = Callable[[Inbound], str]  # bindings of channels.md §3.4


def nobody_sees(_: Route | None) -> AbstractAsyncContextManager[None]:
    """No sign that an answer is being written."""
    return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What became of one message. ``reason`` is None for one that starts a turn."""

    message: Inbound
    agent_id: str
    session_key: str
    reason: Unheard | None = None
    route_set: bool = False
    let_go: tuple[str, ...] = ()  # messages that waited for this contact
    code_told: bool = False  # a stranger is told how to be let in


class Reception:
    """Lets messages in and hands them to ``converse``, in order per session."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        policy_of: PolicyOf,
        agent_of: AgentOf,
        converse: Converse,
        dm_scope: str = MAIN,
        main: str = MAIN,
        max_age: timedelta = MAX_AGE,
        vitals: Vitals | None = None,
        poke: Callable[[], None] = lambda: None,
        showing: Showing = nobody_sees,
    ) -> None:
        self._showing = showing
        self._poke = poke  # somebody may be written to now
        self._vitals = vitals or Vitals()
        self._insist = Insist(db, clock=clock, vitals=self._vitals)
        self._db = db
        self._clock = clock
        self._policy_of = policy_of
        self._agent_of = agent_of
        self._converse = converse
        self._dm_scope = dm_scope
        self._main = main
        self._max_age = max_age
        self._turns: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def admit(self, message: Inbound) -> Admission:
        """Admit or refuse ``message`` durably, then let its turn begin. See `base.Admit`."""
        now = self._clock.now()
        verdict = await self._judged(message)
        placed = self._place(message, verdict, now)
        admission = await self._db.write(lambda tx: commit(tx, placed, verdict, now))
        _tell(admission)
        if admission.let_go or admission.code_told:
            self._poke()
        if admission.reason is None:
            self._start(turn_of(admission))
        return admission

    async def _judged(self, message: Inbound) -> Verdict:
        if message.standing is not None:
            return Verdict(Unheard.NO_MESSAGE)
        here = (message.channel, message.account_id)
        policy = self._policy_of(*here)
        verdict = judge(policy, message)
        if verdict.reason not in (Unheard.PAIRING_REQUIRED, Unheard.BLOCKED):
            return verdict
        paired = await self._db.read(lambda tx: pairings.let_in(tx, *here))
        return judge(replace(policy, paired=paired), message)

    def _place(self, message: Inbound, verdict: Verdict, now: datetime) -> Admission:
        """Decide agent, session and, if it starts no turn, why."""
        agent_id = self._agent_of(message)
        key = chat_key(
            agent_id,
            channel=message.channel,
            account_id=message.account_id,
            peer=message.peer.to,
            chat_type=message.chat_type,
            thread_id=message.peer.thread_id,
            dm_scope=self._dm_scope,
            main=self._main,
        )
        reason = verdict.reason
        if reason is None and now - message.at > self._max_age:
            reason = Unheard.BACKLOG
        return Admission(message=message, agent_id=agent_id, session_key=key, reason=reason)

    def _start(self, turn: ChatTurn) -> None:
        """Take a turn; the session's lane keeps messages of one session in order."""
        if self._stopping:
            return  # it is owed its answer, and gets it after the next start
        task = asyncio.create_task(self._take(turn), name=f"inbound-{turn.run_id}")
        self._turns.add(task)
        task.add_done_callback(self._turns.discard)

    async def replay(self) -> int:
        """Answer what an earlier process admitted and did not answer (channels.md §5)."""
        owed = await self._db.read(sessions.owed_turns)
        for text in owed:
            self._start(_turn_of(text))
        return len(owed)

    async def _take(self, turn: ChatTurn) -> None:
        """See to it that the person gets an answer, or is told that there is none."""
        try:
            # What the store refused left nothing on record: the answer is still owed.
            async with self._showing(turn.route):
                await self._insist(lambda: self._converse(turn))
        except StoreUnavailable:
            return  # it was closed: the answer is given after the next start
        except Exception:
            log.exception("a turn broke", extra={"run_id": turn.run_id})
            sorry = _sorry(turn, self._clock.now())
        else:
            sorry = None
        await self._insist(lambda: self._db.write(lambda tx: _taken(tx, turn, sorry)))

    async def stop(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """Begin no more turns, let those that run finish within ``grace``, then cancel them."""
        self._stopping = True
        if self._turns:
            _, late = await asyncio.wait(tuple(self._turns), timeout=grace.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _tell(admission: Admission) -> None:
    """Log a message that came in; of one nobody answers, whose it is and what to do about it."""
    message, reason = admission.message, admission.reason
    told = {
        "channel": message.channel,
        "account": message.account_id,
        "message_id": message.message_id,
        "reason": reason or "admitted",
    }
    if reason is None or reason in QUIET:
        log.info("a message came in", extra=told)
        return
    way = (message.channel, message.account_id, message.sender_id)
    fix = way_in(reason, *way)
    because = {"sender": message.sender_id, "because": reason.sentence, "fix": fix}
    log.info("a message is not answered", extra=told | because)


def commit(tx: Tx, admission: Admission, verdict: Verdict, now: datetime) -> Admission:
    """The one transaction of an arrival: dedupe, route, cursor (channels.md §5)."""
    message = admission.message
    if not sessions.first_seen(tx, dedupe_key(message), now):
        admission = replace(admission, reason=Unheard.DUPLICATE)
    else:
        admission = _taught(tx, admission, verdict, now)
    if verdict.reason and admission.reason not in QUIET:
        audit.note(
            tx,
            now=now,
            actor=f"{message.channel}:{message.sender_id}",
            action=audit.REFUSED,
            subject=f"{message.channel}|{message.account_id}|{message.peer.to}",
            detail={"reason": admission.reason, "messageId": message.message_id},
        )
    if not admission.reason:
        turn = turn_of(admission)
        sessions.owe_turn(tx, turn.run_id, _turn_text(turn), now)
    if message.cursor is not None:
        sessions.set_cursor(tx, message.channel, message.account_id, message.cursor, now)
    return admission


def _taught(tx: Tx, admission: Admission, verdict: Verdict, now: datetime) -> Admission:
    """Keep what a message tells apart from its words: where its person is, and may be answered."""
    message = admission.message
    if message.standing is not None:
        return replace(admission, let_go=tuple(answers.told(tx, message, message.standing, now)))
    let_in = verdict.admitted or verdict.reason is Unheard.MENTION_REQUIRED
    let_go = tuple(answers.heard(tx, message, run_id(message), now, let_in=let_in))
    route_set = teaches_route(admission, verdict)
    if route_set:
        route = last_route(message, admission.agent_id, admission.session_key, now)
        sessions.set_route(tx, route)
    told = verdict.reason is Unheard.PAIRING_REQUIRED and pairing.asked(tx, message, now)
    return replace(admission, route_set=route_set, let_go=let_go, code_told=told)


def teaches_route(admission: Admission, verdict: Verdict) -> bool:
    """Whether a message moves its session's route: the table of channels.md §4.

    An old one still tells where its person is; a group's counts only if it starts a turn.
    """
    if not verdict.admitted or not verdict.may_set_route:
        return False
    direct = admission.message.chat_type is ChatType.DIRECT
    return direct or not admission.reason


def _taken(tx: Tx, turn: ChatTurn, sorry: Delivery | None) -> None:
    sessions.turn_taken(tx, turn.run_id)
    if sorry is not None:
        outbox.add(tx, sorry)


def _sorry(turn: ChatTurn, now: datetime) -> Delivery | None:
    """Return what a person hears when the turn itself broke; the same key as the answer's."""
    return answer_to(turn, not_answered(turn, FailureClass.INTERNAL), now)


def turn_of(admission: Admission) -> ChatTurn:
    """Return the turn an admitted message starts."""
    message = admission.message
    return ChatTurn(
        run_id=run_id(message),
        agent_id=admission.agent_id,
        session_key=admission.session_key,
        text=message.text,
        route=reply_route(message),
        media=message.media,
    )


def _turn_text(turn: ChatTurn) -> str:
    if turn.route is None:
        raise AssertionError("a message from a channel is answered there")
    return json.dumps(
        {
            "runId": turn.run_id,
            "agentId": turn.agent_id,
            "sessionKey": turn.session_key,
            "text": turn.text,
            "route": route_text(turn.route),
            **({"media": to_json(turn.media)} if turn.media else {}),
        },
        ensure_ascii=False,
    )


def _turn_of(text: str) -> ChatTurn:
    v = json.loads(text)
    return ChatTurn(
        run_id=v["runId"],
        agent_id=v["agentId"],
        session_key=v["sessionKey"],
        text=v["text"],
        route=route_of(v["route"]),
        media=from_json(v.get("media")),
    )


def run_id(message: Inbound) -> str:
    """Return the run a message starts: the same message is the same run."""
    place = "|".join((message.channel, message.account_id, message.peer.to, message.message_id))
    return f"in-{hashlib.sha256(place.encode()).hexdigest()[:20]}"


def reply_route(message: Inbound) -> Route:
    """Return where the answer goes: where the message came from (channels.md §3.4)."""
    return Route(
        channel=message.channel,
        account_id=message.account_id,
        to=message.peer.to,
        thread_id=message.peer.thread_id,
        chat_type=message.chat_type,
        via="reply",
    )


def dedupe_key(message: Inbound) -> str:
    """Return what makes a message the same message (channels.md §5)."""
    peer = message.peer
    parts = (message.channel, message.account_id, peer.to, peer.thread_id or "")
    return "|".join((*parts, message.message_id))


def last_route(message: Inbound, agent_id: str, session_key: str, now: datetime) -> LastRoute:
    """Return the route an admitted message teaches (channels.md §4); a DM has no thread."""
    direct = message.chat_type is ChatType.DIRECT
    return LastRoute(
        agent_id=agent_id,
        session_key=session_key,
        channel=message.channel,
        account_id=message.account_id,
        to=message.peer.to,
        thread_id=None if direct else message.peer.thread_id,
        chat_type=message.chat_type,
        peer_label=message.sender_label,
        set_at=now,
        set_by=message.message_id,
    )
