"""Outbox, sender and Telegram together: what a person sees, and what the receipt says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.clock import SystemClock
from engine.events import Bus, Event as BusEvent
from engine.messages.address import ChatType, Route
from engine.messages.delivery import Delivery, State
from engine.messages.outbox import TERMINAL, receipt
from engine.messages.target import LastRoute
from engine.store import outbox, sessions
from engine.testing.clock import ManualClock
from engine.testing.telegram import TelegramStandIn, Wrong
from engine.testing.telegram.wrong import CANNOT_PARSE, THREAD_NOT_FOUND
from gateway.channels.base import Inbound
from gateway.channels.telegram.account import TelegramAccount
from gateway.channels.telegram.channel import TelegramChannel
from gateway.sender import Sender
from jobs.store.db import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Bench:
    """A gateway's outgoing half on one stand-in."""

    def __init__(self, db: Database, telegram: TelegramStandIn) -> None:
        self.db = db
        self.telegram = telegram
        self.clock = ManualClock(NOON)
        self.bus = Bus()
        self.moves: asyncio.Queue[tuple[str, State]] = asyncio.Queue()
        self.bus.listen(self._note)
        bot = TelegramAccount(id="default", token=telegram.token, api_root=telegram.root)
        self.channel = TelegramChannel([bot], clock=self.clock, bus=self.bus)
        self.sender = Sender(db, {"telegram": self.channel}, clock=self.clock, bus=self.bus)

    def _note(self, event: BusEvent) -> None:
        if event.name == "outbox":
            self.moves.put_nowait((event.payload["key"], State(event.payload["state"])))

    async def admit(self, message: Inbound) -> None:
        raise AssertionError(f"nobody wrote {message.text!r}")

    async def put(self, key: str, text: str = "", *, to: str = "42", **route: Any) -> None:
        delivery = Delivery(
            key=key,
            route=Route(channel="telegram", account_id="default", to=to, **route),
            text=text or key,
            kind="cron",
            created_at=NOON,
            expires_at=NOON + timedelta(hours=1),
        )
        await self.db.write(lambda tx: outbox.add(tx, delivery))
        self.sender.poke()

    async def until(self, key: str, *states: State) -> dict[str, Any]:
        """Return the receipt once ``key`` is in one of ``states``."""
        async with asyncio.timeout(5):
            while True:
                moved, state = await self.moves.get()
                if moved == key and state in states:
                    break
        stored = await self.db.read(lambda tx: outbox.get(tx, key))
        assert stored is not None
        return receipt(stored)

    async def ended(self, key: str) -> dict[str, Any]:
        return await self.until(key, *TERMINAL)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    db = await Database.memory()
    async with TelegramStandIn() as telegram:
        bench = Bench(db, telegram)
        await bench.channel.start(bench.admit)
        await bench.sender.start()
        yield bench
        await bench.sender.stop()
        await bench.channel.stop()
    await db.close()


def visible(bench: Bench) -> list[str]:
    return [message.visible for message in bench.telegram.sent]


async def test_a_ping_arrives_with_the_id_the_platform_gave(bench: Bench) -> None:
    await bench.put("a", "**Report** is _ready_")
    got = await bench.ended("a")
    (message,) = bench.telegram.sent
    assert got["status"] == "delivered"
    assert got["messageIds"] == [str(message.message_id)]
    assert message.visible == "Report is ready"


async def test_a_lost_answer_is_unknown_and_seen_once(bench: Bench) -> None:
    bench.telegram.fail("sendMessage", Wrong.lost_answer())
    await bench.put("a")
    got = await bench.ended("a")
    assert (got["status"], got["class"]) == ("unknown", "network-ambiguous")
    assert visible(bench) == ["a"]


async def test_a_later_is_waited_out_to_the_second(bench: Bench) -> None:
    bench.telegram.fail("sendMessage", Wrong.too_many(3))
    await bench.put("a")
    waiting = await bench.until("a", State.QUEUED)
    assert waiting["class"] == "rate-limited"
    assert waiting["nextAttemptAt"] == round(NOON.timestamp() * 1000) + 3000
    await bench.clock.advance(timedelta(seconds=2.9))
    assert visible(bench) == []
    await bench.clock.advance(timedelta(seconds=0.1))
    assert (await bench.ended("a"))["status"] == "delivered"
    assert visible(bench) == ["a"]


async def test_a_chat_that_is_told_later_sees_no_typing_until_then(bench: Bench) -> None:
    """The platform counts every call to the chat, and answers each with a longer wait (§7)."""
    bench.telegram.fail("sendMessage", Wrong.too_many(3))
    await bench.put("a")
    await bench.until("a", State.QUEUED)
    route = Route(channel="telegram", account_id="default", to="42")
    await bench.channel.typing(route)
    await bench.channel.typing(replace(route, to="43"))
    await bench.clock.advance(timedelta(seconds=3))
    await bench.channel.typing(route)
    typed = [told["chat_id"] for name, told in bench.telegram.calls if name == "sendChatAction"]
    assert typed == [43, 42]


async def test_markup_the_platform_refuses_arrives_plain(bench: Bench) -> None:
    bench.telegram.fail("sendMessage", Wrong.bad_request(CANNOT_PARSE))
    await bench.put("a", "**x**")
    await bench.until("a", State.QUEUED)
    await bench.clock.advance(timedelta(seconds=1))
    got = await bench.ended("a")
    assert got["formatFallback"] is True
    assert visible(bench) == ["**x**"]


async def test_a_topic_that_is_gone_is_left_out_and_noted(bench: Bench) -> None:
    bench.telegram.fail("sendMessage", Wrong.bad_request(THREAD_NOT_FOUND))
    await bench.put("a", to="-100", thread_id="9")
    await bench.until("a", State.QUEUED)
    await bench.clock.advance(timedelta(seconds=5))
    got = await bench.ended("a")
    assert (got["status"], got["threadGone"]) == ("delivered", True)
    assert bench.telegram.sent[0].thread_id is None


async def test_the_general_topic_is_written_to(bench: Bench) -> None:
    await bench.put("a", to="-100", thread_id="1")
    assert (await bench.ended("a"))["status"] == "delivered"


async def test_a_group_that_moved_is_followed_once(bench: Bench) -> None:
    bench.telegram.fail("sendMessage", Wrong.migrated(-1002))
    await bench.put("a", to="-100")
    await bench.until("a", State.QUEUED)
    await bench.clock.advance(timedelta(seconds=5))
    got = await bench.ended("a")
    assert (got["status"], got["to"]) == ("delivered", "-1002")


async def test_what_was_learnt_about_a_group_follows_it(bench: Bench) -> None:
    learnt = LastRoute(
        agent_id="main",
        session_key="agent:main:telegram:group:-100",
        channel="telegram",
        account_id="default",
        to="-100",
        chat_type=ChatType.GROUP,
        set_at=NOON,
        set_by="7",
    )
    await bench.db.write(lambda tx: sessions.set_route(tx, learnt))
    bench.telegram.fail("sendMessage", Wrong.migrated(-1002))
    await bench.put("a", to="-100")
    await bench.until("a", State.QUEUED)
    known = await bench.db.read(lambda tx: sessions.route(tx, learnt.session_key))
    assert known is not None
    assert known.to == "-1002"


async def test_a_person_who_blocked_the_bot_is_not_tried_again(bench: Bench) -> None:
    bench.telegram.fail_always("sendMessage", Wrong.blocked())
    await bench.put("a")
    got = await bench.ended("a")
    assert (got["status"], got["reason"], got["code"]) == ("failed", "blocked", "403")
    assert got["attempts"] == 1


async def test_a_broken_server_is_tried_until_it_works(bench: Bench) -> None:
    bench.telegram.fail("sendMessage", Wrong.server_error(), Wrong.not_json(502))
    await bench.put("a")
    for _ in range(2):
        await bench.until("a", State.QUEUED)
        await bench.clock.advance(timedelta(seconds=2))
    got = await bench.ended("a")
    assert (got["status"], got["attempts"]) == ("delivered", 3)


async def test_what_is_longer_than_a_message_arrives_in_order_and_whole(bench: Bench) -> None:
    text = "\n\n".join(f"paragraph {n} " + "x" * 900 for n in range(8))
    await bench.put("a", text)
    await bench.until("a", State.QUEUED)  # one part a second to one person
    await bench.clock.advance(timedelta(seconds=1))
    got = await bench.ended("a")
    assert got["chunks"] == len(got["messageIds"]) == 2
    assert "\n\n".join(visible(bench)) == text


async def test_twenty_five_words_to_a_group_are_twenty_in_any_minute(bench: Bench) -> None:
    """channels.md §15.2; each in a topic of its own, so that no lane spreads them."""
    for number in range(25):
        await bench.put(f"k{number}", to="-100", thread_id=str(number + 2))
    for _ in range(20):
        await bench.telegram.next_sent()
    await bench.clock.advance(timedelta(seconds=59.9))
    assert len(bench.telegram.sent) == 20
    await bench.clock.advance(timedelta(seconds=0.2))
    for _ in range(5):
        await bench.telegram.next_sent()
    assert len(bench.telegram.sent) == 25


async def test_forty_pings_reach_the_platform_at_most_thirty_in_any_second(tmp_path: Path) -> None:
    """channels.md §15.2 on a real clock: a store that takes its time must not bunch them."""
    clock, bus, seen = SystemClock(), Bus(), list[float]()

    db = await Database.open(tmp_path / "state.db")
    async with TelegramStandIn() as telegram:
        bot = TelegramAccount(id="default", token=telegram.token, api_root=telegram.root)
        channel = TelegramChannel([bot], clock=clock, bus=bus)
        sender = Sender(db, {"telegram": channel}, clock=clock, bus=bus)
        pings = [
            Delivery(
                key=f"k{number}",
                route=Route(channel="telegram", account_id="default", to=str(1000 + number)),
                text="ping",
                kind="cron",
                created_at=clock.now(),
                expires_at=clock.now() + timedelta(hours=1),
            )
            for number in range(40)
        ]
        await db.write(lambda tx: [outbox.add(tx, one) for one in pings])
        await channel.start(_nobody_writes)
        await sender.start()
        for _ in pings:
            await telegram.next_sent(within=15)
            seen.append(clock.monotonic().total_seconds())
        await sender.stop()
        await channel.stop()
    await db.close()
    assert max(sum(at <= other < at + 1 for other in seen) for at in seen) <= 30


async def _nobody_writes(message: Inbound) -> None:
    raise AssertionError(f"nobody wrote {message.text!r}")
