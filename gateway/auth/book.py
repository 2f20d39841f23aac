"""The devices in memory, and the tokens that stand in for the shared secret (§4.4).

Read as a whole at the start and written through: nobody is told of a token or a request
before its row is on the disk. A token is derived from a key of the home and a salt, so that
a device gets the same one again while the store holds only its hash.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.auth.pairing import MOST_REQUESTS, SEEN_EVERY, covers, waiting
from gateway.auth.policy import same
from gateway.store.devices import Device, DeviceToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A device before and after; None: not known, or forgotten."""

    before: Device | None
    after: Device | None
    action: str  # for the audit
    by: str
    at: datetime


Keep = Callable[[Change], Awaitable[None]]


async def keep_nothing(_: Change) -> None:
    """Keep in memory only."""


class Book:
    """Every device this gateway knows."""

    def __init__(self, key: bytes, keep: Keep = keep_nothing) -> None:
        self._key = key
        self._keep = keep
        self._devices: dict[str, Device] = {}

    def fill(self, devices: Iterable[Device]) -> None:
        """Know these from now on."""
        self._devices = {device.device_id: device for device in devices}

    def everybody(self) -> tuple[Device, ...]:
        """Every device, oldest first."""
        return tuple(self._devices.values())

    def find(self, device_id: str) -> Device | None:
        """One device."""
        return self._devices.get(device_id)

    def asking(self, request_id: str, now: datetime) -> Device | None:
        """The device that waits under this id."""
        for device in self._devices.values():
            request = waiting(device, now)
            if request is not None and request.id == request_id:
                return device
        return None

    def note(self, change: Change) -> Callable[[], Awaitable[None]]:
        """Put a change in force here; await what is returned before anybody is told.

        What the disk refuses is undone here too: the next try writes it again.
        """
        subject = change.after or change.before
        if subject is None:
            raise AssertionError("a change is somebody's")
        self._put(subject.device_id, change.after)

        async def written() -> None:
            try:
                await self._keep(change)
            except BaseException:
                if self._devices.get(subject.device_id) == change.after:
                    self._put(subject.device_id, change.before)
                raise

        return written

    def drop(self, device: Device | None) -> None:
        """Know this one no more, whatever was known of it."""
        if device is not None:
            self._devices.pop(device.device_id, None)

    def _put(self, device_id: str, device: Device | None) -> None:
        if device is None:
            self._devices.pop(device_id, None)
        else:
            self._devices[device_id] = device

    def crowded_out(self, now: datetime) -> Device | None:
        """Who makes room for one more request: the one that has waited longest."""
        asking = [one for one in self._devices.values() if waiting(one, now) is not None]
        if len(asking) < MOST_REQUESTS:
            return None
        return min(asking, key=lambda one: one.request.at if one.request else now)

    # -- tokens ----------------------------------------------------------------------------

    def issue(
        self, device: Device, role: str, scopes: tuple[str, ...], now: datetime
    ) -> tuple[Device, str]:
        """A token for a role: the one it has, while that is good for what is asked."""
        token = device.tokens.get(role)
        if token is not None and token.revoked_at is None and covers(token.scopes, scopes):
            bearer = self._derived(device.device_id, role, token.salt)
            if same(_digest(bearer), token.digest):  # not after the key of the home was lost
                return device, bearer
        held = token.scopes if token is not None and token.revoked_at is None else ()
        return self.renew(device, role, tuple(dict.fromkeys((*held, *scopes))), now)

    def renew(
        self, device: Device, role: str, scopes: tuple[str, ...], now: datetime
    ) -> tuple[Device, str]:
        """A new token in the place of whatever was there."""
        before = device.tokens.get(role)
        salt = secrets.token_hex(16)
        bearer = self._derived(device.device_id, role, salt)
        token = DeviceToken(
            role=role,
            scopes=scopes,
            digest=_digest(bearer),
            salt=salt,
            created_at=before.created_at if before else now,
            rotated_at=now if before else None,
        )
        return replace(device, tokens={**device.tokens, role: token}), bearer

    def shown(self, device_id: str, role: str, bearer: str) -> DeviceToken | None:
        """The token that was shown, if it is good."""
        device = self._devices.get(device_id)
        token = device.tokens.get(role) if device is not None and device.approved else None
        if token is None or token.revoked_at is not None:
            same(_digest(bearer), _digest(""))  # takes as long
            return None
        return token if same(_digest(bearer), token.digest) else None

    def _derived(self, device_id: str, role: str, salt: str) -> str:
        words = f"{device_id}|{role}|{salt}".encode()
        return _plain(hmac.digest(self._key, words, "sha256"))


def revoked(device: Device, role: str, now: datetime) -> Device:
    """The device without the token of a role."""
    token = replace(device.tokens[role], revoked_at=now)
    return replace(device, tokens={**device.tokens, role: token})


def used(device: Device, role: str, now: datetime) -> Device:
    """The device, its token shown just now; that is not written at every call."""
    token = device.tokens[role]
    if token.last_used_at is not None and now - token.last_used_at < SEEN_EVERY:
        return device
    return replace(device, tokens={**device.tokens, role: replace(token, last_used_at=now)})


def _digest(bearer: str) -> str:
    return hashlib.sha256(bearer.encode()).hexdigest()


def _plain(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
