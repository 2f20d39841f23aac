"""`--force`: whoever holds the port is asked to end, and named (operations.md §6.5)."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.cli.gateway.report.host import PROC, listeners
from engine.cli.place import Place
from engine.cli.service import find
from jobs.errors import OwnershipRefused

PATIENCE: Final = 5.0  # seconds between being asked to end and being ended
_AFTER_KILL: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that listens on the port."""

    pid: int
    user: str
    command: str

    @property
    def ours(self) -> bool:
        """Whether it is a gateway of this engine: that one is ended whatever it does."""
        words = self.command.split()
        named = any(word == "engine" or word.endswith("/engine") for word in words)
        return named and "gateway" in words

    @property
    def words(self) -> str:
        """How it is named."""
        return f"pid {self.pid} ({self.user}): {self.command}"


def ended(place: Place, port: int, *, kill: bool) -> tuple[str, ...]:
    """End whoever listens on this port; returns what was done, a line each, or refuses."""
    found = holders(port, place.environ)
    _refuse_service(place, found)
    done = []
    for holder in found:
        sys.stderr.write(f"port {port} is held by {holder.words}\n")
        how = _end(holder, kill=kill or holder.ours, port=port)
        done.append(f"{how} to free port {port}: {holder.words}")
        sys.stderr.write(f"{done[-1]}\n")
    return tuple(done)


def holders(port: int, environ: Mapping[str, str]) -> list[Holder]:
    """Who listens there, each once; refuses where nobody can tell."""
    if port == 0:
        return []
    told = listeners(port) if PROC.is_dir() else _by_lsof(port, environ)
    if any(one["pid"] is None for one in told):
        raise OwnershipRefused(
            f"port {port} was not freed",
            why="a process of another user holds it",
            fix=f"sudo ss -ltnp sport = :{port}",
        )
    found = {
        one["pid"]: Holder(
            pid=one["pid"], user=one["user"] or "?", command=one["command"] or "no command"
        )
        for one in told
    }
    return list(found.values())


def _by_lsof(port: int, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    program = shutil.which("lsof", path=environ.get("PATH"))
    if program is None:
        raise OwnershipRefused(
            f"port {port} was not freed",
            why="without lsof nobody can tell here who holds it",
            fix="install lsof, or choose another --port",
        )
    said = subprocess.run(  # noqa: S603 - a program of the host and a number
        [program, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpcu"],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    ).stdout
    found: list[dict[str, Any]] = []
    for line in said.splitlines():
        match line[:1]:
            case "p":
                found.append({"pid": int(line[1:]), "user": None, "command": None})
            case "c" if found:
                found[-1]["command"] = line[1:]
            case "u" if found:
                found[-1]["user"] = line[1:]
            case _:
                pass
    return found


def _refuse_service(place: Place, found: list[Holder]) -> None:
    """A supervisor whose gateway is killed starts a second one."""
    service = find(place)
    if service is None:
        return
    pid = service.manager.runtime(service.name).pid
    if pid is not None and pid in {holder.pid for holder in found}:
        raise OwnershipRefused(
            f"the service {service.name} was not killed",
            why=f"it holds the port (pid {pid}), and {service.manager.kind} would start it again",
            fix=f"{place.program} gateway restart",
        )


def _end(holder: Holder, *, kill: bool, port: int) -> str:
    try:
        os.kill(holder.pid, signal.SIGTERM)
        if _gone(holder.pid, PATIENCE):
            return "ended"
        if not kill:
            raise OwnershipRefused(
                f"port {port} was not freed",
                why=f"pid {holder.pid} did not end within {PATIENCE:.0f} s of SIGTERM",
                fix=f"engine gateway --port {port} --force --kill",
            )
        os.kill(holder.pid, signal.SIGKILL)
        _gone(holder.pid, _AFTER_KILL)
    except ProcessLookupError:
        return "ended"
    except PermissionError as error:
        raise OwnershipRefused(
            f"port {port} was not freed",
            why=f"pid {holder.pid} is not ours to end",
            fix=f"sudo kill {holder.pid}",
        ) from error
    return "killed"


def _gone(pid: int, seconds: float) -> bool:
    """Wait for a process to end; False if it has not."""
    if hasattr(os, "pidfd_open"):
        watched = os.pidfd_open(pid)
        try:
            return bool(select.select([watched], [], [], seconds)[0])
        finally:
            os.close(watched)
    for _ in range(int(seconds / 0.1)):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        threading.Event().wait(0.1)  # there is no loop here that it could block
    return False
