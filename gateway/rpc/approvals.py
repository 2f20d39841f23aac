"""Commands that wait for a person's yes (operations.md §13.1, protocol.md §10.8)."""

from __future__ import annotations

from gateway.protocol.params import ApprovalListParams, ApprovalResolveParams
from gateway.rpc.desk import Call, Desk


async def listing(desk: Desk, _: Call, params: ApprovalListParams) -> object:
    """`exec.approval.list`."""
    return await desk.core.approvals.listing(every=params.all)


async def resolve(desk: Desk, call: Call, params: ApprovalResolveParams) -> object:
    """`exec.approval.resolve`."""
    if params.decision == "deny":
        return await desk.core.approvals.deny(params.id, by=call.by)
    return await desk.core.approvals.approve(params.id, by=call.by)
