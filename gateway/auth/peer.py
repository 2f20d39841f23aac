"""Where a connection or request comes from, as far as it can be believed (§4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.protocol.address import host_of, is_loopback

_PROXY_HEADERS: Final = ("forwarded", "x-real-ip")


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
        named = host_of(f"//{self.headers.get('host', '')}")
        if not is_loopback(self.host) or not is_loopback(named):
            return False
        return not any(
            name in _PROXY_HEADERS or name.startswith("x-forwarded-") for name in self.headers
        )
