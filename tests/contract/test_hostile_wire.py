"""The port against clients that mean harm or are broken: it answers, closes with words, lives on.

protocol.md §2, §6, §11, §15.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from gateway import server
from gateway.server import lone_text
from tests.fakes.gateway_port import TOKEN, Port, connect_params, dialled, inside, serving

HUGE = int("9" * 40)


def connect_frame(**changes: Any) -> dict[str, Any]:
    return {"type": "req", "id": "1", "method": "connect", "params": connect_params(**changes)}


def device(**changes: Any) -> dict[str, Any]:
    proof = {"id": "a" * 64, "publicKey": "A" * 43, "signature": "B" * 86, "signedAt": 1}
    return {**proof, "nonce": "n", **changes}


@pytest.mark.parametrize(
    ("frame", "code", "reason"),
    [
        ('{"type":"req","id":"1","method":"connect","params":NaN}', 1008, "not JSON"),
        ("[" * 60_000, 1008, "not JSON"),
        (b"\x00\xff\xfe", 1008, "not JSON"),
        ('{"type":"req","id":"\\ud800","method":"connect"}', 1008, "not JSON"),
        ("null", 1008, "invalid request frame: at root: must be object"),
        (connect_frame(device=device(signedAt=10**400)), 1008, "at /device/signedAt: must be"),
        (connect_frame(device=device(signedAt=-1)), 1008, "at /device/signedAt: must be >= 0"),
        (connect_frame(device=device(publicKey="é")), 1008, "device proof refused"),
        (connect_frame(auth={"token": "ü€" * 40}), 1008, "gateway token mismatch"),
        (connect_frame(minProtocol=10**300, maxProtocol=10**300), 1002, "protocol mismatch"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_nonsense_before_hello_is_refused_in_words(
    frame: object, code: int, reason: str
) -> None:
    async with serving() as port, dialled(port) as client:
        if isinstance(frame, bytes):
            await client.socket.send(frame)
        else:
            await client.send(frame)
        got = await client.ended()
        assert got[0] == code
        assert reason in got[1]
        assert TOKEN not in got[1]


@pytest.mark.parametrize("origin", ["http://[", "null", "http://evil.example", "file://"])
async def test_a_foreign_or_broken_origin_is_refused_in_words(origin: str) -> None:
    async with serving() as port, dialled(port, origin=origin) as client:
        refused = await client.ask("connect", connect_params())
        assert refused["error"]["details"]["code"] == "CONTROL_UI_ORIGIN_NOT_ALLOWED"
        code, reason = await client.ended()
        assert (code, reason[:15]) == (1008, "origin refused:")


@pytest.mark.parametrize(
    ("method", "params", "path"),
    [
        ("agent", '{"message":"x","idempotencyKey":"k","timeout":1e400}', "/timeout"),
        ("agent", '{"message":"x","idempotencyKey":"k","timeout":1e300}', "/timeout"),
        (
            "chat.send",
            f'{{"sessionKey":"main","message":"x","idempotencyKey":"k","timeoutMs":{HUGE}}}',
            "/timeoutMs",
        ),
        ("sessions.list", f'{{"offset":{HUGE}}}', "/offset"),
        ("cron.list", f'{{"offset":{HUGE}}}', "/offset"),
        ("cron.runs", f'{{"sinceMs":{HUGE}}}', "/sinceMs"),
        ("heartbeat.history", f'{{"untilMs":{HUGE}}}', "/untilMs"),
    ],
)
async def test_a_number_nothing_can_hold_is_refused_by_name(
    method: str, params: str, path: str
) -> None:
    async with serving() as port, inside(port) as client:
        await client.send(f'{{"type":"req","id":"1","method":"{method}","params":{params}}}')
        error = (await client.answer())["error"]
        assert error["code"] == "INVALID_REQUEST"
        assert f"at {path}: must be <= " in error["message"]


async def test_what_one_client_tells_of_itself_never_breaks_the_json_of_others() -> None:
    async with serving() as port, inside(port) as client:
        beacon = '{"text":"Node: x","host":"pi","roles":[1e400]}'
        await client.send(f'{{"type":"req","id":"1","method":"system-event","params":{beacon}}}')
        await client.answer()
        await client.send('{"type":"req","id":"2","method":"system-presence"}')
        while '"id":"2"' not in (text := str(await client.socket.recv())):
            pass
        assert "Infinity" not in text
        assert json.loads(text)["payload"][1]["roles"] == [None]


async def test_two_requests_with_one_id_are_both_answered() -> None:
    async with serving() as port, inside(port) as client:
        for _ in range(2):
            await client.send({"type": "req", "id": "same", "method": "health"})
        assert (await client.answer("same"))["ok"]
        assert (await client.answer("same"))["ok"]


async def test_a_fragmented_frame_counts_as_a_whole() -> None:
    async with serving() as port, dialled(port) as client:
        whole = json.dumps(connect_frame())
        await client.socket.send([whole[:10], whole[10:40], whole[40:]])
        assert (await client.answer())["ok"]
    async with serving() as port, dialled(port) as client:
        await client.socket.send(["x" * 1000] * 70)
        assert await client.ended() == (1009, "preauth payload too large")


async def test_the_rest_of_a_frame_is_not_read_as_the_call_it_looks_like() -> None:
    """The rest of it, behind two bytes, is byte for byte a short call of its own."""
    call = b'{"type":"req","id":"inner","method":"health"}'
    mask = bytes([0x81, 0x80 | len(call)]) * 2
    inner = mask[:2] + mask + bytes(each ^ mask[at % 4] for at, each in enumerate(call))
    outer = bytes([0x81, 0x80 | len(call) + 2]) + inner  # "\\0\\0" and the call: no JSON
    assert lone_text(inner) == call
    async with serving() as port, inside(port) as other, inside(port) as client:
        transport = client.socket.transport
        whole = Frame(Opcode.TEXT, b'{"type":"req","id":"w","method":"health"}').serialize(
            mask=True
        )
        ping = Frame(Opcode.PING, b"").serialize(mask=True)
        for before, first in itertools.product((b"", whole, ping), (1, 2, 3, 6)):
            transport.write(before + outer[:first])
            assert (await other.ask("health"))["ok"]  # they have been read by now
            transport.write(outer[first:])
            assert (await other.ask("health"))["ok"]
            assert (await client.ask("health", None, str(first)))["ok"]
        assert [event for event in client.events if event.get("id") == "inner"] == []


async def test_text_that_is_not_utf8_is_closed_with_a_reason() -> None:
    async with serving() as port, dialled(port) as client:
        await client.socket.send(b"\xff\xfe\xfa", text=True)
        assert await client.ended() == (1007, "a text frame is not UTF-8")


async def test_two_hundred_clients_are_all_let_in_and_their_death_harms_nobody() -> None:
    async with serving() as port, inside(port) as survivor:

        async def one() -> None:
            async with inside(port) as client:
                assert (await client.ask("health"))["ok"]
                client.socket.transport.abort()

        await asyncio.gather(*(one() for _ in range(200)))
        assert (await survivor.ask("health"))["ok"]


async def test_pings_of_a_reader_that_never_reads_do_not_pile_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "MAX_BUFFERED", 20_000)
    monkeypatch.setattr(server, "LINGER_SECONDS", 0.1)
    seen = {"id": "test", "mode": "test", "version": "1", "platform": "x"}
    async with (
        serving() as port,
        inside(port) as watcher,
        inside(port, client=seen) as client,
    ):
        client.socket.transport.pause_reading()
        ping = bytes([0x89, 0x80 | 125, 0, 0, 0, 0]) + b"p" * 125
        client.socket.transport.write(ping * 100_000)
        async with asyncio.timeout(10):
            while "disconnect" not in json.dumps(await watcher.event("presence")):
                pass
        assert (await watcher.ask("health"))["ok"]
        client.socket.transport.abort()


# -- plain sockets and HTTP ------------------------------------------------------------------


@asynccontextmanager
async def plain(port: Port) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port.server.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def said(port: Port, request: bytes) -> bytes:
    """What the port answers to these bytes."""
    async with plain(port) as (reader, writer):
        writer.write(request)
        async with asyncio.timeout(5):
            return await reader.read(4096)


@pytest.mark.parametrize("host", ["evil.example", "[", "evil/foo#", "x@127.0.0.1", "a b", ""])
async def test_a_strange_host_header_changes_no_path_and_is_told_no_detail(host: str) -> None:
    async with serving() as port:
        answer = await said(port, f"GET /readyz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b'{"ready":true}') or host == "x@127.0.0.1"
        stray = await said(port, f"GET /foo HTTP/1.1\r\nHost: {host}/readyz#\r\n\r\n".encode())
        assert stray.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    "path", ["//healthz", "/../healthz", "/%2e%2e/healthz", "/healthz%00", "/healthz/", "*"]
)
async def test_a_path_that_is_not_one_of_ours_is_not_found(path: str) -> None:
    async with serving() as port:
        answer = await said(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00 hello over TLS\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 200_000, b"4"),
        (b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", b"40"),
    ],
    ids=["tls", "long header", "bad chunk"],
)
async def test_broken_http_is_answered_and_closed(request_bytes: bytes, status: bytes) -> None:
    async with serving() as port:
        answer = await said(port, request_bytes)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert (await said(port, b"GET /healthz HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\nHost: "])
async def test_a_request_that_never_becomes_whole_is_closed_with_a_reason(
    first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.05)
    async with serving() as port:
        answer = await said(port, first)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"no request within" in answer


async def test_an_upgraded_socket_is_not_held_to_the_time_of_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.05)
    async with serving() as port, inside(port) as client:
        await said(port, b"")  # longer than the limit
        assert (await client.ask("health"))["ok"]


async def test_hundreds_of_half_open_sockets_keep_nobody_out() -> None:
    async with serving() as port:
        half_open = [socket.create_connection(("127.0.0.1", port.server.port)) for _ in range(300)]
        try:
            async with inside(port) as client:
                assert (await client.ask("health"))["ok"]
        finally:
            for each in half_open:
                each.close()
