"""What every channel promises (channels.md §1), kept by each for real."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from engine.address import Route
from engine.events import Bus
from engine.store import inbox
from engine.testing.clock import ManualClock
from engine.testing.qq import QqStandIn
from engine.testing.qq.stand_in import ANN
from engine.testing.telegram import TelegramStandIn
from gateway.channels.apprise.channel import AppriseChannel
from gateway.channels.apprise.wire import AppriseAccount
from gateway.channels.base import Attempt, Channel, Inbound
from gateway.channels.local import LocalChannel
from gateway.channels.qq.channel import QqChannel
from gateway.channels.telegram.account import TelegramAccount, Webhook
from gateway.channels.telegram.channel import TelegramChannel
from gateway.channels.text import chunk
from gateway.channels.webhook.channel import WebhookChannel
from gateway.channels.webhook.wire import WebhookAccount
from gateway.listening import listen
from jobs.store.db import Database
from tests.fakes.hook_server import HookServer
from tests.fakes.qq import qq_bot

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass
class Case:
    """One channel, an address on it, and a way to see what arrived there."""

    channel: Channel
    account: str
    to: str
    arrived: Callable[[], Awaitable[list[str]]]

    def attempt(self, text: str = "hello", *, key: str = "k", index: int = 0) -> Attempt:
        route = Route(channel=self.channel.id, account_id=self.account, to=self.to)
        return Attempt(key=key, chunk_index=index, route=route, text=text, agent_id="main")


def _load_apprise() -> None:
    """Load it and its plug-ins: some of them use what Python warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("apprise")
        library.Apprise().add("json://127.0.0.1")


async def nobody(message: Inbound) -> None:
    raise AssertionError(f"nobody wrote {message.text!r}")


@pytest.fixture(params=["local", "telegram", "telegram-webhook", "qqbot", "webhook", "apprise"])
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    clock, bus = ManualClock(NOON), Bus()
    if request.param == "local":
        db = await Database.memory()
        channel = LocalChannel(db, clock=clock, bus=bus)

        async def listed() -> list[str]:
            letters, _ = await db.read(lambda tx: inbox.page(tx, limit=1000))
            return [letter.text for letter in reversed(letters)]

        yield Case(channel, "default", "main", listed)
        await channel.stop()
        await db.close()
        return
    if request.param == "webhook":
        async with HookServer() as server:
            place = WebhookAccount(
                id="default", url=server.url, secret="stand-in-token", allow_private=True
            )
            hook = WebhookChannel([place], clock=clock)

            async def taken() -> list[str]:
                return server.texts

            yield Case(hook, "default", "ops", taken)
            await hook.stop()
        return
    if request.param == "apprise":
        _load_apprise()
        async with HookServer() as server:
            bundle = AppriseAccount(id="default", urls=(server.url.replace("http", "json", 1),))
            over_apprise = AppriseChannel([bundle])

            async def passed_on() -> list[str]:
                return [hook.body["message"] for hook in server.hooks]

            yield Case(over_apprise, "default", "default", passed_on)
            await over_apprise.stop()
        return
    if request.param == "qqbot":
        async with QqStandIn(clock=clock) as qq:
            over_rest = QqChannel([qq_bot(qq)], clock=clock, bus=bus)

            async def written() -> list[str]:
                return list(qq.platform.texts())

            yield Case(over_rest, "default", f"c2c:{ANN}", written)
            await over_rest.stop()
        return
    async with TelegramStandIn() as telegram:
        bell = Webhook(url="https://bot.example/", secret="stand-in-token", port=0)
        bot = TelegramAccount(
            id="default",
            token=telegram.token,
            api_root=telegram.root,
            webhook=bell if request.param == "telegram-webhook" else None,
        )
        over_http = TelegramChannel([bot], clock=clock, bus=bus, listen=listen)

        async def seen() -> list[str]:
            return [message.visible for message in telegram.sent]

        yield Case(over_http, "default", "42", seen)
        await over_http.stop()


async def test_a_started_channel_is_ready_and_a_stranger_is_not(case: Case) -> None:
    await case.channel.start(nobody)
    assert case.channel.ready(case.account)


async def test_what_is_sent_arrives_and_has_an_id(case: Case) -> None:
    await case.channel.start(nobody)
    sent = await case.channel.send(case.attempt("hello 世界 😀"))
    assert sent.message_id
    assert await case.arrived() == ["hello 世界 😀"]


async def test_two_messages_have_two_ids(case: Case) -> None:
    await case.channel.start(nobody)
    first = await case.channel.send(case.attempt("one", key="a"))
    second = await case.channel.send(case.attempt("two", key="b"))
    assert first.message_id != second.message_id


async def test_a_repeat_arrives_once_where_that_is_promised(case: Case) -> None:
    await case.channel.start(nobody)
    attempt = case.attempt("once")
    first = await case.channel.send(attempt)
    second = await case.channel.send(attempt)
    if case.channel.idempotent(attempt):
        assert first.message_id == second.message_id
        assert await case.arrived() == ["once"]
    else:
        assert await case.arrived() == ["once", "once"]


async def test_every_chunk_of_its_own_plan_can_be_sent(case: Case) -> None:
    await case.channel.start(nobody)
    text = "**words** & <marks> 😀 " * 600
    plan = chunk(text, case.channel.limit(case.account), case.channel.measure)
    for index, piece in enumerate(plan.chunks):
        await case.channel.send(case.attempt(piece, index=index))
    assert len(await case.arrived()) == len(plan.chunks)


async def test_its_limits_are_named_after_the_account(case: Case) -> None:
    route = case.attempt().route
    mine = {scope.name for scope in case.channel.scopes(route)}
    others = {scope.name for scope in case.channel.scopes(replace(route, account_id="other"))}
    assert not mine & others


async def test_the_status_lists_the_account_and_no_secret(case: Case) -> None:
    await case.channel.start(nobody)
    (status,) = case.channel.status()
    assert status.account_id == case.account
    assert status.configured
    assert status.enabled
    assert "stand-in-token" not in str(status)


async def test_a_probe_says_whether_it_works(case: Case) -> None:
    assert (await case.channel.probe(case.account))["ok"] is True


async def test_stopping_twice_is_harmless(case: Case) -> None:
    await case.channel.start(nobody)
    await case.channel.stop()
    await case.channel.stop()
