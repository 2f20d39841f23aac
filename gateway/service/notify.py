"""What a service tells systemd about itself: ten lines over `NOTIFY_SOCKET` (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"


def notify(state: str) -> None:
    """Tell systemd, if it started us (`Type=notify`); without it this does nothing."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.connect(name)
        told.sendall(state.encode())
