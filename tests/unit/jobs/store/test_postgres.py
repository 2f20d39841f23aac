"""A store on a server that is not there, refuses, or goes away; no server is needed for that."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jobs.errors import StoreUnavailable, StoreUnusable
from jobs.store.db import Database


@asynccontextmanager
async def doorkeeper(code: str, words: str) -> AsyncIterator[str]:
    """Speaks just enough of the protocol to turn everybody away."""
    fields = b"SFATAL\0" + f"C{code}\0M{words}\0".encode() + b"\0"
    refusal = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields

    async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await reader.readexactly(8)
            if int.from_bytes(asked[4:], "big") == 80877103:  # an encrypted line? No.
                writer.write(b"N")
                asked = await reader.readexactly(8)
            await reader.readexactly(int.from_bytes(asked[:4], "big") - 8)
            writer.write(refusal)
            await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(turn_away, "127.0.0.1", 0)
    async with server:
        yield f"postgresql://ada:topsecret@127.0.0.1:{server.sockets[0].getsockname()[1]}/engine"


async def test_a_server_that_lets_nobody_in_is_told_in_its_words() -> None:
    async with doorkeeper("28000", 'role "ada" does not exist') as url:
        with pytest.raises(StoreUnavailable) as caught:
            await Database.open(url)
    assert caught.value.why == 'role "ada" does not exist'
    assert "store.url" in caught.value.fix
    assert "topsecret" not in str(caught.value)


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await Database.open("postgresql://ada@127.0.0.1:1/engine")


async def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jobs.store.postgres", None)
    with pytest.raises(StoreUnavailable, match=r"pip install 'heartbeat-engine\[postgres\]'"):
        await Database.open("postgresql://ada@127.0.0.1:1/engine")


async def test_another_kind_of_server_is_refused() -> None:
    with pytest.raises(StoreUnusable, match="nothing is known of mysql"):
        await Database.open("mysql://127.0.0.1/engine")
