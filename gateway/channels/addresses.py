"""Which addresses lie inside: loopback, private and local networks, whatever they are written as.

Pure, but for `resolved`, which asks the resolver.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_UNICAST: Final = ipaddress.IPv6Network("2000::/3")  # all that is routed (RFC 4291 §2.4)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolved(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host. Raises `OSError` if it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def private(addresses: Sequence[str]) -> str | None:
    """Return the first of the addresses that lies inside, or None."""
    for text in addresses:
        for address in _places(ipaddress.ip_address(text.partition("%")[0])):
            if _is_private(address):
                return str(address)
    return None


def _places(address: _Address) -> tuple[_Address, ...]:
    """Return where a packet to an address ends up: some IPv6 addresses have an IPv4 one in them."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in _NAT64:  # what a network without IPv4 calls the rest of the world
        return (ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF),)
    if address.sixtofour is not None:  # older Pythons take the whole of 2002::/16 for private
        return (address.sixtofour,)
    return (address, *(address.teredo or ()))


def _is_private(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return True
    return not address.is_global or address.is_multicast
