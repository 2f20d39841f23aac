"""Messages that recall who has not written for a while: one per period (channels.md §8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from engine.messages.delivery import State
from engine.testing.clock import ManualClock
from engine.testing.qq import QqStandIn, Wrong
from jobs.store.db import Database
from tests.fakes.qq import NOON, TO_ANN, QqBench

DAY = timedelta(days=1)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[QqBench]:
    db, clock = await Database.memory(), ManualClock(NOON)
    async with QqStandIn(clock=clock) as qq:
        bench = QqBench(db, qq, clock, recalls=True)
        yield bench
        await bench.stop()
    await db.close()


async def quiet_since(bench: QqBench, since: timedelta) -> None:
    """Ann wrote once, takes nothing unasked, and so much time has passed."""
    await bench.start()
    await bench.qq.user_writes("hello")
    await bench.turn()
    bench.qq.deny(TO_ANN)
    await bench.clock.advance(since)


def asked(bench: QqBench) -> list[bool]:
    return [bool(body.get("is_wakeup")) for kind, body in bench.qq.calls if kind == "c2c"]


async def test_what_may_not_be_sent_unasked_recalls_its_person_once(bench: QqBench) -> None:
    await quiet_since(bench, 2 * DAY)
    await bench.put("a")
    got = await bench.ended("a")
    assert (got["status"], got["via"]) == ("delivered", "recall")
    assert asked(bench) == [False, True]
    await bench.put("b")
    await bench.until("b", State.HELD)
    assert asked(bench) == [False, True]  # known: nobody was asked again
    await bench.clock.advance(2 * DAY)
    await bench.put("c")
    assert (await bench.ended("c"))["via"] == "recall"


async def test_a_contact_opens_all_periods_again(bench: QqBench) -> None:
    await quiet_since(bench, 2 * DAY)
    await bench.put("a")
    await bench.ended("a")
    await bench.qq.user_writes("back")
    await bench.turn()
    await bench.clock.advance(2 * DAY)
    await bench.put("b")
    assert (await bench.ended("b"))["via"] == "recall"


async def test_a_platform_that_takes_no_recall_is_asked_once_and_the_message_waits(
    bench: QqBench,
) -> None:
    await quiet_since(bench, 2 * DAY)
    bench.qq.fail("c2c", Wrong.no_permission(), Wrong.no_permission())
    await bench.put("a")
    await bench.until("a", State.HELD)
    await bench.put("b")
    await bench.until("b", State.HELD)
    assert asked(bench) == [False, True]


async def test_who_said_that_they_want_nothing_is_not_recalled(bench: QqBench) -> None:
    await quiet_since(bench, 2 * DAY)
    await bench.qq.happens("C2C_MSG_REJECT", {"openid": TO_ANN.partition(":")[2], "timestamp": 1})
    await bench.qq.group_writes("x")
    await bench.turn()  # events come in order: the first one is durable
    await bench.put("a")
    await bench.until("a", State.HELD)
    assert asked(bench) == []


async def test_a_heartbeat_spends_no_recall(bench: QqBench) -> None:
    await quiet_since(bench, 2 * DAY)
    await bench.put("a", kind="heartbeat")
    assert (await bench.ended("a"))["reason"] == "proactive-denied"
    assert asked(bench) == [False]
