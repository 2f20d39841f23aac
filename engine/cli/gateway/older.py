"""A newer engine's gateway is not started, stopped or removed by an older one (§3.1)."""

from __future__ import annotations

from pathlib import Path

from engine.cli.place import Place
from engine.cli.service import find
from engine.config.keeping import guard


def refuse_older(place: Place) -> None:
    """Refuse with the program of the service, which is probably the newer one."""
    guard.refuse_older(place.values, place.environ, newer=_program(place))


def _program(place: Place) -> Path | None:
    service = find(place)
    if service is None:
        return None
    for line in service.file.read_text("utf-8", "replace").splitlines():
        key, _, command = line.partition("=")
        if key == "ExecStart" and command:
            return Path(command.split()[0].strip('"'))
    return None
