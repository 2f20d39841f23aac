from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from engine.turns.lanes import Lanes

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class StillClock:
    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> timedelta:
        return timedelta()

    async def sleep_until(self, instant: datetime) -> None:
        raise AssertionError(f"lanes do not sleep, not until {instant}")


class Turnstile:
    """Runs turns that end when told to, and notes the order in which they began."""

    def __init__(self, places: int) -> None:
        self.clock = StillClock()
        self.lanes = Lanes(places, clock=self.clock)
        self.began: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, run_id: str, session: str, agent: str = "a") -> None:
        self._ends[run_id] = asyncio.Event()
        self._tasks[run_id] = asyncio.create_task(self._turn(run_id, session, agent))
        await self._settle()

    async def _turn(self, run_id: str, session: str, agent: str) -> None:
        async with self.lanes.hold(session, agent_id=agent, kind="chat", run_id=run_id):
            self.began.append(run_id)
            await self._ends[run_id].wait()

    async def end(self, run_id: str) -> None:
        self._ends[run_id].set()
        await self._tasks[run_id]
        await self._settle()

    async def cancel(self, run_id: str) -> None:
        self._tasks[run_id].cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._tasks[run_id]
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)  # noqa: TID251 - lets others run; takes no time


async def test_a_session_has_one_turn_at_a_time() -> None:
    gate = Turnstile(4)
    await gate.start("r1", "s")
    await gate.start("r2", "s")
    assert gate.began == ["r1"]
    await gate.end("r1")
    assert gate.began == ["r1", "r2"]
    await gate.end("r2")


async def test_turns_are_bounded_in_all() -> None:
    gate = Turnstile(2)
    for number in range(3):
        await gate.start(f"r{number}", f"s{number}")
    assert gate.began == ["r0", "r1"]
    for number in range(3):
        await gate.end(f"r{number}")
    assert gate.began == ["r0", "r1", "r2"]


async def test_who_waits_for_a_busy_session_holds_up_nobody_else() -> None:
    gate = Turnstile(2)
    await gate.start("r1", "s")
    await gate.start("r2", "s")
    await gate.start("r3", "other")
    assert gate.began == ["r1", "r3"]
    for run in ("r1", "r2", "r3"):
        await gate.end(run)


async def test_first_come_is_first_served() -> None:
    gate = Turnstile(1)
    for number in range(5):
        await gate.start(f"r{number}", f"s{number % 2}")
    for number in range(5):
        await gate.end(f"r{number}")
    assert gate.began == [f"r{number}" for number in range(5)]


async def test_a_cancelled_waiter_leaves_no_trace() -> None:
    gate = Turnstile(1)
    await gate.start("r1", "s")
    await gate.start("r2", "s")
    await gate.cancel("r2")
    await gate.end("r1")
    assert gate.began == ["r1"]
    assert gate.lanes.busy() == ()


async def test_a_cancelled_turn_frees_its_lane() -> None:
    gate = Turnstile(1)
    await gate.start("r1", "s")
    await gate.start("r2", "s")
    await gate.cancel("r1")
    assert gate.began == ["r1", "r2"]
    await gate.end("r2")


async def test_a_turn_that_fails_frees_its_lane() -> None:
    lanes = Lanes(1, clock=StillClock())
    with pytest.raises(RuntimeError):
        async with lanes.hold("s", agent_id="a", kind="chat", run_id="r"):
            raise RuntimeError
    assert lanes.busy() == ()


async def test_busy_tells_who_and_since_when() -> None:
    gate = Turnstile(1)
    await gate.start("r1", "s", agent="a")
    gate.clock.at += timedelta(seconds=30)
    await gate.start("r2", "s", agent="b")
    (running, waiting) = gate.lanes.busy()
    assert (running.run_id, running.running, running.age(gate.clock.at)) == (
        "r1",
        True,
        timedelta(seconds=30),
    )
    assert (waiting.run_id, waiting.running) == ("r2", False)
    assert [one.run_id for one in gate.lanes.busy("b")] == ["r2"]
    await gate.end("r1")
    await gate.end("r2")


async def test_idle_is_told_when_the_last_turn_of_an_agent_ends() -> None:
    gate = Turnstile(4)
    told: list[str] = []
    stop = gate.lanes.on_idle(told.append)
    await gate.start("r1", "s1", agent="a")
    await gate.start("r2", "s2", agent="a")
    await gate.start("r3", "s3", agent="b")
    await gate.end("r1")
    assert told == []
    await gate.end("r2")
    assert told == ["a"]
    stop()
    await gate.end("r3")
    assert told == ["a"]


async def test_more_places_let_waiting_turns_in() -> None:
    gate = Turnstile(1)
    await gate.start("r1", "s")
    await gate.start("r2", "t")
    gate.lanes.resize(2)
    await gate.end("r1")
    await gate.end("r2")
    assert gate.began == ["r1", "r2"]
