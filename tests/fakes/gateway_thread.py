"""The gateway of `gateway_port` in a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from tests.fakes.gateway_port import Port, serving


@contextmanager
def running() -> Iterator[Port]:
    """Yield the gateway's port once it listens; it is gone on leaving."""
    ready, found = Event(), list[tuple[Port, asyncio.AbstractEventLoop, asyncio.Event]]()

    async def serve() -> None:
        async with serving() as port:
            leave = asyncio.Event()
            found.append((port, asyncio.get_running_loop(), leave))
            ready.set()
            await leave.wait()

    thread = Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(10), "the gateway did not start"
    port, loop, leave = found[0]
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join(10)
