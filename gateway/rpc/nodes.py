"""Nodes: none can be paired here, and whoever asks is told so (protocol.md §10.8)."""

from __future__ import annotations

from gateway.protocol.admin_params import Anything, NodeEventParams, NodeInvokeParams, NodeRef
from gateway.protocol.errors import Code, Refusal, WireError
from gateway.protocol.params import Nothing
from gateway.rpc.desk import Call, Desk
from jobs.wallclock import ms


async def listing(desk: Desk, _call: Call, _params: Nothing) -> object:
    """`node.list`: no node connects to this gateway."""
    return {"ts": ms(desk.clock.now()), "nodes": []}


async def pairs(_desk: Desk, _call: Call, _params: Nothing) -> object:
    """`node.pair.list`."""
    return {"pending": [], "paired": []}


async def unknown(_desk: Desk, _call: Call, params: NodeRef) -> object:
    """`node.describe`, `node.rename`."""
    raise Refusal(
        WireError(
            Code.INVALID_REQUEST,
            f"unknown nodeId: {params.node_id}",
            {"code": "NODE_NOT_FOUND", "fix": "this gateway has no nodes; see node.list"},
        )
    )


async def invoke(_desk: Desk, _call: Call, params: NodeInvokeParams) -> object:
    """`node.invoke`: to a node that is not connected."""
    raise Refusal(
        WireError(
            Code.UNAVAILABLE,
            f"node not connected: {params.node_id}",
            {"code": "NOT_CONNECTED", "nodeId": params.node_id, "command": params.command},
        )
    )


async def event(_desk: Desk, _call: Call, params: NodeEventParams) -> object:
    """`node.event`: taken, and nobody is there to act on it."""
    return {
        "ok": True,
        "event": params.event,
        "handled": False,
        "reason": "this gateway acts on no events of nodes",
    }


async def nothing_pending(_desk: Desk, _call: Call, _params: Anything) -> object:
    """`node.pending.*`."""
    return {"items": []}
