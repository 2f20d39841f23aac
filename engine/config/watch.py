"""Notices that the config changed: file events, and a look every few seconds as fallback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

POLL_MS: Final = 5000

Stamp = tuple[tuple[str, int, int, int], ...]


def stamp(files: Sequence[Path]) -> Stamp:
    """Identity, size and time of each file; changes when one is written or replaced."""
    rows = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            rows.append((str(path), 0, 0, 0))
        else:
            rows.append((str(path), status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(rows)


async def changes(
    files: Callable[[], Sequence[Path]], looks: AsyncIterator[object]
) -> AsyncIterator[bool]:
    """Whether a look found any of the files different: one item at once, and one for each look.

    The first, which says yes, is for an edit between the start, when the file was read, and now.
    """
    seen = stamp(files())
    yield True
    async for _ in looks:
        now = stamp(files())
        differs, seen = now != seen, now
        yield differs


def looks(
    files: Sequence[Path], *, debounce_ms: int = 300, stop: asyncio.Event
) -> AsyncIterator[object]:
    """A moment to look: after ``debounce_ms`` of quiet behind a file event, and every 5 s.

    Directories are watched, because editors replace files. Ends when ``stop`` is set.
    """
    from watchfiles import awatch

    quiet = max(debounce_ms, 1)
    return awatch(
        *sorted({path.parent for path in files if path.parent.is_dir()}),
        debounce=max(quiet, 1600),
        step=quiet,
        stop_event=stop,
        rust_timeout=POLL_MS,
        yield_on_timeout=True,
        recursive=False,
    )
