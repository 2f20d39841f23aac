"""Which addresses a gateway listens on: the wish, who wished it, what it comes to (§6.1).

operations.md §6.1. `decided` is pure; `seen` looks at the machine. Whatever is bound beyond
this machine, 127.0.0.1 is bound too, so that who runs here finds it there.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path
from typing import Final

from engine.config.schema.gateway import BIND_ALIASES
from jobs.errors import ConfigInvalid, OwnershipRefused

LOOPBACK: Final = ("127.0.0.1", "::1")
ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - only with auth: `gateway.auth.configured.refuse_open`
TAILNET: Final = IPv4Network("100.64.0.0/10")
MODES: Final = ("loopback", "lan", "tailnet", "custom", "auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for, and which layer asks."""

    mode: str
    source: str  # service args | env | config | default
    custom_host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What of this machine matters: its IPv4 addresses, and whether it is a container."""

    addresses: tuple[str, ...] = ()
    container: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The addresses; the first is the one that is told."""

    mode: str
    hosts: tuple[str, ...]
    source: str

    @property
    def open(self) -> bool:
        """Whether somebody else may reach it."""
        return not set(self.hosts) <= set(LOOPBACK)


def decided(wish: Wish, machine: Machine, *, secured: bool) -> Binding:
    """Return what a wish comes to; ``secured``: there is a secret, or a proxy that knows whom."""
    return Binding(mode=wish.mode, hosts=_hosts(wish, machine, secured), source=wish.source)


def _hosts(wish: Wish, machine: Machine, secured: bool) -> tuple[str, ...]:
    match wish.mode:
        case "loopback":
            return LOOPBACK
        case "auto":  # a container is reached from outside only, and never without a secret
            return ANY[:1] if machine.container and secured else LOOPBACK
        case "lan":
            return ANY
        case "tailnet":
            return LOOPBACK[0], _tailnet(machine)
        case "custom":
            return _custom(wish)
        case _:
            raise _unknown(wish)


def _tailnet(machine: Machine) -> str:
    for address in machine.addresses:
        if IPv4Address(address) in TAILNET:
            return address
    raise OwnershipRefused(
        "the gateway was not bound to the tailnet",
        why="no address of this machine lies in 100.64.0.0/10: is tailscale up?",
        fix="tailscale up, or: engine config set gateway.bind loopback",
    )


def _custom(wish: Wish) -> tuple[str, ...]:
    host = (wish.custom_host or "").strip()
    try:
        ip_address(host)
    except ValueError as error:
        why = f"{host!r} is no address" if host else "gateway.customBindHost is not set"
        raise ConfigInvalid(
            "the gateway was not bound to a custom address",
            why=why,
            fix="engine config set gateway.customBindHost 192.168.1.5",
        ) from error
    if host in LOOPBACK or host == ANY[0]:  # which is 127.0.0.1 too
        return (host,) if host != LOOPBACK[1] else LOOPBACK
    return LOOPBACK[0], host


def _unknown(wish: Wish) -> ConfigInvalid:
    meant = BIND_ALIASES.get(wish.mode)
    return ConfigInvalid(
        f"the gateway was not bound to {wish.mode!r} ({wish.source})",
        why=f"that is an address, and the mode is called {meant}"
        if meant
        else f"it is one of {', '.join(MODES)}",
        fix=f"engine gateway --bind {meant or 'loopback'}",
    )


# -- the machine -----------------------------------------------------------------------------


def seen(environ: Mapping[str, str], root: Path = Path("/")) -> Machine:
    """Look at this machine."""
    return Machine(addresses=_addresses(), container=in_container(environ, root))


def in_container(environ: Mapping[str, str], root: Path = Path("/")) -> bool:
    """Whether this is a container, by what its runtimes leave behind."""
    if environ.get("container") or environ.get("KUBERNETES_SERVICE_HOST"):
        return True
    return any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv"))


# ioctl(SIOCGIFADDR): the address of an interface; no library asks this for us.
_ASK: Final = 0xC0206921 if sys.platform == "darwin" else 0x8915


def _addresses() -> tuple[str, ...]:
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            try:
                told = fcntl.ioctl(asked, _ASK, struct.pack("256s", os.fsencode(name)[:15]))
            except OSError:
                continue  # it has none
            found.append(socket.inet_ntoa(told[20:24]))
    return tuple(found)
