"""What the machine knows of a gateway: who listens on its port, its unit, others beside it.

operations.md §9.1–§9.3. Linux tells through /proc; elsewhere nothing is known of a port.
"""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Final

from engine.cli.place import Place

PROC: Final = Path("/proc")
_LISTEN: Final = "0A"
_OTHERS: Final = ("openclaw-gateway", "clawdbot-gateway", "engine-gateway")
_UNITS: Final = ("/etc/systemd/system", "/usr/lib/systemd/system")
_LONGEST: Final = 120  # characters of a command line


def listeners(port: int, proc: Path = PROC) -> list[dict[str, Any]]:
    """Return who listens on a TCP port: pid, user, command and address, as far as it is told."""
    sockets: dict[str, str] = {}
    for table in ("tcp", "tcp6"):
        for fields in _table(proc / "net" / table):
            host, _, number = fields[1].partition(":")
            if fields[3] == _LISTEN and number == f"{port:04X}":
                sockets[f"socket:[{fields[9]}]"] = _address(host)
    owners = dict(_owners(set(sockets), proc)) if sockets else {}
    return [
        {"address": f"{address}:{port}", **_process(owners.get(link), proc)}
        for link, address in sorted(sockets.items(), key=lambda one: one[1])
    ]


def _table(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text("ascii").splitlines()[1:]]
    except OSError:
        return []


def _address(word: str) -> str:
    raw = bytes.fromhex(word)
    if len(raw) == 4:
        return str(IPv4Address(raw[::-1]))
    swapped = b"".join(raw[n : n + 4][::-1] for n in range(0, len(raw), 4))
    return f"[{IPv6Address(swapped)}]"


def _owners(links: set[str], proc: Path) -> Iterator[tuple[str, int]]:
    for process in proc.glob("[0-9]*"):
        try:
            files = list((process / "fd").iterdir())
        except OSError:  # gone by now, or not ours to look at
            continue
        for link in links & {_target(file) for file in files}:
            yield link, int(process.name)


def _target(file: Path) -> str:
    try:
        return str(file.readlink())
    except OSError:  # closed meanwhile, as the one we listed them with
        return ""


def _process(pid: int | None, proc: Path) -> dict[str, Any]:
    if pid is None:
        return {"pid": None, "user": None, "command": None}
    folder = proc / str(pid)
    try:
        words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        owner = folder.stat().st_uid
    except OSError:
        return {"pid": pid, "user": None, "command": None}
    return {"pid": pid, "user": _user(owner), "command": " ".join(words).strip()[:_LONGEST]}


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def survives_logout(place: Place) -> bool | None:
    """Return whether services of this user outlive the log-out; None where nobody can tell."""
    from engine.cli.why import links
    from gateway.service.host import lingers

    if not links.SYSTEMD.exists():
        return None
    return os.geteuid() == 0 or lingers(getpass.getuser(), place.environ)


def others(place: Place, mine: str | None) -> list[dict[str, str]]:
    """Return services and programs beside this one that look like a gateway (`--deep`)."""
    found = [*_units(place, mine), *_programs(place), *_processes(place)]
    return [dict(one) for one in found]


def _units(place: Place, mine: str | None) -> Iterator[Mapping[str, str]]:
    home = place.paths.os_home
    folders = [home / ".config/systemd/user", *map(Path, _UNITS), home / "Library/LaunchAgents"]
    for folder in folders:
        for name in _OTHERS if folder.is_dir() else ():
            for file in sorted(folder.glob(f"{name}*")):
                if file.suffix in (".service", ".plist") and str(file) != mine:
                    yield {"kind": "service", "name": file.name, "where": str(file)}


def _programs(place: Place) -> Iterator[Mapping[str, str]]:
    """Every `engine` on PATH but the first: the shell takes that one."""
    path = place.environ.get("PATH", "").split(os.pathsep)
    there = [found for one in path if one and (found := shutil.which("engine", path=one))]
    for file in list(dict.fromkeys(there))[1:]:
        yield {"kind": "program", "name": "engine", "where": file}


def _processes(place: Place, proc: Path = PROC) -> Iterator[Mapping[str, str]]:
    """Gateways of this program that run and are not the one of this home."""
    mine = {os.getpid(), place.owner.pid if place.owner is not None else 0}
    for process in proc.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        ours = "engine" in " ".join(words[:3]) and "gateway" in words
        if ours and int(process.name) not in mine and "status" not in words:
            told = " ".join(words).strip()[:_LONGEST]
            yield {"kind": "process", "name": f"pid {process.name}", "where": told}
