"""A message from a person, from the platform's hand to the agent's (channels.md §3–§5).

Admission is one transaction: dedupe, route, cursor. Only then is the platform told, and
only then does a turn begin. What is refused is recorded with its reason and starts nothing.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from engine.agents.base import FailureClass
from engine.clock import Clock
from engine.messages import said
from engine.messages.address import ChatType, Route
from engine.messages.delivery import Delivery, Priority
from engine.messages.outbox import expiry
from engine.messages.unheard import Unheard, drop_words, way_in
from engine.sessions import MAIN, chat_key
from engine.store import audit, outbox, overheard, sessions
from engine.talk.conversation import ChatTurn, answer_to, not_answered
from engine.vitals import Insist, Vitals
from gateway import pairing
from gateway.arrivals import (
    Admission,
    chat_of,
    dedupe_key,
    heard,
    last_route,
    owed_again,
    owed_text,
    run_id,
    speaker,
    teaches_route,
    turn_of,
    waiting,
)
from gateway.channels import answers
from gateway.channels.base import Inbound
from gateway.channels.policy import Manners, Policy, Verdict, judge
from gateway.store import pairings
from gateway.waiting import Batch, Lines
from jobs.errors import StoreUnavailable
from jobs.store.db import Database, Tx
from jobs.wallclock import ms

log = logging.getLogger(__name__)

# Everyday traffic that is not addressed to us: a log line each, no row.
QUIET: Final = frozenset(
    {
        Unheard.OTHER_MENTIONED,
        Unheard.MENTION_REQUIRED,
        Unheard.DUPLICATE,
        Unheard.NO_MESSAGE,
    }
)

Showing = Callable[[Route | None], AbstractAsyncContextManager[None]]
Converse = Callable[[ChatTurn], Awaitable[object]]
PolicyOf = Callable[[str, str], Policy]  # (channel, account)
AgentOf = Callable[[Inbound], str]  # bindings of channels.md §3.4
MannersOf = Callable[[str, str, str], Manners]  # (channel, account, agent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The newest message of an account that nobody answers."""

    reason: Unheard
    at: datetime
    sender: str
    chat: str


def nobody_sees(_: Route | None) -> AbstractAsyncContextManager[None]:
    """No sign that an answer is being written."""
    return nullcontext()


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
        manners_of: MannersOf = lambda *_: Manners(),
        quiet: Callable[[str], timedelta] = lambda _: timedelta(),
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
        self._manners_of = manners_of
        self._lines = Lines(clock, self._take, quiet)
        self._drops: dict[tuple[str, str], Drop] = {}

    async def admit(self, message: Inbound) -> Admission:
        """Admit or refuse ``message`` durably, then let its turn begin. See `base.Admit`."""
        now = self._clock.now()
        agent_id = self._agent_of(message)
        manners = self._manners_of(message.channel, message.account_id, agent_id)
        message = heard(message, manners)
        verdict = await self._judged(message)
        placed = self._place(message, agent_id, verdict, now, manners)
        admission = await self._db.write(lambda tx: commit(tx, placed, verdict, now, manners))
        _tell(admission)
        self._drop(admission, now)
        if admission.let_go or admission.code_told:
            self._poke()
        if admission.reason is None:
            self._lines.put(waiting(turn_of(admission), message.sender_id, now))
        return admission

    def last_drop(self, channel: str, account_id: str) -> Drop | None:
        """Return which message of an account was not answered last, since the start."""
        return self._drops.get((channel, account_id))

    def told(self, channel: str, account_id: str) -> dict[str, Any]:
        """What `channels.status` says of an account: how many wait, who was not answered last."""
        drop = self.last_drop(channel, account_id)
        told: dict[str, Any] = {"waiting": self._lines.depth(channel, account_id)}
        if drop is not None:
            where = (channel, account_id, drop.sender, drop.chat)
            told["lastDrop"] = drop_words(drop.reason, *where, at=ms(drop.at))
        return told

    def _drop(self, admission: Admission, now: datetime) -> None:
        message, reason = admission.message, admission.reason
        if reason not in (None, Unheard.NO_MESSAGE, Unheard.DUPLICATE):
            here = (message.channel, message.account_id)
            self._drops[here] = Drop(
                reason=reason, at=now, sender=message.sender_id, chat=message.peer.to
            )

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

    def _place(
        self, message: Inbound, agent_id: str, verdict: Verdict, now: datetime, manners: Manners
    ) -> Admission:
        """Decide the session and, if it starts no turn, why."""
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
        if reason is None and now - message.at > manners.max_age:
            reason = Unheard.BACKLOG
        return Admission(message=message, agent_id=agent_id, session_key=key, reason=reason)

    @asynccontextmanager
    async def opening(self) -> AsyncGenerator[int]:
        """Connect the channels inside: what an earlier process left unanswered stands first (§5).

        It is read before anything new is admitted, or a message that comes at once would be
        answered twice, and begun when the channels are there to fetch its files from.
        """
        self._lines.hold()
        try:
            owed = await self._db.read(sessions.owed_turns)
            for text in owed:
                self._lines.put(owed_again(text, self._clock.now()))
            yield len(owed)
        finally:
            self._lines.release()

    async def _take(self, batch: Batch) -> None:
        """See to it that the person gets an answer, or is told that there is none."""
        turn = replace(batch.turn, left_out=len(batch.left_out))
        try:
            await self._insist(
                lambda: self._db.write(lambda tx: _begun(tx, batch, self._clock.now()))
            )
            if batch.left_out:
                self._poke()
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
        await self._lines.stop(grace)


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
    fix = way_in(reason, *way, group=message.peer.to)
    told |= {"chat": message.peer.to}
    because = {"sender": message.sender_id, "because": reason.sentence, "fix": fix}
    log.info("a message is not answered", extra=told | because)


def commit(
    tx: Tx,
    admission: Admission,
    verdict: Verdict,
    now: datetime,
    manners: Manners,
) -> Admission:
    """The one transaction of an arrival: dedupe, route, cursor (channels.md §5)."""
    message = admission.message
    if not sessions.first_seen(tx, dedupe_key(message), now):
        admission = replace(admission, reason=Unheard.DUPLICATE)
    else:
        admission = _overheard(tx, _taught(tx, admission, verdict, now), manners)
    if admission.reason and admission.reason not in QUIET:
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
        sessions.owe_turn(tx, turn.run_id, owed_text(turn, message.sender_id), now)
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


def _overheard(tx: Tx, admission: Admission, manners: Manners) -> Admission:
    """Keep what is said to nobody in particular; whoever is asked learns what was said before."""
    message = admission.message
    if message.chat_type is ChatType.DIRECT:
        return admission
    chat = "|".join(chat_of(message))
    if admission.reason is Unheard.MENTION_REQUIRED:
        overheard.keep(tx, chat, speaker(message), message.text, manners.history)
    if admission.reason is not None:
        return admission
    return replace(admission, overheard=overheard.take(tx, chat, manners.history))


def _begun(tx: Tx, batch: Batch, now: datetime) -> None:
    """Note that a turn begins; of what could not wait, that it is gone, and tell its person."""
    turn = batch.turn
    for one in (turn.run_id, *turn.joined):
        sessions.turn_begun(tx, one)
    if not batch.left_out or turn.route is None:
        return
    for one in batch.left_out:
        sessions.turn_taken(tx, one)
    audit.note(
        tx,
        now=now,
        actor=turn.route.channel,
        action=audit.LEFT_OUT,
        subject="|".join((turn.route.channel, turn.route.account_id, turn.route.to)),
        detail={"count": len(batch.left_out), "runIds": list(batch.left_out[:50])},
    )
    outbox.add(tx, _about_left_out(turn, turn.route, batch.left_out, now))


def _about_left_out(
    turn: ChatTurn, route: Route, left_out: tuple[str, ...], now: datetime
) -> Delivery:
    return Delivery(
        key=f"left-out:{left_out[-1]}",
        route=route,
        text=said.told_left_out(len(left_out)),
        kind="reply",
        created_at=now,
        expires_at=expiry("reply", now),
        agent_id=turn.agent_id,
        priority=Priority.REPLY,
    )


def _taken(tx: Tx, turn: ChatTurn, sorry: Delivery | None) -> None:
    for one in (turn.run_id, *turn.joined):
        sessions.turn_taken(tx, one)
    if sorry is not None:
        outbox.add(tx, sorry)


def _sorry(turn: ChatTurn, now: datetime) -> Delivery | None:
    """Return what a person hears when the turn itself broke; the same key as the answer's."""
    return answer_to(turn, not_answered(turn, FailureClass.INTERNAL), now)
