"""`gateway.suspend.*`: a host holds the gateway for a moment (protocol.md §10.1)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from gateway.protocol.admin_params import SuspendPrepareParams, SuspendRef, SuspendStatusParams
from gateway.rpc.desk import Call, Desk
from gateway.rpc.windows import refused

MOST: Final = 30  # prepares a client may ask for (§6, wire 4)
WINDOW: Final = timedelta(seconds=60)


async def prepare(desk: Desk, call: Call, params: SuspendPrepareParams) -> object:
    """`gateway.suspend.prepare`: the same request gets the same lease."""
    name = "gateway.suspend.prepare"
    wait = desk.writes.take(f"{name} {call.caller}", desk.clock.now(), most=MOST, window=WINDOW)
    if wait is not None:
        raise refused(name, wait, MOST, WINDOW)
    drain = bool(params.drain)
    return await desk.core.suspending.prepare(params.request_id, drain=drain, by=call.by)


async def status(desk: Desk, _: Call, params: SuspendStatusParams) -> object:
    """`gateway.suspend.status`."""
    return desk.core.suspending.status(params.suspension_id)


async def resume(desk: Desk, call: Call, params: SuspendRef) -> object:
    """`gateway.suspend.resume`."""
    return await desk.core.suspending.resume(params.suspension_id, by=call.by)
