"""One gateway per home: a kernel lock on a file that says who holds it (operations.md §6.4).

The kernel releases the lock on any death, so it is never stale. The port is the second
layer: `gateway.server.bind`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from jobs.errors import OwnershipRefused

FILE: Final = "gateway.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """What the lock file tells about the gateway that holds it."""

    pid: int
    started_at_ms: int
    boot_id: str
    version: str
    profile: str = "default"
    config_path: str = ""
    host: str = "127.0.0.1"
    port: int | None = None  # None until the port is bound
    oom_kills: int = 0  # processes of its group ended for want of memory, when it started

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}"


_KEYS: Final = {
    "started_at_ms": "startTime",
    "boot_id": "bootId",
    "config_path": "configPath",
    "oom_kills": "oomKills",
}


class Lock:
    """Held by a running gateway; use as a context manager."""

    def __init__(self, home: Path, owner: Owner) -> None:
        self.path = home / FILE
        self.owner = owner
        self._file: int | None = None

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OwnershipRefused(
                f"the home {self.path.parent} cannot be used",
                why=f"{error.filename}: {error.strerror}",
                fix="make it writable for this user, or set ENGINE_STATE_DIR to a place that is",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            raise _held(self.path, error) from error
        self._file = file
        self._write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def renew(self, owner: Owner) -> None:
        """Another gateway of this process holds it from now on."""
        self.owner = owner
        self._write()

    def bound(self, host: str, port: int) -> None:
        """The port is known now: tell whoever reads the file."""
        self.owner = replace(self.owner, host=host, port=port)
        self._write()

    def release(self) -> None:
        """Give the home up; safe to call twice. The file stays, empty."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def _write(self) -> None:
        if self._file is None:
            return
        facts = {_KEYS.get(key, key): value for key, value in asdict(self.owner).items()}
        text = json.dumps(facts).encode()
        # One write over the old text, then cut: a reader never meets half a file.
        os.pwrite(self._file, text.ljust(os.fstat(self._file).st_size), 0)
        os.ftruncate(self._file, len(text))


def read(home: Path) -> Owner | None:
    """Who holds this home right now, or nobody: a dead owner's words are not repeated."""
    path = home / FILE
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _parse(os.read(file, 65_536)) if _is_held(file) else None
    finally:
        os.close(file)


def on_port(os_home: Path, port: int) -> Owner | None:
    """Which gateway of this user's other homes listens on a port, if one does."""
    for folder in sorted(os_home.glob(".engine*")):
        owner = read(folder)
        if owner is not None and owner.port == port:
            return owner
    return None


def left(home: Path) -> Owner | None:
    """The words of a process that held this home and died without giving it up."""
    try:
        file = os.open(home / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _is_held(file) else _parse(os.read(file, 65_536))
    finally:
        os.close(file)


def _is_held(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _parse(text: bytes) -> Owner | None:
    names = {wire: name for name, wire in _KEYS.items()}
    try:
        facts = json.loads(text)
        return Owner(**{names.get(key, key): value for key, value in facts.items()})
    except (ValueError, TypeError, AttributeError):
        return None


def listener(port: int, proc: Path = Path("/proc")) -> tuple[int, str] | None:
    """Process id and name of whoever listens on a TCP port, where the kernel tells (Linux)."""
    sockets = {
        f"socket:[{fields[9]}]"
        for table in ("tcp", "tcp6")
        for fields in _table(proc / "net" / table)
        if fields[3] == _LISTEN and fields[1].endswith(f":{port:04X}")
    }
    for process in proc.glob("[0-9]*") if sockets else ():
        try:
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                return int(process.name), (process / "comm").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):  # gone by now, or not ours to look at
            continue
    return None


_LISTEN: Final = "0A"


def _table(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text("ascii").splitlines()[1:]]
    except OSError:
        return []


def _held(path: Path, error: OSError) -> OwnershipRefused:
    if error.errno not in (errno.EAGAIN, errno.EACCES):
        return OwnershipRefused(
            f"{path} cannot be locked",
            why=f"{error.strerror}: this file system has no flock",
            fix="put the state directory on a local disk (ENGINE_STATE_DIR)",
        )
    owner = read(path.parent)
    if owner is None or owner.port is None:
        return OwnershipRefused(
            f"another gateway instance holds {path.parent}", fix="engine gateway status"
        )
    return already(owner)


def already(owner: Owner, *, fix: str = "engine gateway status") -> OwnershipRefused:
    """What is said where another gateway listens already."""
    since = datetime.fromtimestamp(owner.started_at_ms / 1000, UTC).astimezone()
    return OwnershipRefused(
        f"another gateway instance is already listening on {owner.url} "
        f"(pid {owner.pid}, profile {owner.profile}, since {since:%H:%M:%S})",
        fix=fix,
        pid=owner.pid,
        port=owner.port,
    )
