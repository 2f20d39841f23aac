"""The folder of files: what may be taken, what may come, what goes (channels.md §5, §6)."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.messages.media import Media, MediaKind
from engine.shelf import NotSaved, Shelf
from jobs.errors import InvalidInput

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
PICTURE = Media(kind=MediaKind.IMAGE, name="p.png")
PAPER = Media(kind=MediaKind.FILE, name="p.pdf")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "state" / "media")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "p.png").write_bytes(PNG)
    return folder


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def at_rest(path: str) -> tuple[bytes, int, Path]:
    """What lies at a path, who may read it, and in which folder."""
    file = Path(path)
    return file.read_bytes(), stat.S_IMODE(file.stat().st_mode), file.parent


def everything(shelf: Shelf) -> list[Path]:
    return [path for path in shelf.outgoing.parent.glob("**/*") if path.is_file()]


@pytest.mark.parametrize("wish", ["p.png", "./p.png", "file://{}/p.png", "{}/p.png"])
async def test_a_file_of_the_workspace_is_copied_and_known_by_its_bytes(
    shelf: Shelf, workspace: Path, wish: str
) -> None:
    media = await shelf.take(wish.format(workspace), base=workspace, within=[workspace])
    assert media.path is not None
    (workspace / "p.png").write_bytes(b"changed")
    assert (media.kind, media.mime, media.size) == (MediaKind.IMAGE, "image/png", len(PNG))
    assert at_rest(media.path) == (PNG, 0o600, shelf.outgoing)


async def test_a_copy_laid_ready_is_not_copied_again_and_called_as_its_original(
    shelf: Shelf, workspace: Path
) -> None:
    ready = await shelf.take("p.png", base=workspace, within=None)
    again = await shelf.take(str(ready.path), base=workspace, within=[shelf.outgoing])
    assert again == ready
    assert len(everything(shelf)) == 1


async def test_what_was_received_goes_on_under_its_own_name(shelf: Shelf, workspace: Path) -> None:
    got = await shelf.receive("main", PICTURE, pieces(PNG))
    sent = await shelf.take(str(got.path), base=workspace, within=[shelf.incoming("main")])
    assert (sent.name, sent.path != got.path) == ("p.png", True)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ("/etc/passwd", "outside the workspace"),
        ("file:///etc/passwd", "outside the workspace"),
        ("../secret.txt", "outside the workspace"),
        ("link", "outside the workspace"),
        ("folder/secret.txt", "outside the workspace"),
        ("~/.ssh/id", "no such file"),
        ("nothing.txt", "no such file"),
        ("loop", "no such file"),
        ("", "names no file"),
        ("a\0b", "names no file"),
        (".", "no regular file"),
        ("pipe", "no regular file"),
        ("empty", "empty"),
    ],
)
async def test_nothing_else_is_taken_and_nothing_is_left_behind(
    shelf: Shelf, workspace: Path, wish: str, why: str
) -> None:
    (workspace.parent / "secret.txt").write_text("secret")
    (workspace / "link").symlink_to(workspace.parent / "secret.txt")
    (workspace / "folder").symlink_to(workspace.parent)
    (workspace / "loop").symlink_to(workspace / "loop")
    (workspace / "empty").touch()
    os.mkfifo(workspace / "pipe")
    with pytest.raises(InvalidInput, match=why):
        await shelf.take(wish, base=workspace, within=[workspace])
    assert everything(shelf) == []


async def test_what_no_channel_takes_is_refused_before_it_is_copied(
    shelf: Shelf, workspace: Path
) -> None:
    with (workspace / "big").open("wb") as file:
        file.truncate(51 * 1024 * 1024)
    with pytest.raises(InvalidInput, match=r"51\.0 MB; the most is 50\.0 MB"):
        await shelf.take("big", base=workspace, within=[workspace])
    assert everything(shelf) == []


async def test_a_person_at_the_machine_names_any_file(shelf: Shelf, workspace: Path) -> None:
    assert (await shelf.take("../workspace/p.png", base=workspace, within=None)).name == "p.png"


async def test_what_comes_is_saved_under_a_name_of_ours(shelf: Shelf) -> None:
    saved = await shelf.receive("main", PICTURE, pieces(PNG[:3], PNG[3:]))
    assert saved.path is not None
    assert at_rest(saved.path) == (PNG, 0o600, shelf.incoming("main"))
    assert saved.path.endswith("-p.png")
    assert (saved.kind, saved.mime, saved.size) == (MediaKind.IMAGE, "image/png", len(PNG))
    again = await shelf.receive("main", PICTURE, pieces(PNG))
    assert again.path != saved.path


@pytest.mark.parametrize(
    ("media", "parts", "why"),
    [
        (PAPER, (), "empty"),
        (PICTURE, (b"#!/bin/sh\n",), "said to be image and is something else"),
        (PICTURE, (b"%PDF-1.7",), "said to be image and is application/pdf"),
        (Media(kind=MediaKind.VOICE, name="v"), (PNG,), "said to be voice and is image/png"),
    ],
)
async def test_what_is_empty_or_not_what_it_is_said_to_be_leaves_nothing(
    shelf: Shelf, media: Media, parts: tuple[bytes, ...], why: str
) -> None:
    with pytest.raises(NotSaved, match=why):
        await shelf.receive("main", media, pieces(*parts))
    assert everything(shelf) == []


async def test_a_stream_that_breaks_leaves_nothing(shelf: Shelf) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield PNG
        raise NotSaved("the connection ended before its end")

    with pytest.raises(NotSaved, match="before its end"):
        await shelf.receive("main", PICTURE, broken())
    assert everything(shelf) == []


async def aged(shelf: Shelf, name: str, age: timedelta, *, out: bool = False) -> Path:
    folder = shelf.outgoing if out else shelf.incoming("main")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(b"x" * 100)
    at = (NOON - age).timestamp()
    os.utime(path, (at, at))
    return path


async def test_old_files_go_and_what_may_wait_to_be_sent_stays(shelf: Shelf) -> None:
    old = await aged(shelf, "old", timedelta(days=31))
    new = await aged(shelf, "new", timedelta(days=1))
    waits = await aged(shelf, "waits", timedelta(hours=47), out=True)
    gone = await shelf.sweep(NOON, keep=timedelta(hours=30), most=10_000)
    assert (gone.files, gone.size) == (1, 100)
    assert [path.exists() for path in (old, new, waits)] == [False, True, True]
    assert (await shelf.held()).files == 2


async def test_of_too_much_the_oldest_goes(shelf: Shelf) -> None:
    first = await aged(shelf, "a", timedelta(hours=3))
    second = await aged(shelf, "b", timedelta(hours=2))
    gone = await shelf.sweep(NOON, keep=None, most=150)
    assert gone.files == 1
    assert [path.exists() for path in (first, second)] == [False, True]
