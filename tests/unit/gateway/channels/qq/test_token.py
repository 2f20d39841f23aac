"""Access tokens: refreshed before they end, by one at a time, never in a race (channels.md §8)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from gateway.channels.base import ChannelError, FaultClass
from gateway.channels.qq.token import Tokens, read

SECOND = timedelta(seconds=1)


class Platform:
    """Issues numbered tokens; counts who asks at once."""

    def __init__(self) -> None:
        self.now = timedelta()
        self.issued = 0
        self.expires_in: object = "7200"
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.tokens = Tokens(self.ask, lambda: self.now)

    async def ask(self) -> tuple[int, Mapping[str, Any]]:
        self.issued += 1
        number = self.issued
        self.asked.set()
        await self.gate.wait()
        return 200, {"access_token": f"t{number}", "expires_in": self.expires_in}


async def test_a_token_is_kept_until_its_last_55_seconds() -> None:
    platform = Platform()
    assert await platform.tokens.get() == "t1"
    platform.now = 7144 * SECOND
    assert await platform.tokens.get() == "t1"
    platform.now = 7145 * SECOND
    assert await platform.tokens.get() == "t2"


async def test_many_who_need_it_ask_once() -> None:
    platform = Platform()
    platform.gate.clear()
    waiting = [asyncio.create_task(platform.tokens.get()) for _ in range(20)]
    await platform.asked.wait()
    platform.gate.set()
    assert set(await asyncio.gather(*waiting)) == {"t1"}
    assert platform.issued == 1


async def test_many_whose_token_is_refused_replace_it_once() -> None:
    platform = Platform()
    await platform.tokens.get()
    platform.now = 10 * SECOND
    got = await asyncio.gather(*(platform.tokens.another("t1") for _ in range(20)))
    assert set(got) == {"t2"}
    assert platform.issued == 2


async def test_a_token_of_seconds_ago_is_not_asked_for_again() -> None:
    platform = Platform()
    await platform.tokens.get()
    platform.now = 4 * SECOND
    with pytest.raises(ChannelError) as caught:
        await platform.tokens.another("t1")
    assert caught.value.fault.fault is FaultClass.AUTH
    assert platform.issued == 1


async def test_a_short_token_is_used_for_half_its_life_at_least() -> None:
    platform = Platform()
    platform.expires_in = 20
    await platform.tokens.get()
    platform.now = 9 * SECOND
    assert await platform.tokens.get() == "t1"
    platform.now = 10 * SECOND
    assert await platform.tokens.get() == "t2"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"code": 100016, "message": "invalid appid or secret"}, FaultClass.AUTH),
        (200, {"code": 100001, "message": "too fast"}, FaultClass.RATE_LIMITED),
        (200, None, FaultClass.SERVER),
        (200, {}, FaultClass.SERVER),
        (200, {"access_token": "t"}, FaultClass.SERVER),
        (200, {"access_token": "t", "expires_in": "soon"}, FaultClass.SERVER),
        (502, {"access_token": "t", "expires_in": 5}, FaultClass.SERVER),
    ],
)
def test_an_answer_that_is_no_token_is_a_fault_even_with_a_success(
    status: int, body: dict[str, object] | None, kind: FaultClass
) -> None:
    with pytest.raises(ChannelError) as caught:
        read(status, body, timedelta())
    assert caught.value.fault.fault is kind


def test_a_token_does_not_show_itself() -> None:
    assert "hush" not in repr(read(200, {"access_token": "hush", "expires_in": 7}, timedelta()))
