"""The service of this profile as the host knows it: where its unit lies, what runs.

operations.md §8 and §9.3. The verbs that change it: `engine.cli.gateway.service`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine.cli.place import Place

if TYPE_CHECKING:
    from gateway.service.host import Runtime


class Manager(Protocol):
    """Who runs services on this host: systemd, or launchd."""

    @property
    def kind(self) -> str:
        """How it is called."""

    @property
    def system(self) -> bool:
        """Whether it is that of the machine, not of this user."""

    def folder(self, os_home: Path) -> Path:
        """Where units lie."""

    def missing(self) -> str | None:
        """Why there is none here; None if there is."""

    def version(self) -> int:
        """Its version, 0 if it does not say."""

    def runtime(self, name: str) -> Runtime:
        """How a unit stands."""

    def install(self, name: str, file: Path) -> None:
        """Have a unit that was written start with the machine."""

    def remove(self, name: str, file: Path) -> None:
        """Stop a unit and forget it."""

    def start(self, name: str, file: Path) -> None:
        """Start a unit."""

    def stop(self, name: str) -> None:
        """Stop a unit."""

    def restart(self, name: str, file: Path) -> None:
        """Start a unit anew, or at all."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """The unit of one profile, installed or not, and who would run it."""

    place: Place
    manager: Manager
    name: str

    @property
    def file(self) -> Path:
        """Where its unit lies, or would."""
        return self.manager.folder(self.place.paths.os_home) / self.name

    @property
    def installed(self) -> bool:
        """Whether it is there."""
        return self.file.is_file()


def manager_of(place: Place, *, system: bool = False) -> Manager:
    """Who would run a service here."""
    if place.platform == "darwin":
        from gateway.service.launchd import Launchd

        return Launchd(environ=place.environ)
    from gateway.service.host import Systemd

    return Systemd(environ=place.environ, system=system)


def name_of(place: Place, manager: Manager) -> str:
    """The name of this profile's unit."""
    if manager.kind == "launchd":
        from gateway.service import agent

        return f"{agent.label(place.paths.profile)}.plist"
    from gateway.service.unit import label

    return f"{label(place.paths.profile)}.service"


def find(place: Place) -> Service | None:
    """The installed service of this profile, the user's before the system's; None: none is."""
    for system in (False, True):
        manager = manager_of(place, system=system)
        service = Service(place=place, manager=manager, name=name_of(place, manager))
        if service.installed:
            return service
    return None


def described(place: Place) -> dict[str, Any]:
    """Return what `gateway status` tells of the service (operations.md §9.3)."""
    service = find(place)
    if service is None:
        return {"installed": False, "manager": None, "label": None, "file": None}
    run = service.manager.runtime(service.name)
    return {
        "installed": True,
        "manager": service.manager.kind,
        "label": service.name,
        "file": str(service.file),
        "runtime": {
            "loaded": run.loaded,
            "enabled": run.enabled,
            "state": run.active,
            "subState": run.sub,
            "pid": run.pid,
            "lastExitCode": run.last_exit,
            "restarts": run.restarts,
            "result": run.result,
        },
    }
