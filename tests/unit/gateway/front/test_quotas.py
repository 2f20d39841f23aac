"""What is left of a day's messages nobody asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from engine.events import Bus
from engine.messages.address import Route
from engine.store import contacts
from engine.testing.clock import ManualClock
from gateway.channels.qq.account import QqAccount
from gateway.channels.qq.channel import QqChannel
from gateway.channels.windows import day_ends, day_of
from gateway.front.quotas import left
from jobs.store.db import Database, Tx
from jobs.wallclock import ms

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def test_the_peer_that_is_nearest_to_its_end_is_told_until_the_day_is_over() -> None:
    bot = QqAccount(id="a", app_id="1", client_secret="s")
    channel = QqChannel([bot], clock=ManualClock(NOON), bus=Bus())
    database = await Database.memory()

    def send(tx: Tx) -> None:
        for peer, times in (("c2c:X", 2), ("channel:7", 3)):
            route = Route(channel="qqbot", account_id="a", to=peer)
            for _ in range(times):
                contacts.unasked(tx, route, day_of(NOON), NOON)

    await database.write(send)
    told = await database.read(lambda tx: left(tx, channel, "a", NOON))
    resets = ms(day_ends(NOON))
    assert told == {"quota": {"peer": "channel:7", "perDay": 20, "left": 17, "resetsAt": resets}}
    assert await database.read(lambda tx: left(tx, channel, "b", NOON)) == {}
    tomorrow = NOON + timedelta(days=1)
    assert await database.read(lambda tx: left(tx, channel, "a", tomorrow)) == {}
    await database.close()
