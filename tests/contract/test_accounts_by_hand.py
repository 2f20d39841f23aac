"""One account of a channel stopped and started by hand (protocol.md §10.5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from engine.testing.telegram import TelegramStandIn
from gateway.channels.base import Channel
from gateway.channels.telegram.account import TelegramAccount
from gateway.channels.telegram.channel import TelegramChannel
from gateway.front.switchboard import FrontSwitchboard
from jobs.errors import InvalidInput, NotFound
from tests.contract.test_telegram import Bench
from tests.fakes.scripted_channel import ScriptedChannel


class Hands:
    """A channel of two bots and the switchboard they are on."""

    def __init__(self, telegram: TelegramStandIn) -> None:
        self.bench = Bench(telegram)
        accounts = [
            TelegramAccount(id="one", token=telegram.token, api_root=telegram.root),
            TelegramAccount(id="off", token=telegram.token, api_root=telegram.root, enabled=False),
        ]
        self.channel = TelegramChannel(accounts, clock=self.bench.clock, bus=self.bench.bus)
        self.pokes = 0
        channels: dict[str, Channel] = {"telegram": self.channel}
        self.board = FrontSwitchboard(channels, self._connect, self._poked)

    async def _connect(self, channel: Channel) -> None:
        await channel.start(self.bench.door.admit)

    def _poked(self) -> None:
        self.pokes += 1


@pytest.fixture
async def hands() -> AsyncIterator[Hands]:
    async with TelegramStandIn() as telegram:
        hands = Hands(telegram)
        await hands.board.start("telegram", None)
        await hands.bench.until("connected")
        yield hands
        await hands.channel.stop()


async def test_an_account_that_is_stopped_hears_and_sends_nothing_until_it_is_started(
    hands: Hands,
) -> None:
    told = await hands.board.stop("telegram", "one")
    assert told == {"ok": True, "channel": "telegram", "stopped": True, "accountId": "one"}
    assert not hands.channel.ready("one")
    assert hands.channel.status()[0].runtime == "stopped"
    await hands.board.stop("telegram", "one")  # twice does no harm
    hands.bench.telegram.user_writes("hello")
    pokes = hands.pokes
    assert (await hands.board.start("telegram", "one"))["started"] is True
    await hands.bench.until("connected")
    assert hands.pokes == pokes + 1  # messages that waited leave
    async with asyncio.timeout(5):
        assert (await hands.bench.door.next()).text == "hello"


async def test_what_the_config_switched_off_nothing_starts(hands: Hands) -> None:
    with pytest.raises(InvalidInput, match="switched off in the config") as refused:
        await hands.board.start("telegram", "off")
    fix = "engine config set channels.telegram.accounts.off.enabled true"
    assert refused.value.fix == fix


async def test_who_is_not_there_is_named_with_what_is(hands: Hands) -> None:
    with pytest.raises(NotFound, match="unknown channel: qqbot"):
        await hands.board.stop("qqbot", None)
    with pytest.raises(NotFound, match="unknown account: telegram/two"):
        await hands.board.stop("telegram", "two")


async def test_a_channel_without_connections_of_its_own_is_all_or_nothing(hands: Hands) -> None:
    plain = ScriptedChannel(hands.bench.clock)
    board = FrontSwitchboard({"telegram": plain}, hands._connect, hands._poked)
    assert (await board.stop("telegram", "default"))["stopped"] is True
