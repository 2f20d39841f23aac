"""`channels.status`, `channels.routes` and the local inbox (protocol.md §10.5, channels.md §13)."""

from __future__ import annotations

from gateway.protocol.admin_params import ChannelRef, PollParams
from gateway.protocol.errors import invalid
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


async def start(desk: Desk, _: Call, params: ChannelRef) -> object:
    """`channels.start`."""
    return await desk.core.switchboard.start(params.channel, params.account_id)


async def stop(desk: Desk, _: Call, params: ChannelRef) -> object:
    """`channels.stop`: until it is started again, or the gateway is."""
    return await desk.core.switchboard.stop(params.channel, params.account_id)


async def logout(_desk: Desk, _: Call, params: ChannelRef) -> object:
    """`channels.logout`: bots have no login; their credential stands in the config."""
    raise invalid(
        f"channel {params.channel} does not support logout",
        fix=f"engine config unset channels.{params.channel}",
    )


async def poll(_desk: Desk, _: Call, params: PollParams) -> object:
    """`poll`: no channel here can ask one."""
    raise invalid(f"Channel {params.channel or 'local'} does not support polls.", path="/channel")


async def inbox(desk: Desk, _: Call, params: InboxListParams) -> object:
    """`inbox.list`."""
    return await desk.core.inbox.listing(params.wire())


async def ack(desk: Desk, _: Call, params: InboxAckParams) -> object:
    """`inbox.ack`."""
    return await desk.core.inbox.ack(params.ids)
