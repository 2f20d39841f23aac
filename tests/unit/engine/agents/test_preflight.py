"""A model server of this machine that is not there makes a skip, not a failure (cron.md §8)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from engine.agents.preflight import Preflight, nearby
from engine.testing import ManualClock

OLLAMA = "http://127.0.0.1:11434/v1"
LAN = "http://192.168.1.20:8000/v1"
HOSTED = "https://api.example.com/v1"


class Network:
    """Knows which hosts are down, and keeps who was asked."""

    def __init__(self, *down: str) -> None:
        self.down = set(down)
        self.asked: list[str] = []

    async def reach(self, host: str, port: int) -> None:
        self.asked.append(f"{host}:{port}")
        if host in self.down:
            raise ConnectionRefusedError(111, "Connection refused")


def preflight(network: Network) -> tuple[Preflight, ManualClock]:
    clock = ManualClock(datetime(2026, 6, 1, tzinfo=UTC))
    return Preflight(clock, reach=network.reach), clock


async def test_all_servers_down_is_told_with_each_of_them() -> None:
    flight, _ = preflight(Network("127.0.0.1", "192.168.1.20"))
    assert await flight.missing([OLLAMA, LAN]) == (
        "nothing listens on 127.0.0.1:11434 (Connection refused); "
        "nothing listens on 192.168.1.20:8000 (Connection refused)"
    )


async def test_one_server_that_answers_is_enough() -> None:
    flight, _ = preflight(Network("127.0.0.1"))
    assert await flight.missing([OLLAMA, LAN]) == ""


@pytest.mark.parametrize("urls", [[HOSTED], [OLLAMA, HOSTED], [OLLAMA, None], []])
async def test_a_model_out_in_the_world_is_not_asked_for(urls: list[str | None]) -> None:
    network = Network("127.0.0.1", "api.example.com")
    flight, _ = preflight(network)
    assert await flight.missing(urls) == ""
    assert network.asked == []


async def test_an_answer_is_good_for_five_minutes() -> None:
    network = Network("127.0.0.1")
    flight, clock = preflight(network)
    assert await flight.missing([OLLAMA])
    network.down.clear()
    await clock.advance(timedelta(minutes=4, seconds=59))
    assert await flight.missing([OLLAMA])
    await clock.advance(timedelta(seconds=1))
    assert await flight.missing([OLLAMA]) == ""
    assert len(network.asked) == 2


async def test_who_asks_by_hand_is_not_answered_from_memory() -> None:
    network = Network("127.0.0.1")
    flight, _ = preflight(network)
    assert await flight.missing([OLLAMA])
    network.down.clear()
    assert await flight.missing([OLLAMA], afresh=True) == ""


async def test_a_real_port_is_really_asked() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clock = ManualClock(datetime(2026, 6, 1, tzinfo=UTC))
    url = f"http://127.0.0.1:{port}/v1"
    async with server:
        assert await Preflight(clock).missing([url]) == ""
    assert "nothing listens on" in await Preflight(clock).missing([url])


@pytest.mark.parametrize(
    ("url", "server"),
    [
        (OLLAMA, ("127.0.0.1", 11434)),
        ("http://localhost:1234", ("localhost", 1234)),
        ("http://[::1]/v1", ("::1", 80)),
        ("https://nas.local/v1", ("nas.local", 443)),
        ("http://10.0.0.5", ("10.0.0.5", 80)),
        (HOSTED, None),
        ("http://8.8.8.8/v1", None),
        ("http://127.0.0.1:99999", None),
        (None, None),
    ],
)
def test_only_this_machine_and_its_network_are_near(
    url: str | None, server: tuple[str, int] | None
) -> None:
    assert nearby(url) == server
