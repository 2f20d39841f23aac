"""Changes of the file are noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from engine.config.watch import changes, looks, stamp


def test_a_stamp_changes_when_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    missing = stamp([path])
    path.write_text("{}")
    first = stamp([path])
    (tmp_path / "new").write_text("{}")
    (tmp_path / "new").replace(path)
    assert len({missing, first, stamp([path])}) == 3


async def test_only_a_look_that_finds_a_difference_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text("{}")

    async def events() -> AsyncIterator[object]:
        yield "nothing happened"
        path.write_text("{a: 1}")
        yield "written"
        (tmp_path / "other").write_text("x")
        yield "a neighbour"

    at_once_and_when_written = [True, False, True, False]
    found = [changed async for changed in changes(lambda: [path], events())]
    assert found == at_once_and_when_written


async def test_looking_ends_when_told_to(tmp_path: Path) -> None:
    stop = asyncio.Event()
    stop.set()
    assert [x async for x in looks([tmp_path / "engine.json"], stop=stop)] == []
