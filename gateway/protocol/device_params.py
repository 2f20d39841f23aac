"""What `device.*` takes (protocol.md §10.8)."""

from __future__ import annotations

from gateway.protocol.frames import NonEmpty
from gateway.protocol.params import Mutation


class DeviceRequestRef(Mutation):
    """`device.pair.approve` and `device.pair.reject`."""

    request_id: NonEmpty


class DeviceRef(Mutation):
    """`device.pair.remove`."""

    device_id: NonEmpty


class DeviceTokenRef(Mutation):
    """`device.token.revoke`."""

    device_id: NonEmpty
    role: NonEmpty = "operator"


class DeviceTokenRotateParams(DeviceTokenRef):
    """`device.token.rotate`: with these scopes, or those it has."""

    scopes: list[NonEmpty] | None = None
