"""A home of OpenClaw as it lies there: found, read, never written (operations.md §1.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from engine.config import json5
from engine.config.compose import Composer
from engine.config.issues import refuse
from jobs.errors import UnreadableSource
from jobs.importing.report import Notes, Weight

CONFIGS: Final = ("openclaw.json", "clawdbot.json")
_JOBS: Final = ("state/openclaw.sqlite", "cron/jobs.json")
_LARGEST: Final = 64 * 1024 * 1024
# What else lies in such a home, and why it stays there.
STAYS: Final[Mapping[str, str]] = {
    "logs": "its logs are of what it did",
    "memory": "an index of its own; the notes themselves lie in the workspace",
    "media": "files of past messages",
    "skills": "skills run inside the other product; what lies in a workspace was copied",
    "extensions": "plugins are programs of the other product",
    "plugins": "plugins are programs of the other product",
    "hooks": "its hooks are programs of the other product; hooks.mappings say it here",
    "identity": "this home makes a key of its own; nobody needs to approve it",
    "nodes": "nodes pair anew: engine devices list",
    "sandbox": "containers of the other product",
    "sandboxes": "containers of the other product",
    "canvas": "there is no canvas here",
    "browser": "there is no browser here",
    "delivery-queue": "what waited there would be sent a second time",
    "subagents": "runs of the past",
    "tasks": "runs of the past",
    "flows": "runs of the past",
    "completions": "engine completion makes them",
    "exec-approvals.json": "say what may run in tools.exec of the config, or answer when asked",
    "settings": "settings of its own programs",
    "tls": "certificates; name them in the config if you need them",
    "secrets.json": "secrets stay where they are; secrets.providers may name the file",
}
_PASSING: Final = (".bak", ".clobbered", ".last-good", ".rejected", ".tmp", ".lock", "-wal", "-shm")
_READ: Final = frozenset(
    {*CONFIGS, ".env", "agents", "cron", "state", "credentials", "devices", "workspace"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Everything that is taken from it, as plain values."""

    path: Path
    text: str = "{}"  # of the config; with includes put in, without comments then
    included: bool = False
    env: str = ""
    sessions: Mapping[str, Any] = field(default_factory=dict)  # agent → its sessions.json
    lists: Mapping[str, Any] = field(default_factory=dict)  # file of credentials/ → its value
    devices: Any = None  # paired.json
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)  # provider → API key
    jobs: Path | None = None  # what has them: its database, or a jobs.json


def read(path: Path, notes: Notes) -> Source:
    """Read a home. Raises `UnreadableSource` for another folder, `ConfigInvalid` for its config."""
    config = next((path / name for name in CONFIGS if (path / name).is_file()), None)
    jobs = next((path / name for name in _JOBS if (path / name).is_file()), None)
    if config is None and jobs is None and not (path / "agents").is_dir():
        raise UnreadableSource(
            f"{path} was not imported",
            why=f"it is no home of OpenClaw: it has neither {CONFIGS[0]} nor cron/ nor agents/",
            fix="name the folder: engine import openclaw ~/.openclaw",
        )
    text, included = ("{}", False) if config is None else _config(config)
    _tables(path / "state/openclaw.sqlite", notes)
    _left(path, notes)
    return Source(
        path=path,
        text=text,
        included=included,
        env=_text(path / ".env") if (path / ".env").is_file() else "",
        sessions=dict(_sessions(path, notes)),
        lists={
            file.name: _json(file, notes) for file in sorted((path / "credentials").glob("*.json"))
        },
        devices=_json(path / "devices/paired.json", notes),
        keys=_keys(path, notes),
        jobs=_named_store(text, path) or jobs,
    )


def _config(file: Path) -> tuple[str, bool]:
    composer = Composer(file.parent)
    root = composer.compose(file)
    if root is None or composer.issues:
        raise refuse(file, composer.issues)
    text = _text(file)
    if len(composer.files) == 1:
        return text, False
    return f"{json5.render(root.plain())}\n", True


def _named_store(text: str, path: Path) -> Path | None:
    """The jobs file the config names (`cron.store`), where there is one."""
    values = json5.parse(text).root.plain()
    cron = values.get("cron") if isinstance(values, dict) else None
    named = cron.get("store") if isinstance(cron, dict) else None
    if not isinstance(named, str) or not named:
        return None
    file = path.parent / named[2:] if named.startswith("~/") else path / named
    return file if file.is_file() else None


def _tables(file: Path, notes: Notes) -> None:
    """What newer releases keep in their database beside jobs is named, not guessed at."""
    if not file.is_file():
        return
    from engine.cli.openclaw_db import others

    if names := others(file):
        shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
        notes.add(Weight.NOTE, "state/openclaw.sqlite", f"jobs are read from it; not read: {shown}")


def _sessions(path: Path, notes: Notes) -> Iterator[tuple[str, Any]]:
    for folder in sorted((path / "agents").glob("*")):
        file = folder / "sessions" / "sessions.json"
        if file.is_file():
            yield folder.name, _json(file, notes)
        count = sum(1 for _ in (folder / "sessions").glob("*.jsonl"))
        if count:
            where, why = (
                f"agents/{folder.name}/sessions",
                f"{count} transcripts stay where they are",
            )
            notes.add(Weight.NOTE, where, f"{why}: conversations begin anew")


def _keys(path: Path, notes: Notes) -> dict[str, str]:
    """API keys of providers; what a browser once signed in for is no key."""
    found: dict[str, str] = {}
    for file in sorted((path / "agents").glob("*/agent/auth-profiles.json")):
        value = _json(file, notes)
        profiles = value.get("profiles") if isinstance(value, dict) else None
        for name, one in (profiles if isinstance(profiles, dict) else {}).items():
            if not isinstance(one, dict):
                continue
            provider, key = str(one.get("provider") or name.partition(":")[0]), one.get("key")
            if one.get("type") == "api_key" and isinstance(key, str) and key:
                found.setdefault(provider, key)
            else:
                why = f"{one.get('type') or 'it'} is no API key: sign-ins are not taken over"
                fix = f"engine onboard --provider {provider}"
                notes.add(Weight.LEFT_OUT, f"auth-profiles {name}", why, fix)
    return found


def _left(path: Path, notes: Notes) -> None:
    for entry in sorted(path.iterdir()):
        name = entry.name
        known = name in _READ or name.startswith("workspace")
        if known or any(part in name for part in _PASSING):
            continue
        why = STAYS.get(name, "nobody here knows what it is")
        notes.add(Weight.NOTE, name, f"not taken over: {why}")


def _json(file: Path, notes: Notes) -> Any:
    """The value of a file; None where there is none, or none that can be read."""
    if not file.is_file():
        return None
    try:
        return json5.parse(_text(file), file.name).root.plain()
    except (json5.Json5Error, UnreadableSource, RecursionError) as error:
        notes.add(Weight.LEFT_OUT, file.name, f"it cannot be read: {error}")
        return None


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST:
            raise UnreadableSource(
                f"{file} was not imported", why="it is larger than 64 MiB", fix=f"ls -l {file}"
            )
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UnreadableSource(
            f"{file} cannot be read", why=str(why), fix=f"ls -l {file}"
        ) from error
