"""`events.since`: what a client missed while it was away (protocol.md §14)."""

from __future__ import annotations

from gateway.protocol.admin_params import EventsSinceParams
from gateway.rpc.desk import Call, Desk


async def since(desk: Desk, _: Call, params: EventsSinceParams) -> object:
    """Events after a cursor, oldest first; without one, where to go on from."""
    return desk.replay.since(params.cursor, params.kinds)
