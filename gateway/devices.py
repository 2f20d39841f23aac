"""Devices as people see and manage them (protocol.md §10.8): who asks, who is in, tokens.

Keeps the promises of `gateway.rpc.core.Devices`. Every change is written, with its line in
the audit, before anybody is told; then the sockets it concerns are closed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from engine.clock import Clock
from engine.store import audit
from gateway.auth import pairing
from gateway.auth.book import Book, Change, revoked
from gateway.auth.pairing import Manager, covers, known, waiting
from gateway.store import devices
from gateway.store.devices import Device, DeviceToken, Request
from jobs.errors import AccessRefused, ConfigInvalid, Conflict, InvalidInput, NotFound
from jobs.store.db import Database, Tx
from jobs.wallclock import ms

_QUIET: Final = frozenset({"device.seen"})  # no line in the audit
_LIST: Final = "engine devices list"
Publish = Callable[[str, object], None]


def home_key(path: Path) -> bytes:
    """The key tokens follow from; made at the first start, readable by its owner only."""
    try:
        known_key = path.read_bytes() if path.exists() else b""
        if len(known_key) >= 32:
            return known_key
        made = secrets.token_bytes(32)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as out:
            os.fchmod(out.fileno(), 0o600)
            out.write(made)
    except OSError as error:
        raise ConfigInvalid(
            f"the key of device tokens cannot be read from {path}",
            why=error.strerror or str(error),
            fix="make it a file this user may read and write",
        ) from error
    return made


class Devices:
    """The book with its rows, its audit and its events."""

    def __init__(self, database: Database, clock: Clock, book_key: bytes, publish: Publish) -> None:
        self._database = database
        self._clock = clock
        self._publish = publish
        self.book = Book(book_key, self._keep)

    async def load(self) -> None:
        """Know every device of the store."""
        self.book.fill(await self._database.read(devices.everybody))

    async def _keep(self, change: Change) -> None:
        def work(tx: Tx) -> None:
            after = change.after
            if after is None:
                if change.before is not None:
                    devices.forget(tx, change.before.device_id)
            elif change.before is None:
                devices.keep(tx, after)
            elif not devices.change(tx, after):
                raise _removed_elsewhere(after.device_id)
            if change.action not in _QUIET:
                subject = after or change.before
                audit.note(
                    tx,
                    now=change.at,
                    actor=change.by,
                    action=change.action,
                    subject=subject.device_id if subject else None,
                )

        try:
            await self._database.write(work)
        except Conflict:  # by another gateway on the same store
            self.book.drop(change.after)
            raise
        if change.action == "device.pair.requested" and change.after is not None:
            self._publish("device.pair.requested", self._pending(change.after))

    # -- what is asked -----------------------------------------------------------------------

    async def listing(self, manager: Manager) -> dict[str, Any]:
        """`device.pair.list`."""
        now = self._clock.now()
        mine = [one for one in self.book.everybody() if _sees(manager, one.device_id)]
        return {
            "pending": [self._pending(one) for one in mine if waiting(one, now) is not None],
            "paired": [_words(one) for one in mine if one.approved],
        }

    async def approve(self, request_id: str, manager: Manager) -> dict[str, Any]:
        """`device.pair.approve`: nobody hands out more than they hold."""
        device, request = self._asking(request_id, manager)
        _refuse_more(manager, request.scopes)
        after = pairing.approve(device, request, via=manager.by, now=self._clock.now())
        await self._change(device, after, "device.pair.approve", manager)
        self._resolved(device, request, "approved")
        return {"requestId": request_id, "device": _words(after)}

    async def reject(self, request_id: str, manager: Manager) -> dict[str, Any]:
        """`device.pair.reject`."""
        device, request = self._asking(request_id, manager)
        after = replace(device, request=None) if device.approved else None
        await self._change(device, after, "device.pair.reject", manager)
        self._resolved(device, request, "rejected")
        return {"requestId": request_id, "deviceId": device.device_id}

    async def remove(self, device_id: str, manager: Manager) -> dict[str, Any]:
        """`device.pair.remove`."""
        device = self._known(device_id, manager)
        await self._change(device, None, "device.pair.remove", manager)
        return {"deviceId": device_id}

    async def rotate(
        self, device_id: str, role: str, scopes: Collection[str] | None, manager: Manager
    ) -> dict[str, Any]:
        """`device.token.rotate`: the bearer is in the answer under `token`."""
        device = self._known(device_id, manager)
        before = device.tokens.get(role)
        if role not in device.roles:
            raise InvalidInput(
                f"no token was made for the role {role}",
                why=f"the device is approved as {', '.join(device.roles) or 'nothing'}",
                fix=_LIST,
            )
        wanted = known(scopes) if scopes is not None else (before.scopes if before else ())
        if (scopes is not None and len(wanted) < len(set(scopes))) or not covers(
            device.scopes, wanted
        ):
            raise InvalidInput(
                "the token was not rotated",
                why=f"the device is approved for {', '.join(device.scopes) or 'no scopes'}",
                fix="ask for less, or approve the device for more",
            )
        _refuse_more(manager, wanted)
        now = self._clock.now()
        after, bearer = self.book.renew(device, role, wanted, now)
        await self._change(device, after, "device.token.rotate", manager)
        answer = {"deviceId": device_id, "role": role, "scopes": list(wanted)}
        return {**answer, "rotatedAtMs": ms(now), "token": bearer}

    async def revoke(self, device_id: str, role: str, manager: Manager) -> dict[str, Any]:
        """`device.token.revoke`."""
        device = self._known(device_id, manager)
        if role not in device.tokens:
            raise NotFound(f"the device has no token for the role {role}", fix=_LIST)
        now = self._clock.now()
        await self._change(device, revoked(device, role, now), "device.token.revoke", manager)
        return {"deviceId": device_id, "role": role, "revokedAtMs": ms(now)}

    async def _change(
        self, before: Device, after: Device | None, action: str, manager: Manager
    ) -> None:
        now = self._clock.now()
        change = Change(before=before, after=after, action=action, by=manager.by, at=now)
        await self.book.note(change)()

    def _asking(self, request_id: str, manager: Manager) -> tuple[Device, Request]:
        device = self.book.asking(request_id, self._clock.now())
        if device is None or device.request is None or not _sees(manager, device.device_id):
            raise NotFound(
                f"no device waits under {request_id}",
                why="requests wait for an hour; a device that asks again may have another",
                fix=_LIST,
            )
        if manager.only_device is not None:  # nobody lets itself in for more
            raise AccessRefused(
                "the request was not decided",
                why="a device does not decide about itself",
                fix="decide on the gateway's host",
            )
        return device, device.request

    def _known(self, device_id: str, manager: Manager) -> Device:
        device = self.book.find(device_id)
        if device is None or not _sees(manager, device_id):
            raise NotFound(f"unknown device {device_id}", fix=_LIST)
        return device

    def _resolved(self, device: Device, request: Request, decision: str) -> None:
        words = {
            "requestId": request.id,
            "deviceId": device.device_id,
            "decision": decision,
            "ts": ms(self._clock.now()),
        }
        self._publish("device.pair.resolved", words)

    @staticmethod
    def _pending(device: Device) -> dict[str, Any]:
        request = device.request
        if request is None:
            raise AssertionError("only a device that asks is pending")
        return _without_none(
            {
                "requestId": request.id,
                "deviceId": device.device_id,
                "publicKey": device.public_key,
                "displayName": device.display_name,
                "platform": request.platform,
                "deviceFamily": request.device_family,
                "clientId": device.client_id,
                "clientMode": device.client_mode,
                "role": request.role,
                "roles": list(dict.fromkeys((*device.roles, request.role))),
                "scopes": list(request.scopes),
                "remoteIp": request.ip,
                "silent": False,
                "isRepair": device.approved,
                "reason": request.wish.value,
                "ts": ms(request.at),
            }
        )


def _removed_elsewhere(device_id: str) -> Conflict:
    return Conflict(
        f"device {device_id[:12]} was removed meanwhile",
        why="its row is gone from the store",
        fix="connect again: it is judged anew",
    )


def _sees(manager: Manager, device_id: str) -> bool:
    return manager.only_device in (None, device_id)


def _refuse_more(manager: Manager, scopes: Collection[str]) -> None:
    if not covers(manager.scopes, scopes):
        raise AccessRefused(
            "the device was not given these scopes",
            why=f"{manager.by} does not hold {', '.join(scopes)}",
            fix="decide with a credential that holds them",
        )


def _words(device: Device) -> dict[str, Any]:
    return _without_none(
        {
            "deviceId": device.device_id,
            "publicKey": device.public_key,
            "displayName": device.display_name,
            "platform": device.platform,
            "deviceFamily": device.device_family,
            "clientId": device.client_id,
            "clientMode": device.client_mode,
            "role": device.roles[0] if device.roles else None,
            "roles": list(device.roles),
            "scopes": list(device.scopes),
            "approvedVia": device.approved_via,
            "createdAtMs": ms(device.created_at),
            "approvedAtMs": ms(device.approved_at),
            "lastSeenAtMs": ms(device.last_seen_at),
            "lastSeenReason": device.last_seen_reason,
            "tokens": [_token_words(token) for token in device.tokens.values()],
        }
    )


def _token_words(token: DeviceToken) -> dict[str, Any]:
    return _without_none(
        {
            "role": token.role,
            "scopes": list(token.scopes),
            "createdAtMs": ms(token.created_at),
            "rotatedAtMs": ms(token.rotated_at),
            "revokedAtMs": ms(token.revoked_at),
            "lastUsedAtMs": ms(token.last_used_at),
        }
    )


def _without_none(words: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value is not None}
