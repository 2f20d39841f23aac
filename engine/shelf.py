"""Files of messages on this machine's disk: copied before they go, saved as they come.

What goes is copied first: whoever wrote the file may change it, and a retry sends the same. A
path is taken only from the folders its speaker may send from. What comes is written piece by
piece, never past its limit, under a name of ours (channels.md §5). Nothing here asks a network.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from engine.messages.media import (
    BEGINNING,
    MB,
    Media,
    MediaKind,
    belies,
    kind_of,
    mime_of,
    plain_name,
    size_words,
)
from jobs.errors import InvalidInput

OUT_MOST: Final = 50 * MB  # no channel takes more
RESERVE: Final = 100 * MB
OUT_KEPT: Final = timedelta(days=2)  # longer than any message waits
_PIECE: Final = 1 << 18
_MARK: Final = r"^[0-9a-f]{12}-"  # what stands before the name of a file of ours
_PARTIAL: Final = ".part"


class NotSaved(Exception):
    """A file was not brought here; the words say why, and hold no address."""


@dataclass(frozen=True, slots=True)
class Held:
    """What lies on the disk."""

    files: int
    size: int  # bytes


class Shelf:
    """The folder of files that came with messages, or wait to go with one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def outgoing(self) -> Path:
        """Where copies of files wait to go."""
        return self._root / "out"

    def incoming(self, agent_id: str) -> Path:
        """Where files lie that somebody sent to an agent."""
        return self._root / "in" / plain_name(agent_id)

    async def take(self, wish: str, *, base: Path, within: Sequence[Path] | None) -> Media:
        """Copy a file that is to go with a message; relative paths hang on ``base``.

        ``within``: the folders it may lie in; None: a person at this machine named it.
        Raises `InvalidInput`, and nothing was copied.
        """
        return await asyncio.to_thread(self.take_now, wish, base=base, within=within)

    def take_now(self, wish: str, *, base: Path, within: Sequence[Path] | None) -> Media:
        """Do the same for whoever holds up nobody."""
        path = _real(wish, base, within)
        try:
            # A pipe must not be waited for, and a link at the end of the path leads elsewhere.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise _refused(wish, error.strerror or "it cannot be opened") from None
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            os.close(handle)
            raise _refused(wish, "it is no regular file")
        with os.fdopen(handle, "rb") as file:
            if not about.st_size:
                raise _refused(wish, "it is empty")
            if about.st_size > OUT_MOST:
                raise _refused(
                    wish,
                    f"it has {size_words(about.st_size)}; the most is {size_words(OUT_MOST)}",
                    fix="send a link to it, or a part of it",
                )
            return self._copied(file, path)

    def _copied(self, file: BinaryIO, path: Path) -> Media:
        """Copy it, unless it is a copy that was laid ready; ours are named without our mark."""
        root = self._root.resolve()
        ours = path.is_relative_to(root)
        name = plain_name(re.sub(_MARK, "", path.name) if ours else path.name)
        if path.is_relative_to(root / self.outgoing.name):
            beginning, size = file.read(BEGINNING), os.fstat(file.fileno()).st_size
            mime = mime_of(beginning, name)
            return Media(kind=kind_of(mime), name=name, path=str(path), size=size, mime=mime)
        target = _fresh(self.outgoing, name)
        try:
            with _private(target) as copy:
                beginning = file.read(BEGINNING)
                copy.write(beginning)
                shutil.copyfileobj(file, copy, _PIECE)
                size = copy.tell()
        except OSError as error:
            target.unlink(missing_ok=True)
            raise _refused(name, f"the disk refused the copy: {error.strerror}") from None
        mime = mime_of(beginning, name)
        return Media(kind=kind_of(mime), name=name, path=str(target), size=size, mime=mime)

    async def write(self, name: str, content: bytes) -> Media:
        """Keep words of ours as a file that goes with a message."""
        return await asyncio.to_thread(self._write, plain_name(name), content)

    def _write(self, name: str, content: bytes) -> Media:
        target = _fresh(self.outgoing, name)
        with _private(target) as file:
            file.write(content)
        kind = kind_of("text/plain")
        return Media(kind=kind, name=name, path=str(target), size=len(content), mime="text/plain")

    async def receive(self, agent_id: str, media: Media, pieces: AsyncIterator[bytes]) -> Media:
        """Save what comes, and return where it lies and what it is.

        How much may come is for whoever fetches it to say. Raises `NotSaved`, and nothing of
        it stays on the disk.
        """
        await asyncio.to_thread(self._room)
        partial = await asyncio.to_thread(_fresh, self.incoming(agent_id), _PARTIAL)
        try:
            file = await asyncio.to_thread(_private, partial)
            try:
                beginning, size = await _poured(pieces, file)
            finally:
                await asyncio.to_thread(file.close)
            return await asyncio.to_thread(_settled, partial, media, beginning, size)
        except OSError as error:
            raise NotSaved(f"the disk refused it: {error.strerror or error}") from None
        finally:
            with suppress(OSError):
                await asyncio.to_thread(partial.unlink, missing_ok=True)

    def _room(self) -> None:
        """What people send must not take the room that the store needs."""
        there = next((one for one in (self._root, *self._root.parents) if one.exists()), None)
        if there is not None and shutil.disk_usage(there).free < RESERVE:
            raise NotSaved(f"the disk has less than {size_words(RESERVE)} left")

    async def held(self) -> Held:
        """Return how many files lie here, and how large they are together."""
        found = await asyncio.to_thread(self._files)
        return Held(len(found), sum(size for _, size, _ in found))

    async def sweep(self, now: datetime, *, keep: timedelta | None, most: int) -> Held:
        """Remove what is too old, and the oldest of what is too much; return what went.

        A file that may still wait to be sent stays.
        """
        return await asyncio.to_thread(self._sweep, now, keep, most)

    def _sweep(self, now: datetime, keep: timedelta | None, most: int) -> Held:
        gone = Held(0, 0)
        left = list[tuple[Path, int]]()
        for path, size, changed in sorted(self._files(), key=lambda one: one[2]):
            age = timedelta(seconds=now.timestamp() - changed)
            waits = path.is_relative_to(self.outgoing) and age < OUT_KEPT
            if not waits and keep is not None and age >= max(keep, timedelta()):
                gone = _removed(gone, path, size)
            elif not waits:
                left.append((path, size))
        total = sum(size for _, size in left)
        for path, size in left:
            if total <= most:
                break
            total -= size
            gone = _removed(gone, path, size)
        return gone

    def _files(self) -> list[tuple[Path, int, float]]:
        found = []
        for path in self._root.glob("**/*"):
            with suppress(OSError):  # it went meanwhile
                about = path.lstat()
                if stat.S_ISREG(about.st_mode):
                    found.append((path, about.st_size, about.st_mtime))
        return found


def _removed(gone: Held, path: Path, size: int) -> Held:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return gone
    return Held(gone.files + 1, gone.size + size)


def _real(wish: str, base: Path, within: Sequence[Path] | None) -> Path:
    """Return the file meant, every link followed, or refuse."""
    if not wish.strip() or "\0" in wish:
        raise _refused(wish, "it names no file")
    try:
        path = (base / Path(wish.removeprefix("file://")).expanduser()).resolve(strict=True)
        roots = None if within is None else [root.resolve() for root in within]
    except (OSError, RuntimeError):
        raise _refused(wish, "there is no such file") from None
    if roots is not None and not any(path.is_relative_to(root) for root in roots):
        raise _refused(wish, "it is outside the workspace", fix="copy it into the workspace")
    return path


def _refused(wish: str, why: str, fix: str = "name a file that is there") -> InvalidInput:
    return InvalidInput(f"the file {wish[:200]!r} was not taken", why=why, fix=fix)


def _fresh(folder: Path, name: str) -> Path:
    """Return a path in a folder of ours that nobody can guess or has taken."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{secrets.token_hex(6)}-{name}"


def _private(path: Path) -> BinaryIO:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    return os.fdopen(handle, "wb")


async def in_one_piece(content: bytes) -> AsyncIterator[bytes]:
    """Return what somebody holds already as something that comes."""
    yield content


async def _poured(pieces: AsyncIterator[bytes], file: BinaryIO) -> tuple[bytes, int]:
    beginning, size = b"", 0
    async for piece in pieces:
        size += len(piece)
        if len(beginning) < BEGINNING:
            beginning = (beginning + piece)[:BEGINNING]
        await asyncio.to_thread(file.write, piece)
    if not size:
        raise NotSaved("it is empty")
    return beginning, size


def _settled(partial: Path, media: Media, beginning: bytes, size: int) -> Media:
    mime = mime_of(beginning, media.name)
    if belies(media.kind, mime):
        raise NotSaved(f"it was said to be {media.kind} and is {mime or 'something else'}")
    kind = kind_of(mime) if mime else MediaKind.FILE
    target = _fresh(partial.parent, media.name)
    partial.replace(target)
    return Media(kind=kind, name=media.name, path=str(target), size=size, mime=mime)
