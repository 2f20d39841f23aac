"""Packs a home into one file. A gateway may run: the database is copied as of one instant."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Final

from engine.backup.manifest import (
    CONFIG,
    DATABASE,
    NAME,
    STATE,
    Entry,
    Manifest,
    stays_out,
)
from engine.config.paths import Paths
from jobs.errors import Conflict, NotFound
from jobs.store import copies

FOLDER: Final = "backups"
SUFFIX: Final = ".tar.gz"
_MODES: Final = 0o777
_BLOCK: Final = 1 << 20
_LEVEL: Final = 6  # of gzip: half of the time of 9 for a hundredth of the size

Told = Callable[[str, int], None]  # a file of so many bytes is in


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for."""

    paths: Paths
    target: Path
    now: datetime
    engine: str  # version of it
    only_config: bool = False
    workspaces: bool = True
    elsewhere: str | None = None  # URL kind of a database that is no file of this home


def usual_target(paths: Paths, now: datetime) -> Path:
    """Where a backup goes that was given no place."""
    name = f"engine-{paths.profile}-{now:%Y%m%dT%H%M%SZ}{SUFFIX}"
    return paths.state / FOLDER / name


def kept(paths: Paths) -> list[Path]:
    """Return the backups of this home in their usual folder, newest first."""
    found = (paths.state / FOLDER).glob(f"engine-{paths.profile}-*{SUFFIX}")
    return sorted(found, reverse=True)


def pack(wish: Wish, told: Told = lambda _name, _size: None) -> Manifest:
    """Write the backup and return what it holds; nothing stands at the target if it fails.

    Raises `NotFound` if there is nothing to pack, `Conflict` if the target is there.
    """
    if wish.target.exists():
        raise Conflict(
            f"{wish.target} was not written", why="it is there already", fix="name another file"
        )
    if not wish.paths.state.is_dir() and not wish.paths.config.is_file():
        raise NotFound(
            "nothing was packed",
            why=f"{wish.paths.state} is not there",
            fix="engine setup",
        )
    if not wish.target.parent.is_dir():
        wish.target.parent.mkdir(mode=0o700, parents=True)
    part = wish.target.with_name(f"{wish.target.name}.part")
    try:
        with _private(part) as file:
            manifest = _Packing(wish, told).into(file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(wish.target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(wish.target.parent)
    return manifest


@dataclass(slots=True)
class _Packing:
    wish: Wish
    told: Told
    entries: list[Entry] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def into(self, file: IO[bytes]) -> Manifest:
        wish, schema = self.wish, None
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=_LEVEL) as archive:
            if not wish.only_config:
                schema = self._database(archive)
            for path, name in self._files():
                self._add(archive, path, name)
            manifest = Manifest(
                created_at=wish.now,
                engine=wish.engine,
                profile=wish.paths.profile,
                schema=schema,
                only_config=wish.only_config,
                entries=tuple(self.entries),
                left_out=self.left_out,
            )
            raw = json.dumps(manifest.to_json(), indent=1).encode()
            about = tarfile.TarInfo(NAME)
            about.size, about.mode = len(raw), 0o600
            archive.addfile(about, io.BytesIO(raw))
        return manifest

    def _database(self, archive: tarfile.TarFile) -> str | None:
        database = self.wish.paths.database
        if self.wish.elsewhere is not None:
            why = f"the state is in {self.wish.elsewhere}: back that up with its own tools"
            self.left_out["store.url"] = why
        if not database.is_file():
            return None
        with tempfile.TemporaryDirectory(dir=self.wish.target.parent, prefix=".copy-") as folder:
            copied = Path(folder) / "state.db"
            copies.copy(database, copied)
            schema = copies.examined(copied)
            self._add(archive, copied, DATABASE)
        return schema

    def _files(self) -> Iterator[tuple[Path, str]]:
        paths = self.wish.paths
        own = paths.config.is_relative_to(paths.state)
        if not own and paths.config.is_file():
            yield paths.config, f"{CONFIG}/{paths.config.name}"
        if self.wish.only_config:
            for one in (paths.config, paths.env_file, paths.token_file):
                if one.is_file() and one.is_relative_to(paths.state):
                    yield one, f"{STATE}/{one.relative_to(paths.state).as_posix()}"
            return
        for top in sorted(paths.state.iterdir()) if paths.state.is_dir() else ():
            if stays_out(top.name) or top == paths.database:
                continue
            if not self.wish.workspaces and top.name.startswith("workspace") and top.is_dir():
                self.left_out[str(top)] = "workspaces were not asked for"
                continue
            yield from self._below(top)

    def _below(self, top: Path) -> Iterator[tuple[Path, str]]:
        """Every plain file of a tree; links and devices are named, never followed."""
        if top.is_symlink() or not (top.is_dir() or top.is_file()):
            self.left_out[str(top)] = "it is a link, or no plain file"
        elif top.is_file():
            if self.wish.target not in (top, top.with_suffix("")):  # nor itself, half written
                yield top, f"{STATE}/{top.relative_to(self.wish.paths.state).as_posix()}"
        else:
            for each in sorted(top.iterdir()):
                yield from self._below(each)

    def _add(self, archive: tarfile.TarFile, path: Path, name: str) -> None:
        """Put one file in. What is written to meanwhile is packed as long as it was."""
        try:
            source = path.open("rb")
        except FileNotFoundError:
            return  # it went while we walked: a temporary file
        except OSError as error:
            self.left_out[str(path)] = error.strerror or str(error)
            return
        with source:
            facts = os.fstat(source.fileno())
            about = tarfile.TarInfo(name)
            about.size, about.mode = facts.st_size, facts.st_mode & _MODES
            about.mtime = int(facts.st_mtime)
            counted = _Counted(source, facts.st_size)
            archive.addfile(about, counted)
        entry = Entry(
            name=name, size=about.size, mode=about.mode, sha256=counted.digest.hexdigest()
        )
        self.entries.append(entry)
        self.told(name, entry.size)


class _Counted:
    """A file of a fixed length: one that shrank meanwhile goes on in zeros."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self.digest = hashlib.sha256()
        self._source = source
        self._left = size

    def read(self, size: int = _BLOCK) -> bytes:
        wanted = min(size, self._left)
        block = self._source.read(wanted).ljust(wanted, b"\0")
        self._left -= len(block)
        self.digest.update(block)
        return block


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
