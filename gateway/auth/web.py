"""Who an HTTP caller is, and what it may do (protocol.md §4.1, §4.7, §11). Pure; time is given.

A shared secret is the operator: every scope. Where no secret is asked for, the caller may ask
for less (`x-engine-scopes`), and a browser's page of another origin, or a name that is not
this machine's, is no caller of this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.auth.failures import Failures
from gateway.auth.peer import Peer
from gateway.auth.policy import Mode, Policy, origin_allowed, own_origin, same
from gateway.auth.proxy import client_of, user_of
from gateway.auth.visits import PAGE, Visits

OPERATOR: Final = (
    "operator.admin",
    "operator.read",
    "operator.write",
    "operator.approvals",
    "operator.pairing",
    "operator.talk.secrets",
)


@dataclass(frozen=True, slots=True)
class Visitor:
    """A caller that is let in."""

    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stranger:
    """A caller that is not."""

    wait: timedelta | None = None  # locked out for so long
    origin: str | None = None  # a page that may not call here


def visit(policy: Policy, failures: Failures, peer: Peer, now: datetime) -> Visitor | Stranger:
    """Decide one request; a wrong secret counts, none at all does not."""
    if peer.origin is not None and not origin_allowed(peer, policy):
        return Stranger(origin=peer.origin)
    if policy.mode is Mode.NONE:
        return Visitor(scopes_asked(peer)) if peer.local else Stranger()
    if policy.mode is Mode.TRUSTED_PROXY and policy.proxy is not None:
        _, fault = user_of(peer, policy.proxy, policy.proxies)
        if fault is None:
            return Visitor(scopes_asked(peer))
        if not (peer.local and policy.password):  # of this host: by the password
            return Stranger()
    key = f"http|{client_of(peer, policy.proxies)}"
    exempt = policy.exempt_loopback and peer.local
    if not exempt and (wait := failures.locked(key, now)) is not None:
        return Stranger(wait=wait)
    secret = policy.token if policy.mode is Mode.TOKEN else policy.password
    shown = bearer_of(peer)
    if secret and shown and same(shown, secret):
        failures.forget(key)
        return Visitor(OPERATOR)
    if shown and not exempt:
        failures.add(key, now)
    return Stranger()


def enter(
    policy: Policy, failures: Failures, visits: Visits, shown: str, peer: Peer, now: datetime
) -> Visitor | Stranger:
    """Decide who asks to visit; a browser is never exempt from the lockout (§4.7)."""
    if peer.origin is not None and not own_origin(peer, policy):
        return Stranger(origin=peer.origin)
    key = f"page|{client_of(peer, policy.proxies)}"
    if (wait := failures.locked(key, now)) is not None:
        return Stranger(wait=wait)
    scopes = visits.redeem(shown, now)
    secret = policy.token if policy.mode is Mode.TOKEN else policy.password
    if scopes is None and secret and shown and same(shown, secret):
        scopes = PAGE
    if scopes is None:
        failures.add(key, now)
        return Stranger()
    failures.forget(key)
    return Visitor(scopes)


def bearer_of(peer: Peer) -> str:
    """The bearer token of a request; empty if there is none."""
    scheme, _, shown = peer.headers.get("authorization", "").partition(" ")
    return shown.strip() if scheme.lower() == "bearer" else ""


def scopes_asked(peer: Peer) -> tuple[str, ...]:
    """What a caller without a secret of its own wants to be: all, or what it names."""
    asked = peer.headers.get("x-openclaw-scopes", peer.headers.get("x-engine-scopes"))
    if asked is None:
        return OPERATOR
    wanted = {part.strip() for part in asked.split(",")}
    return tuple(scope for scope in OPERATOR if scope in wanted)
