"""What every channel promises (channels.md §1), kept by each for real."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from engine.events import Bus
from engine.store import inbox
from engine.testing.clock import ManualClock
from engine.testing.qq import QqStandIn
from engine.testing.qq.stand_in import ANN
from engine.testing.telegram import TelegramStandIn
from gateway.channels.apprise.channel import AppriseChannel
from gateway.channels.apprise.wire import AppriseAccount
from gateway.channels.contract import Case, ChannelContract
from gateway.channels.local import LocalChannel
from gateway.channels.qq.channel import QqChannel
from gateway.channels.telegram.account import TelegramAccount, Webhook
from gateway.channels.telegram.channel import TelegramChannel
from gateway.channels.webhook.channel import WebhookChannel
from gateway.channels.webhook.wire import WebhookAccount
from gateway.listening import listen
from jobs.store.db import Database
from tests.fakes.hook_server import HookServer
from tests.fakes.qq import qq_bot

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _load_apprise() -> None:
    """Load it and its plug-ins: some of them use what Python warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("apprise")
        library.Apprise().add("json://127.0.0.1")


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


class TestEveryChannel(ChannelContract):
    """The suite over each of them."""
