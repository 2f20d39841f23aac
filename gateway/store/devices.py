"""Devices that were let in, and those that ask to be: rows of `devices` (protocol.md §4.4).

Of a token only its hash is kept. What an approved device asks for beyond what it may is a
request beside its approval.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from jobs.store.db import Tx
from jobs.wallclock import at, instant, ms


class Wish(StrEnum):
    """What a device wants that nobody has approved: `reason` of the refusal."""

    NOT_PAIRED = "not-paired"
    ROLE_UPGRADE = "role-upgrade"
    SCOPE_UPGRADE = "scope-upgrade"
    METADATA_UPGRADE = "metadata-upgrade"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceToken:
    """What stands in for the shared secret, for one role of one device."""

    role: str
    scopes: tuple[str, ...]
    digest: str  # SHA-256 of the token
    salt: str  # the token follows from it and the key of the home
    created_at: datetime
    rotated_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A wish that waits for a person."""

    id: str
    wish: Wish
    role: str
    scopes: tuple[str, ...]
    at: datetime
    platform: str | None = None
    device_family: str | None = None
    ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One key, and what it may."""

    device_id: str
    public_key: str
    client_id: str
    client_mode: str
    created_at: datetime
    display_name: str | None = None
    platform: str | None = None
    device_family: str | None = None
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    tokens: Mapping[str, DeviceToken] = field(default_factory=dict)  # by role
    approved_via: str | None = None
    approved_at: datetime | None = None
    last_seen_at: datetime | None = None
    last_seen_reason: str | None = None
    request: Request | None = None

    @property
    def approved(self) -> bool:
        """Whether anybody let it in."""
        return self.approved_at is not None


_COLUMNS: Final = (
    "device_id, public_key, display_name, platform, device_family, client_id, client_mode,"
    " roles, scopes, tokens, approved_via, created_at, approved_at, last_seen_at,"
    " last_seen_reason, request"
)
_NAMES: Final = tuple(_COLUMNS.replace(",", "").split())


def everybody(tx: Tx) -> list[Device]:
    """Return every row, oldest first."""
    rows = tx.exec_driver_sql(f"SELECT {_COLUMNS} FROM devices ORDER BY created_at, device_id")
    return [_device(row) for row in rows]


def keep(tx: Tx, device: Device) -> None:
    """Write a device as it is now."""
    marks = ", ".join("?" for _ in _NAMES)
    changes = ", ".join(f"{name} = excluded.{name}" for name in _NAMES[1:])
    tx.exec_driver_sql(
        f"INSERT INTO devices ({_COLUMNS}) VALUES ({marks})"
        f" ON CONFLICT (device_id) DO UPDATE SET {changes}",
        _row(device),
    )


def change(tx: Tx, device: Device) -> bool:
    """Write a known device as it is now; False if its row is gone, and stays so."""
    changes = ", ".join(f"{name} = ?" for name in _NAMES[1:])
    row = _row(device)
    done = tx.exec_driver_sql(
        f"UPDATE devices SET {changes} WHERE device_id = ?", (*row[1:], row[0])
    )
    return done.rowcount > 0


def forget(tx: Tx, device_id: str) -> None:
    """Take a device out, with its tokens."""
    tx.exec_driver_sql("DELETE FROM devices WHERE device_id = ?", (device_id,))


def _row(device: Device) -> tuple[Any, ...]:
    return (
        device.device_id,
        device.public_key,
        device.display_name,
        device.platform,
        device.device_family,
        device.client_id,
        device.client_mode,
        json.dumps(device.roles),
        json.dumps(device.scopes),
        json.dumps([_token_words(token) for token in device.tokens.values()]),
        device.approved_via,
        ms(device.created_at),
        ms(device.approved_at),
        ms(device.last_seen_at),
        device.last_seen_reason,
        None if device.request is None else json.dumps(_request_words(device.request)),
    )


def _device(row: Sequence[Any]) -> Device:
    tokens = [_token(words) for words in json.loads(row[9])]
    return Device(
        device_id=row[0],
        public_key=row[1],
        display_name=row[2],
        platform=row[3],
        device_family=row[4],
        client_id=row[5],
        client_mode=row[6],
        roles=tuple(json.loads(row[7])),
        scopes=tuple(json.loads(row[8])),
        tokens={token.role: token for token in tokens},
        approved_via=row[10],
        created_at=at(row[11]),
        approved_at=instant(row[12]),
        last_seen_at=instant(row[13]),
        last_seen_reason=row[14],
        request=None if row[15] is None else _request(json.loads(row[15])),
    )


def _token_words(token: DeviceToken) -> dict[str, Any]:
    return {
        "role": token.role,
        "scopes": token.scopes,
        "digest": token.digest,
        "salt": token.salt,
        "createdAt": ms(token.created_at),
        "rotatedAt": ms(token.rotated_at),
        "revokedAt": ms(token.revoked_at),
        "lastUsedAt": ms(token.last_used_at),
    }


def _token(words: Mapping[str, Any]) -> DeviceToken:
    return DeviceToken(
        role=words["role"],
        scopes=tuple(words["scopes"]),
        digest=words["digest"],
        salt=words["salt"],
        created_at=at(words["createdAt"]),
        rotated_at=instant(words["rotatedAt"]),
        revoked_at=instant(words["revokedAt"]),
        last_used_at=instant(words["lastUsedAt"]),
    )


def _request_words(request: Request) -> dict[str, Any]:
    return {
        "id": request.id,
        "wish": request.wish.value,
        "role": request.role,
        "scopes": request.scopes,
        "at": ms(request.at),
        "platform": request.platform,
        "deviceFamily": request.device_family,
        "ip": request.ip,
    }


def _request(words: Mapping[str, Any]) -> Request:
    return Request(
        id=words["id"],
        wish=Wish(words["wish"]),
        role=words["role"],
        scopes=tuple(words["scopes"]),
        at=at(words["at"]),
        platform=words["platform"],
        device_family=words["deviceFamily"],
        ip=words["ip"],
    )
