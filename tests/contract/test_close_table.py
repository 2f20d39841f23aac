"""Versions, limits and closes, row by row, on both wires (protocol.md §1, §3, §6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.protocol.frames import MAX_FRAME, MAX_FRAME_BEFORE_HELLO
from gateway.protocol.handshake import Phase
from tests.fakes.gateway_port import SHORT, connect_params, dialled, inside, serving

WIRES = pytest.mark.parametrize("wire", [3, 4])


def spoken(wire: int, **changes: Any) -> dict[str, Any]:
    return connect_params(minProtocol=wire, maxProtocol=wire, **changes)


@pytest.mark.parametrize(
    ("least", "most", "agreed"), [(3, 3, 3), (4, 4, 4), (3, 4, 4), (1, 3, 3), (1, 99, 4), (4, 5, 4)]
)
async def test_the_highest_common_version_is_spoken(least: int, most: int, agreed: int) -> None:
    async with serving() as port, dialled(port) as client:
        hello = await client.ask("connect", connect_params(minProtocol=least, maxProtocol=most))
        assert hello["payload"]["protocol"] == agreed
        assert ("capabilities" in hello["payload"]["features"]) == (agreed == 4)
        assert ("method" in hello["payload"]["auth"]) == (agreed == 4)
        assert ("attachments" in hello["payload"]["policy"]) == (agreed == 4)
        assert ("task" in hello["payload"]["features"]["events"]) == (agreed == 4)
        assert "buildId" not in hello["payload"]["server"]


@pytest.mark.parametrize(("least", "most", "expected"), [(1, 2, 3), (5, 9, 4), (4, 3, 4)])
async def test_a_range_without_a_common_version_is_told_which_there_are(
    least: int, most: int, expected: int
) -> None:
    async with serving() as port, dialled(port) as client:
        params = connect_params(minProtocol=least, maxProtocol=most)
        error = (await client.ask("connect", params))["error"]
        assert error["details"] == {
            "code": "PROTOCOL_MISMATCH",
            "clientMinProtocol": least,
            "clientMaxProtocol": most,
            "expectedProtocol": expected,
            "minimumProbeProtocol": 3,
        }
        assert await client.ended() == (1002, "protocol mismatch")


# what is wrong with the connect, code and words of the close
REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no such role": ({"role": "king"}, 1008, "invalid role"),
    "a worker": ({"role": "worker"}, 1008, "invalid role"),
    "no such mode": (
        {"client": {"id": "cli", "mode": "operator", "version": "1", "platform": "x"}},
        1008,
        "invalid connect params: at /client/mode: must be equal to one of the allowed values",
    ),
    "an unknown key": ({"speed": 9}, 1008, "invalid connect params: at root: unexpected property"),
    "a wrong token": ({"auth": {"token": "x"}}, 1008, "unauthorized: gateway token mismatch"),
    "nothing shown": ({"auth": {}}, 1008, "device identity required"),
}


@WIRES
@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
async def test_each_refused_connect_closes_with_its_code_and_words(
    row: tuple[dict[str, Any], int, str], wire: int
) -> None:
    params, code, words = row
    async with serving() as port, dialled(port) as client:
        answer = await client.ask("connect", spoken(wire, **params))
        assert answer["ok"] is False
        closed, reason = await client.ended()
        assert (closed, reason[: len(words)]) == (code, words[: len(reason)])
        assert len(reason.encode()) <= 123


@WIRES
@pytest.mark.parametrize(
    ("phase", "details", "wait", "reason"),
    [
        (Phase.STARTING, "startup-sidecars", 500, "gateway starting"),
        (Phase.DRAINING, "gateway-restarting", 1000, "gateway restart in progress"),
    ],
)
async def test_at_the_wrong_time_it_says_when_to_come_back(
    phase: Phase, details: str, wait: int, reason: str, wire: int
) -> None:
    async with serving() as port, dialled(port) as client:
        port.phase = phase
        error = (await client.ask("connect", spoken(wire)))["error"]
        assert (error["code"], error["retryable"], error["retryAfterMs"]) == (
            "UNAVAILABLE",
            True,
            wait,
        )
        assert error["details"]["reason"] == details
        assert await client.ended() == (1013, reason)


@pytest.mark.parametrize(
    ("frame", "code", "words"),
    [
        ("no JSON", 1008, "invalid frame: not JSON"),
        (b"\x00", 1008, "invalid frame: not JSON"),
        ({"type": "req", "id": "1", "method": "status"}, 1008, "invalid handshake: first request"),
        ({"type": "res", "id": "1", "ok": True}, 1008, "invalid request frame"),
        ("x" * (MAX_FRAME_BEFORE_HELLO + 1), 1009, "preauth payload too large"),
    ],
    ids=["text", "bytes", "another method", "an answer", "too large"],
)
async def test_what_is_no_connect_closes_with_words(frame: Any, code: int, words: str) -> None:
    async with serving() as port, dialled(port) as client:
        if isinstance(frame, bytes):
            await client.socket.send(frame)
        else:
            await client.send(frame)
        closed, reason = await client.ended()
        assert (closed, words in reason) == (code, True)


async def test_silence_before_hello_ends_with_words() -> None:
    async with serving(handshake=SHORT) as port, dialled(port) as client:
        assert await client.ended() == (1008, "handshake timeout")


async def test_a_connect_in_a_binary_frame_is_one_too() -> None:
    async with serving() as port, dialled(port) as client:
        frame = {"type": "req", "id": "b", "method": "connect", "params": connect_params()}
        await client.socket.send(json.dumps(frame).encode())
        assert (await client.answer("b"))["ok"]


@WIRES
async def test_a_frame_of_26_mib_is_cut_and_the_next_client_is_served(wire: int) -> None:
    async with serving() as port, inside(port, minProtocol=wire, maxProtocol=wire) as client:
        head = bytes([0x81, 0x80 | 127]) + (MAX_FRAME + 1024 * 1024).to_bytes(8, "big") + bytes(4)
        client.socket.transport.write(head)  # what is said to come is enough
        code, reason = await client.ended()
        assert (code, len(reason) >= 10) == (1009, True)
        async with inside(port) as other:
            assert (await other.ask("health"))["ok"]


@WIRES
async def test_who_is_sent_away_is_told_why(wire: int) -> None:
    async with serving() as port, inside(port, minProtocol=wire, maxProtocol=wire) as client:
        port.fanout.end(lambda _: True, 4001, "gateway auth changed")
        assert await client.ended() == (4001, "gateway auth changed")


@WIRES
async def test_a_gateway_that_leaves_says_so_before_it_closes(wire: int) -> None:
    async with serving() as port, inside(port, minProtocol=wire, maxProtocol=wire) as client:
        port.fanout.publish("shutdown", {"reason": "stop", "restartExpectedMs": None})
        port.door.close_all(1012, "service restart")
        event = await client.event("shutdown")
        assert event["payload"] == {"reason": "stop", "restartExpectedMs": None}
        assert await client.ended() == (1012, "service restart")


@WIRES
async def test_a_bad_frame_after_hello_is_answered_under_its_id_and_the_socket_stays(
    wire: int,
) -> None:
    async with serving() as port, inside(port, minProtocol=wire, maxProtocol=wire) as client:
        await client.send("no JSON")  # passed over
        await client.send({"type": "req", "id": "x", "method": "health", "speed": 1})
        error = (await client.answer("x"))["error"]
        assert error["code"] == "INVALID_REQUEST"
        assert error["message"].startswith("invalid request frame: at root: unexpected property")
        await client.send({"type": "req", "method": "health"})
        assert (await client.answer("invalid"))["error"]["code"] == "INVALID_REQUEST"
        await client.send({"type": "req", "id": "t", "method": "health", "traceparent": "00-1"})
        assert (await client.answer("t"))["ok"]
        assert (await client.ask("health", None, "4:a-uuid"))["ok"]
