"""Webhooks: what is sent, where it may go, what an answer means (channels.md §13)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.messages.address import Route
from engine.messages.route import webhook_route
from engine.testing.clock import ManualClock
from gateway.channels.base import Attempt, ChannelError, FaultClass
from gateway.channels.webhook.channel import WebhookChannel
from gateway.channels.webhook.wire import (
    WebhookAccount,
    fault_of,
    headers_of,
    refused_host,
)
from tests.fakes.hook_server import HookServer

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = "signing-secret-123"
JOBS = WebhookAccount(id="jobs", secret=SECRET, bearer=True, allow_private=True)


def attempt(route: Route, *, run_id: str | None = None) -> Attempt:
    return Attempt(
        key="job:run:0", chunk_index=0, route=route, text="done", kind="cron", run_id=run_id
    )


async def facts(run_id: str) -> dict[str, object]:
    return {"action": "finished", "jobId": "brief", "runId": run_id, "status": "ok"}


async def test_a_jobs_webhook_gets_the_finished_run_signed() -> None:
    async with HookServer() as server:
        channel = WebhookChannel([JOBS], clock=ManualClock(NOON), facts_of=facts)
        await channel.send(attempt(webhook_route(server.url), run_id="r1"))
        await channel.stop()
        (hook,) = server.hooks
    assert hook.path == "/hook?secret=hush-hush"
    assert hook.body == {
        "action": "finished", "jobId": "brief", "runId": "r1", "status": "ok",
        "id": "job:run:0", "kind": "cron", "text": "done", "format": "text",
        "ts": round(NOON.timestamp() * 1000),
    }  # fmt: skip
    stamp = hook.headers["x-engine-timestamp"]
    wanted = hmac.new(SECRET.encode(), f"{stamp}.".encode() + hook.raw, hashlib.sha256)
    assert hook.headers["x-engine-signature"] == f"sha256={wanted.hexdigest()}"
    assert hook.headers["authorization"] == f"Bearer {SECRET}"
    assert hook.headers["idempotency-key"] == "job:run:0#0"


def test_without_a_secret_nothing_is_signed() -> None:
    headers = headers_of(attempt(webhook_route("http://x")), b"{}", WebhookAccount(id="a"), NOON)
    assert not {"X-Engine-Signature", "Authorization"} & headers.keys()


@pytest.mark.parametrize(
    ("status", "later", "fault", "wait"),
    [
        (429, "7", FaultClass.RATE_LIMITED, 7.0),
        (503, "Fri, 20 Nov 2026 12:00:30 GMT", FaultClass.SERVER, 30.0),
        (429, "999999", FaultClass.RATE_LIMITED, 3600.0),
        (429, "soon", FaultClass.RATE_LIMITED, None),
        (429, "nan", FaultClass.RATE_LIMITED, None),
        (429, "9" * 5000, FaultClass.RATE_LIMITED, None),
        (503, "Fri, 20 Nov 2026 12:00:30 +99999999999999999999", FaultClass.SERVER, None),
        (503, "Fri, 20 Nov 99999999999999999999 12:00:30 GMT", FaultClass.SERVER, None),
        (503, "Sat, 01 Jan 0001 00:00:00 +2300", FaultClass.SERVER, 0.0),
        (503, "Fri, 31 Dec 9999 23:59:59 -2300", FaultClass.SERVER, 3600.0),
        (500, None, FaultClass.SERVER, None),
        (401, None, FaultClass.AUTH, None),
        (404, None, FaultClass.NOT_FOUND, None),
        (410, None, FaultClass.NOT_FOUND, None),
        (302, None, FaultClass.CONTENT_REJECTED, None),
        (400, None, FaultClass.CONTENT_REJECTED, None),
    ],
)
def test_an_answer_means_one_class_and_one_wait(
    status: int, later: str | None, fault: FaultClass, wait: float | None
) -> None:
    found = fault_of(status, later, "no", NOON)
    assert (found.fault, found.retry_after_seconds) == (fault, wait)


async def test_a_refusal_keeps_what_the_server_said_and_no_secret_of_the_address() -> None:
    async with HookServer() as server:
        server.answers.append((400, {}))
        server.detail = "unknown field text"
        channel = WebhookChannel([JOBS], clock=ManualClock(NOON))
        with pytest.raises(ChannelError) as refused:
            await channel.send(attempt(webhook_route(server.url)))
        await channel.stop()
    assert refused.value.fault.detail == "unknown field text"
    assert "hush" not in str(refused.value)


async def test_an_answer_is_asked_for_as_it_is_and_inflated_never() -> None:
    async with HookServer() as server:
        server.answers.append((400, {"Content-Encoding": "gzip"}))
        server.detail = "no gzip at all"
        channel = WebhookChannel([JOBS], clock=ManualClock(NOON))
        with pytest.raises(ChannelError) as refused:
            await channel.send(attempt(webhook_route(server.url)))
        await channel.stop()
    assert refused.value.fault.fault is FaultClass.CONTENT_REJECTED
    assert refused.value.fault.detail == ""
    assert server.hooks[0].headers["accept-encoding"] == "identity"


async def test_names_at_one_address_share_no_connection() -> None:
    """A connection proved the certificate of one name; another's words must not go over it."""
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def here(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    channel = WebhookChannel([JOBS], clock=ManualClock(NOON), resolve=here)
    for name in ("one.example", "two.example"):
        await channel.send(attempt(webhook_route(f"http://{name}:{port}/hook")))
    await channel.stop()
    server.close()
    for connection in connections:
        connection.close()
        await connection.wait_closed()
    assert len(connections) == 2


async def test_a_redirect_is_not_followed() -> None:
    async with HookServer() as server:
        server.answers.append((302, {"Location": server.url}))
        channel = WebhookChannel([JOBS], clock=ManualClock(NOON))
        with pytest.raises(ChannelError, match="redirect"):
            await channel.send(attempt(webhook_route(server.url)))
        await channel.stop()
        assert len(server.hooks) == 1


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "fd00::1",
     "::ffff:127.0.0.1", "0.1.2.3", "224.0.0.1", "100.64.0.1",
     "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1",
     "2001:0:7f00:1::", "::7f00:1", "::ffff:0:127.0.0.1", "fec0::1", "ff0e::1"],
)  # fmt: skip
def test_private_addresses_are_refused(address: str) -> None:
    account = WebhookAccount(id="jobs")
    assert "is a private address" in str(refused_host("evil.example", [address], account))
    assert refused_host("ours", [address], WebhookAccount(id="j", allowed_hosts=("OURS",))) is None


def test_public_addresses_are_allowed_unless_the_host_is_blocked() -> None:
    public = ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822", "2002:5db8:d822::1"]
    assert refused_host("example.com", public, WebhookAccount(id="jobs")) is None
    blocked = WebhookAccount(id="jobs", blocked_hosts=("example.com",), allow_private=True)
    assert "blockedHostnames" in str(refused_host("EXAMPLE.com.", ["93.184.216.34"], blocked))
    mixed = ["93.184.216.34", "127.0.0.1"]
    assert refused_host("example.com", mixed, WebhookAccount(id="jobs")) is not None


async def test_the_address_that_was_judged_is_the_one_that_is_called() -> None:
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with HookServer() as server:
        url = server.url.replace("127.0.0.1", "hooks.example")
        channel = WebhookChannel([JOBS], clock=ManualClock(NOON), resolve=resolve)
        await channel.send(attempt(webhook_route(url)))
        await channel.stop()
        (hook,) = server.hooks
    assert asked == ["hooks.example"]
    assert hook.headers["host"].startswith("hooks.example:")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://no-such-host.invalid/", "http://[::1"]
)
async def test_what_cannot_be_reached_may_be_tried_again(url: str) -> None:
    channel = WebhookChannel([JOBS], clock=ManualClock(NOON))
    with pytest.raises(ChannelError) as refused:
        await channel.send(attempt(webhook_route(url)))
    assert refused.value.fault.fault is FaultClass.NETWORK_PRESEND
    await channel.stop()


async def test_a_page_is_read_without_our_token_and_only_where_webhooks_may_go() -> None:
    """What a heartbeat's probes read: `heartbeat.checks` (heartbeat.md §25-15)."""
    pings = WebhookAccount(id="pings", allow_private=True)
    async with HookServer() as server:
        channel = WebhookChannel([JOBS, pings], clock=ManualClock(NOON))
        assert b"thanks" in await channel.fetch(server.url)
        assert "authorization" not in server.looks[0]
        server.answers.append((503, {}))
        with pytest.raises(OSError, match="HTTP 503"):
            await channel.fetch(server.url)
        await channel.stop()
        walled = WebhookChannel([replace(pings, allow_private=False)], clock=ManualClock(NOON))
        with pytest.raises(OSError, match="is a private address") as refused:
            await walled.fetch(server.url)
        await walled.stop()
    assert "hush" not in str(refused.value)
