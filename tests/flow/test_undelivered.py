"""Alerts that did not arrive: what was never delivered was never said."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from engine.messages.delivery import Delivery, State
from engine.messages.outbox import Event
from engine.store import outbox
from engine.testing import ScriptedAgent, Simulation

LOOK = "- look at the builds\n"
MINUTE = timedelta(minutes=1)
HALF_HOUR = 30 * MINUTE
WORDS = "The build is red."


def config(**channels: bool) -> dict[str, Any]:
    return {
        "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}},
        "channels": {"defaults": {"heartbeat": channels}} if channels else {},
    }


class Offline(Simulation):
    """A simulation whose channel is down until it is `up`; time passes over what waits."""

    up = False

    async def _carried(self) -> bool:
        if self.up:
            return await super()._carried()
        now = self.clock.now()
        for one in await self.database.read(lambda tx: outbox.ready(tx, now, 100)):
            if one.expires_at <= now:
                await self.expire(one, now)
        return False

    async def expire(self, one: Delivery, now: datetime) -> None:
        await self.database.write(
            lambda tx: outbox.move(tx, one.key, Event.OUT_OF_TIME, now, reason="expired")
        )

    async def waiting(self) -> list[str]:
        found, _ = await self.database.read(lambda tx: outbox.page(tx, states=[State.QUEUED]))
        return [one.text for one in found]


async def test_an_alert_that_expired_unsent_is_said_again() -> None:
    sim = Offline(
        config(), start="2026-06-01 00:00", agent=ScriptedAgent(then=WORDS), checklist=LOOK
    )
    async with sim:
        await sim.advance(timedelta(hours=3))
        sim.up = True
        report = await sim.advance(timedelta(hours=1))
        arrived = [one.text for one in report.deliveries if one.state == "delivered"]
        assert arrived == [WORDS]  # once, and then it is a repetition


async def test_an_alert_that_still_waits_gives_its_place_to_the_same_words_said_later() -> None:
    sim = Offline(
        config(), start="2026-06-01 00:00", agent=ScriptedAgent(then=WORDS), checklist=LOOK
    )
    async with sim:
        await sim.advance(timedelta(hours=5, minutes=1))
        assert await sim.waiting() == [WORDS]
        listed = await sim.engine.inbox_desk.listing({"state": "all"})
        assert listed["entries"] == []  # the message that waits says it


async def test_a_calm_beat_does_not_take_the_place_of_an_alert_that_waits() -> None:
    agent = ScriptedAgent(WORDS, then="HEARTBEAT_OK", takes=5 * MINUTE)
    sim = Offline(config(showOk=True), start="2026-06-01 00:00", agent=agent, checklist=LOOK)
    async with sim:
        while not await sim.waiting():
            await sim.advance(MINUTE)
        agent.takes = timedelta()
        await sim.advance(HALF_HOUR - 4 * MINUTE)
        assert await sim.waiting() == ["HEARTBEAT_OK", WORDS]
