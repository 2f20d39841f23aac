"""Browsers a person let in: a code that is good once, and the cookie it becomes (protocol.md §4).

Of a code only its hash is kept, and that for minutes. Of a visit nothing is kept: its cookie
says until when and with which scopes, signed with a key made of the gateway's secret. So it
outlives a restart, and ends when the secret is replaced. Pure; time is given.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Final

from gateway.auth.peer import Peer
from gateway.auth.policy import Policy, own_origin
from gateway.protocol.methods import Scope, allows
from jobs.wallclock import ms

CODE: Final = timedelta(minutes=5)
VISIT: Final = timedelta(days=7)
PAGE: Final = (Scope.READ, Scope.WRITE)  # what the page needs; nobody brings more there
METHOD: Final = "visit"  # how such a client was let in
_CODES: Final = 32  # open at a time; the oldest goes
_LETTERS: Final = {"r": Scope.READ, "w": Scope.WRITE}


class Visits:
    """Codes that wait to be used, and the key of cookies where the policy has no secret."""

    def __init__(self) -> None:
        self._codes: dict[bytes, tuple[datetime, tuple[str, ...]]] = {}
        self._own = secrets.token_bytes(32)

    def offer(self, held: Collection[str], now: datetime) -> tuple[str, datetime]:
        """A code for somebody with these scopes, and until when it is good."""
        code, until = secrets.token_urlsafe(24), now + CODE
        while len(self._codes) >= _CODES:
            del self._codes[next(iter(self._codes))]
        scopes = tuple(scope for scope in PAGE if allows(held, scope))
        self._codes[_hash(code)] = (until, scopes)
        return code, until

    def redeem(self, code: str, now: datetime) -> tuple[str, ...] | None:
        """The scopes of a code that was not used; it is gone with that."""
        until, scopes = self._codes.pop(_hash(code), (now, ()))
        return scopes if now < until else None

    def cookie(self, policy: Policy, scopes: Collection[str], now: datetime) -> tuple[str, str]:
        """Name and value for a visit that begins now."""
        letters = "".join(letter for letter, scope in _LETTERS.items() if scope in scopes)
        told = f"{ms(now + VISIT)}.{letters}"
        return self._name(policy), f"{told}.{self._signed(policy, told)}"

    def scopes_of(self, policy: Policy, peer: Peer, now: datetime) -> tuple[str, ...] | None:
        """What the visitor behind a request may do; None: it is none, or none any more."""
        shown = _cookies(peer).get(self._name(policy), "")
        told, _, mark = shown.rpartition(".")
        if not told.isascii() or not hmac.compare_digest(
            mark.encode("utf-8", "replace"), self._signed(policy, told).encode()
        ):
            return None
        until, _, letters = told.partition(".")
        if not until.isdecimal() or int(until) <= (ms(now) or 0):
            return None
        return tuple(_LETTERS[letter] for letter in letters if letter in _LETTERS)

    def calling(self, policy: Policy, peer: Peer, now: datetime) -> tuple[str, ...] | None:
        """The same for a socket: a browser sends the cookie along for any page of this host.

        So the page that calls must be of this very address, port included.
        """
        return self.scopes_of(policy, peer, now) if own_origin(peer, policy) else None

    def _key(self, policy: Policy) -> bytes:
        secret = policy.token or policy.password
        return hashlib.sha256(b"visit:" + secret.encode()).digest() if secret else self._own

    def _signed(self, policy: Policy, told: str) -> str:
        return hmac.new(self._key(policy), told.encode(), hashlib.sha256).hexdigest()

    def _name(self, policy: Policy) -> str:
        """Cookies of a host are shared by its ports: each gateway knows its own."""
        return f"engine-visit-{self._signed(policy, 'name')[:8]}"


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "replace")).digest()


def _cookies(peer: Peer) -> dict[str, str]:
    try:
        found = SimpleCookie(peer.headers.get("cookie", "")[:4096])
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in found.items()}
