"""The Telegram channel behind a webhook of its own port (channels.md §9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from engine.events import Bus, Event
from engine.testing.clock import ManualClock
from engine.testing.telegram import TelegramStandIn, Wrong
from gateway.channels.base import Inbound
from gateway.channels.telegram.account import TelegramAccount, Webhook
from gateway.channels.telegram.channel import TelegramChannel
from gateway.listening import listen

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PUBLIC = "https://bot.example/telegram-webhook"
SECRET = "a-secret_of-ours"
HEADER = "X-Telegram-Bot-Api-Secret-Token"
MINUTE = timedelta(minutes=1)


class Bench:
    """One bot with a webhook on one stand-in, the clock in the test's hand."""

    def __init__(self, telegram: TelegramStandIn) -> None:
        self.telegram = telegram
        self.clock, self.bus = ManualClock(NOON), Bus()
        self.runtimes: asyncio.Queue[str] = asyncio.Queue()
        self.came: asyncio.Queue[Inbound] = asyncio.Queue()
        self.moves: list[tuple[str, ...]] = []
        self.refuse = 0
        self.bus.listen(self._note)
        self.channel = self.make()

    def make(self, port: int = 0) -> TelegramChannel:
        account = TelegramAccount(
            id="default",
            token=self.telegram.token,
            api_root=self.telegram.root,
            webhook=Webhook(url=PUBLIC, secret=SECRET, port=port),
        )
        return TelegramChannel(
            [account], clock=self.clock, bus=self.bus, listen=listen, move=self._move
        )

    async def _move(self, *told: str) -> None:
        self.moves.append(told)

    def _note(self, event: Event) -> None:
        self.runtimes.put_nowait(str(event.payload["runtime"]))

    async def admit(self, message: Inbound) -> None:
        if self.refuse:
            self.refuse -= 1
            raise OSError("disk full")
        await self.came.put(message)

    async def until(self, runtime: str) -> None:
        async with asyncio.timeout(5):
            while await self.runtimes.get() != runtime:
                pass

    async def open(self) -> str:
        """Start; return where the port is, with the public address led there."""
        await self.channel.start(self.admit)
        await self.until("connected")
        here = f"http://127.0.0.1:{self.channel.status()[0].extra['webhookPort']}"
        self.telegram.lead(PUBLIC, f"{here}/telegram-webhook")
        self.telegram.ring_again()
        return here

    async def next(self) -> Inbound:
        async with asyncio.timeout(5):
            return await self.came.get()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with TelegramStandIn() as telegram:
        bench = Bench(telegram)
        yield bench
        await bench.channel.stop()


def update(text: str = "forged") -> dict[str, Any]:
    chat, sender = {"id": 7, "type": "private"}, {"id": 7, "is_bot": False, "first_name": "Eve"}
    message = {"message_id": 1, "from": sender, "chat": chat, "date": 1, "text": text}
    return {"update_id": 1, "message": message}


async def test_the_platform_is_told_where_to_ring_once_the_port_is_open(bench: Bench) -> None:
    await bench.open()
    methods = [method for method, _ in bench.telegram.calls]
    assert methods[:2] == ["getMe", "setWebhook"]
    wish = dict(bench.telegram.calls)["setWebhook"]
    assert (wish["url"], wish["secret_token"]) == (PUBLIC, SECRET)
    assert wish["allowed_updates"] == ["message", "callback_query", "message_reaction"]
    assert "getUpdates" not in methods


async def test_what_people_write_is_brought_and_confirmed_in_their_order(bench: Bench) -> None:
    await bench.open()
    for text in ("one", "two", "three"):
        bench.telegram.user_writes(text)
    assert [(await bench.next()).text for _ in range(3)] == ["one", "two", "three"]
    assert (await asyncio.wait_for(_confirmed(bench), 5)) == 0


async def _confirmed(bench: Bench) -> int:
    while bench.telegram.unconfirmed():
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    return bench.telegram.unconfirmed()


async def test_what_was_not_durable_is_not_confirmed_and_comes_again(bench: Bench) -> None:
    bench.refuse = 1
    await bench.open()
    bench.telegram.user_writes("precious")
    async with asyncio.timeout(5):
        while bench.refuse:
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    assert bench.telegram.unconfirmed() == 1
    bench.telegram.ring_again()
    assert (await bench.next()).text == "precious"


async def test_a_webhook_moves_no_place_in_the_stream_of_polls(bench: Bench) -> None:
    await bench.open()
    bench.telegram.user_writes("hello")
    assert (await bench.next()).cursor is None


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/telegram-webhook", {}, 401),
        ("POST", "/telegram-webhook", {HEADER: "wrong"}, 401),
        ("POST", "/telegram-webhook", {HEADER: SECRET + "x"}, 401),
        ("POST", "/telegram-webhook", {HEADER: "schlüssel"}, 401),
        ("GET", "/telegram-webhook", {}, 401),
        ("GET", "/telegram-webhook", {HEADER: SECRET}, 405),
        ("POST", "/", {HEADER: SECRET}, 404),
        ("POST", "/telegram-webhook/", {HEADER: SECRET}, 404),
        ("GET", "/healthz", {}, 404),
    ],
)
async def test_who_does_not_know_the_secret_learns_nothing(
    bench: Bench, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    here = await bench.open()
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    async with httpx.AsyncClient() as world:
        answer = await world.request(method, here + path, headers=encoded, json=update())
    assert (answer.status_code, answer.content) == (status, b"")
    assert bench.came.empty()


async def test_a_size_that_is_not_told_is_counted(bench: Bench) -> None:
    here = await bench.open()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    async with httpx.AsyncClient() as world:
        try:
            answer = await world.post(
                f"{here}/telegram-webhook", headers={HEADER: SECRET}, content=endless()
            )
        except (httpx.ReadError, httpx.WriteError):
            return  # cut off in the middle of it: as good
    assert answer.status_code == 413


async def test_a_port_that_is_taken_is_said_and_tried_again(bench: Bench) -> None:
    here = await bench.open()
    second = bench.make(port=int(here.rpartition(":")[2]))
    await second.start(bench.admit)
    await bench.until("backoff")
    (status,) = second.status()
    assert "is not to be had for a webhook" in str(status.last_error)
    assert "webhookPort" in str(status.last_error)
    await bench.channel.stop()
    await bench.clock.advance(timedelta(seconds=1))
    await bench.until("connected")
    await second.stop()


async def test_a_webhook_that_somebody_took_is_set_again_and_said(bench: Bench) -> None:
    await bench.open()
    async with httpx.AsyncClient() as world:
        taken = f"{bench.telegram.root}/bot{bench.telegram.token}/setWebhook"
        await world.post(taken, json={"url": "https://elsewhere.example/"})
    await bench.clock.advance(5 * MINUTE)
    await bench.telegram.called("setWebhook", 3)
    (status,) = bench.channel.status()
    assert str(status.last_error).startswith("conflict: the webhook led to another address")


async def test_a_platform_that_cannot_ring_here_is_heard_saying_so(bench: Bench) -> None:
    await bench.open()
    bench.telegram.lead(PUBLIC, "http://127.0.0.1:1/")
    bench.telegram.user_writes("hello")
    await bench.clock.advance(MINUTE)
    bench.telegram.ring_again()
    async with asyncio.timeout(5):
        while not bench.channel.status()[0].last_error:
            await bench.clock.advance(5 * MINUTE)
    assert "could not ring here: Connection refused" in str(bench.channel.status()[0].last_error)
    probe = await bench.channel.probe("default")
    assert (probe["ok"], probe["class"]) == (False, "offline")
    assert "could not ring here: Connection refused; 1 message waits" in probe["detail"]


async def test_a_refused_token_ends_it_and_a_platform_in_trouble_does_not(bench: Bench) -> None:
    bench.telegram.fail("setWebhook", Wrong.server_error())
    await bench.channel.start(bench.admit)
    await bench.until("backoff")
    bench.telegram.fail_always("getMe", Wrong.unauthorized())
    await bench.clock.advance(timedelta(seconds=1))
    await bench.until("auth-failed")


async def test_a_stop_tells_the_platform_to_keep_what_comes(bench: Bench) -> None:
    here = await bench.open()
    await bench.channel.stop()
    assert bench.telegram.calls[-1] == ("deleteWebhook", {"drop_pending_updates": False})
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as world:
            await world.get(here)


async def test_the_secret_is_in_no_status_and_no_words(bench: Bench) -> None:
    await bench.open()
    (status,) = bench.channel.status()
    assert SECRET not in f"{status} {bench.channel.__dict__}"
    assert status.extra["mode"] == "webhook"


async def test_a_group_that_became_a_supergroup_takes_its_routes_along(bench: Bench) -> None:
    await bench.open()
    bench.telegram.user_writes("", chat_id=-100, chat_type="group", migrate_to_chat_id=-1002)
    bench.telegram.user_writes("after")
    await bench.next()
    assert bench.moves == [("telegram", "default", "-100", "-1002")]
