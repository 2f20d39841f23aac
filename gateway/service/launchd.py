"""Asks launchd, and tells it what to do (operations.md §8.3, §8.4)."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.service.host import Runtime, Said, ServiceFault, run

_GONE: Final = frozenset({3, 113})  # no such process, no such service: it does not run


@dataclass(frozen=True, slots=True, kw_only=True)
class Launchd:
    """The agents of this user. Services of the whole machine are not installed from here."""

    environ: Mapping[str, str]
    system: bool = False

    @property
    def kind(self) -> str:
        """`launchd`."""
        return "launchd"

    @property
    def domain(self) -> str:
        """The session agents live in."""
        return f"gui/{os.getuid()}"

    def folder(self, os_home: Path) -> Path:
        """Where property lists lie."""
        return os_home / "Library" / "LaunchAgents"

    def missing(self) -> str | None:
        """Return why there is no such manager here; None if there is.

        Without a session on the screen there are no agents: a headless Mac needs a LaunchDaemon.
        """
        if shutil.which("launchctl", path=self.environ.get("PATH")) is None:
            return "this machine has no launchctl"
        if self._asked("print", self.domain).status:
            return (
                f"nobody is logged in on the screen ({self.domain} is not there): put what"
                " `engine gateway install --print` shows, with a UserName, into"
                " /Library/LaunchDaemons and run: sudo launchctl bootstrap system FILE"
            )
        return None

    def version(self) -> int:
        """Launchd has none that matters."""
        return 0

    def runtime(self, name: str) -> Runtime:
        """Return how an agent stands, by its property list's name."""
        said = self._asked("print", self._target(name))
        facts = dict(re.findall(r"^\s*([a-z ]+) = (.+)$", said.out, re.MULTILINE))
        running = facts.get("state") == "running"
        pid, code = facts.get("pid", ""), facts.get("last exit code", "")
        return Runtime(
            loaded=said.status == 0,
            enabled=said.status == 0,
            active="active" if running else "inactive",
            sub=facts.get("state", "dead"),
            pid=int(pid) if pid.isdecimal() else None,
            last_exit=int(code) if code.isdecimal() else None,
            restarts=max(int(runs) - 1, 0) if (runs := facts.get("runs", "")).isdecimal() else 0,
            result="",
        )

    def install(self, name: str, file: Path) -> None:
        """Load an agent that was written, in the place of one that is loaded; it runs then."""
        self._forget(name)
        self._tell("bootstrap", self.domain, str(file))

    def remove(self, name: str, file: Path) -> None:
        """Stop an agent and forget it."""
        self._forget(name)
        file.unlink()

    def start(self, name: str, file: Path) -> None:
        """Start an agent, loading it if need be."""
        if self.runtime(name).loaded:
            self._tell("kickstart", self._target(name))
        else:
            self._tell("bootstrap", self.domain, str(file))

    def stop(self, name: str) -> None:
        """Stop an agent; it would be started again unless it is unloaded."""
        self._tell("bootout", self._target(name))

    def restart(self, name: str, file: Path) -> None:
        """Start an agent anew, or at all."""
        if self.runtime(name).loaded:
            self._tell("kickstart", "-k", self._target(name))
        else:
            self._tell("bootstrap", self.domain, str(file))

    def _target(self, name: str) -> str:
        return f"{self.domain}/{name.removesuffix('.plist')}"

    def _forget(self, name: str) -> None:
        said = self._asked("bootout", self._target(name))
        if said.status and said.status not in _GONE:
            raise self._fault(("bootout", self._target(name)), said)

    def _tell(self, *words: str) -> None:
        said = self._asked(*words)
        if said.status:
            raise self._fault(words, said)

    def _asked(self, *words: str) -> Said:
        return run(["launchctl", *words], self.environ)

    def _fault(self, words: tuple[str, ...], said: Said) -> ServiceFault:
        command = " ".join(("launchctl", *words))
        why = (said.err or said.out).strip().partition("\n")[0] or f"status {said.status}"
        return ServiceFault(f"{command} was not done", why=why, fix=command)
