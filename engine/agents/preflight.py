"""Whether a model server of this machine or its network is there, asked before a job's turn.

Ollama and its like come and go with the laptop they run on: a job that finds none of its
models is skipped, not failed (cron.md §8). Servers out in the world are not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from engine.clock import Clock

GOOD_FOR: Final = timedelta(minutes=5)
_PATIENCE: Final = timedelta(seconds=3)
_OWN_NAMES: Final = (".localhost", ".local")
Server = tuple[str, int]  # host, port
Reach = Callable[[str, int], Awaitable[None]]  # raises OSError where nobody listens


class Preflight:
    """Remembers for five minutes which servers answered."""

    def __init__(self, clock: Clock, *, reach: Reach | None = None) -> None:
        self._clock = clock
        self._reach = reach or _reach
        self._known: dict[Server, tuple[timedelta, str]] = {}  # since when, and what is wrong

    async def missing(self, urls: Sequence[str | None], *, afresh: bool = False) -> str:
        """Return why none of the models behind ``urls`` can answer; empty if one may.

        None is a model that needs no server of ours. ``afresh``: somebody asks by hand, and
        may just have started one.
        """
        servers = [nearby(url) for url in urls]
        if None in servers:
            return ""
        troubles = []
        for server in servers:
            if server is None or not (trouble := await self._asked(server, afresh=afresh)):
                return ""
            troubles.append(trouble)
        return "; ".join(dict.fromkeys(troubles))

    async def _asked(self, server: Server, *, afresh: bool) -> str:
        now = self._clock.monotonic()
        since, trouble = self._known.get(server, (None, ""))
        if since is None or afresh or now - since >= GOOD_FOR:
            trouble = await self._tried(*server)
            self._known[server] = (now, trouble)
        return trouble

    async def _tried(self, host: str, port: int) -> str:
        try:
            async with asyncio.timeout(_PATIENCE.total_seconds()):
                await self._reach(host, port)
        except TimeoutError:
            return f"{host}:{port} does not answer within {_PATIENCE.seconds} s"
        except OSError as error:
            return f"nothing listens on {host}:{port} ({error.strerror or error})"
        return ""


def nearby(url: str | None) -> Server | None:
    """Return host and port of a server on this machine or its private network, else None."""
    try:
        parts = urlsplit(url or "")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if not host or not _is_ours(host):
        return None
    return host, port or (443 if parts.scheme == "https" else 80)


def _is_ours(host: str) -> bool:
    if host == "localhost" or host.endswith(_OWN_NAMES):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_private or address.is_loopback or address.is_link_local


async def _reach(host: str, port: int) -> None:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
