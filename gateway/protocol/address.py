"""Addresses: is it this machine, is it a private network. Pure, and quick to import."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: an address, or `localhost`. Other names are nobody's."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def is_private(host: str) -> bool:
    """Whether an address belongs to a network nobody routes to from outside."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def host_of(url: str) -> str:
    """The host of an address such as `ws://127.0.0.1:18789` or `//[::1]:1`; '' when it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # not an address at all
        return ""
