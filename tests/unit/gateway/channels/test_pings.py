"""Signs of life go where they are expected, by the rules of webhooks, without their secrets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.clock import SystemClock
from engine.config.load import load
from engine.events import Bus
from engine.messages.route import PINGS, ping_route
from gateway.channels import configured
from gateway.channels.base import Attempt, ChannelError
from gateway.channels.webhook.channel import WebhookChannel
from jobs.store.db import Database


def attempt(url: str) -> Attempt:
    return Attempt(key="ping:1", chunk_index=0, route=ping_route(url), text="ok", kind="ping")


async def channel(tmp_path: Path, policy: str = "") -> WebhookChannel:
    raw = f'{{cron: {{webhookToken: "of-jobs", webhookSsrfPolicy: {{{policy}}}}}}}'
    config = load(tmp_path / "engine.json", {}, raw=raw.encode()).config
    store = await Database.memory()
    found: Any = configured.channels(config, store, {}, clock=SystemClock(), bus=Bus())["webhook"]
    assert isinstance(found, WebhookChannel)
    return found


@pytest.mark.parametrize("host", ["127.0.0.1:9", "10.0.0.1", "[::1]:9"])
async def test_a_ping_goes_nowhere_a_webhook_may_not(tmp_path: Path, host: str) -> None:
    with pytest.raises(ChannelError, match="is a private address"):
        await (await channel(tmp_path)).send(attempt(f"http://{host}/ping"))


async def test_the_token_of_jobs_is_not_shown_to_who_expects_a_ping(tmp_path: Path) -> None:
    heard: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    webhooks = await channel(tmp_path, 'allowedHostnames: ["127.0.0.1"]')
    assert webhooks.ready(PINGS)
    assert webhooks.status() == ()  # no account of anybody's
    sent = await webhooks.send(attempt(f"http://127.0.0.1:{port}/ping/1"))
    await webhooks.stop()
    server.close()
    assert sent.accepted
    assert heard[0].startswith("POST /ping/1 ")
    assert "of-jobs" not in heard[0]
    assert "authorization" not in heard[0].lower()
