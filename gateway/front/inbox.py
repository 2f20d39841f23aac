"""The inbox on this machine, for clients (channels.md §13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.core import Engine
from engine.store import inbox
from jobs.store.db import Tx
from jobs.wallclock import ms


class FrontInbox:
    """The inbox on this machine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`inbox.list`, newest first."""
        limit = max(1, min(int(params.get("limit") or 50), 500))
        unseen_only = bool(params.get("unseen"))

        def work(tx: Tx) -> tuple[Any, int]:
            return inbox.page(tx, limit=limit, unseen=unseen_only), inbox.count_unseen(tx)

        (letters, total), unseen = await self._engine.database.read(work)
        return {
            "messages": [
                {
                    "id": letter.id,
                    "inbox": letter.inbox,
                    "kind": letter.kind,
                    "agentId": letter.agent_id,
                    "text": letter.text,
                    "atMs": ms(letter.at),
                    "seen": letter.seen_at is not None,
                }
                for letter in letters
            ],
            "total": total,
            "unseen": unseen,
        }

    async def ack(self, ids: Sequence[str] | None) -> dict[str, Any]:
        """`inbox.ack`."""
        now = self._engine.clock.now()
        acked = await self._engine.database.write(lambda tx: inbox.ack(tx, ids, now))
        return {"ok": True, "acked": acked}
