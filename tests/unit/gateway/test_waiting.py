"""Messages that wait: in order, joined, bounded, no chat held up by another (channels.md §5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.messages.address import ChatType, Route
from engine.talk.conversation import ChatTurn
from engine.testing.clock import ManualClock
from gateway.waiting import Batch, Lines, Waiting, together

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def message(
    text: str,
    chat: str = "1",
    *,
    kind: ChatType = ChatType.DIRECT,
    after: float = 0,
    **more: object,
) -> Waiting:
    route = Route(channel="telegram", account_id="default", to=chat, chat_type=kind, via="reply")
    turn = ChatTurn(
        run_id=f"{chat}/{text}", agent_id="main", session_key="main", text=text, route=route
    )
    one = Waiting(turn=turn, sender=chat, at=NOON + after * SECOND)
    return replace(one, **more)  # type: ignore[arg-type]  # fields of the message


class Desk:
    """Answers when it is told to, and keeps what it was given."""

    def __init__(self, quiet: timedelta = timedelta()) -> None:
        self.clock = ManualClock(NOON)
        self.served: list[Batch] = []
        self.stirred = asyncio.Event()
        self.answers = asyncio.Semaphore(0)
        self.lines = Lines(self.clock, self.serve, lambda _: quiet)

    async def serve(self, batch: Batch) -> None:
        self.served.append(batch)
        self.stirred.set()
        await self.answers.acquire()

    def answer(self, times: int = 1) -> None:
        for _ in range(times):
            self.answers.release()

    async def until(self, count: int) -> None:
        """Return when so many were begun."""
        while len(self.served) < count:
            self.stirred.clear()
            await self.stirred.wait()

    @property
    def texts(self) -> list[str]:
        return [batch.turn.text for batch in self.served]


async def test_a_flood_of_one_chat_does_not_delay_another() -> None:
    desk = Desk()
    for number in range(400):
        desk.lines.put(message(str(number), "flood"))
    desk.lines.put(message("hello", "quiet"))
    await desk.until(2)  # nobody has been answered yet
    assert [batch.turn.route.to for batch in desk.served if batch.turn.route] == ["flood", "quiet"]
    assert desk.texts[1] == "hello"
    await desk.lines.stop(timedelta())


@pytest.mark.parametrize(("kind", "most"), [(ChatType.DIRECT, 20), (ChatType.GROUP, 50)])
async def test_a_line_that_is_full_lets_its_oldest_go(kind: ChatType, most: int) -> None:
    desk = Desk()
    desk.lines.put(message("first", kind=kind))
    await desk.until(1)
    for number in range(most + 3):
        desk.lines.put(message(str(number), kind=kind))
    assert desk.lines.depth("telegram", "default") == most + 1
    desk.answer(2)
    await desk.until(3)
    assert desk.served[1].left_out == ("1/0", "1/1", "1/2")
    assert desk.texts[1:3] == ["3", "4"]
    assert desk.served[2].left_out == ()
    await desk.lines.stop(timedelta())


async def test_a_chat_is_answered_in_order_and_one_at_a_time() -> None:
    desk = Desk()
    for text in "abc":
        desk.lines.put(message(text))
    for count in (1, 2, 3):
        await desk.until(count)
        assert len(desk.served) == count
        desk.answer()
    assert desk.texts == ["a", "b", "c"]
    await desk.lines.stop(SECOND)
    assert desk.lines.depth("telegram", "default") == 0


async def test_a_message_that_breaks_its_line_costs_none_of_those_behind_it() -> None:
    desk = Desk()
    broke = asyncio.Event()
    served: list[str] = []

    async def breaks(batch: Batch) -> None:
        served.append(batch.turn.text)
        if len(served) == 1:
            raise ValueError("a bug of ours")
        broke.set()

    lines = Lines(desk.clock, breaks)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    for text in ("a", "b"):
        lines.put(message(text))
    async with asyncio.timeout(5):
        await broke.wait()
    await lines.stop(SECOND)
    assert (served, lines.depth("telegram", "default")) == (["a", "b"], 0)


async def test_what_is_written_in_one_breath_is_one_turn() -> None:
    desk = Desk(quiet=2 * SECOND)
    desk.lines.put(message("a"))
    await desk.clock.advance(SECOND)
    desk.lines.put(message("b", after=1))
    await desk.clock.advance(SECOND)
    assert desk.served == []
    await desk.clock.advance(SECOND)
    await desk.until(1)
    (batch,) = desk.served
    assert (batch.turn.text, batch.turn.run_id, batch.turn.joined) == ("a\nb", "1/b", ("1/a",))
    await desk.lines.stop(timedelta())


def _alone(one: Waiting) -> Waiting:
    return replace(one, alone=True)


def _of_another(one: Waiting) -> Waiting:
    return replace(one, sender="2")


@pytest.mark.parametrize("change", [_alone, _of_another])
def test_a_command_or_another_person_ends_the_wait(change: Callable[[Waiting], Waiting]) -> None:
    waiting = [message("a"), message("b"), change(message("c"))]
    assert together(waiting, SECOND, NOON) == 2


def test_a_command_waits_for_nobody_and_a_clock_set_back_makes_nobody_wait_longer() -> None:
    assert together([_alone(message("/hb"))], SECOND, NOON) == 1
    assert together([message("a"), message("b")], timedelta(), NOON) == 1
    assert together([message("a")], SECOND, NOON) == NOON + SECOND
    assert together([message("a")], SECOND, NOON + SECOND) == 1
    assert together([message("a", after=3600)], SECOND, NOON) == 1


async def test_who_stops_waits_for_the_answer_that_is_being_made_and_no_longer() -> None:
    desk = Desk(quiet=2 * SECOND)
    desk.lines.put(message("waits", "2"))
    desk.lines.put(_alone(message("/now", "1")))
    await desk.until(1)
    desk.answer()
    await desk.lines.stop(SECOND)
    desk.lines.put(message("too late", "3"))
    assert desk.texts == ["/now"]
