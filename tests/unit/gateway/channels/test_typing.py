"""Typing is shown while an answer is written, and never in anybody's way (channels.md §9)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from engine.messages.address import Route
from engine.testing.clock import ManualClock
from gateway.channels.base import ChannelError, Fault, FaultClass
from gateway.channels.typing import Typing
from tests.fakes.scripted_channel import ScriptedChannel

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TO_ANN = Route(channel="telegram", account_id="default", to="42")


class Broken(ScriptedChannel):
    async def typing(self, route: Route) -> None:
        await super().typing(route)
        raise ChannelError(Fault(fault=FaultClass.BLOCKED))


async def test_it_is_repeated_until_the_answer_is_there() -> None:
    clock = ManualClock(NOON)
    channel = Broken(clock)
    async with Typing({"telegram": channel}, clock).while_answering(TO_ANN):
        await clock.advance(timedelta(seconds=9))
    await clock.advance(timedelta(seconds=60))
    assert [at - NOON for at, _ in channel.typed] == [
        timedelta(seconds=seconds) for seconds in (0, 4.5, 9)
    ]


async def test_it_can_be_switched_off_and_needs_a_channel() -> None:
    clock = ManualClock(NOON)
    channel = ScriptedChannel(clock)
    async with Typing({"telegram": channel}, clock, lambda: None).while_answering(TO_ANN):
        await clock.advance(timedelta(seconds=9))
    async with Typing({}, clock).while_answering(TO_ANN):
        pass
    async with Typing({"telegram": channel}, clock).while_answering(None):
        pass
    assert channel.typed == []
