"""The auth part of the config, resolved, and what follows from it for a secret and an origin."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from gateway.auth.peer import Peer
from gateway.auth.proxy import Networks, ProxyRule
from gateway.protocol.address import host_of, is_loopback, is_private
from gateway.protocol.handshake import Credentials


class Mode(StrEnum):
    """`gateway.auth.mode`."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105 - the word of the config
    PASSWORD = "password"  # noqa: S105 - the word of the config
    TRUSTED_PROXY = "trusted-proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The auth part of the config, resolved."""

    mode: Mode
    token: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    proxy: ProxyRule | None = None
    proxies: Networks = field(default_factory=Networks)
    allowed_origins: tuple[str, ...] = ()
    auto_approve_local: bool = True
    max_failures: int = 10
    window: timedelta = timedelta(seconds=60)
    lockout: timedelta = timedelta(seconds=300)
    exempt_loopback: bool = True

    @property
    def secrets(self) -> tuple[object, ...]:
        """What a client that is in was let in by: when it changes, it has to come again."""
        return self.mode, self.token, self.password, self.proxy, self.proxies


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
        case Mode.PASSWORD | Mode.TRUSTED_PROXY:  # behind a proxy: of callers on this host
            return _fault("password", policy.password, shown.password, shown)


def _fault(kind: str, secret: str | None, shown: str | None, all_shown: Credentials) -> str | None:
    if not secret:
        return f"{kind}_missing_config"
    if not shown:
        if all_shown.device_token:
            return "device_token_mismatch"
        return "bootstrap_token_invalid" if all_shown.bootstrap_token else f"{kind}_missing"
    return None if same(shown, secret) else f"{kind}_mismatch"


def origin_fault(peer: Peer, policy: Policy) -> str | None:
    """Why a page of this origin may not connect (§4.6), or None.

    The Host header is not trusted for it but from a private network: the dangerous fallback
    is not served.
    """
    if peer.origin is None:
        return "origin missing or invalid"
    netloc = _netloc(peer.origin)
    if "*" in policy.allowed_origins or peer.origin in policy.allowed_origins:
        return None
    if netloc is None:
        return "origin missing or invalid"
    if peer.local and is_loopback(host_of(peer.origin)):
        return None
    same_host = netloc == peer.headers.get("host", "")
    inside = is_loopback(host_of(peer.origin)) or is_private(host_of(peer.origin))
    if is_private(peer.host) and inside and same_host:
        return None
    return "origin not allowed"


def origin_allowed(peer: Peer, policy: Policy) -> bool:
    """Whether a page of this origin may call here."""
    return origin_fault(peer, policy) is None


def own_origin(peer: Peer, policy: Policy) -> bool:
    """Whether the calling page is the gateway's own: of this host and port, or of a listed one."""
    if peer.origin is None:
        return False
    if peer.origin in policy.allowed_origins:
        return True
    netloc = _netloc(peer.origin)
    return netloc is not None and netloc == peer.headers.get("host")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
