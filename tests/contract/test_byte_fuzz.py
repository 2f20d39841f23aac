"""Bytes nobody in their right mind sends: seeded, on real sockets, beside a client that is well.

Whatever comes, the port answers or closes with words, nothing breaks inside, nothing is kept of
who is gone, and the other client does not notice (protocol.md §6, §15).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Iterator

import pytest

from tests.contract.test_limits_wire import gone
from tests.fakes.gateway_port import TOKEN, Port, connect_params, inside, serving

SOCKETS = 40  # of each seed
AT_ONCE = 8
FIRST, SILENT = 0.5, 0.05  # seconds: until the first word, and after the last one
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
REQUESTS = (
    UPGRADE,
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /voiceclaw/realtime HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode(),
    b"\r\n".join(
        (
            b"POST /v1/chat/completions HTTP/1.1",
            b"Host: x",
            b"Content-Type: application/json",
            b"X-Forwarded-For: 1.2.3.4",
            b"Content-Length: 12",
            b"",
            b'{"model": 1}',
        )
    ),
    b"POST /tools/invoke HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}{}{\r\n0\r\n\r\n",
)


def frame(text: str, *, first: int = 0x81) -> bytes:
    """A client's frame; masked with nothing, so that flips hit the text."""
    data = text.encode()
    if len(data) < 126:
        size = bytes([0x80 | len(data)])
    else:
        size = bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
    return bytes([first]) + size + bytes(4) + data


CONNECT = frame(
    json.dumps({"type": "req", "id": "c", "method": "connect", "params": connect_params()})
)
CALLS = tuple(
    frame(json.dumps({"type": "req", "id": "h", "method": method, "params": params}))
    for method, params in (
        ("health", None),
        ("cron.list", {"limit": 5}),
        ("events.since", {"cursor": 1}),
        ("gateway.suspend.status", {}),
    )
)
PING, CLOSE = frame("ping", first=0x89), frame("\x03\xe8bye", first=0x88)


def spoilt(raw: bytes, chance: random.Random) -> bytes:
    """The same bytes with something done to them."""
    data = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data)) if data else 0
        match chance.randrange(6):
            case 0 if data:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at:at] = chance.randbytes(chance.randint(1, 9))
            case 2:
                del data[at : at + chance.randint(1, 9)]
            case 3:
                data[at:] = b""
            case 4:
                data[at:at] = data[: chance.randint(1, 40)]
            case 5 if data:
                data[at] = chance.choice(b'\r\n\x00\xff\x7f {}[]"')
    return bytes(data)


def conversations(chance: random.Random) -> Iterator[bytes]:
    """What each socket sends."""
    for _ in range(SOCKETS):
        if chance.random() < 0.4:
            yield spoilt(chance.choice(REQUESTS), chance)
            continue
        parts = [
            CONNECT,
            *chance.sample(CALLS, 2),
            PING,
            *([CLOSE] if chance.random() < 0.2 else []),
        ]
        hit = chance.randrange(len(parts))
        parts[hit] = spoilt(parts[hit], chance)
        yield UPGRADE + b"".join(parts)


async def say(port: Port, data: bytes) -> bytes:
    """Send it, listen until nothing more comes, and leave without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port.server.port)
    heard, patience = b"", FIRST if b"\r\n\r\n" in data else SILENT
    try:
        # Whoever is heard at all says one thing after the other; what is spoilt comes behind.
        for word, answer in ((UPGRADE, b'"capabilities":[]}}'), (CONNECT, b'"tickIntervalMs"')):
            if data.startswith(word) and data != word:
                writer.write(word)
                heard += await asyncio.wait_for(reader.readuntil(answer), FIRST)
                data = data.removeprefix(word)
        writer.write(data)
        while part := await asyncio.wait_for(reader.read(65_536), patience):
            heard, patience = heard + part, SILENT
    except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
        pass
    writer.transport.abort()
    return heard


def close_reasons(heard: bytes) -> Iterator[tuple[int, str]]:
    """Code and reason of the close frames in what a server said."""
    head, _, rest = heard.partition(b"\r\n\r\n")
    if b" 101 " not in head[:20]:
        return
    while len(rest) >= 2:
        opcode, size, skip = rest[0] & 15, rest[1] & 127, 2
        if size == 126:
            size, skip = int.from_bytes(rest[2:4], "big"), 4
        elif size == 127:
            size, skip = int.from_bytes(rest[2:10], "big"), 10
        body, rest = rest[skip : skip + size], rest[skip + size :]
        if opcode == 8 and len(body) >= 2:
            yield int.from_bytes(body[:2], "big"), body[2:].decode()


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_bytes_break_the_port_or_another_client(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same each time is what is wanted
    async with serving() as port:
        async with inside(port) as witness:
            with caplog.at_level(logging.INFO):
                talks = list(conversations(chance))
                answers = []
                for start in range(0, SOCKETS, AT_ONCE):
                    some = talks[start : start + AT_ONCE]
                    answers += await asyncio.gather(*(say(port, data) for data in some))
            assert (await witness.ask("health"))["ok"]
            for data, heard in zip(talks, answers, strict=True):
                assert TOKEN.encode() not in heard
                for code, reason in close_reasons(heard):
                    # A close of the client is answered in kind; ours have words.
                    assert code == 1000 or len(reason) >= 10, (code, reason, data)
        await gone(port)
    assert sum(b"hello-ok" in heard for heard in answers) > SOCKETS // 5  # it was heard at all
    broken = [one for one in caplog.records if one.levelno >= logging.ERROR or one.exc_info]
    assert not broken
    assert not any(TOKEN in one.getMessage() for one in caplog.records)
