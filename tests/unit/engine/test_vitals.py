"""Parts that live as long as the process: one that fails is told, begun again, and told well."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from engine.clock import SystemClock
from engine.clockwork import Clockwork
from engine.testing.clock import ManualClock
from engine.vitals import Insist, Vitals, keep
from jobs.errors import StoreUnavailable
from jobs.store.db import Database

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def test_a_part_that_dies_is_begun_again_and_shown_until_it_works() -> None:
    clock, vitals = ManualClock(NOON), Vitals()
    begun: list[datetime] = []
    works = asyncio.Event()

    async def part() -> None:
        begun.append(clock.now())
        if not works.is_set():
            raise OSError("inotify watch limit reached")
        vitals.well("config watch")
        await asyncio.Event().wait()

    task = asyncio.create_task(keep("config watch", part, clock=clock, vitals=vitals))
    await clock.advance(10 * MINUTE)
    assert len(begun) > 5
    assert vitals.failing == {"config watch": "inotify watch limit reached"}
    works.set()
    await clock.advance(MINUTE)
    assert vitals.failing == {}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_trouble_is_said_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    vitals = Vitals()
    for _ in range(3):
        vitals.hurt("store", StoreUnavailable("the store cannot be used", why="disk is full"))
    for _ in range(3):
        vitals.well("store")
    assert [record.getMessage() for record in caplog.records] == [
        "store fails: the store cannot be used: disk is full",
        "store works again",
    ]


async def test_no_secret_shows_in_what_fails() -> None:
    vitals = Vitals()
    vitals.hurt("sender", RuntimeError("refused: Authorization: Bearer abcdef1234567890"))
    assert "abcdef1234567890" not in vitals.failing["sender"]


async def test_a_closed_store_is_not_waited_for() -> None:
    database = await Database.memory()
    insist = Insist(database, clock=ManualClock(NOON), vitals=Vitals())
    await database.close()
    with pytest.raises(StoreUnavailable):
        await insist(lambda: database.write(lambda _: None))


async def test_a_chore_that_fails_is_shown_and_has_its_next_turn() -> None:
    class Idle:
        async def tick(self) -> datetime | None:
            return None

    vitals, turns = Vitals(), asyncio.Queue[dict[str, str]]()
    broken = [ValueError("no such table")]

    async def clean() -> None:
        turns.put_nowait(dict(vitals.failing))
        if broken:
            raise broken.pop()

    clockwork = Clockwork(Idle(), clock=SystemClock(), vitals=vitals)
    clockwork.chore("housekeeping", clean, every=timedelta(milliseconds=50))
    clockwork.start()
    try:
        async with asyncio.timeout(10):
            seen = [await turns.get() for _ in range(3)]
    finally:
        await clockwork.stop()
    assert seen == [{}, {"housekeeping": "no such table"}, {}]
