"""The tools `read` and `write`: files of the agent's workspace and nothing outside it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from engine.agents.base import Tool, ToolRefused

Find = Callable[[object], Path]

READ_MOST: Final = 65_536  # characters shown in one call
WRITE_MOST: Final = 262_144  # bytes
OPEN_MOST: Final = 8 * 1024 * 1024  # bytes of a file that is read at all

_READ: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "Relative to your workspace."},
        "offset": {"type": "integer", "description": "First line, from 1."},
        "limit": {"type": "integer", "description": "How many lines."},
    },
    "required": ["path"],
}
_WRITE: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "Relative to your workspace."},
        "content": {"type": "string", "description": "The whole new content."},
    },
    "required": ["path", "content"],
}


@lru_cache(maxsize=64)  # one for each agent; every turn asks
def file_tools(
    workspace: Path, *, anywhere: bool = False, received: Path | None = None
) -> tuple[Tool, Tool]:
    """Return `read` and `write` for one workspace; ``anywhere``: or for the whole host.

    ``received``: where files lie that people sent; they can be read, too.
    """
    find = partial(_anywhere if anywhere else inside, workspace)
    find_sent = find if received is None or anywhere else partial(_sent_or_own, workspace, received)

    async def read(arguments: Mapping[str, Any]) -> str:
        return await asyncio.to_thread(_read, find_sent, arguments)

    async def write(arguments: Mapping[str, Any]) -> str:
        return await asyncio.to_thread(_write, find, arguments)

    return (
        Tool(
            name="read",
            description="Read a text file of your workspace.",
            parameters=_READ,
            call=read,
        ),
        Tool(
            name="write",
            description="Write a text file in your workspace, replacing what it held.",
            parameters=_WRITE,
            call=write,
            side_effects=True,
        ),
    )


def inside(workspace: Path, wish: object) -> Path:
    """Return the real path meant, or refuse: links that lead out of the workspace too."""
    if not isinstance(wish, str) or not wish.strip() or "\0" in wish:
        raise ToolRefused("path must name a file of the workspace")
    root = workspace.resolve()
    path = (root / wish.strip()).resolve()
    if path == root or not path.is_relative_to(root):
        raise ToolRefused(f"{wish!r} is outside the workspace; paths are relative to it")
    return path


def _sent_or_own(workspace: Path, received: Path, wish: object) -> Path:
    """Return the file meant among those that people sent, or of the workspace."""
    if isinstance(wish, str) and wish.strip().startswith(str(received)):
        return inside(received, wish)
    return inside(workspace, wish)


def _anywhere(workspace: Path, wish: object) -> Path:
    """Return the path meant, on a host whose operator lets agents out of their workspace."""
    if not isinstance(wish, str) or not wish.strip() or "\0" in wish:
        raise ToolRefused("path must name a file")
    return (workspace.resolve() / Path(wish.strip()).expanduser()).resolve()


def _read(find: Find, arguments: Mapping[str, Any]) -> str:
    path = find(arguments.get("path"))
    name = arguments["path"]
    if not path.is_file():
        raise ToolRefused(f"there is no file {name!r}")
    if (size := path.stat().st_size) > OPEN_MOST:
        raise ToolRefused(f"{name!r} has {size} bytes; the most that is read is {OPEN_MOST}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ToolRefused(f"{name!r} is not a text file") from None
    except OSError as error:
        raise ToolRefused(f"{name!r} cannot be read: {error.strerror}") from None
    return _excerpt(text, _number(arguments, "offset"), _number(arguments, "limit"))


def _excerpt(text: str, offset: int | None, limit: int | None) -> str:
    lines = text.splitlines(keepends=True)
    first = max(0, (offset or 1) - 1)
    chosen = lines[first : first + limit] if limit is not None else lines[first:]
    shown = "".join(chosen)
    if len(shown) <= READ_MOST:
        return shown
    cut = shown[:READ_MOST]
    return f"{cut}\n[cut: go on with offset {first + cut.count(chr(10)) + 1}]"


def _number(arguments: Mapping[str, Any], name: str) -> int | None:
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ToolRefused(f"{name} must be a whole number, not {value!r}")
    return value


def _write(find: Find, arguments: Mapping[str, Any]) -> str:
    content = arguments.get("content")
    if not isinstance(content, str):
        raise ToolRefused("content must be text")
    data = content.encode("utf-8", errors="replace")
    if len(data) > WRITE_MOST:
        raise ToolRefused(f"the content has {len(data)} bytes; the most is {WRITE_MOST}")
    path = find(arguments.get("path"))
    if path.is_dir():
        raise ToolRefused(f"{arguments['path']!r} is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data)
    except OSError as error:
        raise ToolRefused(f"{arguments['path']!r} was not written: {error.strerror}") from None
    return f"wrote {len(data)} bytes to {arguments['path']}"


def _replace(path: Path, data: bytes) -> None:
    """Swap the file in whole: a beat that reads it meanwhile sees the old one or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if path.exists():
            os.chmod(temporary, path.stat().st_mode & 0o777)  # noqa: PTH101 - a name from mkstemp
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
