"""The files of a workspace that tell an agent who it is; part of its system prompt.

heartbeat.md §17: with `lightContext` a turn goes without them.
"""

from __future__ import annotations

import asyncio
import stat
from functools import lru_cache
from pathlib import Path
from typing import Final

FILES: Final = ("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "TOOLS.md", "MEMORY.md")
FILE_MOST: Final = 20_000  # characters of one file
ALL_MOST: Final = 60_000


async def read_context(workspace: Path) -> str:
    """Return what stands in the files, without holding up others; nothing if there are none."""
    return await asyncio.to_thread(read_now, workspace)


def read_now(workspace: Path) -> str:
    """Return the files one after the other, each with its name; long ones are cut."""
    found = [part for path in _paths(workspace) if (part := _part(workspace, path))]
    return "\n\n".join(found)[:ALL_MOST]


@lru_cache(maxsize=64)
def _paths(workspace: Path) -> tuple[Path, ...]:
    return tuple(workspace / name for name in FILES)


def _part(workspace: Path, path: Path) -> str:
    name = path.name
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            if not path.resolve().is_relative_to(workspace.resolve()):
                return ""  # a file of the workspace is what its owner put there
            mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return ""  # a pipe would be waited for
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(FILE_MOST + 1).strip()
    except OSError:
        return ""
    if len(text) > FILE_MOST:
        text = f"{text[:FILE_MOST]}\n[cut: {name} is longer]"
    return f"--- {name} ---\n{text}\n--- end of {name} ---" if text else ""
