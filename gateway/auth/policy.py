"""The auth part of the config, resolved, and what follows from it for a secret and an origin."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from gateway.auth.peer import Peer
from gateway.protocol.address import host_of, is_loopback, is_private
from gateway.protocol.handshake import Credentials


class Mode(StrEnum):
    """`gateway.auth.mode`. `trusted-proxy` belongs to a later room."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105 - the word of the config
    PASSWORD = "password"  # noqa: S105 - the word of the config


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The auth part of the config, resolved."""

    mode: Mode
    token: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    allowed_origins: tuple[str, ...] = ()
    max_failures: int = 10
    window: timedelta = timedelta(seconds=60)
    lockout: timedelta = timedelta(seconds=300)
    exempt_loopback: bool = True


def same(shown: str, secret: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(shown.encode(), secret.encode())


def secret_fault(policy: Policy, shown: Credentials) -> str | None:
    """Why the shared secret does not let the caller in, as `authReason` (§5.2), or None."""
    match policy.mode:
        case Mode.NONE:
            return None
        case Mode.TOKEN:
            return _fault("token", policy.token, shown.token, shown)
        case Mode.PASSWORD:
            return _fault("password", policy.password, shown.password, shown)


def _fault(kind: str, secret: str | None, shown: str | None, all_shown: Credentials) -> str | None:
    if not secret:
        return f"{kind}_missing_config"
    if not shown:
        return "device_token_mismatch" if all_shown.device_token else f"{kind}_missing"
    return None if same(shown, secret) else f"{kind}_mismatch"


def origin_allowed(peer: Peer, policy: Policy) -> bool:
    """§4.6, without the dangerous Host fallback."""
    if peer.origin is None:
        return False
    if "*" in policy.allowed_origins or peer.origin in policy.allowed_origins:
        return True
    if peer.local and is_loopback(host_of(peer.origin)):
        return True
    return is_private(peer.host) and _netloc(peer.origin) == peer.headers.get("host", "")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
