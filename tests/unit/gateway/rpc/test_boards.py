"""Answers that stand ready are true, or are asked for (design.md §6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from engine.testing import ManualClock
from gateway.rpc.boards import KEPT_FOR, Board


class World:
    """Facts, and how often they were asked for."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
        self.standing: tuple[object, ...] | None = (1,)
        self.says = "one"
        self.asked = 0
        self.board = Board(self._make, lambda: self.standing, self.clock)

    async def _make(self) -> object:
        self.asked += 1
        return {"says": self.says}

    async def answer(self) -> str:
        return (await self.board.answer()).text


async def test_an_answer_is_asked_for_once_while_its_facts_stand() -> None:
    world = World()
    assert world.board.at_hand() is None
    assert await world.answer() == await world.answer() == '{"says":"one"}'
    assert world.asked == 1
    assert world.board.at_hand() is not None


async def test_one_commit_later_the_old_answer_is_gone() -> None:
    world = World()
    await world.answer()
    world.standing, world.says = (2,), "two"
    assert world.board.at_hand() is None
    assert await world.answer() == '{"says":"two"}'


async def test_what_is_committed_while_an_answer_is_made_is_seen_by_the_next_who_asks() -> None:
    world = World()
    board = Board(world._make, lambda: (world.asked,), world.clock)  # making it changes the facts
    await board.answer()
    assert board.at_hand() is None


async def test_where_others_write_too_nothing_is_kept() -> None:
    world = World()
    world.standing = None
    await world.answer()
    assert world.board.at_hand() is None
    await world.answer()
    assert world.asked == 2


async def test_what_hangs_on_the_time_is_a_second_old_at_most_and_never_from_the_future() -> None:
    world = World()
    await world.answer()
    world.clock.move_to(world.clock.now() + KEPT_FOR)
    assert world.board.at_hand() is None
    await world.answer()
    world.clock.step(-timedelta(hours=1))
    assert world.board.at_hand() is None
