"""Reads a backup: what it says of itself, and whether every byte is there."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final

from engine.backup.manifest import DATABASE, NAME, Entry, Manifest, parse
from jobs.errors import NotFound, StoreTooNew, UnreadableSource
from jobs.store import copies
from jobs.store.migrate import OURS

_BLOCK: Final = 1 << 20
_MOST_MANIFEST: Final = 64 << 20


def described(path: Path) -> Manifest:
    """Return what a backup says of itself; its files are not looked at."""
    with _opened(path) as archive:
        for member in archive:
            if member.name == NAME and member.isreg() and member.size <= _MOST_MANIFEST:
                file = archive.extractfile(member)
                if file is not None:
                    return parse(file.read())
    raise _broken(path, f"it has no {NAME}: it was cut off, or made by something else")


def unpacked(
    path: Path, into: Path, told: Callable[[str, int], None] = lambda _name, _size: None
) -> Manifest:
    """Unpack into the empty folder ``into``, and refuse an archive that is not what it says.

    Only the files the manifest lists come out, each with the size and SHA-256 it lists; the
    database must be whole and of a schema this engine knows. Raises `UnreadableSource`,
    `StoreUnusable`, `StoreTooNew`.
    """
    manifest = described(path)
    if manifest.schema is not None and manifest.schema > OURS.head:
        raise StoreTooNew(
            f"{path} was not unpacked",
            why=f"its schema is {manifest.schema}, this engine knows {OURS.head}",
            fix=f"use engine {manifest.engine} or a newer one",
        )
    missing = {entry.name: entry for entry in manifest.entries}
    with _opened(path) as archive:
        for member in archive:
            entry = missing.pop(member.name, None)
            if entry is None:
                if member.name != NAME:
                    raise _broken(path, f"it holds {member.name!r}, which it does not list")
                continue
            file = archive.extractfile(member) if member.isreg() else None
            if file is None or member.size != entry.size:
                raise _broken(path, f"{entry.name} is not the file it lists")
            _copied(path, file, entry, into / PurePosixPath(entry.name))
            told(entry.name, entry.size)
    if missing:
        raise _broken(path, f"{next(iter(missing))} is missing")
    if manifest.schema is not None and copies.examined(into / DATABASE) != manifest.schema:
        raise _broken(path, "its database is of another schema than it says")
    return manifest


def _copied(path: Path, file: IO[bytes], entry: Entry, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as out:
        target.chmod(entry.mode)
        while block := file.read(_BLOCK):
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != entry.sha256:
        raise _broken(path, f"{entry.name} was changed since it was packed")


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r|gz") as archive:
            yield archive
    except FileNotFoundError as error:
        raise NotFound(f"{path} is not there", fix="engine backup list") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _broken(path, f"it cannot be read to its end ({error})") from error


def _broken(path: Path, why: str) -> UnreadableSource:
    return UnreadableSource(
        f"{path} cannot be used", why=why, fix="take another: engine backup list"
    )
