"""What a caller hands to a simulation, read: configs, instants, the variables of this machine."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.config.load import Loaded, load
from engine.config.paths import Paths, resolve
from jobs import wallclock
from jobs.errors import InvalidInput
from jobs.written import parse_at

Config = str | Path | Mapping[str, Any]
Instant = str | datetime


def instant(given: Instant, now: datetime, zone: str) -> datetime:
    """An instant as it is meant: aware, wall time in ``zone``, or written."""
    if isinstance(given, datetime):
        if given.tzinfo is None:
            given = given.replace(tzinfo=wallclock.zone(zone))
        return given
    return parse_at(given, now=now, tz=zone)


def environment() -> dict[str, str]:
    """The variables a config may name; none that steers an engine on this machine."""
    return {key: value for key, value in os.environ.items() if not key.startswith("ENGINE_")}


def places(config: Config, home: Path | None) -> Paths:
    """Where a simulation of this config lives: beside its file, or nowhere."""
    if not isinstance(config, Mapping) and not _is_text(config):
        path = Path(config).absolute()
        state = home or path.parent
    else:
        # Nothing is created there: a checklist that is handed in needs no file.
        state = home or Path(tempfile.gettempdir()) / "engine-simulation"
        path = state / "engine.json"
    return resolve({"ENGINE_STATE_DIR": str(state), "ENGINE_CONFIG_PATH": str(path)})


def _is_text(config: str | Path) -> bool:
    return isinstance(config, str) and ("{" in config or "\n" in config)


def read(config: Config, paths: Paths, environ: Mapping[str, str]) -> Loaded:
    """The config behind a file, a text or a mapping; refused as the gateway refuses it."""
    raw: bytes | None = None
    path = paths.config
    if isinstance(config, Mapping):
        raw = json.dumps(config).encode()
    elif _is_text(config):
        raw = str(config).encode()
    else:
        path = Path(config).absolute()
        if not path.is_file():
            raise InvalidInput(
                "the simulation has no config",
                why=f"{path} is not a file",
                fix="name the engine.json, or hand in a mapping",
            )
    return load(path, environ, state=paths.state, raw=raw)
