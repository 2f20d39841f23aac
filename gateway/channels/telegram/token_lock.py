"""One poller per bot and machine: a kernel lock on a file that says who holds it (channels.md §9).

The platform answers a second poller with 409, now to one, now to the other, so that both lose
messages; another profile or home on this machine is found out before that. The kernel releases
the lock on any death.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.channels.telegram.account import TelegramAccount

_MOST: Final = 32


def common_room() -> Path:
    """Return the directory that all gateways of this user on this machine share."""
    return Path(tempfile.gettempdir()) / f"engine-pollers-{os.getuid()}"


class TokenLock:
    """The right to poll one bot. It is asked for with `taken_by`, and given up with `release`."""

    def __init__(self, room: Path, account: TelegramAccount) -> None:
        # The same token at another server is another bot.
        named = hashlib.sha256(f"{account.api_root}\n{account.token}".encode()).hexdigest()[:24]
        self._path = room / f"telegram-{named}.lock"
        self._file: int | None = None

    def taken_by(self) -> str:
        """Take it and return '', or who holds it. A room that cannot be used keeps nobody out."""
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            if self._path.parent.stat().st_uid != os.getuid():
                return ""
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return ""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(file)
            os.close(file)
            return holder
        self._file = file
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        return ""

    def release(self) -> None:
        """Give it up; safe to call twice."""
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None


def _holder(file: int) -> str:
    try:
        return f"pid {int(os.pread(file, _MOST, 0))}"
    except (OSError, ValueError):
        return "another program"
