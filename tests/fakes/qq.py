"""QQ accounts that lead to a stand-in, and a gateway's two halves around them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.events import Bus, Event
from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.outbox import TERMINAL, expiry, receipt
from engine.store import outbox, sessions
from engine.talk.conversation import ChatTurn, answer_to
from engine.testing.clock import ManualClock
from engine.testing.qq import QqStandIn
from engine.testing.qq.stand_in import ANN
from gateway.channels.policy import GroupRule, Policy
from gateway.channels.qq.account import QqAccount, token_address
from gateway.channels.qq.channel import QqChannel
from gateway.inbound import Reception
from gateway.sender import Sender
from jobs.store.db import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TO_ANN = f"c2c:{ANN}"


def qq_bot(qq: QqStandIn, ident: str = "default", app_id: str | None = None) -> QqAccount:
    """One bot of the stand-in."""
    app_id = app_id or qq.app_id
    return QqAccount(
        id=ident,
        app_id=app_id,
        client_secret=qq.platform.bots[app_id],
        api_base=qq.root,
        token_url=token_address(qq.root),
        token_source="config",
        recalls=False,  # most tests are about those who may not be recalled
    )


class QqBench:
    """A gateway's channel, reception and sender on one stand-in, the clock in the test's hand."""

    def __init__(self, db: Database, qq: QqStandIn, clock: ManualClock, **keys: Any) -> None:
        self.db, self.qq, self.clock = db, qq, clock
        self.bus = Bus()
        self.moves: asyncio.Queue[tuple[str, State]] = asyncio.Queue()
        self.runtimes: asyncio.Queue[str] = asyncio.Queue()
        self.turns: asyncio.Queue[ChatTurn] = asyncio.Queue()
        self.answer = ""  # what the agent says to whatever comes in; '' nothing
        self.policy = Policy(allow_from=("*",), groups={"*": GroupRule()})
        self.bus.listen(self._note)
        qq.gateway.heartbeat_ms = 300_000  # a test may let days go by
        self.build(keys)

    def build(self, keys: dict[str, Any] | None = None) -> None:
        """Make the process anew, over the same store and platform."""
        bots = [
            replace(qq_bot(self.qq, ident, app_id), **(keys or {}))
            for ident, app_id in zip(("default", "other"), self.qq.platform.bots, strict=False)
        ]

        async def load(channel: str, account: str) -> str | None:
            return await self.db.read(lambda tx: sessions.cursor(tx, channel, account))

        async def save(channel: str, account: str, value: str) -> None:
            now = self.clock.now()
            await self.db.write(lambda tx: sessions.set_cursor(tx, channel, account, value, now))

        self.channel = QqChannel(
            bots, clock=self.clock, bus=self.bus, load_cursor=load, save_cursor=save
        )
        self.sender = Sender(self.db, {"qqbot": self.channel}, clock=self.clock, bus=self.bus)
        self.reception = Reception(
            self.db,
            clock=self.clock,
            policy_of=lambda *_: self.policy,
            agent_of=lambda _: "main",
            converse=self._converse,
            poke=self.sender.poke,
        )

    async def start(self) -> None:
        """Start all three, and wait for the connections."""
        await self.channel.start(self.reception.admit)
        await self.sender.start()
        await self.qq.connected(len(self.qq.platform.bots))

    async def stop(self) -> None:
        """Stop all three."""
        await self.reception.stop()
        await self.sender.stop()
        await self.channel.stop()

    async def _converse(self, turn: ChatTurn) -> None:
        self.turns.put_nowait(turn)
        if self.answer:
            said = answer_to(turn, self.answer, self.clock.now())
            assert said is not None
            await self.db.write(lambda tx: outbox.add(tx, said))
            self.sender.poke()

    def _note(self, event: Event) -> None:
        if event.name == "outbox":
            self.moves.put_nowait((event.payload["key"], State(event.payload["state"])))
        elif event.name == "channel":
            self.runtimes.put_nowait(str(event.payload["runtime"]))

    async def put(
        self,
        key: str,
        text: str = "",
        *,
        to: str = TO_ANN,
        kind: str = "cron",
        account: str = "default",
        life: timedelta | None = None,
    ) -> None:
        """Let an agent say something to a peer."""
        now = self.clock.now()
        delivery = Delivery(
            key=key,
            route=Route(channel="qqbot", account_id=account, to=to),
            text=text or key,
            kind=kind,
            created_at=now,
            expires_at=expiry(kind, now) if life is None else now + life,
        )
        await self.db.write(lambda tx: outbox.add(tx, delivery))
        self.sender.poke()

    async def until(self, key: str, *states: State) -> dict[str, Any]:
        """Return the receipt once ``key`` has moved into one of ``states``."""
        async with asyncio.timeout(5):
            while True:
                moved, state = await self.moves.get()
                if moved == key and state in states:
                    break
        stored = await self.db.read(lambda tx: outbox.get(tx, key))
        assert stored is not None
        return receipt(stored)

    async def ended(self, key: str) -> dict[str, Any]:
        """Return the receipt once it is final."""
        return await self.until(key, *TERMINAL)

    async def runtime(self, wanted: str) -> None:
        """Return once the account's state was that."""
        async with asyncio.timeout(5):
            while await self.runtimes.get() != wanted:
                pass

    async def turn(self) -> ChatTurn:
        """Return the next turn that began."""
        async with asyncio.timeout(5):
            return await self.turns.get()
