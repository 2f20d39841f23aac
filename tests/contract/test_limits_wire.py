"""Limits of the port, a row each: refused with a reason, told once, nobody harmed (§6, §15)."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta

import pytest
from websockets.frames import Frame, Opcode

from gateway import server
from tests.fakes.gateway_port import (
    TOKEN,
    Port,
    Raw,
    connect_params,
    dialled,
    inside,
    serving,
)

HEALTH = json.dumps({"type": "req", "id": "h", "method": "health"})
CONNECT = json.dumps({"type": "req", "id": "c", "method": "connect", "params": connect_params()})
BAD = {"token": "wrong-secret-of-somebody"}


def nothing_is_left(port: Port) -> bool:
    """Whether the port remembers nothing of those who are gone."""
    door = port.door
    return not (door._places._users or door._places._through or door._waiting or len(port.fanout))


async def gone(port: Port) -> None:
    """Wait until every connection has been cleaned up."""
    async with asyncio.timeout(10):
        while not nothing_is_left(port):
            await SOON.wait()


class _Soon:
    """A turn of the loop."""

    async def wait(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn


SOON = _Soon()


async def burst(client: Raw, frames: list[str]) -> None:
    """Send frames in one piece, as one packet brings them."""
    protocol = client.socket.protocol
    for frame in frames:
        protocol.send_text(frame.encode())
    client.socket.transport.write(b"".join(protocol.data_to_send()))


async def test_fifteen_calls_behind_a_connect_wait_for_it_and_are_answered() -> None:
    async with serving() as port, dialled(port) as client:
        await burst(client, [CONNECT, *[HEALTH] * 15])
        assert (await client.answer("c"))["ok"]
        assert [(await client.answer("h"))["ok"] for _ in range(15)] == [True] * 15


async def test_more_calls_behind_a_connect_are_too_many() -> None:
    async with serving() as port, dialled(port) as client:
        await burst(client, [CONNECT, *[HEALTH] * 40])
        assert await client.ended() == (1008, "too many pending handshake frames")


async def test_a_connect_that_comes_byte_by_byte_is_closed_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "LINGER_SECONDS", 0.1)  # its answer to our close is no frame
    async with serving(handshake=timedelta(milliseconds=200)) as port, inside(port) as other:
        async with dialled(port) as client:
            client.socket.transport.write(bytes([0x81, 0x80 | 100, 0, 0, 0, 0]) + b'{"type":')
            assert await client.ended() == (1008, "handshake timeout")
        assert (await other.ask("health"))["ok"]


async def test_guessing_ends_in_a_lockout_that_the_log_tells_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as port:
        page = {"origin": "http://localhost:1"}
        refused = {}
        for _ in range(16):
            async with dialled(port, **page) as client:
                refused = await client.ask("connect", connect_params(auth=BAD))
                await client.ended()
        assert refused["error"]["details"]["code"] == "AUTH_RATE_LIMITED"
        assert 0 < refused["error"]["retryAfterMs"] <= 300_000
        lines = [one for one in caplog.records if one.getMessage() == "client refused"]
        assert [one.levelname for one in lines] == ["INFO"] * 9 + ["WARNING"]
        assert BAD["token"] not in caplog.text
        assert TOKEN not in caplog.text
        async with inside(port) as honest:
            assert (await honest.ask("health"))["ok"]


async def test_a_client_that_sends_nonsense_for_ever_fills_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as port, inside(port) as client:
        for _ in range(50):
            await client.socket.send("nonsense")
        assert (await client.ask("health"))["ok"]
        assert len([one for one in caplog.records if "not JSON" in one.getMessage()]) == 1


async def test_nothing_is_kept_of_clients_that_are_gone() -> None:
    async with serving() as port:
        for frame in ["nonsense", CONNECT, HEALTH, "{}", '{"type":"req"}', "x" * 70_000] * 4:
            async with dialled(port) as client:
                await client.send(frame)
                client.socket.transport.abort()
        await gone(port)


async def test_every_close_of_the_port_has_a_reason() -> None:
    frames: list[str | bytes] = ["nonsense", HEALTH, "{}", "[]", "x" * 70_000, b"\xff", "7"]
    async with serving() as port:
        for frame in frames:
            async with dialled(port) as client:
                await client.socket.send(frame)
                code, reason = await client.ended()
                assert code in (1002, 1008, 1009), frame
                assert len(reason) >= 10, frame


def _text(body: str, *, fin: bool = True, opcode: Opcode = Opcode.TEXT) -> bytes:
    return Frame(opcode, body.encode(), fin=fin).serialize(mask=True)


async def test_a_call_in_pieces_and_calls_in_one_piece_are_answered_like_a_whole_one() -> None:
    """The short way is for what comes alone and whole; all else goes the long way, in order."""
    whole = _text(HEALTH)
    pieces = [whole[:3], whole[3:], whole + whole, whole, whole[:40], whole[40:] + whole]
    async with serving() as port, inside(port) as client:
        for piece in pieces:
            client.socket.transport.write(piece)
            await SOON.wait()
        assert [(await client.answer("h"))["ok"] for _ in range(6)] == [True] * 6


async def test_a_call_inside_an_unfinished_message_breaks_the_protocol_as_ever() -> None:
    async with serving() as port, inside(port) as client:
        client.socket.transport.write(_text(HEALTH[:10], fin=False))
        client.socket.transport.write(_text(HEALTH))
        assert (await client.ended())[0] == 1002


async def test_what_stands_ready_is_asked_for_only_by_who_may() -> None:
    async with serving() as port, inside(port, scopes=[]) as client:
        assert (await client.ask("health"))["ok"]
        refused = await client.ask("cron.status")
        assert refused["error"]["message"] == "missing scope: operator.read"
