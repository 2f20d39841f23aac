"""Proves that the words of an agent arrive, without asking its model (operations.md §16 L11).

A marked message takes the way of an alert: the target is resolved as a beat resolves it, the
message stands in the outbox, the sender sends it, and the receipt is the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from engine.clock import Clock
from engine.events import Bus, Event
from engine.messages.delivery import Delivery, Priority
from engine.messages.outbox import TERMINAL, expiry, receipt
from engine.messages.remedy import place_fix, way_fix
from engine.messages.route import LOCAL, NoRoute, TargetWish, found_words
from engine.messages.route_health import Tried
from engine.messages.target import channel_named, split_target
from engine.outlet import find_route
from engine.roster.roster import AgentProfile, Roster
from engine.store import outbox, route_tests
from jobs.ids import new_id
from jobs.store.db import Database


class Trial:
    """Sends test messages, and waits for what becomes of them."""

    def __init__(
        self, *, database: Database, clock: Clock, bus: Bus, roster: Callable[[], Roster]
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._roster = roster

    async def run(
        self,
        agent_id: str | None,
        *,
        place: Mapping[str, str] | None = None,
        dry_run: bool,
        within: timedelta,
    ) -> dict[str, Any]:
        """Send one test message to where an alert of the agent would go, or to a place named.

        Returns ``{ok, agentId, target, route, fix?, messageId?, receipt?}``; ``receipt`` is the
        state after ``within`` at the latest. A dry run sends nothing. Raises `NotFound` for an
        agent nobody knows.
        """
        roster = self._roster()
        if agent_id is not None:
            roster.refuse_stranger(agent_id, "nothing was sent")
        agent = roster.agent(agent_id)
        wish = agent.beat.wish if place is None else _placed(place)
        found = await find_route(self._database, roster, wish, agent_id=agent.agent_id)
        told = {"agentId": agent.agent_id, "target": wish.target, "route": found_words(found)}
        if isinstance(found, NoRoute):
            known = roster.channels(agent.agent_id)
            fix = (
                way_fix(found, agent.beat.keys) if place is None else place_fix(found, wish, known)
            )
            return {**told, "ok": False, "fix": fix}
        if dry_run:
            return {**told, "ok": True, "sent": False}
        now = self._clock.now()
        delivery = Delivery(
            key=f"test:{agent.agent_id}:{new_id(now)}",
            route=found,
            text=_words(agent, now.astimezone(agent.zone).strftime("%Y-%m-%d %H:%M:%S")),
            kind="test",
            created_at=now,
            expires_at=expiry("test", now),
            agent_id=agent.agent_id,
            priority=Priority.REPLY,
        )
        ended = await self._carried(delivery, within)
        what = receipt(ended)
        arrived = what["status"] == "delivered"
        tried = Tried(at=now, ok=arrived, detail="" if arrived else _not_arrived(what))
        if ended.state in TERMINAL and found.channel != LOCAL:
            await self._database.write(lambda tx: route_tests.note(tx, found.lane, tried))
        return {**told, "ok": arrived, "sent": True, "messageId": ended.key, "receipt": what}

    async def _carried(self, delivery: Delivery, within: timedelta) -> Delivery:
        """Put it on its way; return it as it is when it has ended, or time has run out."""
        moved = asyncio.Event()

        def heard(event: Event) -> None:
            if event.name == "outbox" and event.payload.get("key") == delivery.key:
                moved.set()

        stop = self._bus.listen(heard)
        try:
            told = await self._database.write(lambda tx: outbox.add(tx, delivery))
            self._bus.publish("outbox", {"key": told.key, "state": told.state.value})
            async with asyncio.timeout(within.total_seconds()):
                while told.state not in TERMINAL:
                    await moved.wait()
                    moved.clear()
                    told = await self._read(delivery)
        except TimeoutError:
            told = await self._read(delivery)
        finally:
            stop()
        return told

    async def _read(self, delivery: Delivery) -> Delivery:
        found = await self._database.read(lambda tx: outbox.get(tx, delivery.key))
        return delivery if found is None else found


def _placed(place: Mapping[str, str]) -> TargetWish:
    """Return a place as somebody names it: ``{channel?, to?, accountId?, threadId?}``."""
    to, named = place.get("to"), split_target(place.get("to") or "")[0]
    channel = place.get("channel") or named or "last"
    return TargetWish(
        target=channel_named(channel) or channel.strip().lower(),
        to=to,
        account_id=place.get("accountId"),
        thread_id=place.get("threadId"),
        source="config",
    )


def _not_arrived(what: Mapping[str, Any]) -> str:
    return f"a test message did not arrive ({what.get('class') or what['status']})"


def _words(agent: AgentProfile, at: str) -> str:
    who = agent.name or agent.agent_id
    return f"Test of {at}: this is where messages of {who} arrive. No model was asked."
