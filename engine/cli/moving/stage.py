"""A home is built beside itself, and put in place in one go or not at all.

Everything new lies in a folder of its own inside the home until it is whole; then each entry
is renamed into its place, what stood there is kept aside, and any fault puts it back.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jobs.importing.report import Notes, Weight

_DATABASE: Final = "state.db"
_BESIDE: Final = ("-wal", "-shm")


@dataclass(slots=True)
class Stage:
    """The new entries of a home, before they are in place."""

    home: Path
    folder: Path
    names: list[str] = field(default_factory=list)  # entries of the home it holds

    def place(self, name: str) -> Path:
        """Where an entry is built."""
        if name not in self.names:
            self.names.append(name)
        return self.folder / name

    def database(self) -> Path:
        """A copy of the home's store to write into, or a place for a new one."""
        copy = self.place(_DATABASE)
        if (there := self.home / _DATABASE).is_file():
            with (
                closing(sqlite3.connect(f"{there.absolute().as_uri()}?mode=ro", uri=True)) as old,
                closing(sqlite3.connect(copy)) as new,
            ):
                old.backup(new)
        return copy

    def settle(self) -> None:
        """Bring the store into one file: what lies beside it is not renamed with it."""
        if _DATABASE in self.names:
            with closing(sqlite3.connect(self.folder / _DATABASE)) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                database.execute("PRAGMA journal_mode=DELETE")
            for tail in _BESIDE:
                (self.folder / f"{_DATABASE}{tail}").unlink(missing_ok=True)

    def commit(self, aside: Path) -> bool:
        """Put it in place; whether something stood there and lies ``aside`` now."""
        moves: list[tuple[Path, Path]] = []
        old = [*self.names, *(f"{_DATABASE}{t}" for t in _BESIDE if _DATABASE in self.names)]
        try:
            for name in old:
                if os.path.lexists(self.home / name):
                    aside.mkdir(mode=0o700, exist_ok=True)
                    _move(self.home / name, aside / name, moves)
            for name in self.names:
                if os.path.lexists(self.folder / name):
                    _move(self.folder / name, self.home / name, moves)
        except BaseException:
            for source, target in reversed(moves):
                target.rename(source)
            if aside.is_dir() and not any(aside.iterdir()):
                aside.rmdir()
            raise
        return aside.is_dir()


def _move(source: Path, target: Path, moves: list[tuple[Path, Path]]) -> None:
    source.rename(target)
    moves.append((source, target))


@dataclass(slots=True)
class Copied:
    """What became of the files of a workspace."""

    files: int = 0
    same: int = 0
    kept: list[str] = field(default_factory=list)  # ours that differ and stay


def overlay(source: Path, target: Path, notes: Notes, *, theirs_win: bool) -> Copied:
    """Copy a folder over another. A file that is there stays, or, if theirs win, is kept beside."""
    done = Copied()
    for folder, folders, names in os.walk(source):
        here = Path(folder)
        there = target / here.relative_to(source)
        there.mkdir(mode=0o700, parents=True, exist_ok=True)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in sorted([*names, *links]):
            _copy(here / name, there / name, source, done, notes, theirs_win=theirs_win)
    return done


def _copy(
    file: Path, to: Path, source: Path, done: Copied, notes: Notes, *, theirs_win: bool
) -> None:
    name = str(file.relative_to(source))
    if not (file.is_symlink() or file.is_file()):
        notes.add(Weight.LEFT_OUT, f"{source.name}/{name}", "it is no regular file")
        return
    if os.path.lexists(to):
        if _alike(file, to):
            done.same += 1
            return
        if not theirs_win:
            done.kept.append(name)
            notes.add(
                Weight.LEFT_OUT,
                f"{source.name}/{name}",
                "another file of that name is here, and stays",
                f"cp {file} {to.name}",
            )
            return
        to.rename(to.with_name(f"{to.name}.before-import"))
    shutil.copy2(file, to, follow_symlinks=False)
    done.files += 1


def _alike(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    return other.is_file() and one.read_bytes() == other.read_bytes()
