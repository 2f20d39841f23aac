"""Who a reverse proxy says is calling, as far as it is believed (protocol.md §4.5). Pure.

What an untrusted peer writes into these headers is never believed: it can only make itself
more of a stranger.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from gateway.auth.peer import Peer
from gateway.protocol.address import is_loopback

Network = IPv4Network | IPv6Network
MOST_HOPS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyRule:
    """`gateway.auth.trustedProxy`."""

    user_header: str
    required_headers: tuple[str, ...] = ()
    allow_users: frozenset[str] = frozenset()
    allow_loopback: bool = False


@dataclass(frozen=True, slots=True)
class Networks:
    """`gateway.trustedProxies`: addresses and CIDR blocks."""

    blocks: tuple[Network, ...] = ()
    real_ip: bool = False  # gateway.allowRealIpFallback

    @classmethod
    def of(cls, words: tuple[str, ...], *, real_ip: bool = False) -> Networks:
        """Read the config's words; one that is no address raises `ValueError`."""
        return cls(tuple(ip_network(word.strip(), strict=False) for word in words), real_ip)

    def hold(self, host: str) -> bool:
        """Whether an address is one of the proxies."""
        try:
            address = ip_address(host)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in block for block in self.blocks)


def client_of(peer: Peer, networks: Networks) -> str:
    """The address failures are counted by: behind a trusted proxy, the client's own.

    That is the right-most hop of `X-Forwarded-For` that is no proxy of ours; whatever stands
    left of it was written by the client itself.
    """
    if not networks.hold(peer.host):
        return peer.host
    hops = peer.headers.get("x-forwarded-for", "").split(",")[-MOST_HOPS:]
    for hop in reversed(hops):
        host = _host(hop)
        if host is None:
            break
        if not networks.hold(host):
            return host
    if networks.real_ip and (real := _host(peer.headers.get("x-real-ip", ""))) is not None:
        return real
    return peer.host


def user_of(peer: Peer, rule: ProxyRule, networks: Networks) -> tuple[str | None, str | None]:
    """The user a proxy vouches for, or why there is none, as `authReason`."""
    if not networks.hold(peer.host):
        return None, "trusted_proxy_untrusted_source"
    if is_loopback(peer.host) and not rule.allow_loopback:
        return None, "trusted_proxy_loopback_source"
    for header in rule.required_headers:
        if not peer.headers.get(header.lower(), "").strip():
            return None, f"trusted_proxy_missing_header_{header.lower()}"
    user = peer.headers.get(rule.user_header.lower(), "").strip()
    # Two such headers are joined by a comma: one of them was not written by the proxy.
    if not user or "," in user:
        return None, "trusted_proxy_user_missing"
    if rule.allow_users and user not in rule.allow_users:
        return None, "trusted_proxy_user_not_allowed"
    return user, None


def _host(hop: str) -> str | None:
    """The address of one hop, without port and brackets."""
    word = hop.strip().strip('"')
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        return str(ip_address(word))
    except ValueError:
        return None
