"""The service of this profile as the host knows it: where its unit lies, what runs.

operations.md §8 and §9.3. The verbs that change it: `engine.cli.gateway.service`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.place import Place

if TYPE_CHECKING:
    from gateway.service.host import Systemd


@dataclass(frozen=True, kw_only=True)
class Service:
    """The unit of one profile, installed or not, and who would run it."""

    place: Place
    manager: Systemd
    name: str

    @property
    def file(self) -> Path:
        """Where its unit lies, or would."""
        return self.manager.folder(self.place.paths.os_home) / self.name

    @property
    def installed(self) -> bool:
        """Whether it is there."""
        return self.file.is_file()


def find(place: Place) -> Service | None:
    """The installed service of this profile, the user's before the system's; None: none is."""
    from gateway.service.host import Systemd
    from gateway.service.unit import label

    name = f"{label(place.paths.profile)}.service"
    for system in (False, True):
        manager = Systemd(environ=place.environ, system=system)
        service = Service(place=place, manager=manager, name=name)
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
