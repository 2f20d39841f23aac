"""Clocks that are set back, and waits that must not become longer by it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time

from engine.clock import SystemClock
from engine.clockwork import SHORT_NAP, Clockwork
from engine.vitals import Vitals

HOUR = timedelta(hours=1)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class SetBack(SystemClock):
    """The machine's clock, an hour back from the second look on."""

    looks = 0

    def now(self) -> datetime:
        self.looks += 1
        return super().now() - (HOUR if self.looks > 2 else timedelta())


async def test_a_clock_set_back_lengthens_no_wait() -> None:
    clock = SetBack()
    async with asyncio.timeout(5):
        await clock.sleep_until(clock.now() + timedelta(seconds=0.05))


class Settable(SystemClock):
    """Wall time the test freezes and moves; the rest of time runs on."""

    def monotonic(self) -> timedelta:
        return timedelta(seconds=asyncio.get_running_loop().time())


class Counted:
    """A loop with nothing to do, and a point to wait at."""

    def __init__(self) -> None:
        self.ticked: asyncio.Queue[int] = asyncio.Queue()
        self.fails = 0

    async def tick(self) -> datetime | None:
        self.ticked.put_nowait(self.ticked.qsize())
        if self.fails:
            self.fails -= 1
            raise OverflowError("date value out of range")
        return None


async def test_the_timer_and_the_chores_go_on_after_the_clock_was_set_back() -> None:
    with freeze_time(NOON, real_asyncio=True) as frozen:
        loop, cleaned = Counted(), asyncio.Queue[bool]()

        async def clean() -> None:
            cleaned.put_nowait(True)

        clockwork = Clockwork(loop, clock=Settable(), longest_nap=SHORT_NAP)
        clockwork.chore("clean", clean, every=timedelta(seconds=1))
        clockwork.start()
        try:
            async with asyncio.timeout(15):
                await loop.ticked.get()
                frozen.move_to(NOON - HOUR)
                await loop.ticked.get()
                while cleaned.empty():
                    await loop.ticked.get()
                    frozen.tick(SHORT_NAP)
        finally:
            await clockwork.stop()


async def test_a_tick_that_breaks_does_not_end_the_ticking() -> None:
    loop = Counted()
    loop.fails = 1
    clockwork = Clockwork(loop, clock=SystemClock())
    clockwork.start()
    try:
        async with asyncio.timeout(15):
            for _ in range(2):
                await loop.ticked.get()
    finally:
        await clockwork.stop()


class Hanging:
    """A loop whose ticks end when the test lets them."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.ticked = asyncio.Event()

    async def tick(self) -> datetime | None:
        await self.go_on.wait()
        self.ticked.set()
        return None


class Told(Vitals):
    """Vitals with points to wait at."""

    def __init__(self) -> None:
        super().__init__()
        self.hurting, self.healed = asyncio.Event(), asyncio.Event()

    def hurt(self, name: str, error: BaseException) -> None:
        super().hurt(name, error)
        self.hurting.set()

    def well(self, name: str) -> None:
        super().well(name)
        self.healed.set()


async def test_a_tick_that_hangs_stands_in_health_until_it_is_through() -> None:
    loop, vitals = Hanging(), Told()
    clockwork = Clockwork(loop, clock=SystemClock(), vitals=vitals, stuck=timedelta(milliseconds=5))
    clockwork.start()
    try:
        async with asyncio.timeout(15):
            await vitals.hurting.wait()
            assert "a tick is at work for" in vitals.failing["clockwork"]
            loop.go_on.set()
            await vitals.healed.wait()
        assert dict(vitals.failing) == {}
    finally:
        await clockwork.stop()


class Suspended(SystemClock):
    """A machine whose process gets no turn for as long as the test says."""

    away = timedelta()

    def monotonic(self) -> timedelta:
        return super().monotonic() + self.away

    def now(self) -> datetime:
        return super().now() + self.away


@pytest.mark.parametrize(("away", "told"), [(HOUR, True), (timedelta(seconds=20), False)])
async def test_a_process_that_stood_still_says_for_how_long(
    away: timedelta, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    loop, clock, vitals = Counted(), Suspended(), Told()
    clockwork = Clockwork(loop, clock=clock, vitals=vitals)
    clockwork.start()
    try:
        async with asyncio.timeout(15):
            await vitals.healed.wait()  # the timer is set
            await loop.ticked.get()
            clock.away = away
            clockwork.poke()
            await loop.ticked.get()
    finally:
        await clockwork.stop()
    assert ("the engine stood still" in caplog.messages) is told
