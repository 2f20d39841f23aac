"""Each close code on the wire, what people press, how shaky a connection is (channels.md §8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from engine.messages.address import ChatType
from engine.testing.clock import ManualClock
from engine.testing.qq import QqStandIn, Wrong
from engine.testing.qq.stand_in import ANN
from gateway.channels.qq.account import Intents
from gateway.channels.qq.channel import QqChannel
from jobs.errors import StoreUnavailable
from jobs.store.db import Database
from jobs.wallclock import ms
from tests.fakes.qq import NOON, QqBench, qq_bot

SECOND = timedelta(seconds=1)
HEARTBEAT, IDENTIFY, RESUME = 1, 2, 6
GROUP = "G" * 32


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[QqBench]:
    db, clock = await Database.memory(), ManualClock(NOON)
    async with QqStandIn(clock=clock) as qq:
        bench = QqBench(db, qq, clock)
        yield bench
        await bench.stop()
    await db.close()


@pytest.mark.parametrize(
    ("code", "wait", "op"),
    [
        (1000, 1, RESUME),
        (4004, 1, RESUME),
        (4008, 60, RESUME),
        (4009, 1, RESUME),
        (4999, 1, RESUME),
        (4006, 1, IDENTIFY),
        (4007, 1, IDENTIFY),
        *((code, 1, IDENTIFY) for code in range(4900, 4914)),
    ],
)
async def test_after_a_close_the_session_is_resumed_or_begun_anew(
    bench: QqBench, code: int, wait: int, op: int
) -> None:
    await bench.start()
    await bench.clock.advance(10 * SECOND)  # no short life
    tokens = [kind for kind, _ in bench.qq.calls].count("token")
    await bench.qq.close(code)
    await bench.runtime("backoff")
    (status,) = bench.channel.status()
    assert status.extra["retryAt"] == ms(bench.clock.now() + wait * SECOND)
    await bench.clock.advance(wait * SECOND)
    await bench.qq.received(op, 1 if op == RESUME else 2)
    await bench.runtime("connected")
    asked = [kind for kind, _ in bench.qq.calls].count("token") - tokens
    assert asked == (code == 4004)


@pytest.mark.parametrize("code", [4001, 4002, 4010, 4011, 4012, 4013, 4014, 4914, 4915])
async def test_a_close_that_no_waiting_mends_ends_the_account_and_no_other(
    bench: QqBench, code: int
) -> None:
    await bench.start()
    await bench.qq.close(code)
    await bench.runtime("fatal")
    (status,) = bench.channel.status()
    assert str(status.last_error).startswith(f"{code}: ")
    assert not bench.channel.ready("default")
    await bench.clock.advance(timedelta(hours=1))
    assert bench.channel.status()[0].runtime == "fatal"


async def test_a_store_that_does_not_answer_at_the_start_ends_no_account(bench: QqBench) -> None:
    refusals = [StoreUnavailable("the state database cannot be used", why="disk i/o error")]

    async def refused_once(_channel: str, _account: str) -> str | None:
        if refusals:
            raise refusals.pop()
        return None

    bench.channel = QqChannel(
        [qq_bot(bench.qq)], clock=bench.clock, bus=bench.bus, load_cursor=refused_once
    )
    await bench.channel.start(bench.reception.admit)
    await bench.runtime("backoff")
    await bench.clock.advance(SECOND)
    await bench.runtime("connected")


async def test_heartbeats_go_on_when_the_place_cannot_be_kept(bench: QqBench) -> None:
    full: list[str] = []

    async def refused(_channel: str, _account: str, value: str) -> None:
        full.append(value)
        if len(full) > 1:
            raise StoreUnavailable("the state database cannot be used", why="disk full")

    bench.channel = QqChannel(
        [qq_bot(bench.qq)], clock=bench.clock, bus=bench.bus, save_cursor=refused
    )
    await bench.channel.start(bench.reception.admit)
    await bench.runtime("connected")
    for beat in (1, 2, 3):
        await bench.clock.advance(timedelta(minutes=5))
        await bench.qq.received(HEARTBEAT, beat)
    assert len(full) > 1
    assert bench.channel.status()[0].runtime == "connected"


async def test_a_connection_that_keeps_breaking_is_degraded_until_it_holds(bench: QqBench) -> None:
    await bench.start()
    for _ in range(3):
        await bench.clock.advance(10 * SECOND)
        await bench.qq.drop()
        await bench.runtime("backoff")
        await bench.clock.advance(SECOND)
        await bench.runtime("connected")
    (status,) = bench.channel.status()
    assert (status.runtime, status.connected) == ("degraded", True)
    assert "retryAt" not in status.extra
    await bench.clock.advance(timedelta(minutes=11))
    assert bench.channel.status()[0].runtime == "connected"


async def test_a_press_comes_in_as_words_and_is_confirmed(bench: QqBench) -> None:
    bench.build({"intents": Intents.GROUP | Intents.INTERACTION})
    await bench.start()
    number = await bench.qq.user_presses("hb:useful")
    turn = await bench.turn()
    assert turn.text == "callback_data: hb:useful"
    assert turn.route is not None
    assert (turn.route.to, turn.route.chat_type) == (f"c2c:{ANN}", ChatType.DIRECT)
    await bench.qq.called("interaction")
    assert bench.qq.platform.confirmed == [(number, 0)]


async def test_a_press_in_a_group_needs_no_mention(bench: QqBench) -> None:
    await bench.start()
    await bench.qq.user_presses("yes", group=GROUP)
    turn = await bench.turn()
    assert turn.route is not None
    assert (turn.route.to, turn.text) == (f"group:{GROUP}", "callback_data: yes")


async def test_a_press_that_cannot_be_confirmed_is_heard_all_the_same(bench: QqBench) -> None:
    bench.qq.fail("interaction", Wrong.server_error())
    await bench.start()
    await bench.qq.user_presses("one")
    assert (await bench.turn()).text == "callback_data: one"
    await bench.qq.user_writes("two")
    assert (await bench.turn()).text == "two"


async def test_a_platform_slow_to_confirm_a_press_holds_up_nobody(bench: QqBench) -> None:
    slow = asyncio.Event()
    bench.qq.fail("interaction", Wrong.slow(slow))
    await bench.start()
    await bench.qq.user_presses("one")
    await bench.turn()
    await bench.qq.user_writes("two")
    assert (await bench.turn()).text == "two"
    slow.set()
