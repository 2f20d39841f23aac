"""Drains the outbox: one delivery in flight per lane, every step committed before the next.

The decisions are elsewhere: what follows a fault and what a restart may repeat in
`engine.messages.outbox`, who may leave now in `gateway.channels.traffic`, what of a message goes
next in `gateway.channels.attempts`. Here is the order of things: `sending` is committed, then the
request leaves, then the answer is committed. All waiting (backoff, pacing, a channel that is
not ready) happens in one place, on the clock, so a lane that waits never delays another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from engine.clock import LONGEST_NAP, Clock
from engine.events import Bus, Event as BusEvent
from engine.messages.address import Route
from engine.messages.contact import AWAITING, OF_ONE_PART
from engine.messages.delivery import Delivery, State
from engine.messages.fault import Fault, FaultClass
from engine.messages.outbox import (
    Again,
    End,
    Event,
    Mend,
    Step,
    effective_route,
    next_step,
    overdue,
    receipt,
    recover,
)
from engine.store import outbox, sessions
from engine.suspension import Suspension
from engine.vitals import Insist, Vitals, keep
from gateway.channels import answers
from gateway.channels.attempts import attempt_of, planned, refusal, smaller, trouble
from gateway.channels.base import Channel, ChannelError, Sent
from gateway.channels.text import MAX_CHUNKS
from gateway.channels.traffic import Traffic
from gateway.channels.windows import (
    AsReply,
    Hold,
    Leaving,
    Recall,
    Refuse,
    ReplyRules,
    Unasked,
    noted,
    worth_recalling,
)
from jobs.crash import crash_point
from jobs.errors import StoreUnavailable
from jobs.store.db import Database, Tx

log = logging.getLogger(__name__)

_LOST: Final = frozenset({State.FAILED, State.EXPIRED, State.UNKNOWN})

HEADS: Final = 1000  # lanes looked at in one pass
GRACE: Final = timedelta(seconds=10)
PACED: Final = timedelta(minutes=1)
LAST_WORDS: Final = 2.0  # seconds a stop waits for its own rows
# Notes of one chunk, not of the message.
_COUNTERS: Final = frozenset({"failures", "rateLimited"}) | OF_ONE_PART

# Whether an account wants unknown sends repeated (`onUnknown: resend`).
ResendUnknown = Callable[[Route], bool]


Also = Callable[[Tx], None]  # what is written in the same transaction as a move


def _never(_: Route) -> bool:
    return False


class Sender:
    """The one who sends. Started once, stopped once; `poke` it when there is something new."""

    def __init__(
        self,
        db: Database,
        channels: Mapping[str, Channel],
        *,
        clock: Clock,
        bus: Bus,
        resend_unknown: ResendUnknown = _never,
        vitals: Vitals | None = None,
        suspension: Suspension | None = None,
    ) -> None:
        self._suspension = suspension or Suspension()
        self._suspension.on_release(self.poke)
        self._db = db
        self._vitals = vitals or Vitals()
        self._insist = Insist(db, clock=clock, vitals=self._vitals)
        self._channels = channels
        self._clock = clock
        self._bus = bus
        self._resend_unknown = resend_unknown
        self._traffic = Traffic(channels)
        self._busy: dict[str, asyncio.Task[None]] = {}  # by lane
        self._poked = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._unlisten: Callable[[], None] | None = None

    async def start(self) -> None:
        """Settle what a crash left in `sending`, then begin to send."""
        await self._recover()
        await self._recall()
        self._unlisten = self._bus.listen(self._heard)
        sending = keep("sender", self._run, clock=self._clock, vitals=self._vitals)
        self._loop = asyncio.create_task(sending, name="sender")

    async def stop(self, grace: timedelta = GRACE) -> None:
        """Take no more rows; let what is in flight finish within ``grace``."""
        if self._unlisten is not None:
            self._unlisten()
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        flying = tuple(self._busy.values())
        if flying:
            _, late = await asyncio.wait(flying, timeout=grace.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    @property
    def in_flight(self) -> int:
        """How many messages are leaving now."""
        return len(self._busy)

    def poke(self) -> None:
        """Look again now."""
        self._poked.set()

    def _heard(self, event: BusEvent) -> None:
        if event.name == "channel":
            self._traffic.wake()
            self.poke()
        elif event.name == "outbox" and event.payload.get("state") == State.QUEUED:
            self.poke()

    # -- the loop --------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._poked.clear()
            wake_at = await self.tick()
            self._vitals.well("sender")
            await self._rest(wake_at)

    async def _rest(self, until: datetime) -> None:
        """Wait for the clock or for a poke, whichever is first."""
        if self._poked.is_set():
            return
        both = (
            asyncio.create_task(self._clock.sleep_until(until), name="sender-clock"),
            asyncio.create_task(self._poked.wait(), name="sender-poke"),
        )
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def tick(self) -> datetime:
        """One pass: launch what may go now, return when to look again."""
        now = self._clock.now()
        if self._suspension.held:
            return now + LONGEST_NAP
        heads, later = await self._db.read(
            lambda tx: (outbox.ready(tx, now, HEADS), outbox.next_attempt_at(tx, now))
        )
        moments = [now + LONGEST_NAP]
        if later is not None and later > now:
            moments.append(later)
        leaving = self._traffic.leaving(heads, self._busy, now, self._clock.monotonic())
        for head in leaving.now:
            self._fly(head)
        return min((*moments, *leaving.moments))

    def _fly(self, head: Delivery) -> None:
        task = asyncio.create_task(self._carry(head), name=f"send-{head.key}")
        self._busy[head.lane] = task
        task.add_done_callback(lambda _: self._landed(head.lane))

    def _landed(self, lane: str) -> None:
        self._busy.pop(lane, None)
        self._traffic.landed(lane, self._clock.monotonic())
        self.poke()

    # -- one delivery ----------------------------------------------------------------------

    async def _carry(self, delivery: Delivery) -> None:
        """One attempt. A bug in it is recorded, and harms no other lane."""
        try:
            await self._attempt(delivery)
        except StoreUnavailable as error:  # before the request: it stands where it stood
            self._vitals.hurt("store", error)
            self._traffic.rest(delivery.lane, self._clock.now() + LONGEST_NAP)
        except Exception:
            log.exception("a delivery attempt broke", extra={"delivery_key": delivery.key})
            self._traffic.rest(delivery.lane, self._clock.now() + LONGEST_NAP)
            await self._lose_sight(delivery.key)

    async def _lose_sight(self, key: str) -> None:
        """After a bug around the request nobody knows whether it was obeyed."""
        try:
            stored = await self._db.read(lambda tx: outbox.get(tx, key))
            if stored is not None and stored.state is State.SENDING:
                fault = Fault(fault=FaultClass.NETWORK_AMBIGUOUS, detail="see the gateway's log")
                await self._after_fault(stored, fault, None)
        except Exception:
            log.exception("and could not be recorded", extra={"delivery_key": key})

    async def _attempt(self, delivery: Delivery) -> None:
        now = self._clock.now()
        if overdue(delivery, now):
            await self._move(delivery, Event.OUT_OF_TIME, reason="expired")
            return
        channel = self._channels.get(delivery.route.channel)
        if channel is None or not channel.ready(delivery.route.account_id):
            await self._not_ready(delivery, channel, now)
            return
        taken: Leaving | None = None
        if (rules := channel.rules(effective_route(delivery))) is not None:
            taken = await self._way(delivery, rules, now)
            if taken is None:
                return
        most = taken.left if isinstance(taken, AsReply) else MAX_CHUNKS
        chunks, notes = planned(delivery, channel, min(most, MAX_CHUNKS))
        if not chunks:
            await self._move(delivery, Event.REJECTED, reason="suppressed: empty")
            return
        crash_point("after-outbox-commit")
        sending = await self._move(
            delivery,
            Event.ATTEMPT,
            also=lambda tx: answers.leaves(tx, effective_route(delivery), taken),
            chunks=chunks,
            notes=notes if taken is None else noted(notes, taken),
            attempts=delivery.attempts + 1,
            first_attempt_at=delivery.first_attempt_at or now,
            next_attempt_at=None,
        )
        if sending is None:
            return  # cancelled or superseded in the meantime
        crash_point("mid-send")
        await self._send(sending, channel)

    async def _way(self, delivery: Delivery, rules: ReplyRules, now: datetime) -> Leaving | None:
        """Return how the next part leaves; None if it does not now, which is on record then."""
        route = effective_route(delivery)
        way = await answers.way_of(self._db, delivery, route, rules, now)
        match way:
            case Hold():
                await self._move(delivery, Event.HOLD, reason=AWAITING)
                return None
            case Refuse(reason=reason, detail=detail):
                error = {"class": reason, "code": "", "detail": detail}
                await self._move(delivery, Event.REJECTED, reason=reason, last_error=error)
                return None
            case Unasked():
                wait = self._traffic.unasked(delivery.lane, rules.unasked, self._clock.monotonic())
                if wait:
                    self._traffic.rest(delivery.lane, min(now + wait, delivery.expires_at))
                    return None
                return way
            case AsReply() | Recall():
                return way

    async def _send(self, delivery: Delivery, channel: Channel) -> None:
        route = effective_route(delivery)
        self._traffic.leaves(delivery.lane, self._clock.monotonic())
        try:
            sent = await channel.send(attempt_of(delivery, route))
        except ChannelError as error:
            await self._after_fault(delivery, error.fault, channel)
            return
        except asyncio.CancelledError:
            await self._cut_off(delivery, channel)
            raise
        crash_point("after-send")
        await self._accepted(delivery, sent)

    async def _cut_off(self, delivery: Delivery, channel: Channel) -> None:
        """The gateway ends before the platform answered: said now, not after the next start."""
        detail = "the gateway stopped before the platform answered"
        fault = Fault(fault=FaultClass.NETWORK_AMBIGUOUS, code="stopped", detail=detail)
        with contextlib.suppress(TimeoutError):  # it stays in `sending`, and is settled then
            async with asyncio.timeout(LAST_WORDS):
                await self._after_fault(delivery, fault, channel)

    async def _accepted(self, delivery: Delivery, sent: Sent) -> None:
        cursor = delivery.cursor + 1
        notes = {name: each for name, each in delivery.notes.items() if name not in _COUNTERS}
        if sent.accepted:
            notes["accepted"] = True
        if sent.pending_audit:
            notes["pendingAudit"] = True
        last = cursor >= len(delivery.chunks)
        await self._move(
            delivery,
            Event.ACCEPTED if last else Event.PART_ACCEPTED,
            also=lambda tx: answers.arrived(
                tx, delivery, effective_route(delivery), self._clock.now()
            ),
            cursor=cursor,
            message_ids=(*delivery.message_ids, sent.message_id),
            notes=notes,
            last_error=None,
            next_attempt_at=None,
        )

    async def _after_fault(self, delivery: Delivery, fault: Fault, channel: Channel | None) -> None:
        """Do what follows from a fault; without a channel a repeat is not known to be harmless."""
        route, now = effective_route(delivery), self._clock.now()
        idempotent = channel is not None and channel.idempotent(attempt_of(delivery, route))
        rules = None if channel is None else channel.rules(route)
        holds = rules is not None and rules.holds(delivery)
        step = next_step(delivery, fault, now, idempotent=idempotent, holds=holds)
        if rules is not None and worth_recalling(fault.fault, delivery, rules):
            step = Again(at=now, notes=delivery.notes)  # recalled, or held without another request
        error = {"class": str(fault.fault), "code": fault.code, "detail": fault.detail}
        log.info(
            "a delivery attempt failed",
            extra={"delivery_key": delivery.key, "fault": str(fault.fault), "code": fault.code},
        )
        if fault.fault is FaultClass.RATE_LIMITED:
            self._traffic.slow_down(delivery, fault, self._clock.monotonic())
        also = None if rules is None else lambda tx: answers.refused(tx, route, fault, now)
        await self._apply(delivery, step, error, channel, also)

    async def _apply(
        self,
        delivery: Delivery,
        step: Step,
        error: Mapping[str, Any],
        channel: Channel | None = None,
        also: Also | None = None,
    ) -> None:
        match step:
            case Again(at=at, notes=notes, mend=mend):
                chunks = delivery.chunks
                if mend is Mend.SMALLER and channel is not None:
                    chunks = smaller(delivery, channel)
                await self._move(
                    delivery,
                    Event.RETRY_LATER,
                    also=also,
                    next_attempt_at=at,
                    notes=notes,
                    chunks=chunks,
                    last_error=error,
                )
            case End(event=Event.ACCEPTED):
                await self._accepted(delivery, Sent(message_id="duplicate"))
            case End(event=event, reason=reason, spoils_route=spoils):
                await self._move(
                    delivery, event, spoil=spoils, also=also, reason=reason, last_error=error
                )

    async def _not_ready(self, delivery: Delivery, channel: Channel | None, now: datetime) -> None:
        """Refuse what can never be sent; let the rest wait for the channel or its expiry."""
        if reason := refusal(delivery.route, channel):
            told = (trouble(delivery.route, channel) or {}).get("detail", "")
            error = {"class": reason, "code": "", "detail": told}
            await self._move(delivery, Event.REJECTED, reason=reason, last_error=error)
            return
        self._traffic.rest(delivery.lane, min(now + LONGEST_NAP, delivery.expires_at))
        why = trouble(delivery.route, channel)
        if why is not None and why != delivery.last_error:
            await self._db.write(lambda tx: outbox.note_wait(tx, delivery.key, why))

    async def _move(
        self,
        delivery: Delivery,
        event: Event,
        *,
        spoil: bool = False,
        also: Also | None = None,
        **changes: Any,
    ) -> Delivery | None:
        """Commit one move and tell it; None if somebody else moved the row first.

        What the platform answered is known nowhere else, so a disk that refuses it is asked
        until it takes it; only the move before the request may fail.
        """
        now = self._clock.now()
        gone = False  # the job whose last words these were

        def work(tx: Tx) -> Delivery | None:
            nonlocal gone
            moved = outbox.move(tx, delivery.key, event, now, **changes)
            gone = moved is not None and outbox.let_go(tx, moved)
            route = effective_route(delivery)
            if moved is not None and spoil:
                sessions.mark_unusable(tx, route, str(changes.get("reason", "")), now)
            if moved is not None and effective_route(moved).to != route.to:
                sessions.move_peer(tx, route, effective_route(moved).to)
            if moved is not None and also is not None:
                also(tx)
            return moved

        if event is Event.ATTEMPT:
            moved = await self._db.write(work)
        else:
            moved = await self._insist(lambda: self._db.write(work))
        if moved is not None:
            self._bus.publish("outbox", {"key": moved.key, **receipt(moved), "state": moved.state})
            if gone:
                told = {"action": "removed", "jobId": moved.job_id, "runId": moved.run_id}
                self._bus.publish("cron", told)
            _log_loss(moved)
        return moved

    async def _recall(self) -> None:
        """Count what left within the longest span that is paced."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        left = await self._db.read(lambda tx: outbox.left_since(tx, now - PACED))
        for route, at, unasked in left:
            self._traffic.recall(route, monotonic - (now - at), unasked=unasked)

    # -- after a restart -------------------------------------------------------------------

    async def _recover(self) -> None:
        """Settle rows in `sending`: the process died around their request (channels.md §11)."""
        for delivery in await self._db.read(outbox.recover):
            channel = self._channels.get(delivery.route.channel)
            step = recover(
                delivery,
                self._clock.now(),
                idempotent=channel is not None
                and channel.idempotent(attempt_of(delivery, effective_route(delivery))),
                resend=self._resend_unknown(delivery.route),
            )
            detail = (
                f"the gateway stopped while part {delivery.cursor + 1} of "
                f"{max(len(delivery.chunks), 1)} was on its way"
            )
            error = {"class": "interrupted", "code": "", "detail": detail}
            await self._apply(delivery, step, error)


def _log_loss(moved: Delivery) -> None:
    """Whoever watches the console sees words that did not arrive, and why."""
    if moved.state in _LOST:
        error = moved.last_error or {}
        why = " ".join(str(error.get(key) or "") for key in ("class", "code", "detail")).split()
        log.warning(
            "words may not have arrived"
            if moved.state is State.UNKNOWN
            else "words were not delivered",
            extra={
                "delivery_key": moved.key,
                "to": moved.route.whom,
                "because": " ".join(why) or moved.reason,
            },
        )
