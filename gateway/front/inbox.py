"""The inbox on this machine, for clients (channels.md §13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.core import Engine
from engine.store import inbox
from jobs.store.db import Tx
from jobs.wallclock import ms

PAGE: Final = 50


class FrontInbox:
    """The inbox on this machine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`inbox.list`, newest first."""

        def work(tx: Tx) -> tuple[Any, int]:
            found = inbox.page(
                tx,
                limit=int(params.get("limit") or PAGE),
                unseen=bool(params.get("unseen")),
                agent_id=params.get("agentId"),
                after=params.get("after"),
            )
            return found, inbox.count_unseen(tx)

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
