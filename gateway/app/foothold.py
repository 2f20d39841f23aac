"""What a process keeps while gateways come and go in it: its home, its port (operations.md §7.2).

So nobody takes either in between, and who connects during a restart waits at a live port.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.lock import Lock, Owner
from gateway.restarts import Restarts
from gateway.server import bind


@dataclass(slots=True)
class Foothold:
    """Taken by the first gateway, given up when the last one has ended."""

    restarts: Restarts = field(default_factory=Restarts)
    _lock: Lock | None = None
    _asked: tuple[tuple[str, ...], int] | None = None
    _sockets: list[socket.socket] = field(default_factory=list)

    def hold(self, home: Path, owner: Owner) -> Lock:
        """Take the home, or say who holds it; a home that is held gets the new owner's words."""
        if self._lock is None:
            self._lock = Lock(home, owner).__enter__()
        else:
            self._lock.renew(owner)
        return self._lock

    def listen(self, hosts: Sequence[str], port: int) -> list[socket.socket]:
        """Return sockets for one gateway; it may close them, the port stays open behind them."""
        asked = (tuple(hosts), port)
        if asked != self._asked:
            self._close_port()
            self._sockets, self._asked = bind(list(hosts), port), asked
        return [one.dup() for one in self._sockets]

    def close(self) -> None:
        """Give everything up."""
        self._close_port()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _close_port(self) -> None:
        for one in self._sockets:
            one.close()
        self._sockets, self._asked = [], None
