"""The port."""

from __future__ import annotations

import os
import socket

import pytest
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from gateway.server import at_start, bind, lone_text
from jobs.errors import OwnershipRefused


def test_port_zero_picks_one_port_for_every_host() -> None:
    sockets = bind(["127.0.0.1", "::1"], 0)
    assert len({bound.getsockname()[1] for bound in sockets}) == 1
    for bound in sockets:
        bound.close()


def test_a_taken_port_is_refused_by_name_and_nothing_stays_open() -> None:
    (first,) = bind(["127.0.0.1"], 0)
    first.listen()
    port = first.getsockname()[1]
    whose = rf"( by pid {os.getpid()} \(.+\))?"
    who = rf"port {port} is in use{whose}\. Choose --port, or --force to stop it\. Fix: engine"
    with pytest.raises(OwnershipRefused, match=who) as refused:
        bind(["127.0.0.1"], port)
    assert refused.value.exit_status == 78
    first.close()


def test_answers_are_never_held_back_by_nagle() -> None:
    """asyncio sets TCP_NODELAY only on sockets that name their protocol."""
    (bound,) = bind(["127.0.0.1"], 0)
    assert bound.proto == socket.IPPROTO_TCP
    bound.close()


@pytest.mark.parametrize("size", [1, 2, 100, 125])
def test_a_short_whole_text_frame_is_read_as_the_library_reads_it(size: int) -> None:
    text = bytes(range(32, 127)) * 2
    assert lone_text(Frame(Opcode.TEXT, text[:size]).serialize(mask=True)) == text[:size]


WHOLE = Frame(Opcode.TEXT, b"hello").serialize(mask=True)


OTHERS = {
    "nothing": b"",
    "cut short": WHOLE[:-1],
    "a byte more": WHOLE + b"\0",
    "two": WHOLE + WHOLE,
    "empty": Frame(Opcode.TEXT, b"").serialize(mask=True),
    "long": Frame(Opcode.TEXT, b"x" * 126).serialize(mask=True),
    "unmasked": Frame(Opcode.TEXT, b"hello").serialize(mask=False),
    "a fragment": Frame(Opcode.TEXT, b"hello", fin=False).serialize(mask=True),
    "compressed": b"\xc1" + WHOLE[1:],  # a reserved bit
    "binary": Frame(Opcode.BINARY, b"hello").serialize(mask=True),
    "a continuation": Frame(Opcode.CONT, b"hello").serialize(mask=True),
    "a ping": Frame(Opcode.PING, b"hello").serialize(mask=True),
    "a close": Frame(Opcode.CLOSE, b"\x03\xe8bye").serialize(mask=True),
}  # masked by chance: the names stay the same in every worker


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_everything_else_is_the_library_s(data: bytes) -> None:
    assert lone_text(data) is None


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def test_the_parser_is_at_a_start_behind_whole_frames_and_nowhere_else() -> None:
    conn = ServerProtocol()
    conn.receive_data(UPGRADE)
    (request,) = conn.events_received()
    conn.send_response(conn.accept(request))  # type: ignore[arg-type]  # it is the request
    assert at_start(conn)
    for at in range(len(WHOLE)):
        assert at_start(conn) == (at == 0)
        conn.receive_data(WHOLE[at : at + 1])
    conn.receive_data(WHOLE + WHOLE[:2])
    assert not at_start(conn)
    conn.receive_data(WHOLE[2:])
    assert at_start(conn)
