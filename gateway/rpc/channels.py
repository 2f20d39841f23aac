"""`channels.status`, `channels.routes` and the local inbox (protocol.md §10.5, channels.md §13)."""

from __future__ import annotations

from gateway.protocol.params import (
    ChannelsRoutesParams,
    ChannelsStatusParams,
    InboxAckParams,
    InboxListParams,
)
from gateway.rpc.desk import Call, Desk


async def status(desk: Desk, _: Call, params: ChannelsStatusParams) -> object:
    """Every channel and account."""
    return await desk.core.channels_status(probe=params.probe, channel=params.channel)


async def routes(desk: Desk, _: Call, params: ChannelsRoutesParams) -> object:
    """`channels.routes`."""
    return await desk.core.channels_routes(params.wire())


async def inbox(desk: Desk, _: Call, params: InboxListParams) -> object:
    """`inbox.list`."""
    return await desk.core.inbox.listing(params.wire())


async def ack(desk: Desk, _: Call, params: InboxAckParams) -> object:
    """`inbox.ack`."""
    return await desk.core.inbox.ack(params.ids)
