"""The inbox on this machine, for clients (channels.md §13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.core import Engine
from engine.store import inbox


class FrontInbox:
    """The inbox on this machine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`inbox.list`, newest first."""
        return await self._engine.database.read(lambda tx: inbox.listing(tx, params))

    async def ack(self, ids: Sequence[str] | None) -> dict[str, Any]:
        """`inbox.ack`."""
        now = self._engine.clock.now()
        acked = await self._engine.database.write(lambda tx: inbox.ack(tx, ids, now))
        return {"ok": True, "acked": acked}
