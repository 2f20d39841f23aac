"""The Telegram channel against a Bot API on loopback: polls, sends, and what goes wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.events import Bus, Event
from engine.messages.address import Route
from engine.testing.clock import ManualClock
from engine.testing.telegram import TelegramStandIn, Wrong
from engine.testing.telegram.wrong import CANNOT_PARSE
from gateway.channels.base import Attempt, ChannelError, FaultClass, Inbound
from gateway.channels.telegram.account import TelegramAccount
from gateway.channels.telegram.channel import TelegramChannel

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LONGEST_WAIT = 60 * SECOND


class Door:
    """Admits what comes, in order; may refuse the next ones."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[Inbound] = asyncio.Queue()
        self.refuse = 0

    async def admit(self, message: Inbound) -> None:
        if self.refuse:
            self.refuse -= 1
            raise OSError("disk full")
        await self.came.put(message)

    async def next(self) -> Inbound:
        async with asyncio.timeout(5):
            return await self.came.get()


class BedtimeClock(ManualClock):
    """Tells when somebody begins to wait."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self.bedtimes: asyncio.Queue[datetime] = asyncio.Queue()

    async def sleep_until(self, instant: datetime) -> None:
        self.bedtimes.put_nowait(instant)
        await super().sleep_until(instant)


class Bench:
    """One bot on one stand-in, with the clock in the test's hand."""

    def __init__(self, telegram: TelegramStandIn) -> None:
        self.telegram = telegram
        self.clock = BedtimeClock(NOON)
        self.door = Door()
        self.bus = Bus()
        self.runtimes: asyncio.Queue[str] = asyncio.Queue()
        self.kept: dict[tuple[str, str], str] = {}
        self.remarks: list[tuple[str, str, dict[str, Any]]] = []
        self.moves: list[tuple[str, ...]] = []
        self.bus.listen(self._note)
        self.channel = self.make()

    def make(
        self, cursor: str | None = None, token: str | None = None, **keys: Any
    ) -> TelegramChannel:
        async def load(channel: str, account: str) -> str | None:
            return cursor if channel == "telegram" else self.kept.get((channel, account))

        async def save(channel: str, account: str, value: str) -> None:
            self.kept[channel, account] = value

        async def remark(channel: str, account: str, what: str, detail: Mapping[str, Any]) -> None:
            self.remarks.append((account, what, dict(detail)))

        async def move(*told: str) -> None:
            self.moves.append(told)

        locks = keys.pop("locks", None)
        account = TelegramAccount(
            id="default",
            token=token or self.telegram.token,
            api_root=self.telegram.root,
            token_source="config",
            **keys,
        )
        return TelegramChannel(
            [account],
            clock=self.clock,
            bus=self.bus,
            load_cursor=load,
            save_cursor=save,
            remark=remark,
            move=move,
            locks=locks,
            poll_seconds=30,
        )

    def _note(self, event: Event) -> None:
        self.runtimes.put_nowait(str(event.payload["runtime"]))

    async def until(self, runtime: str) -> None:
        async with asyncio.timeout(5):
            while await self.runtimes.get() != runtime:
                pass

    async def asleep(self) -> datetime:
        """Return until when the poll waits, once it does."""
        async with asyncio.timeout(5):
            while (until := await self.clock.bedtimes.get()) - self.clock.now() > LONGEST_WAIT:
                pass  # the watch over a poll, not a wait
            return until


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with TelegramStandIn() as telegram:
        bench = Bench(telegram)
        yield bench
        await bench.channel.stop()


def attempt(text: str = "hello", *, to: str = "42", plain: bool = False) -> Attempt:
    route = Route(channel="telegram", account_id="default", to=to)
    return Attempt(key="k", chunk_index=0, route=route, text=text, plain=plain)


async def test_a_message_of_a_person_comes_in_and_is_confirmed(bench: Bench) -> None:
    await bench.channel.start(bench.door.admit)
    bench.telegram.user_writes("hello", chat_id=42, date=int(NOON.timestamp()))
    message = await bench.door.next()
    assert (message.text, message.peer.to, message.at) == ("hello", "42", NOON)
    await bench.telegram.called("getUpdates", 2)
    bench.telegram.user_writes("again")
    assert (await bench.door.next()).text == "again"
    assert bench.telegram.unconfirmed() == 1


async def test_the_poll_asks_for_what_it_understands_and_takes_webhooks_over(bench: Bench) -> None:
    await bench.channel.start(bench.door.admit)
    await bench.telegram.called("getUpdates", 2)
    methods = [method for method, _ in bench.telegram.calls]
    assert methods == ["getMe", "deleteWebhook", "setMyCommands", "getUpdates", "getUpdates"]
    *_, (_, first), (_, asked) = bench.telegram.calls
    assert asked["allowed_updates"] == ["message", "callback_query", "message_reaction"]
    assert (first["timeout"], asked["timeout"]) == (0, 30)
    assert "offset" not in asked


async def test_the_poll_goes_on_at_the_stored_cursor(bench: Bench) -> None:
    bench.telegram.user_writes("old")
    bench.telegram.user_writes("new")
    channel = bench.make(cursor="1001")
    await channel.start(bench.door.admit)
    assert (await bench.door.next()).text == "new"
    await channel.stop()


async def test_a_message_that_was_not_admitted_comes_again(bench: Bench) -> None:
    bench.door.refuse = 1
    bench.telegram.user_writes("precious")
    await bench.channel.start(bench.door.admit)
    await bench.until("backoff")
    await bench.asleep()
    await bench.clock.advance(SECOND)
    assert (await bench.door.next()).text == "precious"


async def test_a_refused_token_ends_the_poll_and_says_so(bench: Bench) -> None:
    channel = bench.make(token="1:unknown-secret")
    await channel.start(bench.door.admit)
    await bench.until("auth-failed")
    assert not channel.ready("default")
    (status,) = channel.status()
    assert status.runtime == "auth-failed"
    assert "unknown-secret" not in str(status)
    await channel.stop()


async def test_a_second_poller_is_waited_out(bench: Bench) -> None:
    bench.telegram.fail("getUpdates", Wrong.conflict())
    await bench.channel.start(bench.door.admit)
    await bench.until("conflict")
    assert bench.channel.ready("default")
    await bench.asleep()
    bench.telegram.user_writes("still here")
    await bench.clock.advance(5 * SECOND)
    assert (await bench.door.next()).text == "still here"


@pytest.mark.parametrize("wrong", [Wrong.server_error(), Wrong.not_json(), Wrong(dropped=True)])
async def test_a_broken_platform_is_tried_again(bench: Bench, wrong: Wrong) -> None:
    bench.telegram.fail("getUpdates", wrong)
    await bench.channel.start(bench.door.admit)
    await bench.until("backoff")
    await bench.asleep()
    bench.telegram.user_writes("hello")
    await bench.clock.advance(SECOND)
    assert (await bench.door.next()).text == "hello"


async def test_empty_fast_answers_do_not_spin(bench: Bench) -> None:
    nothing = Wrong(raw=b'{"ok": true, "result": []}')
    bench.telegram.fail("getUpdates", nothing, nothing, nothing)
    await bench.channel.start(bench.door.admit)
    for floor in (0.2, 0.4):
        assert await bench.asleep() == bench.clock.now() + timedelta(seconds=floor)
        await bench.clock.advance(timedelta(seconds=floor))
    await bench.telegram.called("getUpdates", 4)


async def test_a_send_is_rendered_and_answers_with_its_id(bench: Bench) -> None:
    await bench.channel.start(bench.door.admit)
    sent = await bench.channel.send(attempt("**hi** <x>"))
    (message,) = bench.telegram.sent
    assert sent.message_id == str(message.message_id)
    assert message.text == "<b>hi</b> &lt;x&gt;"
    assert message.visible == "hi <x>"


async def test_typing_is_shown_in_the_topic_too(bench: Bench) -> None:
    await bench.channel.start(bench.door.admit)
    route = Route(channel="telegram", account_id="default", to="-100", thread_id="1")
    await bench.channel.typing(route)
    shown = dict(bench.telegram.calls)["sendChatAction"]
    assert shown == {"chat_id": -100, "action": "typing", "message_thread_id": 1}


async def test_a_webhook_that_cannot_be_taken_over_is_told_if_there_is_one(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.telegram.fail("deleteWebhook", Wrong(dropped=True))
    await bench.channel.start(bench.door.admit)
    await bench.telegram.called("getUpdates")
    assert [method for method, _ in bench.telegram.calls].count("getWebhookInfo") == 1
    assert "deleteWebhook failed" not in caplog.text


async def test_an_account_may_ask_for_shorter_messages(bench: Bench) -> None:
    short = TelegramAccount(id="short", token="1:a", chunk=100)
    long = TelegramAccount(id="long", token="1:b", chunk=9999)
    channel = TelegramChannel([short, long], clock=bench.clock, bus=bench.bus)
    assert [channel.limit(each) for each in ("short", "long", "other")] == [100, 4096, 4000]


async def test_a_plain_send_has_no_markup(bench: Bench) -> None:
    await bench.channel.start(bench.door.admit)
    await bench.channel.send(attempt("**hi**", plain=True))
    assert bench.telegram.sent[0].visible == "**hi**"


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (Wrong.too_many(3), FaultClass.RATE_LIMITED),
        (Wrong.unauthorized(), FaultClass.AUTH),
        (Wrong.blocked(), FaultClass.BLOCKED),
        (Wrong.bad_request(CANNOT_PARSE), FaultClass.FORMAT),
        (Wrong.migrated(-1002), FaultClass.MIGRATED),
        (Wrong.server_error(), FaultClass.SERVER),
        (Wrong.not_json(502), FaultClass.SERVER),
        (Wrong.not_json(200), FaultClass.NETWORK_AMBIGUOUS),
        (Wrong(raw=b'{"ok": true, "result": {}}'), FaultClass.NETWORK_AMBIGUOUS),
        (Wrong.lost_answer(), FaultClass.NETWORK_AMBIGUOUS),
    ],
)
async def test_a_refused_send_is_one_request_and_one_class(
    bench: Bench, wrong: Wrong, fault: FaultClass
) -> None:
    await bench.channel.start(bench.door.admit)
    bench.telegram.fail("sendMessage", wrong)
    with pytest.raises(ChannelError) as caught:
        await bench.channel.send(attempt())
    assert caught.value.fault.fault is fault
    assert [method for method, _ in bench.telegram.calls].count("sendMessage") == 1


async def test_nobody_listening_is_known_to_be_before_the_request(bench: Bench) -> None:
    await bench.channel.start(bench.door.admit)
    await bench.telegram.called("getUpdates")
    await bench.telegram.stop()
    with pytest.raises(ChannelError) as caught:
        await bench.channel.send(attempt())
    assert caught.value.fault.fault is FaultClass.NETWORK_PRESEND


async def test_the_token_is_in_no_log_and_no_error(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await bench.channel.start(bench.door.admit)
    bench.telegram.fail("sendMessage", Wrong.bad_request(f"no such bot{bench.telegram.token}"))
    with pytest.raises(ChannelError) as caught:
        await bench.channel.send(attempt())
    await bench.telegram.stop()
    with pytest.raises(ChannelError):
        await bench.channel.send(attempt())
    await bench.until("backoff")
    assert bench.telegram.token not in str(caught.value)
    assert bench.telegram.token not in caplog.text


async def test_a_probe_asks_the_platform(bench: Bench) -> None:
    good = await bench.channel.probe("default")
    assert (good["ok"], good["username"]) == (True, "engine_bot")
    bench.telegram.fail("getMe", Wrong.unauthorized())
    bad = await bench.channel.probe("default")
    assert (bad["ok"], bad["class"]) == (False, "auth")
    assert not (await bench.channel.probe("nobody"))["ok"]


async def test_a_restarted_account_hears_again_and_loses_nothing(bench: Bench) -> None:
    await bench.channel.start(bench.door.admit)
    bench.telegram.user_writes("before")
    assert (await bench.door.next()).text == "before"
    await bench.until("connected")
    await bench.channel.restart("nobody")
    await bench.channel.restart("default")
    await bench.until("starting")
    await bench.until("connected")
    bench.telegram.user_writes("after")
    # Nobody keeps cursors here: what was not confirmed comes again, and is known by its number.
    first = (await bench.door.next()).text
    assert first in ("before", "after")
    assert first == "after" or (await bench.door.next()).text == "after"
    (status,) = bench.channel.status()
    assert (status.runtime, status.alive_at is not None) == ("connected", True)
    assert (await bench.channel.send(attempt())).message_id


PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


async def test_an_album_is_one_message(bench: Bench) -> None:
    for number in range(3):
        caption = "three cats" if number == 1 else ""
        bench.telegram.user_sends("photo", PNG, caption=caption, media_group_id="7")
    await bench.channel.start(bench.door.admit)
    assert await bench.asleep() == NOON + SECOND / 2
    await bench.clock.advance(SECOND / 2)
    message = await bench.door.next()
    assert (message.text, len(message.media)) == ("three cats", 3)
    await bench.telegram.called("getUpdates", 3)
    assert bench.telegram.unconfirmed() == 0


async def test_what_of_an_album_comes_a_little_later_belongs_to_it(bench: Bench) -> None:
    await bench.channel.start(bench.door.admit)
    bench.telegram.user_sends("photo", PNG, caption="cats", media_group_id="7")
    await bench.asleep()
    bench.telegram.user_sends("photo", PNG, media_group_id="7")
    bench.telegram.user_writes("are they not nice")
    await bench.clock.advance(SECOND / 2)
    assert [(m.text, len(m.media)) for m in (await bench.door.next(), await bench.door.next())] == [
        ("cats", 2),
        ("are they not nice", 0),
    ]
