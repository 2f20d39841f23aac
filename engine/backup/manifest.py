"""What a backup says of itself, and which names of a home go into one. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Final

from jobs.errors import UnreadableSource

FORMAT: Final = 1
NAME: Final = "manifest.json"  # written last: an archive without it was cut off
STATE: Final = "state"  # folder of the archive: what lies in the state directory
CONFIG: Final = "config"  # and the config file, where it lies elsewhere
DATABASE: Final = f"{STATE}/state.db"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PRIVATE: Final = 0o700
_MODES: Final = 0o777

# Not the home's own: what a process makes anew, and earlier copies of what is packed.
_LEFT_OUT: Final = (
    "logs", "backups", "gateway.lock", "*.sock", "state.db-*", "state.db.before-*",
    "*.bak", "*.bak.*", "*.clobbered.*", "*.rejected.*", "last-exit.json",
    "restart-sentinel.json", "replaced-*", ".restoring-*",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a backup: its name in the archive, bytes, permissions and SHA-256."""

    name: str
    size: int
    mode: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds. ``left_out`` are places that were not packed, and why."""

    created_at: datetime
    engine: str
    profile: str
    schema: str | None  # of the database; None: no database is in it
    only_config: bool
    entries: tuple[Entry, ...]
    left_out: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes of all files, unpacked."""
        return sum(entry.size for entry in self.entries)

    @property
    def tops(self) -> tuple[str, ...]:
        """The names right below the state directory that it brings back, each once."""
        parts = (PurePosixPath(entry.name).parts for entry in self.entries)
        return tuple(dict.fromkeys(part[1] for part in parts if part[0] == STATE))

    def to_json(self) -> dict[str, Any]:
        """Return what is written into the archive."""
        said = asdict(self)
        return {"format": FORMAT, **said, "created_at": self.created_at.isoformat()}


def stays_out(name: str) -> bool:
    """Return whether a name right below the state directory is not packed."""
    return any(fnmatchcase(name, pattern) for pattern in _LEFT_OUT)


def parse(raw: bytes) -> Manifest:
    """Return the manifest of an archive; `UnreadableSource` for anything else.

    An archive may come from anywhere: every name in it must stay inside the home.
    """
    try:
        said = json.loads(raw)
        if said["format"] != FORMAT:
            raise _unreadable(f"its format is {said['format']!r}, this engine reads {FORMAT}")
        return Manifest(
            created_at=datetime.fromisoformat(said["created_at"]).astimezone(UTC),
            engine=str(said["engine"]),
            profile=str(said["profile"]),
            schema=None if said["schema"] is None else str(said["schema"]),
            only_config=bool(said["only_config"]),
            entries=tuple(_entry(one) for one in said["entries"]),
            left_out={str(place): str(why) for place, why in said["left_out"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(f"its {NAME} is not one of a backup ({type(error).__name__})") from error


def _entry(one: Mapping[str, Any]) -> Entry:
    name, size, digest = str(one["name"]), int(one["size"]), str(one["sha256"])
    if not _inside(name) or size < 0 or not _SHA256.fullmatch(digest):
        raise _unreadable(f"it lists {name!r}, which no backup holds")
    # Its owner may read and write what comes back; no set-uid bits come out of an archive.
    return Entry(name=name, size=size, mode=int(one["mode"]) & _MODES | 0o600, sha256=digest)


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    clean = str(path) == name and "\0" not in name and not path.is_absolute()
    return (
        clean
        and len(path.parts) > 1
        and path.parts[0] in (STATE, CONFIG)
        and (".." not in path.parts)
    )


def _unreadable(why: str) -> UnreadableSource:
    return UnreadableSource(
        "this is not a backup of an engine's home",
        why=why,
        fix="engine backup list names those of this home",
    )
