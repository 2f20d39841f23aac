"""How the gateway ended last: one small file, so that nobody has to guess (operations.md §7.3).

Every end writes it but one: a process that was killed leaves its words in the lock file, and
whoever reads tells from that. The reasons are closed.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from zoneinfo import ZoneInfo

from engine.clock import Clock
from engine.log.files import Place
from engine.log.reading import last_error
from gateway import lock
from gateway.lock import Owner
from jobs.duration import format_duration
from jobs.errors import ConfigInvalid, EngineError, OwnershipRefused, StoreTooNew, StoreUnavailable

if TYPE_CHECKING:  # it brings sockets along, and whoever asks how a gateway ended needs none
    from engine.log.setup import Log

log = logging.getLogger(__name__)

FILE: Final = "last-exit.json"
STOP: Final = "stop-requested"
_MILLISECOND: Final = timedelta(milliseconds=1)


class Reason(StrEnum):
    """Why a gateway is no longer there."""

    STOP_COMMAND = "stop-command"
    RESTART = "restart"
    SIGTERM = "sigterm"
    SIGINT = "sigint"
    CONFIG_INVALID = "config-invalid"
    BIND_REFUSED = "bind-refused"
    PORT_BUSY = "port-busy"
    SECRET_UNRESOLVED = "secret-unresolved"  # noqa: S105 - a word, no secret
    OLDER_BINARY = "older-binary"
    STORE = "store-unavailable"
    CRASH = "crash"
    HOST_SHUTDOWN = "host-shutdown"
    OOM_SUSPECTED = "oom-suspected"
    UNCLEAN = "unclean"


SENTENCES: Final[Mapping[Reason, str]] = {
    Reason.STOP_COMMAND: "stopped by a command",
    Reason.RESTART: "stopped to start anew",
    Reason.SIGTERM: "stopped by SIGTERM (a supervisor, or kill)",
    Reason.SIGINT: "stopped by Ctrl-C",
    Reason.CONFIG_INVALID: "refused to start with its config",
    Reason.BIND_REFUSED: "could not listen on its address",
    Reason.PORT_BUSY: "could not listen, its port was taken",
    Reason.SECRET_UNRESOLVED: "refused to start without a secret its config refers to",
    Reason.OLDER_BINARY: "refused a state that a newer engine wrote",
    Reason.STORE: "could not use its state database",
    Reason.CRASH: "broke",
    Reason.HOST_SHUTDOWN: "went down with the machine",
    Reason.OOM_SUSPECTED: "was killed, probably for want of memory",
    Reason.UNCLEAN: "was killed, or the power went: it left no word",
}

_ASKED: Final[Mapping[Reason, str]] = {  # before the name of who asked
    Reason.STOP_COMMAND: "stopped by",
    Reason.SIGTERM: "stopped by SIGTERM from",
    Reason.RESTART: "stopped to start anew, asked for by",
}
_UNSEEN: Final = frozenset(
    {Reason.HOST_SHUTDOWN, Reason.OOM_SUSPECTED, Reason.UNCLEAN}
)  # nobody wrote down when


@dataclass(frozen=True, slots=True, kw_only=True)
class LastExit:
    """One end. ``at`` is when it was last known to live if it left no word itself."""

    at: datetime
    reason: Reason
    code: int | None = None  # exit status; None: nobody saw it
    pid: int | None = None
    boot_id: str | None = None
    version: str | None = None
    signal: str | None = None
    detail: str = ""
    last_error: str | None = None  # the last line of its log that told of an error
    requested_by: str = ""  # who asked for the end, where that is known
    uptime: timedelta | None = None

    @property
    def sentence(self) -> str:
        """How it ended, in words without a time."""
        said = SENTENCES[self.reason]
        if self.requested_by and self.reason in _ASKED:
            said = f"{_ASKED[self.reason]} {self.requested_by}"
        detail = f": {self.detail}" if self.detail else ""
        lived = "" if self.uptime is None else f" (uptime {format_duration(_whole(self.uptime))})"
        return f"{said}{detail}{lived}"

    def at_local(self, zone: ZoneInfo, now: datetime) -> str:
        """The sentence behind its local time; with the date unless it is today's."""
        local, today = self.at.astimezone(zone), now.astimezone(zone).date()
        shape = "%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M:%S"
        seen = "last seen " if self.reason in _UNSEEN else ""
        return f"{seen}{local:{shape}} — {self.sentence}"

    def to_json(self) -> dict[str, Any]:
        """Return it as the file and `gateway status --json` have it."""
        return {
            "ts": round(self.at.timestamp() * 1000),
            "pid": self.pid,
            "bootId": self.boot_id,
            "version": self.version,
            "code": self.code,
            "signal": self.signal,
            "reason": self.reason.value,
            "detail": self.detail,
            "lastErrorLine": self.last_error,
            "requestedBy": self.requested_by or None,
            "uptimeMs": None if self.uptime is None else self.uptime // _MILLISECOND,
            "sentence": self.sentence,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave; ValueError, KeyError or TypeError for anything else."""
        uptime = said.get("uptimeMs")
        return cls(
            at=datetime.fromtimestamp(said["ts"] / 1000, UTC),
            reason=Reason(said["reason"]),
            code=said.get("code"),
            pid=said.get("pid"),
            boot_id=said.get("bootId"),
            version=said.get("version"),
            signal=said.get("signal"),
            detail=str(said.get("detail") or ""),
            last_error=said.get("lastErrorLine"),
            requested_by=str(said.get("requestedBy") or ""),
            uptime=None if uptime is None else timedelta(milliseconds=uptime),
        )


def _started(owner: Owner) -> datetime:
    return datetime.fromtimestamp(owner.started_at_ms / 1000, UTC)


def of_error(error: Exception) -> tuple[Reason, str]:
    """Return why a start or a run that raised ended, and its cause in words."""
    if not isinstance(error, EngineError):
        return Reason.CRASH, f"{type(error).__name__}: {error}"
    return _reason_of(error), f"{error.what}: {error.why}" if error.why else error.what


def _reason_of(error: EngineError) -> Reason:
    match error:
        case ConfigInvalid() if _of_secrets(error):
            return Reason.SECRET_UNRESOLVED
        case ConfigInvalid():
            return Reason.CONFIG_INVALID
        case OwnershipRefused():
            return Reason.PORT_BUSY if "port" in error.detail else Reason.BIND_REFUSED
        case StoreTooNew():
            return Reason.OLDER_BINARY
        case StoreUnavailable():
            return Reason.STORE
        case _:
            return Reason.CRASH


def _of_secrets(error: ConfigInvalid) -> bool:
    issues = error.detail.get("issues")
    return (
        isinstance(issues, list)
        and bool(issues)
        and all(isinstance(one, Mapping) and one.get("code") == "secret" for one in issues)
    )


def of_signal(name: str) -> Reason:
    """Return the reason of a stop that a signal asked for, by its name in lower case."""
    return Reason(name) if name in {Reason.SIGTERM, Reason.SIGINT} else Reason.STOP_COMMAND


def of_stop(reason: str, requested_by: str) -> Reason:
    """Return the reason of a stop: a command that announced itself goes before its signal."""
    found = of_signal(reason)
    return Reason.STOP_COMMAND if requested_by.startswith("engine ") else found


def request_stop(home: Path, by: str) -> None:
    """Announce who is about to stop the gateway of this home, if the disk lets us."""
    with suppress(OSError):
        (home / STOP).write_text(by, "utf-8")


def stop_requested(home: Path) -> str:
    """Return who announced the stop that is made now, and forget it."""
    try:
        by = (home / STOP).read_text("utf-8").strip()
        (home / STOP).unlink()
    except (OSError, UnicodeDecodeError):
        return ""
    return by[:200]


def killed(
    owner: Owner, *, seen_at: datetime, booted_at: datetime | None, oom_kills: int = 0
) -> LastExit:
    """Return the end of a process that left its words in the lock file.

    ``seen_at``: its last sign of life. ``booted_at``: when this machine started, if that is
    known: whoever ran before went down with it. ``oom_kills``: how often the kernel has ended
    a process of this group for want of memory by now.
    """
    started = _started(owner)
    gone = booted_at is not None and started < booted_at
    memory = Reason.OOM_SUSPECTED if oom_kills > owner.oom_kills else Reason.UNCLEAN
    return LastExit(
        at=max(seen_at, started),
        reason=Reason.HOST_SHUTDOWN if gone else memory,
        pid=owner.pid,
        boot_id=owner.boot_id,
        version=owner.version,
        uptime=max(seen_at - started, timedelta()),
    )


# -- the file --------------------------------------------------------------------------------


def _nothing() -> None:
    """Nothing has been logged yet."""


@dataclass(slots=True)
class Ending:
    """What a process tells of its own end while it still can."""

    home: Path
    logs: Place
    clock: Clock
    boot_id: str
    version: str
    began: datetime
    hide: Callable[[str], str] = str  # takes secrets out of a text
    settled: Callable[[], None] = _nothing  # all that was logged is written

    def follow(self, log: Log) -> None:
        """Its words are those of this log from now on."""
        self.logs, self.hide, self.settled = log.files, log.redact, log.drain

    def tell(
        self,
        reason: Reason,
        *,
        code: int,
        detail: str = "",
        signal: str | None = None,
        requested_by: str = "",
    ) -> None:
        """Write it down, unless another process holds the home: its end is not ours to tell."""
        if not self.home.is_dir() or _held_by_another(self.home):
            return
        self.settled()
        now = self.clock.now()
        told = LastExit(
            at=now,
            reason=reason,
            code=code,
            pid=os.getpid(),
            boot_id=self.boot_id,
            version=self.version,
            signal=signal,
            detail=self.hide(detail),
            last_error=last_error(self.logs, self.began),
            requested_by=requested_by,
            uptime=now - self.began,
        )
        _kept(self.home, told)


@contextmanager
def told(ending: Ending) -> Iterator[Ending]:
    """Tell of every error that ends what happens inside; who ends it otherwise tells it there."""
    settle(ending.home)
    stop_requested(ending.home)  # of one who announced it and never did it
    try:
        yield ending
    except EngineError as error:
        reason, detail = of_error(error)
        ending.tell(reason, code=error.exit_status, detail=detail)
        raise
    except Exception as error:
        reason, detail = of_error(error)
        ending.tell(reason, code=1, detail=detail)
        raise


def settle(home: Path) -> None:
    """Write down the end of a process that was killed, before its words are overwritten."""
    if (ended := _unwritten(home)) is not None:
        _kept(home, ended)


def _kept(home: Path, ended: LastExit) -> None:
    """Write it if the disk lets us: what ends a gateway is told even if this cannot be kept."""
    try:
        write(home, ended)
    except OSError as error:
        log.warning("how the gateway ended could not be kept", extra={"because": str(error)})


def write(home: Path, ended: LastExit) -> None:
    """Keep how it ended (0600), all of it or nothing."""
    part = home / f".{FILE}.part"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(ended.to_json(), file, ensure_ascii=False)
    part.replace(home / FILE)


def read(home: Path) -> LastExit | None:
    """Return how the last gateway of this home ended; None if nothing is known."""
    return _unwritten(home) or _written(home)


def _written(home: Path) -> LastExit | None:
    try:
        return LastExit.from_json(json.loads((home / FILE).read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # not written yet, or by something else: nothing is known then


def _unwritten(home: Path) -> LastExit | None:
    """The end of a process that left its words in the lock file and wrote nothing since."""
    owner = lock.left(home)
    if owner is None:
        return None
    written = _written(home)
    if written is not None and written.at >= _started(owner):
        return None
    seen = _last_sign(home, owner)
    return killed(owner, seen_at=seen, booted_at=_booted_at(), oom_kills=oom_kills())


def oom_kills(root: Path = Path("/")) -> int:
    """How often the kernel ended a process of this group for want of memory (Linux, cgroup v2)."""
    try:
        group = (root / "proc/self/cgroup").read_text("ascii").partition("0::/")[2].strip()
        events = root / "sys/fs/cgroup" / group / "memory.events"
        told = dict(line.split() for line in events.read_text("ascii").splitlines())
        return int(told.get("oom_kill", 0))
    except (OSError, ValueError):
        return 0


def _held_by_another(home: Path) -> bool:
    owner = lock.read(home)
    return owner is not None and owner.pid != os.getpid()


def _last_sign(home: Path, owner: Owner) -> datetime:
    """When that process wrote last, as far as the files tell."""
    signs = [home / "state.db-wal", home / "state.db", *(home / "logs").glob("engine-*.log")]
    times = [path.stat().st_mtime for path in signs if path.exists()]
    return datetime.fromtimestamp(max(times, default=owner.started_at_ms / 1000), UTC)


def _booted_at(stat: Path = Path("/proc/stat")) -> datetime | None:
    """When the machine started, where the kernel tells (Linux)."""
    try:
        lines = stat.read_text("ascii").splitlines()
    except OSError:
        return None
    seconds = next((line.split()[1] for line in lines if line.startswith("btime ")), None)
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC)


def _whole(span: timedelta) -> timedelta:
    return timedelta(seconds=span // timedelta(seconds=1))
