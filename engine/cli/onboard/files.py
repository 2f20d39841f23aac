"""Writes what was wished: `.env`, config, token, workspace; all of it or nothing.

The files of before come back if anything goes wrong in between, Ctrl-C included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import __version__
from engine.cli.place import Place, shown
from engine.clock import SystemClock
from engine.config.env_file import with_variables
from engine.config.writing import put, write


@dataclass(slots=True)
class Done:
    """What was written, by file."""

    at: Place
    files: dict[str, str] = field(default_factory=dict)  # path as shown: created|changed|kept

    def note(self, path: Path, state: str) -> None:
        """Keep what became of a file."""
        self.files[shown(path, self.at.paths)] = state

    def told(self, line: str) -> None:
        """Keep what `engine setup` says of a file: `created ~/.engine/workspace/`."""
        state, _, path = line.partition(" ")
        if state != "kept":
            self.files[path.strip()] = state


@contextmanager
def all_or_nothing(*paths: Path) -> Iterator[None]:
    """Put these files back as they were if the block does not end."""
    before = {path: path.read_bytes() if path.exists() else None for path in paths}
    try:
        yield
    except BaseException:
        for path, raw in before.items():
            if raw is None:
                path.unlink(missing_ok=True)
            elif path.read_bytes() != raw:
                put(path, raw)
        raise


def written(
    at: Place,
    text: str,
    env: Mapping[str, str],
    *,
    validate: Callable[[bytes], Any],
) -> Done:
    """Write config and `.env`; what stood there in other words stays."""
    done = Done(at)
    paths = at.paths
    old = paths.env_file.read_text("utf-8") if paths.env_file.exists() else ""
    fresh = with_variables(old, env) if env else old
    with all_or_nothing(paths.env_file, paths.config):
        if fresh != old:
            paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            put(paths.env_file, fresh.encode())
            done.note(paths.env_file, "changed" if old else "created")
        was_there = paths.config.exists()
        result = write(
            paths.config,
            lambda _: text,
            validate=validate,
            now=SystemClock().now(),
            version=__version__ if was_there else None,
        )
    state = ("changed" if was_there else "created") if result.changed else "kept"
    done.note(paths.config, state)
    return done
