"""Who asks to talk, and who is let in (channels.md §3.2)."""

from __future__ import annotations

from gateway.protocol.params import PairingListParams, PairingRef
from gateway.rpc.desk import Call, Desk


async def listing(desk: Desk, _: Call, params: PairingListParams) -> object:
    """`pairing.list`."""
    return await desk.core.pairings.listing(params.channel, params.account_id)


async def approve(desk: Desk, call: Call, params: PairingRef) -> object:
    """`pairing.approve`."""
    return await desk.core.pairings.approve(params.channel, params.code, call.by)


async def reject(desk: Desk, call: Call, params: PairingRef) -> object:
    """`pairing.reject`."""
    return await desk.core.pairings.reject(params.channel, params.code, call.by)
