from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.agents.base import ToolRefused
from engine.agents.tools.files import READ_MOST, WRITE_MOST, file_tools


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    room = tmp_path / "workspace"
    room.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (room / "notes.md").write_text("one\ntwo\nthree\n")
    return room


def read(workspace: Path, **arguments: Any) -> str:
    return asyncio.run(_call(workspace, 0, arguments))


def write(workspace: Path, **arguments: Any) -> str:
    return asyncio.run(_call(workspace, 1, arguments))


async def _call(workspace: Path, which: int, arguments: dict[str, Any]) -> str:
    return await file_tools(workspace)[which].call(arguments)


def test_a_file_is_read_whole_or_in_part(workspace: Path) -> None:
    assert read(workspace, path="notes.md") == "one\ntwo\nthree\n"
    assert read(workspace, path="./notes.md", offset=2, limit=1) == "two\n"


def test_a_file_is_written_and_read_again(workspace: Path) -> None:
    assert write(workspace, path="sub/new.md", content="für") == "wrote 4 bytes to sub/new.md"
    assert read(workspace, path="sub/new.md") == "für"


def test_writing_leaves_nothing_but_the_file(workspace: Path) -> None:
    write(workspace, path="notes.md", content="new")
    assert [path.name for path in workspace.iterdir()] == ["notes.md"]
    assert (workspace / "notes.md").read_text() == "new"


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/passwd", "a/../../secret.txt", ".", "", 3])
def test_nothing_outside_the_workspace_is_touched(workspace: Path, path: object) -> None:
    with pytest.raises(ToolRefused):
        read(workspace, path=path)
    with pytest.raises(ToolRefused):
        write(workspace, path=path, content="x")
    assert (workspace.parent / "secret.txt").read_text() == "secret"


def test_a_link_that_leads_out_is_not_followed(workspace: Path) -> None:
    (workspace / "door").symlink_to(workspace.parent)
    (workspace / "window").symlink_to(workspace.parent / "secret.txt")
    for path in ("door/secret.txt", "window"):
        with pytest.raises(ToolRefused, match="outside"):
            read(workspace, path=path)
        with pytest.raises(ToolRefused, match="outside"):
            write(workspace, path=path, content="x")


def test_a_long_file_is_cut_with_a_hint_how_to_go_on(workspace: Path) -> None:
    (workspace / "long.txt").write_text("0123456789\n" * 10_000)
    text = read(workspace, path="long.txt")
    assert len(text) < READ_MOST + 100
    assert "go on with offset 5958" in text


def test_too_much_is_refused(workspace: Path) -> None:
    with pytest.raises(ToolRefused, match="the most is"):
        write(workspace, path="big", content="x" * (WRITE_MOST + 1))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"path": "missing"}, "there is no file 'missing'"),
        ({"path": "picture"}, "not a text file"),
        ({"path": "notes.md", "limit": -1}, "limit must be"),
        ({"path": "notes.md", "offset": "2"}, "offset must be"),
    ],
)
def test_what_cannot_be_read_is_named(
    workspace: Path, arguments: dict[str, Any], told: str
) -> None:
    (workspace / "picture").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ToolRefused, match=told):
        read(workspace, **arguments)


def test_a_folder_cannot_be_written(workspace: Path) -> None:
    (workspace / "folder").mkdir()
    with pytest.raises(ToolRefused, match="is a folder"):
        write(workspace, path="folder", content="x")
    with pytest.raises(ToolRefused, match="content must be text"):
        write(workspace, path="x", content=None)


async def test_what_people_sent_can_be_read_and_not_written(workspace: Path) -> None:
    received = workspace.parent / "media" / "in" / "main"
    received.mkdir(parents=True)
    (received / "1-notes.txt").write_text("from Ann")
    read, write = file_tools(workspace, received=received)
    assert await read.call({"path": str(received / "1-notes.txt")}) == "from Ann"
    assert (await read.call({"path": "notes.md"})).startswith("one")
    for outside in (f"{received}/../../../secret.txt", f"{received}-other/x", "../secret.txt"):
        with pytest.raises(ToolRefused, match="outside the workspace"):
            await read.call({"path": outside})
    with pytest.raises(ToolRefused, match="outside the workspace"):
        await write.call({"path": str(received / "1-notes.txt"), "content": "x"})
