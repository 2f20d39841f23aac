"""The Telegram channel against a platform that is broken, half built, or means harm.

channels.md §9: any odd body is not fatal; an account that fails harms nobody; nothing that
came after one bad update is kept out by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from engine.testing.telegram import TelegramStandIn, Wrong
from gateway.channels.base import ChannelError, FaultClass
from gateway.channels.telegram import api
from tests.contract.test_telegram import SECOND, Bench, attempt


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with TelegramStandIn() as telegram:
        bench = Bench(telegram)
        yield bench
        await bench.channel.stop()


PERSON = {"id": 42, "is_bot": False}
CHAT = {"id": 42, "type": "private"}


@pytest.mark.parametrize(
    "fields",
    [
        {"message": {"from": PERSON, "chat": CHAT, "text": "x", "date": "soon", "message_id": []}},
        {"message": {"from": PERSON, "chat": {"id": {}}, "text": "x"}},
        {"message": {"from": PERSON, "chat": CHAT, "text": {"a": 1}}},
        {"message": {"from": PERSON, "chat": CHAT, "text": "x", "date": 10**30, "entities": 7}},
        {"message": ["junk"]},
        {"message": None, "callback_query": "junk"},
        {"edited_message": {"text": "x"}, "channel_post": {"text": "y"}, "poll": {}},
    ],
)
async def test_an_update_nobody_can_read_keeps_nothing_out(
    bench: Bench, fields: dict[str, Any]
) -> None:
    bench.telegram.update(fields)
    bench.telegram.user_writes("after it")
    await bench.channel.start(bench.door.admit)
    while (await bench.door.next()).text != "after it":
        pass
    await bench.telegram.called("getUpdates", 2)
    assert bench.telegram.unconfirmed() == 0


async def test_updates_without_a_number_do_not_spin_and_hide_nothing(bench: Bench) -> None:
    junk = Wrong(raw=b'{"ok": true, "result": ["x", 7, null, {"message": {}}, {"update_id": "a"}]}')
    bench.telegram.fail("getUpdates", junk, junk)
    bench.telegram.user_writes("after it")
    await bench.channel.start(bench.door.admit)
    assert await bench.asleep() > bench.clock.now()
    await bench.clock.advance(SECOND)
    assert (await bench.door.next()).text == "after it"


async def test_a_platform_that_ignores_the_offset_does_not_make_us_spin(bench: Bench) -> None:
    bench.telegram.user_writes("once")
    same = b'{"ok":true,"result":[{"update_id":1000,"message":{"message_id":1,"text":"once",'
    same += b'"from":{"id":42},"chat":{"id":42,"type":"private"}}}]}'
    bench.telegram.fail_always("getUpdates", Wrong(raw=same))
    await bench.channel.start(bench.door.admit)
    for floor in (0.2, 0.4, 0.8):
        assert await bench.asleep() == bench.clock.now() + timedelta(seconds=floor)
        await bench.clock.advance(timedelta(seconds=floor))


@pytest.mark.parametrize(
    "answer",
    [
        Wrong(status=404, description="Not Found"),
        Wrong(status=404, raw=b"<html>no such page</html>"),
        Wrong(raw=b'{"ok": true, "result": {"username": "engine_bot"}}'),
        Wrong(raw=b'{"ok": true, "result": true}'),
    ],
)
async def test_a_platform_that_cannot_say_who_we_are_still_carries_messages(
    bench: Bench, answer: Wrong
) -> None:
    bench.telegram.fail("getMe", answer)
    bench.telegram.user_writes("hello")
    await bench.channel.start(bench.door.admit)
    assert (await bench.door.next()).text == "hello"
    assert bench.channel.ready("default")


@pytest.mark.parametrize(
    "answer",
    [
        Wrong(raw=b"[" * 100_000),
        Wrong(raw=b'{"ok": true'),
        Wrong(raw=b"\xff\xfe\x00\x01"),
        Wrong(raw=b"[]"),
        Wrong(raw=b"{}"),
        Wrong(raw=b'{"ok": true}'),
        Wrong(status=500, raw=b"<html>oops</html>"),
        Wrong(status=429, raw=b"<html>slow down</html>"),
        Wrong(status=301, raw=b""),
        Wrong(raw=b'{"ok":false,"error_code":429,"parameters":{"retry_after":1e999}}', status=429),
        Wrong(raw=b'{"ok":false,"error_code":429,"parameters":{"retry_after":-7}}', status=429),
        Wrong(raw=b'{"ok":false,"error_code":"x","description":7,"parameters":[]}', status=400),
    ],
    ids=lambda wrong: str(wrong.status) + str(wrong.raw[:40]),
)
async def test_an_odd_answer_to_the_poll_is_waited_out(bench: Bench, answer: Wrong) -> None:
    bench.telegram.fail("getUpdates", answer)
    bench.telegram.user_writes("hello")
    await bench.channel.start(bench.door.admit)
    await bench.until("backoff")
    await bench.asleep()
    await bench.clock.advance(10 * SECOND)
    assert (await bench.door.next()).text == "hello"


async def test_the_poll_waits_as_long_as_it_is_told(bench: Bench) -> None:
    bench.telegram.fail("getUpdates", Wrong.too_many(30))
    await bench.channel.start(bench.door.admit)
    assert await bench.asleep() == bench.clock.now() + 30 * SECOND


@pytest.mark.parametrize(
    ("answer", "fault", "seconds"),
    [
        (Wrong(raw=b"[" * 100_000), FaultClass.NETWORK_AMBIGUOUS, None),
        (Wrong(raw=b'{"ok": true, "result": {}}'), FaultClass.NETWORK_AMBIGUOUS, None),
        (Wrong(raw=b'{"ok": false}'), FaultClass.CONTENT_REJECTED, None),
        (Wrong(status=429, raw=b"<html>"), FaultClass.RATE_LIMITED, None),
        (Wrong(status=502, raw=b"<html>"), FaultClass.SERVER, None),
        (Wrong(status=404, raw=b"<html>"), FaultClass.UNKNOWN_ERROR, None),
        (Wrong(status=302, raw=b""), FaultClass.UNKNOWN_ERROR, None),
        (
            Wrong(
                status=429, raw=b'{"ok":false,"error_code":429,"parameters":{"retry_after":NaN}}'
            ),
            FaultClass.RATE_LIMITED,
            None,
        ),
    ],
    ids=lambda value: str(value)[-60:],
)
async def test_an_odd_answer_to_a_send_is_one_class(
    bench: Bench, answer: Wrong, fault: FaultClass, seconds: float | None
) -> None:
    await bench.channel.start(bench.door.admit)
    bench.telegram.fail("sendMessage", answer)
    with pytest.raises(ChannelError) as refused:
        await bench.channel.send(attempt())
    assert refused.value.fault.fault is fault
    assert refused.value.fault.retry_after_seconds == seconds
    assert bench.telegram.token not in str(refused.value)


async def test_an_answer_that_never_comes_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "WHOLE_CALL", 0.05)
    await bench.channel.start(bench.door.admit)
    bench.telegram.fail("sendMessage", Wrong.slow(asyncio.Event()))
    with pytest.raises(ChannelError) as refused:
        await bench.channel.send(attempt())
    assert refused.value.fault.fault is FaultClass.NETWORK_AMBIGUOUS


async def test_a_stop_hears_the_answer_to_what_it_has_sent(bench: Bench) -> None:
    await bench.channel.start(bench.door.admit)
    gate = asyncio.Event()
    bench.telegram.fail("sendMessage", Wrong.slow(gate))
    sending = asyncio.create_task(bench.channel.send(attempt()))
    await bench.telegram.next_sent()
    stopping = asyncio.create_task(bench.channel.stop())
    gate.set()
    await stopping
    assert (await sending).message_id == "1"


async def test_a_huge_message_comes_in_cut(bench: Bench) -> None:
    bench.telegram.user_writes("x" * 3_000_000)
    bench.telegram.user_writes("after it")
    await bench.channel.start(bench.door.admit)
    assert 4096 < len((await bench.door.next()).text) < 100_000
    assert (await bench.door.next()).text == "after it"
