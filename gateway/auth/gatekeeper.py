"""Judges connects and bearer headers against one policy (protocol.md §4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from gateway.auth import refusals, web
from gateway.auth.failures import Failures
from gateway.auth.peer import Peer
from gateway.auth.policy import Mode, Policy, origin_allowed, same, secret_fault
from gateway.auth.proof import device_fault
from gateway.protocol.handshake import Connect, Device, Granted, Refused

_BROWSER_IDS: Final = frozenset({"openclaw-control-ui", "webchat-ui", "webchat"})
# §4.3: who keeps the scopes it asks for without a device, on direct loopback, no Origin.
_KEEPERS: Final = frozenset({("gateway-client", "backend"), ("cli", "cli")})
_PROBE: Final = ("cli", "probe")


class Gatekeeper:
    """Judges connects and bearer headers against one policy; remembers failures per address."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._failures = Failures(policy)

    def adopt(self, policy: Policy) -> None:
        """Judge by another policy from now on. Who is in stays in, who is locked out too."""
        self.policy = policy
        self._failures.policy = policy

    def judge(self, connect: Connect, nonce: str, now: datetime, peer: Peer) -> Granted | Refused:
        """Decide one `connect`."""
        if (refused := self._origin(connect, peer)) is not None:
            return refused
        exempt = self.policy.exempt_loopback and peer.local
        if not exempt and (wait := self._failures.locked(peer.host, now)) is not None:
            return refusals.rate_limited(wait)
        reason = secret_fault(self.policy, connect.auth)
        if reason is not None and connect.device is None and not connect.auth.model_fields_set:
            return refusals.device_required()
        if reason is not None:
            if not exempt and not reason.endswith("missing"):
                self._failures.add(peer.host, now)
            return refusals.unauthorized(reason, connect)
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

    def visit(self, peer: Peer, now: datetime) -> web.Visitor | web.Stranger:
        """Decide one HTTP request (§11)."""
        return web.visit(self.policy, self._failures, peer, now)

    def _origin(self, connect: Connect, peer: Peer) -> Refused | None:
        browser = connect.client.id in _BROWSER_IDS
        if (peer.origin is None and not browser) or origin_allowed(peer, self.policy):
            return None
        return refusals.alien_origin(peer.origin)

    def _without_device(self, connect: Connect, peer: Peer) -> Granted | Refused:
        client = connect.client
        if connect.role != "operator":
            return refusals.device_required()
        if client.id in _BROWSER_IDS:
            return refusals.browser_device_required()
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
            return refusals.bad_device(*fault)
        if connect.role != "operator" or not peer.local:
            return refusals.pairing_required(connect, device)
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
