"""`engine gateway run --dev-reload`: the gateway anew after each change of its sources.

operations.md §1.1 (`gateway:watch`). For who works on the engine itself: the sources of the three
floors are looked at once a second, and a gateway that ended by itself waits for the next change.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from threading import Event as Pause
from typing import Final

FLAG: Final = "--dev-reload"
_ROOT: Final = Path(__file__).parents[3]
_FLOORS: Final = ("engine", "gateway", "jobs")
_LOOK: Final = timedelta(seconds=1)
_PATIENCE: Final = 30.0  # seconds a gateway has to stop

Stamps = Mapping[Path, int]


def stamps(root: Path = _ROOT) -> Stamps:
    """Return every source and when it was written."""
    return {path: path.stat().st_mtime_ns for path in _sources(root)}


def _sources(root: Path) -> Iterable[Path]:
    return (path for floor in _FLOORS for path in (root / floor).rglob("*.py"))


def changed(before: Stamps, after: Stamps) -> list[Path]:
    """Return the sources that came, went or were written."""
    return sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )


def watched(argv: Sequence[str], *, look: Callable[[], Stamps] = stamps) -> int:
    """Run `engine ARGV` without the flag, and anew after each change, until Ctrl-C."""
    words = [sys.executable, "-m", "engine", *(word for word in argv if word != FLAG)]
    known = look()
    child = _begun(words)
    try:
        while True:
            Pause().wait(_LOOK.total_seconds())
            now = look()
            if not (new := changed(known, now)):
                continue
            known = now
            sys.stderr.write(f"{', '.join(path.name for path in new[:3])} changed: anew\n")
            _ended(child)
            child = _begun(words)
    except KeyboardInterrupt:
        return 0
    finally:
        _ended(child)


def _begun(words: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(words)  # noqa: S603 - this program itself, with its own words


def _ended(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
