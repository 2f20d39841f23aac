"""Judges connects and bearer headers against one policy (protocol.md §4).

The order is a promise: origin, lockout, the device's proof, its credential, its pairing.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from gateway.auth import pairing, refusals, web
from gateway.auth.book import Book, Change, used
from gateway.auth.failures import Failures
from gateway.auth.pairing import SHARED, Asked, covers, known
from gateway.auth.peer import Peer
from gateway.auth.policy import Mode, Policy, origin_fault, secret_fault
from gateway.auth.proof import device_fault
from gateway.auth.proxy import client_of, user_of
from gateway.auth.visits import METHOD as VISIT, Visits
from gateway.protocol.handshake import Connect, Granted, Issued, Refused, Session
from gateway.protocol.methods import Scope
from gateway.store.devices import Device as Known, Wish

_BROWSER_IDS: Final = frozenset({"openclaw-control-ui", "webchat-ui", "webchat"})
# §4.3: who keeps the scopes it asks for without a device, on direct loopback, no Origin.
_KEEPERS: Final = frozenset({("gateway-client", "backend"), ("cli", "cli")})
_PROBE: Final = ("cli", "probe")
_EVERY_SCOPE: Final = tuple(scope.value for scope in Scope)


class Gatekeeper:
    """Judges by one policy; remembers failures per address and devices in a book."""

    def __init__(
        self, policy: Policy, book: Book | None = None, visits: Visits | None = None
    ) -> None:
        self.policy = policy
        self.visits = visits or Visits()
        self.book = book or Book(secrets.token_bytes(32))
        self._failures = Failures(policy)

    def adopt(self, policy: Policy) -> None:
        """Judge by another policy from now on. Who is locked out stays so."""
        self.policy = policy
        self._failures.policy = policy

    # -- WebSocket -------------------------------------------------------------------------

    def judge(self, connect: Connect, nonce: str, now: datetime, peer: Peer) -> Granted | Refused:
        """Decide one `connect`."""
        browser = connect.client.id in _BROWSER_IDS
        if peer.origin is not None or browser:
            fault = origin_fault(peer, self.policy)
            if fault is not None:
                return refusals.alien_origin(peer.origin, fault)
        key, exempt = self._key(peer, _kind(connect))
        if not exempt and (wait := self._failures.locked(key, now)) is not None:
            return refusals.rate_limited(wait)
        device = connect.device
        if device is not None and (bad := device_fault(connect, device, nonce, now)) is not None:
            return refusals.bad_device(*bad)
        visit = None
        if browser and device is None:
            visit = self.visits.calling(self.policy, peer, now)
        method = VISIT if visit is not None else self._method(connect, peer)
        if isinstance(method, _Fault):
            return self._unauthorized(method.reason, connect, key, now, exempt=exempt)
        self._failures.forget(key)
        if visit is not None and connect.role == "operator":
            mine = tuple(scope for scope in _capped(connect.scopes, peer) if scope in visit)
            return Granted(scopes=mine, method=method, ceiling=visit)
        if device is None:
            return self._without_device(connect, peer, method)
        return self._with_device(
            Asked(
                connect=connect,
                proof=device,
                method=method,
                peer=peer,
                address=client_of(peer, self.policy.proxies),
                now=now,
            )
        )

    def stands(self, session: Session, by: Policy) -> bool:
        """Whether a client judged ``by`` that policy would be let in now by what it showed."""
        own = session.auth_method == "device-token"
        if not own and self.policy.secrets != by.secrets:
            return False
        if session.device_id is None or session.issued is None:
            return True
        bearer = session.issued.token
        return self.book.shown(session.device_id, session.role, bearer) is not None

    def _key(self, peer: Peer, kind: str) -> tuple[str, bool]:
        """Whose failures are counted together, and whether they never lock.

        On loopback every page counts for itself, and locks; from afar the header is as the
        caller wrote it, and would give each guess an account of its own.
        """
        key = f"{kind}|{client_of(peer, self.policy.proxies)}"
        if peer.origin is not None:
            return (f"{key}|{peer.origin[:200]}" if peer.local else key), False
        return key, self.policy.exempt_loopback and peer.local

    def _method(self, connect: Connect, peer: Peer) -> str | _Fault:
        """By what the caller is let in, or why not."""
        policy, shown = self.policy, connect.auth
        fault: str | None = None
        if policy.mode is Mode.TRUSTED_PROXY and policy.proxy is not None:
            _, fault = user_of(peer, policy.proxy, policy.proxies)
            if fault is None:
                return policy.mode.value
            if not (peer.local and policy.password):
                return _Fault(fault)
        fault = secret_fault(policy, shown)
        if fault is None:
            return Mode.PASSWORD if policy.mode is Mode.TRUSTED_PROXY else policy.mode.value
        device, bearer = connect.device, shown.device_token or shown.token
        if device is None or not bearer:
            return _Fault(fault)
        token = self.book.shown(device.id, connect.role, bearer)
        if token is None:
            return _Fault(fault)
        if not covers(token.scopes, known(connect.scopes)):
            return _Fault("scope_mismatch")
        return "device-token"

    def _unauthorized(
        self, reason: str, connect: Connect, key: str, now: datetime, *, exempt: bool
    ) -> Refused:
        nothing_shown = connect.device is None and not connect.auth.model_fields_set
        if nothing_shown and not reason.startswith("trusted_proxy"):
            return refusals.device_required()
        refused = refusals.unauthorized(reason, connect)
        if not reason.endswith(("_mismatch", "_invalid")) or reason == "scope_mismatch":
            return refused  # a wrong credential counts, a missing one does not
        if self._failures.add(key, now, lock=not exempt):
            return replace(refused, note=f"locked out for {self.policy.lockout}")
        return replace(refused, delay=self._failures.delay(key, now)) if exempt else refused

    def _without_device(self, connect: Connect, peer: Peer, method: str) -> Granted | Refused:
        client = connect.client
        if connect.role != "operator":
            return refusals.device_required()
        proxied = method == Mode.TRUSTED_PROXY
        if client.id in _BROWSER_IDS and not proxied:
            return refusals.browser_device_required()
        keeps = peer.local and peer.origin is None
        kind = (client.id, client.mode)
        scopes: Sequence[str] = ()
        ceiling: tuple[str, ...] = ()
        if client.id in _BROWSER_IDS or (
            keeps and (kind in _KEEPERS or client.id.startswith("engine-"))
        ):
            scopes = connect.scopes
            ceiling = _capped(_EVERY_SCOPE, peer)
        elif keeps and kind == _PROBE:
            scopes = [scope for scope in connect.scopes if scope == Scope.READ]
        return Granted(scopes=_capped(scopes, peer), method=method, ceiling=ceiling)

    # -- devices ---------------------------------------------------------------------------

    def _with_device(self, asked: Asked) -> Granted | Refused:
        before = self.book.find(asked.proof.id)
        wish = pairing.wish_of(before, asked)
        if wish is None and before is not None:
            return self._welcome(asked, before, before, "device.seen")
        wish = wish or Wish.NOT_PAIRED
        device = before or pairing.stranger(asked)
        if pairing.silently(wish, asked, auto_approve=self.policy.auto_approve_local):
            device = pairing.let_in(device, asked, via="silent")
            return self._welcome(asked, before, device, "device.pair.silent")
        return self._to_be_asked(asked, before, device, wish)

    def _welcome(self, asked: Asked, before: Known | None, device: Known, action: str) -> Granted:
        role, now = asked.connect.role, asked.now
        scopes = _capped(asked.scopes, asked.peer)
        device, bearer = self.book.issue(device, role, scopes, now)
        if asked.method not in SHARED:
            device = used(device, role, now)
        device = pairing.seen(device, now, asked.connect.client.mode)
        token = device.tokens[role]
        return Granted(
            scopes=scopes,
            method=asked.method,
            device_id=device.device_id,
            ceiling=self._ceiling(asked, device),
            issued=Issued(bearer, token.rotated_at or token.created_at, role, token.scopes),
            work=self._noted(before, device, action, asked),
        )

    def _ceiling(self, asked: Asked, device: Known) -> tuple[str, ...]:
        """What it could have asked for without anybody being asked."""
        if asked.method not in SHARED:
            return _capped(device.tokens[asked.connect.role].scopes, asked.peer)
        grows = pairing.silently(
            Wish.SCOPE_UPGRADE, asked, auto_approve=self.policy.auto_approve_local
        )
        return _capped(_EVERY_SCOPE if grows else device.scopes, asked.peer)

    def _to_be_asked(
        self, asked: Asked, before: Known | None, device: Known, wish: Wish
    ) -> Refused:
        after = pairing.asks(device, wish, asked, new_id=secrets.token_hex(8))
        crowded = self.book.crowded_out(asked.now)
        work = self._noted(before, after, "device.pair.requested", asked)
        if crowded is not None and crowded.device_id != after.device_id:
            gone = replace(crowded, request=None) if crowded.approved else None
            first = self._noted(crowded, gone, "device.pair.expired", asked)
            work = _both(first, work)
        return replace(refusals.pairing_required(asked.connect, after), work=work)

    def _noted(
        self, before: Known | None, after: Known | None, action: str, asked: Asked
    ) -> Callable[[], Awaitable[None]] | None:
        if before is not None and after is not None and not pairing.worth_writing(before, after):
            return None
        by = f"device:{asked.proof.id[:12]}"
        change = Change(before=before, after=after, action=action, by=by, at=asked.now)
        return self.book.note(change)

    # -- HTTP ------------------------------------------------------------------------------

    def visit(self, peer: Peer, now: datetime) -> web.Visitor | web.Stranger:
        """Decide one HTTP request (§11)."""
        return web.visit(self.policy, self._failures, peer, now)

    def look(self, peer: Peer, now: datetime) -> web.Visitor | web.Stranger:
        """Decide who may see the status page: whoever visits already, or may call anyway."""
        scopes = self.visits.scopes_of(self.policy, peer, now)
        return self.visit(peer, now) if scopes is None else web.Visitor(scopes)

    def enter(self, shown: str, peer: Peer, now: datetime) -> web.Visitor | web.Stranger:
        """Decide who shows a code, or the secret itself, on the page's own form."""
        return web.enter(self.policy, self._failures, self.visits, shown, peer, now)


@dataclass(frozen=True, slots=True)
class _Fault:
    reason: str


def _kind(connect: Connect) -> str:
    shown = connect.auth
    if shown.password is not None:
        return "password"
    return "token" if shown.token is not None or shown.device_token is None else "device-token"


def _capped(scopes: Sequence[str], peer: Peer) -> tuple[str, ...]:
    """Scopes there are, within what the upgrade request allows (§4.1)."""
    cap = peer.headers.get("x-openclaw-scopes", peer.headers.get("x-engine-scopes"))
    if cap is None:
        return known(scopes)
    allowed = {part.strip() for part in cap.split(",")}
    return tuple(scope for scope in known(scopes) if scope in allowed)


def _both(
    first: Callable[[], Awaitable[None]] | None, then: Callable[[], Awaitable[None]] | None
) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        for one in (first, then):
            if one is not None:
                await one()

    return work
