"""Whom the other home let in: allow lists, requests, devices. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from engine.messages.target import PREFIXES, SERVED, split_target
from gateway.store.devices import Device, DeviceToken
from jobs.importing.report import Notes, Weight
from jobs.wallclock import instant

_ALLOWED: Final = re.compile(r"(?P<where>.+)-allowFrom\.json")
_ASKING: Final = re.compile(r"(?P<where>.+)-pairing\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who may write to an account."""

    channel: str
    account_id: str
    peer: str


def people(lists: Mapping[str, Any], notes: Notes) -> tuple[Person, ...]:
    """Return everybody whom the files of `credentials/` let in."""
    found: dict[Person, None] = {}
    for name, value in lists.items():
        if asking := _ASKING.fullmatch(name):
            rows = value.get("requests") if isinstance(value, dict) else None
            if rows:
                why = f"{len(rows)} who asked to be let in ask again: their codes work for an hour"
                notes.add(Weight.NOTE, f"credentials/{asking['where']}-pairing.json", why)
            continue
        allowed = _ALLOWED.fullmatch(name)
        if allowed is None:
            notes.add(Weight.NOTE, f"credentials/{name}", "not taken over: it is no allow list")
            continue
        place = _place(allowed["where"])
        if place is None:
            why = f"there is no channel here for {allowed['where']}"
            notes.add(Weight.LEFT_OUT, f"credentials/{name}", why)
            continue
        found |= dict.fromkeys(_listed(place, name, value, notes))
    return tuple(found)


def _place(where: str) -> tuple[str, str] | None:
    """`telegram` or `telegram-work`: channel and account."""
    for word, channel in PREFIXES.items():
        if channel not in SERVED:
            continue
        if where == word:
            return channel, "default"
        if where.startswith(f"{word}-"):
            return channel, where.removeprefix(f"{word}-")
    return None


def _listed(place: tuple[str, str], name: str, value: Any, notes: Notes) -> Iterator[Person]:
    rows = value.get("allowFrom") if isinstance(value, dict) else value
    for row in rows if isinstance(rows, list) else ():
        peer = split_target(str(row))[1].removeprefix("c2c:")
        if peer == "*":
            fix = f"engine config set channels.{place[0]}.allowFrom '[\"*\"]'"
            notes.add(Weight.LEFT_OUT, f"credentials/{name}", '"*" lets in anybody', fix)
        elif peer:
            yield Person(channel=place[0], account_id=place[1], peer=peer)


def devices(value: Any, notes: Notes, now: datetime) -> tuple[Device, ...]:
    """Return the devices of `paired.json`, with their tokens' hashes."""
    found = []
    for ident, row in (value if isinstance(value, dict) else {}).items():
        device = _device(str(ident), row, now) if isinstance(row, dict) else None
        if device is None:
            why = "it has no public key: it pairs anew"
            notes.add(Weight.LEFT_OUT, f"devices/paired.json {str(ident)[:12]}", why)
        else:
            found.append(device)
    return tuple(found)


def _device(ident: str, row: Mapping[str, Any], now: datetime) -> Device | None:
    key = row.get("publicKey")
    if not isinstance(key, str) or not key:
        return None
    made = instant(_number(row.get("createdAtMs"))) or now
    held = row.get("tokens")
    tokens = [
        _token(one, made) for one in (held.values() if isinstance(held, dict) else ()) if _good(one)
    ]
    roles = _words(row.get("roles")) or _words([row.get("role")]) or ("operator",)
    return Device(
        device_id=str(row.get("deviceId") or ident),
        public_key=key,
        client_id=str(row.get("clientId") or "unknown"),
        client_mode=str(row.get("clientMode") or "unknown"),
        display_name=_text(row.get("displayName")),
        platform=_text(row.get("platform")),
        device_family=_text(row.get("deviceFamily")),
        roles=roles,
        scopes=_words(row.get("approvedScopes")) or _words(row.get("scopes")),
        tokens={token.role: token for token in tokens},
        approved_via="import",
        created_at=made,
        approved_at=instant(_number(row.get("approvedAtMs"))) or made,
    )


def _good(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("token"), str) and bool(row["token"])


def _token(row: Mapping[str, Any], made: datetime) -> DeviceToken:
    """It is good once more: at its next greeting the device is given one of this home."""
    return DeviceToken(
        role=str(row.get("role") or "operator"),
        scopes=_words(row.get("scopes")),
        digest=hashlib.sha256(row["token"].encode()).hexdigest(),
        salt="",
        created_at=instant(_number(row.get("createdAtMs"))) or made,
        revoked_at=instant(_number(row.get("revokedAtMs"))),
    )


def _words(value: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in value if one) if isinstance(value, list) else ()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
