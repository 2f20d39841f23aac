"""Who may connect, and with which rights (protocol.md §4). Decisions on values; no sockets.

Pairing (devices kept in a store, device tokens) is a room of its own. Until it exists a
device proof is verified and then counts for nothing beyond the shared secret it came with.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.protocol.errors import Code, WireError
from gateway.protocol.handshake import Connect, Credentials, Device, Granted, Refused

SIGNATURE_AGE: Final = timedelta(seconds=120)
_PROXY_HEADERS: Final = ("forwarded", "x-real-ip")
_BROWSER_IDS: Final = frozenset({"openclaw-control-ui", "webchat-ui", "webchat"})
# §4.3: who keeps the scopes it asks for without a device, on direct loopback, no Origin.
_KEEPERS: Final = frozenset({("gateway-client", "backend"), ("cli", "cli")})
_PROBE: Final = ("cli", "probe")
FULL_SCOPES: Final = (
    "operator.admin",
    "operator.read",
    "operator.write",
    "operator.approvals",
    "operator.pairing",
    "operator.talk.secrets",
)


class Mode(StrEnum):
    """`gateway.auth.mode`. `trusted-proxy` belongs to a later room."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105 - the word of the config
    PASSWORD = "password"  # noqa: S105 - the word of the config


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Where a connection or request comes from, as the upgrade request tells."""

    host: str
    headers: Mapping[str, str] = field(default_factory=dict)  # lower-case names

    @property
    def origin(self) -> str | None:
        """The Origin header; browsers send one, command lines do not."""
        return self.headers.get("origin")

    @property
    def local(self) -> bool:
        """Direct loopback (§4.3): loopback address, no proxy header, a local Host."""
        if not _loopback(self.host) or not _local_host_header(self.headers.get("host", "")):
            return False
        return not any(
            name in _PROXY_HEADERS or name.startswith("x-forwarded-") for name in self.headers
        )


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


class Gatekeeper:
    """Judges connects and bearer headers against one policy; remembers failures per address."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._failures = Failures(policy)

    def judge(self, connect: Connect, nonce: str, now: datetime, peer: Peer) -> Granted | Refused:
        """Decide one `connect`."""
        if (refused := self._origin(connect, peer)) is not None:
            return refused
        exempt = self.policy.exempt_loopback and peer.local
        if not exempt and (wait := self._failures.locked(peer.host, now)) is not None:
            return _rate_limited(wait)
        reason = secret_fault(self.policy, connect.auth)
        if reason is not None and connect.device is None and not connect.auth.model_fields_set:
            return _device_required()
        if reason is not None:
            if not exempt and not reason.endswith("missing"):
                self._failures.add(peer.host, now)
            return _unauthorized(reason, connect)
        self._failures.forget(peer.host)
        if connect.device is not None:
            return self._with_device(connect, connect.device, nonce, now, peer)
        return self._without_device(connect, peer)

    def bearer(self, peer: Peer) -> bool:
        """Whether an HTTP caller shows the shared secret (§4.1)."""
        secret = self.policy.token if self.policy.mode is Mode.TOKEN else self.policy.password
        if self.policy.mode is Mode.NONE:
            return True
        scheme, _, shown = peer.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and secret is not None and same(shown.strip(), secret)

    def _origin(self, connect: Connect, peer: Peer) -> Refused | None:
        browser = connect.client.id in _BROWSER_IDS
        if (peer.origin is None and not browser) or origin_allowed(peer, self.policy):
            return None
        details = {
            "code": "CONTROL_UI_ORIGIN_NOT_ALLOWED",
            "reason": "origin not allowed" if peer.origin else "origin missing or invalid",
            "fix": "add the origin to gateway.controlUi.allowedOrigins",
        }
        return Refused(WireError(Code.INVALID_REQUEST, f"origin refused: {peer.origin}", details))

    def _without_device(self, connect: Connect, peer: Peer) -> Granted | Refused:
        client = connect.client
        if connect.role != "operator":
            return _device_required()
        if client.id in _BROWSER_IDS:
            return _browser_device_required()
        keeps = peer.local and peer.origin is None
        kind = (client.id, client.mode)
        scopes: Sequence[str] = ()
        if keeps and (kind in _KEEPERS or client.id.startswith("engine-")):
            scopes = connect.scopes
        elif keeps and kind == _PROBE:
            scopes = [scope for scope in connect.scopes if scope == "operator.read"]
        return self._granted(scopes, peer)

    def _with_device(
        self, connect: Connect, device: Device, nonce: str, now: datetime, peer: Peer
    ) -> Granted | Refused:
        if (fault := device_fault(connect, device, nonce, now)) is not None:
            return _bad_device(*fault)
        if connect.role != "operator" or not peer.local:
            return _pairing_required(connect, device)
        return self._granted(connect.scopes, peer, device.id)

    def _granted(self, scopes: Sequence[str], peer: Peer, device_id: str | None = None) -> Granted:
        known = [scope for scope in scopes if scope.startswith("operator.")]
        cap = peer.headers.get("x-openclaw-scopes", peer.headers.get("x-engine-scopes"))
        if cap is not None:
            allowed = {part.strip() for part in cap.split(",")}
            known = [scope for scope in known if scope in allowed]
        return Granted(
            scopes=tuple(dict.fromkeys(known)), method=self.policy.mode.value, device_id=device_id
        )


class Failures:
    """Failed credentials per address in a sliding window (§4.7)."""

    MAX_KEYS: Final = 10_000

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._at: dict[str, list[datetime]] = {}
        self._locked: dict[str, datetime] = {}

    def locked(self, key: str, now: datetime) -> timedelta | None:
        """How long this address still has to wait. A full table locks newcomers."""
        until = self._locked.get(key)
        if until is not None and now < until:
            return until - now
        if key not in self._at and len(self._at) >= self.MAX_KEYS:
            return self._policy.window
        return None

    def add(self, key: str, now: datetime) -> None:
        """Remember one failure; the tenth in the window locks."""
        self._locked.pop(key, None)
        recent = [at for at in self._at.get(key, ()) if now - at < self._policy.window]
        recent.append(now)
        self._at[key] = recent
        if len(recent) >= self._policy.max_failures:
            self._locked[key] = now + self._policy.lockout
            del self._at[key]

    def forget(self, key: str) -> None:
        """A good credential clears the address."""
        self._at.pop(key, None)
        self._locked.pop(key, None)


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


_WORDS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    # authReason: details.code, words, next step, fix
    "token_missing": (
        "AUTH_TOKEN_MISSING",
        "gateway token missing (provide the token of this gateway)",
        "update_auth_configuration",
        "set ENGINE_GATEWAY_TOKEN, or pass --token",
    ),
    "token_mismatch": (
        "AUTH_TOKEN_MISMATCH",
        "gateway token mismatch (provide the token of this gateway)",
        "update_auth_credentials",
        "unset ENGINE_GATEWAY_TOKEN, or pass the token of this gateway with --token",
    ),
    "token_missing_config": (
        "AUTH_TOKEN_NOT_CONFIGURED",
        "gateway token not configured on gateway (set gateway.auth.token)",
        "update_auth_configuration",
        "set gateway.auth.token, or take it out: then one is made",
    ),
    "password_missing": (
        "AUTH_PASSWORD_MISSING",
        "gateway password missing (provide the password of this gateway)",
        "update_auth_configuration",
        "set ENGINE_GATEWAY_PASSWORD, or pass --password",
    ),
    "password_mismatch": (
        "AUTH_PASSWORD_MISMATCH",
        "gateway password mismatch (provide the password of this gateway)",
        "update_auth_credentials",
        "pass the password of this gateway with --password-file",
    ),
    "password_missing_config": (
        "AUTH_PASSWORD_NOT_CONFIGURED",
        "gateway password not configured on gateway (set gateway.auth.password)",
        "update_auth_configuration",
        "engine config set gateway.auth.mode token",
    ),
    "device_token_mismatch": (
        "AUTH_DEVICE_TOKEN_MISMATCH",
        "device token mismatch (rotate or reissue the device token)",
        "update_auth_credentials",
        "connect once with the gateway token",
    ),
}


def _unauthorized(reason: str, connect: Connect) -> Refused:
    code, words, step, fix = _WORDS[reason]
    retry = (
        reason == "token_mismatch"
        and connect.device is not None
        and connect.auth.device_token is None
    )
    details: dict[str, Any] = {
        "code": code,
        "authReason": reason,
        "canRetryWithDeviceToken": retry,
        "recommendedNextStep": "retry_with_device_token" if retry else step,
        "fix": fix,
    }
    return Refused(WireError(Code.INVALID_REQUEST, f"unauthorized: {words}", details))


def _rate_limited(wait: timedelta) -> Refused:
    details = {
        "code": "AUTH_RATE_LIMITED",
        "authReason": "rate_limited",
        "canRetryWithDeviceToken": False,
        "recommendedNextStep": "wait_then_retry",
    }
    message = "unauthorized: too many failed authentication attempts (retry later)"
    milliseconds = int(wait.total_seconds() * 1000)
    return Refused(WireError(Code.INVALID_REQUEST, message, details, milliseconds))


def _device_required() -> Refused:
    details = {
        "code": "DEVICE_IDENTITY_REQUIRED",
        "fix": "set ENGINE_GATEWAY_TOKEN, or pass --token",
    }
    return Refused(WireError(Code.NOT_PAIRED, "device identity required", details))


def _browser_device_required() -> Refused:
    details = {"code": "CONTROL_UI_DEVICE_IDENTITY_REQUIRED"}
    message = "control ui requires device identity (device identity required)"
    return Refused(WireError(Code.INVALID_REQUEST, message, details))


def _pairing_required(connect: Connect, device: Device) -> Refused:
    message = "pairing required: device is not approved yet"
    details = {
        "code": "PAIRING_REQUIRED",
        "reason": "not-paired",
        "requestId": device.id[:32],
        "deviceId": device.id,
        "requestedRole": connect.role,
        "requestedScopes": list(connect.scopes),
        "remediationHint": "connect from the gateway's own host",
    }
    return Refused(WireError(Code.NOT_PAIRED, f"{message} (requestId: {device.id[:32]})", details))


def _bad_device(code: str, reason: str) -> Refused:
    words = reason.replace("-", " ") or "device proof refused"
    details = {"code": code, "reason": reason, "authReason": reason}
    return Refused(WireError(Code.INVALID_REQUEST, f"device proof refused: {words}", details))


def device_fault(
    connect: Connect, device: Device, nonce: str, now: datetime
) -> tuple[str, str] | None:
    """Verify a device proof in the order of §4.2; code and reason of the first fault."""
    raw = _public_key(device.public_key)
    if raw is None:
        return "DEVICE_AUTH_PUBLIC_KEY_INVALID", "device-public-key"
    if hashlib.sha256(raw).hexdigest() != device.id:
        return "DEVICE_AUTH_DEVICE_ID_MISMATCH", "device-id-mismatch"
    if abs(now.timestamp() * 1000 - device.signed_at) > SIGNATURE_AGE.total_seconds() * 1000:
        return "DEVICE_AUTH_SIGNATURE_EXPIRED", "device-signature-stale"
    if not device.nonce:
        return "DEVICE_AUTH_NONCE_REQUIRED", "device-nonce-missing"
    if not same(device.nonce, nonce):
        return "DEVICE_AUTH_NONCE_MISMATCH", "device-nonce-mismatch"
    signed = any(
        _signed_by(raw, device.signature, payload) for payload in signing_payloads(connect, device)
    )
    return None if signed else ("DEVICE_AUTH_SIGNATURE_INVALID", "device-signature")


def signing_payloads(connect: Connect, device: Device) -> tuple[str, str]:
    """What the device signed: v3, else v2."""
    auth, client = connect.auth, connect.client
    token = auth.token or auth.device_token or auth.bootstrap_token or ""
    fields = (
        device.id,
        client.id,
        client.mode,
        connect.role,
        ",".join(connect.scopes),
        str(device.signed_at),
        token,
        device.nonce,
    )
    place = (_lowered(client.platform), _lowered(client.device_family or ""))
    return "|".join(("v3", *fields, *place)), "|".join(("v2", *fields))


def _lowered(text: str) -> str:
    """A-Z only, as the signers do it; other alphabets stay as they are."""
    return "".join(char.lower() if "A" <= char <= "Z" else char for char in text.strip())


def _public_key(text: str) -> bytes | None:
    """32 raw bytes from base64url or PEM/SPKI (whose last 32 bytes are the key)."""
    body = "".join(line for line in text.splitlines() if not line.startswith("-----"))
    try:
        raw = base64.urlsafe_b64decode(body.replace("+", "-").replace("/", "_") + "==")
    except ValueError:
        return None
    return raw[-32:] if len(raw) in (32, 44) else None


def _signed_by(raw: bytes, signature: str, payload: str) -> bool:
    # Imported at the first device proof: 30 ms nobody else has to pay.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(
            base64.urlsafe_b64decode(signature + "=="), payload.encode()
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def origin_allowed(peer: Peer, policy: Policy) -> bool:
    """§4.6, without the dangerous Host fallback."""
    if peer.origin is None:
        return False
    if "*" in policy.allowed_origins or peer.origin in policy.allowed_origins:
        return True
    try:
        origin = urlsplit(peer.origin)
        origin_host = origin.hostname or ""
    except ValueError:  # not an address at all
        return False
    if peer.local and _loopback(origin_host):
        return True
    return _private(peer.host) and origin.netloc == peer.headers.get("host", "")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def _local_host_header(header: str) -> bool:
    try:
        host = urlsplit(f"//{header}").hostname
    except ValueError:
        return False
    return host is not None and _loopback(host)
