"""What moves the route `last` leads by, and what does not: the table of channels.md §4, row by row.

Rows about places that refuse and accounts that are gone: `tests/unit/engine/talk/test_ways.py`;
about resolving: `tests/unit/engine/messages/test_route.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.events import Bus
from engine.messages.address import ChatType, Route
from engine.messages.delivery import Delivery
from engine.messages.target import Peer
from engine.store import outbox, sessions
from engine.talk.conversation import ChatTurn
from engine.testing.clock import ManualClock
from gateway.channels.base import Inbound
from gateway.channels.policy import GroupRule, Policy
from gateway.inbound import Reception
from gateway.sender import Sender
from jobs.store.db import Database
from tests.fakes.scripted_channel import ScriptedChannel

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MAIN = "agent:main:main"
DM = Inbound(
    channel="telegram",
    account_id="default",
    peer=Peer(to="42", chat_type=ChatType.DIRECT),
    sender_id="42",
    sender_label="Ann",
    message_id="new",
    text="hello",
    at=NOON,
)
OLD = replace(DM, peer=Peer(to="41", chat_type=ChatType.DIRECT), sender_id="41", message_id="old")
GROUP = replace(
    DM,
    peer=Peer(to="-100", chat_type=ChatType.GROUP),
    chat_type=ChatType.GROUP,
    mentioned=True,
)
OPEN = Policy(allow_from=("41", "42"), groups={"-100": GroupRule()})


class Bench:
    """A reception that knows one older route, over a store that outlives it."""

    def __init__(self, file: Path) -> None:
        self.file, self.clock, self.policy = file, ManualClock(NOON), OPEN

    async def open(self) -> None:
        self.db = await Database.open(self.file)
        self.reception = Reception(
            self.db,
            clock=self.clock,
            policy_of=lambda *_: self.policy,
            agent_of=lambda _: "main",
            converse=self.nothing,
        )

    async def nothing(self, turn: ChatTurn) -> None:
        return None

    async def close(self) -> None:
        await self.reception.stop()
        await self.db.close()

    async def last(self, key: str = MAIN) -> str | None:
        """Where `last` leads, as a new process finds it."""
        await self.close()
        await self.open()
        found = await self.db.read(lambda tx: sessions.route(tx, key))
        return None if found is None else found.to


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path / "state.db")
    await bench.open()
    await bench.reception.admit(OLD)
    yield bench
    await bench.close()


@dataclass(frozen=True)
class Row:
    """An event, and where `last` of the main session and of the group lead afterwards."""

    message: Inbound
    policy: Policy = OPEN
    main: str = "41"
    group: str | None = None


ROWS = {
    "an admitted direct message": Row(DM, main="42"),
    "an admitted group message that starts a turn": Row(GROUP, group="-100"),
    "dropped by policy": Row(DM, Policy(dm="allowlist", allow_from=("41",))),
    "pairing pending": Row(DM, Policy(allow_from=("41", "43"))),
    "switched off": Row(DM, Policy(dm="disabled")),
    "mention-gated": Row(replace(GROUP, mentioned=False)),
    "not let in to the group": Row(replace(GROUP, sender_id="666")),
    "seen before": Row(replace(OLD, sender_id="41", sender_label="other")),
    "from somebody else than the pinned owner": Row(DM, Policy(allow_from=("41",), paired=("42",))),
    "hours old, direct": Row(replace(DM, at=NOON - timedelta(hours=7)), main="42"),
    "hours old, in a group": Row(replace(GROUP, at=NOON - timedelta(hours=7))),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_what_moves_the_route_across_a_restart(bench: Bench, row: Row) -> None:
    bench.policy = row.policy
    await bench.reception.admit(row.message)
    assert await bench.last() == row.main
    assert await bench.last("agent:main:telegram:group:-100") == row.group


@pytest.mark.parametrize("kind", ["heartbeat", "cron", "message", "reply"])
async def test_nothing_that_goes_out_moves_it(bench: Bench, kind: str) -> None:
    channel, bus, gone = ScriptedChannel(bench.clock), Bus(), asyncio.Event()
    bus.listen(lambda event: gone.set() if event.payload.get("state") == "delivered" else None)
    sender = Sender(bench.db, {channel.id: channel}, clock=bench.clock, bus=bus)
    out = Delivery(
        key=f"k-{kind}",
        route=Route(channel=channel.id, account_id="default", to="77", chat_type=ChatType.DIRECT),
        text="ping",
        kind=kind,
        created_at=NOON,
        expires_at=NOON + timedelta(hours=1),
    )
    await bench.db.write(lambda tx: outbox.add(tx, out))
    await sender.start()
    await gone.wait()
    await sender.stop()
    assert await bench.last() == "41"


async def test_a_session_that_is_reset_keeps_it(bench: Bench) -> None:
    assert await bench.db.write(lambda tx: sessions.delete(tx, MAIN)) is False
    await bench.db.write(lambda tx: sessions.ensure(tx, MAIN, "main", NOON))
    assert await bench.db.write(lambda tx: sessions.delete(tx, MAIN))
    assert await bench.last() == "41"


async def test_a_group_that_moves_takes_it_along(bench: Bench) -> None:
    await bench.reception.admit(GROUP)
    old = Route(channel="telegram", account_id="default", to="-100")
    await bench.db.write(lambda tx: sessions.move_peer(tx, old, "-1001"))
    assert await bench.last("agent:main:telegram:group:-100") == "-1001"


async def test_what_is_written_here_stands_apart(bench: Bench) -> None:
    found = await bench.db.read(lambda tx: sessions.route(tx, MAIN))
    assert found is not None
    local = replace(found, channel="local", to="inbox")
    await bench.db.write(lambda tx: sessions.set_route(tx, local))
    assert await bench.last() == "41"
    here = await bench.db.read(lambda tx: sessions.route(tx, MAIN, kind=sessions.LOCAL))
    assert here is not None
    assert here.to == "inbox"
