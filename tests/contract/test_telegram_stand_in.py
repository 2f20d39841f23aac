"""The Bot API on loopback answers as the platform does, so that a green test means something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from engine.testing.telegram import TelegramStandIn, Wrong
from engine.testing.telegram.markup import read_as_platform
from engine.testing.telegram.stand_in import TOKEN
from engine.testing.telegram.wrong import Refusal


class Caller:
    """A bot of somebody else's making."""

    def __init__(self, telegram: TelegramStandIn, client: httpx.AsyncClient) -> None:
        self.telegram = telegram
        self.client = client

    async def __call__(self, method: str, token: str = TOKEN, **parameters: Any) -> dict[str, Any]:
        address = f"{self.telegram.root}/bot{token}/{method}"
        answer = await self.client.post(address, json=parameters)
        body: dict[str, Any] = answer.json()
        assert answer.status_code == body.get("error_code", 200)
        return body


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    async with TelegramStandIn() as telegram, httpx.AsyncClient() as client:
        yield Caller(telegram, client)


async def test_an_offset_confirms_everything_before_it(call: Caller) -> None:
    for text in ("one", "two"):
        call.telegram.user_writes(text)
    first = await call("getUpdates")
    assert [update["message"]["text"] for update in first["result"]] == ["one", "two"]
    again = await call("getUpdates", offset=first["result"][0]["update_id"] + 1)
    assert [update["message"]["text"] for update in again["result"]] == ["two"]
    assert call.telegram.unconfirmed() == 1


async def test_a_poll_is_held_until_somebody_writes(call: Caller) -> None:
    poll = asyncio.create_task(call("getUpdates", timeout=30))
    await call.telegram.called("getUpdates")
    assert not poll.done()
    call.telegram.user_writes("hello")
    assert (await poll)["result"][0]["message"]["text"] == "hello"


async def test_an_empty_poll_without_a_timeout_is_answered_at_once(call: Caller) -> None:
    assert (await call("getUpdates"))["result"] == []


async def test_a_mention_is_an_entity_in_utf16_units(call: Caller) -> None:
    call.telegram.user_writes("😀 @engine_bot", chat_id=-100)
    message = (await call("getUpdates"))["result"][0]["message"]
    assert message["entities"] == [{"type": "mention", "offset": 3, "length": 11}]
    assert message["chat"] == {"id": -100, "type": "supergroup"}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"text": ""}, "message text is empty"),
        ({"text": "<b></b>", "parse_mode": "HTML"}, "message text is empty"),
        ({"text": "x" * 4097}, "message is too long"),
        ({"text": "😀" * 2049}, "message is too long"),
        ({"text": "x", "message_thread_id": 1}, "message thread not found"),
        ({"text": "<b>x", "parse_mode": "HTML"}, "can't parse entities"),
    ],
)
async def test_what_the_platform_refuses_is_refused(
    call: Caller, parameters: dict[str, Any], words: str
) -> None:
    answer = await call("sendMessage", chat_id=42, **parameters)
    assert answer["ok"] is False
    assert words in answer["description"]
    assert call.telegram.sent == []


async def test_the_limit_counts_what_is_seen(call: Caller) -> None:
    text = f"<b>{'x' * 4096}</b>"
    assert (await call("sendMessage", chat_id=42, text=text, parse_mode="HTML"))["ok"]


async def test_a_strange_token_and_a_strange_method_are_refused(call: Caller) -> None:
    assert (await call("getMe", token="1:other"))["error_code"] == 401
    assert (await call("fly"))["error_code"] == 404


async def test_a_webhook_makes_polls_a_conflict(call: Caller) -> None:
    await call("setWebhook", url="https://example.org")
    assert (await call("getUpdates"))["error_code"] == 409
    await call("deleteWebhook")
    assert (await call("getUpdates"))["ok"]


async def test_a_fault_is_used_up_in_order(call: Caller) -> None:
    call.telegram.fail("sendMessage", Wrong.too_many(3), Wrong.blocked())
    first = await call("sendMessage", chat_id=42, text="x")
    assert first["parameters"] == {"retry_after": 3}
    assert (await call("sendMessage", chat_id=42, text="x"))["error_code"] == 403
    assert (await call("sendMessage", chat_id=42, text="x"))["ok"]


async def test_a_slow_answer_waits_and_the_message_has_arrived(call: Caller) -> None:
    until = asyncio.Event()
    call.telegram.fail("sendMessage", Wrong.slow(until))
    sending = asyncio.create_task(call("sendMessage", chat_id=42, text="x"))
    assert (await call.telegram.next_sent()).text == "x"
    assert not sending.done()
    until.set()
    assert (await sending)["ok"]


@pytest.mark.parametrize("html", ["<b>", "</b>", "<b><i></b></i>", "<script>x</script>", "<p>x"])
def test_html_the_platform_does_not_know_is_refused(html: str) -> None:
    with pytest.raises(Refusal, match="can't parse entities"):
        read_as_platform(html)
