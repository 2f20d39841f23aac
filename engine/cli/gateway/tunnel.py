"""A tunnel to the gateway of another machine, as long as one probe takes (operations.md §9.4)."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from shutil import which
from threading import Event
from typing import Final

from engine.cli.ask import Line
from engine.clock import SystemClock
from jobs.errors import UsageError

_LOOK: Final = 0.05  # seconds between two looks


@contextmanager
def through(target: str | None, line: Line, within: timedelta) -> Iterator[Line | None]:
    """Yield how the far gateway is called while the tunnel stands; None if there is none."""
    if target is None:
        yield None
        return
    if target.startswith("-") or not target.isprintable() or " " in target:
        raise UsageError(
            "no tunnel was opened", why=f"{target!r} is no user@host", fix="--ssh user@host"
        )
    program = which("ssh", path=line.place.environ.get("PATH"))
    if program is None:
        yield None
        return
    port, far = _free(), line.place.port()[0]
    words = [
        program, "-N", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes",
        "-L", f"127.0.0.1:{port}:127.0.0.1:{far}", target,
    ]  # fmt: skip
    process = subprocess.Popen(  # noqa: S603 - fixed words, and a host that was judged
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        stands = _stands(process, port, within)
        yield replace(line, url=f"ws://127.0.0.1:{port}") if stands else None
    finally:
        process.terminate()
        process.wait()


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _stands(process: subprocess.Popen[bytes], port: int, within: timedelta) -> bool:
    """Wait until somebody listens there, or ssh gives up."""
    clock = SystemClock()
    end = clock.monotonic() + within
    while process.poll() is None and clock.monotonic() < end:
        with socket.socket() as tried:
            tried.settimeout(_LOOK)
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return True
        Event().wait(_LOOK)
    return False
