"""What an address from outside may lead to: nothing inside, hop by hop (channels.md §5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing

import pytest

from engine.shelf import NotSaved
from engine.testing.http import Answer, LoopbackHttp, Request
from gateway.channels.fetching import HOPS, Source, pieces, same_server

HERE = "127.0.0.1"
NAMES: Mapping[str, Sequence[str]] = {
    "cdn.example": [HERE],
    "both.example": [HERE, "10.0.0.7"],
    "metadata.example": ["169.254.169.254"],
    "nobody.example": [],
}


async def named(host: str, port: int) -> Sequence[str]:
    if host not in NAMES:
        raise OSError("no such host")
    return NAMES[host]


def inside(addresses: Sequence[str]) -> str | None:
    """Loopback stands for the world."""
    return next((one for one in addresses if one != HERE), None)


class World:
    """A server that every public name leads to."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.hosts: list[str] = []
        self.port = ""

    async def handle(self, request: Request) -> Answer:
        self.hosts.append(request.headers["host"].partition(":")[0])
        return self.answers.get(request.path, Answer(404, b"", {}))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    server = LoopbackHttp(world.handle)
    await server.start()
    world.port = server.url.rpartition(":")[2]
    yield world
    await server.stop()


def at(world: World, host: str, path: str = "/f") -> str:
    return f"http://{host}:{world.port}{path}"


async def fetched(url: str, most: int = 1000) -> bytes:
    return await all_of(Source(url, resolve=named, inside=inside), most)


async def all_of(source: Source, most: int = 1000) -> bytes:
    found = b""
    async with aclosing(pieces(source, most)) as parts:
        async for part in parts:
            found += part
    return found


async def test_a_public_name_is_asked_under_its_name(world: World) -> None:
    world.answers["/f"] = Answer(200, b"words", {})
    assert await fetched(at(world, "cdn.example")) == b"words"
    assert world.hosts == ["cdn.example"]


async def test_a_move_within_the_world_is_followed(world: World) -> None:
    world.answers["/f"] = Answer(302, b"", {"Location": "/g"})
    world.answers["/g"] = Answer(200, b"words", {})
    assert await fetched(at(world, "cdn.example")) == b"words"


@pytest.mark.parametrize("host", ["metadata.example", "both.example"])
async def test_a_name_that_leads_inside_is_not_asked(world: World, host: str) -> None:
    with pytest.raises(NotSaved, match="private network"):
        await fetched(at(world, host))
    assert world.hosts == []


async def test_a_move_that_leads_inside_is_not_followed(world: World) -> None:
    world.answers["/f"] = Answer(302, b"", {"Location": at(world, "metadata.example")})
    with pytest.raises(NotSaved, match="private network"):
        await fetched(at(world, "cdn.example"))
    assert world.hosts == ["cdn.example"]


@pytest.mark.parametrize("where", ["file:///etc/passwd", "gopher://cdn.example/", "ftp://x/"])
async def test_a_move_to_something_else_than_the_web_is_not_followed(
    world: World, where: str
) -> None:
    world.answers["/f"] = Answer(302, b"", {"Location": where})
    with pytest.raises(NotSaved, match=r"none of the web|not fetched"):
        await fetched(at(world, "cdn.example"))


async def test_moves_without_end_are_given_up(world: World) -> None:
    world.answers["/f"] = Answer(302, b"", {"Location": "/f"})
    with pytest.raises(NotSaved, match="moved more than"):
        await fetched(at(world, "cdn.example"))
    assert len(world.hosts) == HOPS + 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://nobody.example/x", "leads nowhere"),
        ("http://unknown.example/x", "OSError"),
        ("file:///etc/passwd", "none of the web"),
        ("http://", "none of the web"),
        ("http://[::1", "not fetched"),
        ("nonsense", "none of the web"),
    ],
)
async def test_an_address_that_is_none_is_refused_in_words_without_it(url: str, why: str) -> None:
    with pytest.raises(NotSaved, match=why) as refused:
        await fetched(url)
    assert url not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]"])
async def test_with_the_real_resolver_nothing_on_this_machine_is_reached(
    world: World, host: str
) -> None:
    with pytest.raises(NotSaved, match="private network"):
        await all_of(Source(at(world, host)))
    assert world.hosts == []


async def test_what_does_not_say_its_length_is_counted(world: World) -> None:
    world.answers["/f"] = Answer(200, b"x" * 1001, {})
    with pytest.raises(NotSaved, match="the most that is taken"):
        await fetched(at(world, "cdn.example"))


@pytest.mark.parametrize(
    ("url", "base", "same"),
    [
        ("http://127.0.0.1:9/x", "http://127.0.0.1:9", True),
        ("http://127.0.0.1:8/x", "http://127.0.0.1:9", False),
        ("https://127.0.0.1:9/x", "http://127.0.0.1:9", False),
        ("http://127.0.0.1:9@evil.example/x", "http://127.0.0.1:9", False),
        ("http://[::1/x", "http://127.0.0.1:9", False),
    ],
)
def test_only_the_configured_server_itself_may_lie_inside(url: str, base: str, same: bool) -> None:
    assert same_server(url, base) is same
