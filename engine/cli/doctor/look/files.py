"""The config file, and what lies beside it (operations.md §2, §3.1, §4.2)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.doctor.facts import ConfigFacts
from engine.cli.place import Place, shown
from engine.config.issues import MISSING
from engine.config.keeping import copies, guard
from engine.config.paths import unknown_variables
from gateway import exits
from jobs.errors import EngineError

if TYPE_CHECKING:
    from engine.config.load import Loaded

_OTHERS = 0o077


def config(place: Place) -> tuple[ConfigFacts, Loaded | None]:
    """Return the facts of the file, and the file if it can be used."""
    from engine.config.load import load

    paths = place.paths
    loaded: Loaded | None = None
    issues: tuple[str, ...] = ()
    waits = False
    try:
        loaded = load(paths.config, place.environ, state=paths.state, credentials=True)
    except EngineError as error:
        issues, waits = _issues(error), _waits(error)
    notes = () if loaded is None else loaded.notes
    return ConfigFacts(
        path=shown(paths.config, paths),
        exists=paths.config.exists(),
        symlink=str(paths.config.resolve()) if paths.config.is_symlink() else None,
        issues=issues,
        notes=tuple((one.code, one.path, one.message, one.level == "warning") for one in notes),
        newer=guard.newer_stamp(place.values),
        clobbered=_clobbered(place),
        migrates=bool(issues) and _migrates(place),
        good_copy=_good_copy(place) if issues and not waits else None,
        waits_for=shown(paths.state / ".env", paths) if waits else None,
        open_files=tuple(_open_files(place, loaded)),
        unknown_env=unknown_variables(place.environ),
    ), loaded


def _issues(error: EngineError) -> tuple[str, ...]:
    listed = error.detail.get("issues")
    if not isinstance(listed, list) or not listed:
        return (f"{error.what}: {error.why}" if error.why else error.what,)
    return tuple(_sentence(one) for one in listed)


def _waits(error: EngineError) -> bool:
    """Whether nothing is wrong with the file but that its variables are not set yet."""
    listed = error.detail.get("issues")
    return isinstance(listed, list) and {one.get("code") for one in listed} == {MISSING}


def _sentence(issue: dict[str, Any]) -> str:
    where = f"line {issue['line']}: " if issue.get("line") else ""
    key = f"{issue['path']}: " if issue.get("path") else ""
    return f"{where}{key}{issue.get('message')}"


def _migrates(place: Place) -> bool:
    """Whether the file loads with its older keys moved (§2.6)."""
    from engine.config.json5 import Json5Error
    from engine.config.keeping import legacy
    from engine.config.load import load

    paths = place.paths
    try:
        text, moved = legacy.migrated(paths.config.read_text("utf-8"))
        if moved:
            load(
                paths.config, place.environ, state=paths.state, raw=text.encode(), credentials=True
            )
    except (EngineError, Json5Error, OSError, UnicodeDecodeError):
        return False
    return bool(moved)


def _clobbered(place: Place) -> str | None:
    """A broken file that was put aside since the last start, or the last end."""
    newest = next(iter(copies.clobbered(place.paths.config)), None)
    if newest is None:
        return None
    ended = exits.read(place.paths.state)
    since = place.owner.started_at_ms if place.owner is not None else None
    if since is None and ended is not None:
        since = round(ended.at.timestamp() * 1000)
    changed = newest.stat().st_mtime_ns // 1_000_000
    return newest.name if since is None or changed >= since else None


def _good_copy(place: Place) -> str | None:
    """The newest copy beside the file that can be used."""
    from engine.config.load import load

    for copy in copies.every(place.paths.config):
        if f".{copies.CLOBBERED}" in copy.name:
            continue
        try:
            load(
                place.paths.config,
                place.environ,
                state=place.paths.state,
                raw=copy.read_bytes(),
                credentials=True,
            )
        except (EngineError, OSError):
            continue
        return str(copy)
    return None


def _open_files(place: Place, loaded: Loaded | None) -> list[str]:
    paths = place.paths
    known = (*(() if loaded is None else loaded.files), paths.config)
    files = dict.fromkeys((*known, paths.env_file, paths.token_file))
    return [str(file) for file in files if _is_open(file)]


def _is_open(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & _OTHERS)
    except OSError:
        return False
