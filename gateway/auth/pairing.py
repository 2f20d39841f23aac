"""What a device that proved its key may do, and what it has to ask for (protocol.md §4.4). Pure.

| wish | direct loopback | from elsewhere |
|---|---|---|
| not paired | let in without a word | asks |
| more scopes | let in, if it showed the shared secret | asks |
| another role, another platform | asks | asks |
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from gateway.auth.peer import Peer
from gateway.protocol.handshake import Connect, Device as Proof
from gateway.protocol.methods import Scope, allows
from gateway.store.devices import Device, Request, Wish

REQUEST_LIFE: Final = timedelta(minutes=60)
MOST_REQUESTS: Final = 50
SEEN_EVERY: Final = timedelta(minutes=10)  # how often it is written that a device was here
SHARED: Final = frozenset({"none", "token", "password"})  # methods that show the shared secret
_KNOWN: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A connect whose proof and credential are good."""

    connect: Connect
    proof: Proof
    method: str
    peer: Peer
    address: str  # the caller's own, where a proxy we trust tells it
    now: datetime

    @property
    def scopes(self) -> tuple[str, ...]:
        """What it asks for, of the scopes there are."""
        return known(self.connect.scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """Who asks for a change of devices, and what they may do (§10.8)."""

    by: str
    scopes: tuple[str, ...]
    only_device: str | None = None  # a device's own session manages nothing but itself


def known(scopes: Iterable[str]) -> tuple[str, ...]:
    """Each scope once, in the order asked; unknown ones are nobody's."""
    return tuple(dict.fromkeys(scope for scope in scopes if scope in _KNOWN))


def covers(held: Collection[str], wanted: Collection[str]) -> bool:
    """Whether scopes that are held include all that is wanted (§9)."""
    return all(scope in _KNOWN and allows(held, Scope(scope)) for scope in wanted)


def wish_of(device: Device | None, asked: Asked) -> Wish | None:
    """What it wants that nobody has approved; the most fundamental first."""
    client = asked.connect.client
    if device is None or not device.approved:
        return Wish.NOT_PAIRED
    if _differs(device.platform, client.platform) or _differs(
        device.device_family, client.device_family
    ):
        return Wish.METADATA_UPGRADE
    if asked.connect.role not in device.roles:
        return Wish.ROLE_UPGRADE
    return None if covers(device.scopes, asked.scopes) else Wish.SCOPE_UPGRADE


def silently(wish: Wish, asked: Asked, *, auto_approve: bool) -> bool:
    """Whether nobody has to be asked."""
    if not auto_approve or not asked.peer.local:
        return False
    match wish:
        case Wish.NOT_PAIRED:
            return asked.method in SHARED
        case Wish.SCOPE_UPGRADE:
            return asked.method in SHARED
        case Wish.ROLE_UPGRADE | Wish.METADATA_UPGRADE:
            return False


def stranger(asked: Asked) -> Device:
    """A device as it introduces itself, not let in yet."""
    client = asked.connect.client
    return Device(
        device_id=asked.proof.id,
        public_key=asked.proof.public_key,
        client_id=client.id,
        client_mode=client.mode,
        display_name=client.display_name,
        created_at=asked.now,
    )


def let_in(device: Device, asked: Asked, *, via: str) -> Device:
    """The device with what it asked for."""
    return _approved(
        device,
        role=asked.connect.role,
        scopes=asked.scopes,
        platform=asked.connect.client.platform,
        family=asked.connect.client.device_family,
        via=via,
        now=asked.now,
    )


def approve(device: Device, request: Request, *, via: str, now: datetime) -> Device:
    """The device with what waited for a person."""
    return _approved(
        device,
        role=request.role,
        scopes=request.scopes,
        platform=request.platform,
        family=request.device_family,
        via=via,
        now=now,
    )


def _approved(
    device: Device,
    *,
    role: str,
    scopes: Collection[str],
    platform: str | None,
    family: str | None,
    via: str,
    now: datetime,
) -> Device:
    return replace(
        device,
        roles=tuple(dict.fromkeys((*device.roles, role))),
        scopes=tuple(dict.fromkeys((*device.scopes, *scopes))),
        platform=platform or device.platform,
        device_family=family or device.device_family,
        approved_via=via if device.approved_via is None else device.approved_via,
        approved_at=device.approved_at or now,
        request=None,
    )


def asks(device: Device, wish: Wish, asked: Asked, *, new_id: str) -> Device:
    """The device with its request; the same wish again keeps its id."""
    client, before = asked.connect.client, waiting(device, asked.now)
    same = before is not None and (before.wish, before.role, before.scopes) == (
        wish,
        asked.connect.role,
        asked.scopes,
    )
    request = Request(
        id=before.id if before is not None and same else new_id,
        wish=wish,
        role=asked.connect.role,
        scopes=asked.scopes,
        at=asked.now,
        platform=client.platform,
        device_family=client.device_family,
        ip=asked.address,
    )
    return replace(device, request=request)


def waiting(device: Device, now: datetime) -> Request | None:
    """What the device waits for, unless it has waited too long."""
    request = device.request
    return request if request is not None and now - request.at < REQUEST_LIFE else None


def seen(device: Device, now: datetime, reason: str) -> Device:
    """The device, here again."""
    return replace(device, last_seen_at=now, last_seen_reason=reason)


def worth_writing(before: Device | None, after: Device) -> bool:
    """Whether more has changed than that the device was here a moment ago."""
    if before is None or before.last_seen_at is None or after.last_seen_at is None:
        return True
    if after.last_seen_at - before.last_seen_at >= SEEN_EVERY:
        return True
    calm = replace(
        after, last_seen_at=before.last_seen_at, last_seen_reason=before.last_seen_reason
    )
    return calm != before


def _differs(pinned: str | None, told: str | None) -> bool:
    """Pinned at the first pairing; what is not told differs from nothing."""
    if not pinned or not told:
        return False
    return pinned.strip().casefold() != told.strip().casefold()
