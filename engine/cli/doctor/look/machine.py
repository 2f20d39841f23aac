"""The service, Python, the shell, backups, and what the security audit found (§8, §10)."""

from __future__ import annotations

import getpass
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.cli.doctor.facts import HostFacts, ServiceFacts
from engine.cli.gateway.report.host import survives_logout
from engine.cli.gateway.report.look import service_of
from engine.cli.place import Place
from jobs.errors import EngineError

if TYPE_CHECKING:
    from engine.config.load import Loaded

_POLICY: Final = "ENGINE_SERVICE_REPAIR_POLICY"
_PACKAGE: Final = "heartbeat-engine"
_SHELLS: Final = (".bashrc", ".bash_profile", ".zshrc", ".config/fish/config.fish")
_POWER: Final = Path("/sys/class/power_supply")
_MOST: Final = 5  # critical findings of the audit that are told one by one


def service(place: Place) -> ServiceFacts:
    """Return the facts of the service of this profile."""
    told = service_of(place)
    run, command, environ = told["runtime"], told["command"], told["env"]
    program = command[0] if command else ""
    failed = run.get("state") == "failed" or run.get("result") not in (None, "", "success")
    return ServiceFacts(
        managed=told["installed"] or told["missing"] is None,
        installed=told["installed"],
        system=told["manager"] == "systemd system",
        enabled=told["enabled"],
        running=run["status"] == "running",
        failed=str(run.get("result") or "failed") if told["installed"] and failed else None,
        drift=tuple(told["drift"]),
        duplicate=_beside(place, told),
        version=environ.get("ENGINE_SERVICE_VERSION"),
        program=program,
        program_there=not program or shutil.which(program) is not None,
        path=environ.get("PATH", ""),
        lingers=survives_logout(place),
        user=_user(),
        laptop=_is_laptop(),
        external=place.environ.get(_POLICY) == "external",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "you"


def _beside(place: Place, told: dict[str, Any]) -> str | None:
    """A unit of the same name in the other manager."""
    if not told["installed"]:
        return None
    from gateway.service.host import Systemd

    system = told["manager"] != "systemd system"
    other = Systemd(environ=place.environ, system=system).folder(place.paths.os_home)
    file = other / str(told["label"])
    return str(file) if file.is_file() else None


def _is_laptop(power: Path = _POWER) -> bool:
    return power.is_dir() and any(power.glob("BAT*"))


# -- the host ------------------------------------------------------------------------------------


def host(place: Place, loaded: Loaded | None, now: datetime) -> HostFacts:
    """Return the facts of Python, the shell, backups and the audit."""
    critical, warnings = _security(place, now)
    return HostFacts(
        python=(sys.version_info.major, sys.version_info.minor),
        moved=_moved(),
        missing=_missing(),
        completion=_completes(place),
        backups=_backups(place),
        sandbox=_sandbox(loaded),
        docker=shutil.which("docker", path=place.environ.get("PATH")) is not None,
        strangers=_strangers(loaded),
        security=critical,
        security_warnings=warnings,
        secrets=tuple(_secrets(place, loaded)),
    )


def _moved() -> str | None:
    """The folder an editable install was made from, if it is gone."""
    import json

    try:
        text = metadata.distribution(_PACKAGE).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    url = str(json.loads(text).get("url", "")) if text else ""
    folder = Path(url.removeprefix("file://"))
    return str(folder) if url.startswith("file://") and not folder.exists() else None


@cache
def _missing() -> tuple[str, ...]:
    """What the package wants and does not find; that does not change while a process lives."""
    return tuple(_lacking())


def _lacking() -> Iterator[str]:
    try:
        wanted = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    for text in wanted:
        try:
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                there = metadata.version(one.name)
                if not one.specifier.contains(there, prereleases=True):
                    yield f"{one.name} is {there}, {one.specifier} is needed"
        except metadata.PackageNotFoundError:
            yield Requirement(text).name
        except InvalidRequirement:
            continue


def _completes(place: Place) -> bool:
    for name in _SHELLS:
        try:
            if "engine completion" in (place.paths.os_home / name).read_text("utf-8", "replace"):
                return True
        except OSError:
            continue
    return False


def _backups(place: Place) -> int:
    folder = place.paths.state / "backups"
    return len(list(folder.glob("*.tar.gz"))) if folder.is_dir() else 0


def _sandbox(loaded: Loaded | None) -> str:
    return "off" if loaded is None else str(loaded.config.agents.defaults.sandbox.mode)


def _strangers(loaded: Loaded | None) -> tuple[str, ...]:
    from engine.messages import plugged

    if loaded is None or loaded.config.plugins.allow:
        return ()
    return tuple(plugged.installed())


def _security(place: Place, now: datetime) -> tuple[tuple[tuple[str, str, str], ...], int]:
    from engine.security import Severity, survey

    try:
        found = survey(place.paths, place.environ, now).findings
    except (EngineError, OSError):
        return (), 0
    critical = [one for one in found if one.severity is Severity.CRITICAL]
    told = tuple((one.check_id, one.title, one.remediation) for one in critical[:_MOST])
    return told, sum(one.severity is Severity.WARN for one in found)


def _secrets(place: Place, loaded: Loaded | None) -> Iterator[tuple[str, str]]:
    """References that cannot be resolved, where the file itself is in order."""
    from engine.cli import at_rest

    if loaded is None:
        return
    try:
        at_rest.loaded(place)
    except EngineError as error:
        listed = error.detail.get("issues")
        for one in listed if isinstance(listed, list) else [{"message": error.what}]:
            path = f"{one['path']}: " if one.get("path") else ""
            yield "unresolved", f"{path}{one.get('message')}"
