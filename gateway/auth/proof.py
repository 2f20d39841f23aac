"""What a device shows to prove itself: an Ed25519 signature over its connect (§4.2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final

from gateway.auth.policy import same
from gateway.protocol.handshake import Connect, Device

SIGNATURE_AGE: Final = timedelta(seconds=120)


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


def identity_of(home_key: bytes) -> tuple[str, str]:
    """The gateway's own device id and public key, made of the key of its home."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed = hmac.digest(home_key, b"gateway-identity", "sha256")
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    written = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    return hashlib.sha256(public).hexdigest(), written


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
