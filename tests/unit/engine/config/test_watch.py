"""Changes of the file are noticed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine.config.watch import changes, stamp


def test_a_stamp_changes_when_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    missing = stamp([path])
    path.write_text("{}")
    first = stamp([path])
    (tmp_path / "new").write_text("{}")
    (tmp_path / "new").replace(path)
    assert len({missing, first, stamp([path])}) == 3


async def test_a_burst_of_writes_is_one_change(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text("{}")
    stop = asyncio.Event()
    found = changes(lambda: [path], debounce_ms=50, stop=stop)
    waiting = asyncio.ensure_future(anext(found))
    while not waiting.done():  # the watch begins inside the library, at a moment it does not tell
        path.write_text(path.read_text() + " ")
        await asyncio.wait([waiting], timeout=0.05)
    stop.set()
    await found.aclose()  # type: ignore[attr-defined]  # an async generator
    assert waiting.result() is None
