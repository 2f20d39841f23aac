"""Asks the host's service manager, and tells it what to do (operations.md §8.1, §8.2, §8.4).

systemd through `systemctl` and `loginctl`; a host without it is told so, with another way.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.errors import EngineError

_SECONDS: Final = 30.0
_LIVE: Final = frozenset({"running", "degraded", "starting", "initializing"})
_ASKED: Final = (
    "LoadState", "UnitFileState", "ActiveState", "SubState", "MainPID", "ExecMainStatus",
    "NRestarts", "Result",
)  # fmt: skip
LINGER: Final = Path("/var/lib/systemd/linger")


class ServiceFault(EngineError):
    """The service manager did not do what it was asked."""

    code = "service"


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A unit as systemd sees it."""

    loaded: bool
    enabled: bool
    active: str  # active | inactive | failed | activating …
    sub: str
    pid: int | None
    last_exit: int | None
    restarts: int
    result: str

    @property
    def running(self) -> bool:
        """Whether it runs or is being started."""
        return self.active in ("active", "activating", "reloading")


@dataclass(frozen=True, slots=True, kw_only=True)
class Systemd:
    """The manager of the system's units, or of this user's."""

    environ: Mapping[str, str]
    system: bool = False

    @property
    def kind(self) -> str:
        """`systemd user` or `systemd system`."""
        return "systemd system" if self.system else "systemd user"

    def folder(self, os_home: Path) -> Path:
        """Where units lie."""
        if self.system:
            return Path("/etc/systemd/system")
        told = self.environ.get("XDG_CONFIG_HOME", "").strip()
        return (Path(told) if told else os_home / ".config") / "systemd" / "user"

    def missing(self) -> str | None:
        """Return why there is no such manager here; None if there is."""
        if shutil.which("systemctl", path=self.environ.get("PATH")) is None:
            return "this machine has no systemctl"
        said = self._asked("is-system-running")
        if said.out.strip() in _LIVE:
            return None
        why = said.out.strip() or said.err.strip().partition("\n")[0] or "no answer"
        return f"{self.kind} does not run here ({why})"

    def version(self) -> int:
        """Return the version of systemd, 0 if it does not say."""
        found = re.search(r"systemd (\d+)", self._asked("--version").out)
        return int(found[1]) if found else 0

    def runtime(self, unit: str) -> Runtime:
        """Return how a unit stands."""
        said = self._asked("show", unit, "-p", ",".join(_ASKED))
        facts = dict(line.partition("=")[::2] for line in said.out.splitlines())
        pid, code = _number(facts.get("MainPID")), _number(facts.get("ExecMainStatus"))
        return Runtime(
            loaded=facts.get("LoadState") == "loaded",
            enabled=facts.get("UnitFileState") == "enabled",
            active=facts.get("ActiveState") or "unknown",
            sub=facts.get("SubState") or "unknown",
            pid=pid or None,
            last_exit=code,
            restarts=_number(facts.get("NRestarts")) or 0,
            result=facts.get("Result") or "",
        )

    def install(self, name: str, file: Path) -> None:  # noqa: ARG002 - the other kind needs it
        """Have a unit that was written start with the machine."""
        self.tell("daemon-reload")
        self.tell("enable", name)

    def remove(self, name: str, file: Path) -> None:
        """Stop a unit and forget it."""
        self.tell("disable", "--now", name)
        file.unlink()
        self.tell("daemon-reload")

    def start(self, name: str, file: Path) -> None:  # noqa: ARG002 - the other kind needs it
        """Start a unit."""
        self.tell("start", name)

    def stop(self, name: str) -> None:
        """Stop a unit, and wait until it has stopped."""
        self.tell("stop", name)

    def restart(self, name: str, file: Path) -> None:  # noqa: ARG002 - the other kind needs it
        """Start a unit anew, or at all."""
        self.tell("restart", name)

    def tell(self, *words: str) -> None:
        """Ask for something; `ServiceFault` with what systemd said if it was not done."""
        said = self._asked(*words)
        if said.status:
            command = " ".join(self._words(words))
            raise ServiceFault(
                f"{command} was not done",
                why=(said.err or said.out).strip().partition("\n")[0] or f"status {said.status}",
                fix=command,
            )

    def _asked(self, *words: str) -> Said:
        return run(self._words(words), self.environ)

    def _words(self, words: Sequence[str]) -> list[str]:
        return ["systemctl", *(() if self.system else ("--user",)), *words]


def lingers(user: str, environ: Mapping[str, str], folder: Path = LINGER) -> bool:
    """Return whether this user's services outlive the log-out."""
    if shutil.which("loginctl", path=environ.get("PATH")) is not None:
        said = run(["loginctl", "show-user", user, "-p", "Linger", "--value"], environ)
        if said.status == 0 and said.out.strip() in ("yes", "no"):
            return said.out.strip() == "yes"
    return (folder / user).exists()


def linger(user: str, environ: Mapping[str, str]) -> str | None:
    """Have this user's services outlive the log-out; return what to type if that is refused."""
    if lingers(user, environ):
        return None
    said = run(["loginctl", "enable-linger", user], environ)
    return None if said.status == 0 else f"sudo loginctl enable-linger {user}"


def run(words: Sequence[str], environ: Mapping[str, str]) -> Said:
    """Run a command of the host; one that is not there, or hangs, has said that."""
    program = shutil.which(words[0], path=environ.get("PATH"))
    if program is None:
        return Said(127, "", f"{words[0]} is not on this machine")
    try:
        done = subprocess.run(  # noqa: S603 - fixed words and names we made ourselves
            [program, *words[1:]],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Said(124, "", f"{words[0]} did not answer within {_SECONDS:.0f} s")
    return Said(done.returncode, done.stdout, done.stderr)


def user_of(environ: Mapping[str, str]) -> str:
    """The name of the user this process runs as."""
    import pwd

    if os.geteuid() == 0 and (behind := environ.get("SUDO_USER")):
        return behind  # root only writes the file: the gateway is theirs
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return environ.get("USER") or str(os.geteuid())


def group_of(user: str) -> str | None:
    """The name of a user's own group, if there is such a user."""
    import grp
    import pwd

    try:
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    except KeyError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
