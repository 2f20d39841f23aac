"""`device.*`: who asks to be let in, who is, and their tokens (protocol.md §10.8)."""

from __future__ import annotations

from gateway.auth.pairing import Manager
from gateway.protocol.device_params import (
    DeviceRef,
    DeviceRequestRef,
    DeviceTokenRef,
    DeviceTokenRotateParams,
)
from gateway.protocol.methods import Scope
from gateway.protocol.params import Nothing
from gateway.rpc.desk import Call, Desk


async def listing(desk: Desk, call: Call, _: Nothing) -> object:
    """`device.pair.list`."""
    return await desk.core.devices.listing(_manager(call))


async def approve(desk: Desk, call: Call, params: DeviceRequestRef) -> object:
    """`device.pair.approve`."""
    return await desk.core.devices.approve(params.request_id, _manager(call))


async def reject(desk: Desk, call: Call, params: DeviceRequestRef) -> object:
    """`device.pair.reject`."""
    return await desk.core.devices.reject(params.request_id, _manager(call))


async def remove(desk: Desk, call: Call, params: DeviceRef) -> object:
    """`device.pair.remove`: its sockets go with it."""
    answer = await desk.core.devices.remove(params.device_id, _manager(call))
    _dismiss(desk, call, params.device_id, None, "device removed")
    return answer


async def rotate(desk: Desk, call: Call, params: DeviceTokenRotateParams) -> object:
    """`device.token.rotate`: only the device itself is told its new token."""
    answer = await desk.core.devices.rotate(
        params.device_id, params.role, params.scopes, _manager(call)
    )
    own = call.session.device_id == params.device_id and call.session.role == params.role
    if not own:
        _dismiss(desk, call, params.device_id, params.role, "device token rotated")
        return {name: value for name, value in answer.items() if name != "token"}
    return answer


async def revoke(desk: Desk, call: Call, params: DeviceTokenRef) -> object:
    """`device.token.revoke`: who came in by it has to come again."""
    answer = await desk.core.devices.revoke(params.device_id, params.role, _manager(call))
    _dismiss(desk, call, params.device_id, params.role, "device token revoked")
    return answer


def _manager(call: Call) -> Manager:
    """A session that came in by a device token manages itself, unless it is an admin's."""
    session = call.session
    bound = session.auth_method == "device-token" and Scope.ADMIN not in session.scopes
    return Manager(
        by=call.by, scopes=session.ceiling, only_device=session.device_id if bound else None
    )


def _dismiss(desk: Desk, call: Call, device_id: str, role: str | None, why: str) -> None:
    desk.dismiss(
        lambda session: session.device_id == device_id and role in (None, session.role),
        f"client invalidated: {why}",
        after_answer_to=call.session,
    )
