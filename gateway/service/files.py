"""Where a service's file lies: read, written whole or not at all, removed."""

from __future__ import annotations

import os
from pathlib import Path

from jobs.errors import UsageError


def read(path: Path) -> str | None:
    """Return what is installed; None if nothing is."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None


def write(path: Path, text: str) -> None:
    """Put a file in place in one step; others may read it, it holds no secret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def refuse_passing(executable: Path, temporary: Path) -> None:
    """Refuse an interpreter that will not be there tomorrow (operations.md §8.1)."""
    parts = executable.parts
    if executable.is_relative_to(temporary) or ".cache" in parts or "uv" in parts[-4:-1]:
        raise UsageError(
            "no service was written",
            why=f"{executable} lies in a place that is cleared: the service would be gone then",
            fix="install the engine for good (pipx install heartbeat-engine), or name --wrapper",
        )
