"""A device with a real key: signs connects as clients do (protocol.md §4.2)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.auth.proof import signing_payloads
from gateway.protocol.handshake import Connect


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Signer:
    """One device."""

    seed: int = 0
    _key: Ed25519PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([self.seed]) * 32)

    @property
    def raw(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    @property
    def id(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    def sign(self, params: dict[str, Any], nonce: str, at_ms: int, version: int = 3) -> Any:
        """The params of a connect with this device's proof."""
        device = {
            "id": self.id,
            "publicKey": b64(self.raw),
            "signature": "",
            "signedAt": at_ms,
            "nonce": nonce,
        }
        unsigned = Connect.model_validate({**params, "device": device})
        assert unsigned.device is not None
        payload = signing_payloads(unsigned, unsigned.device)[0 if version == 3 else 1]
        return {**params, "device": {**device, "signature": b64(self._key.sign(payload.encode()))}}
