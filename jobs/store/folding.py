"""The write-ahead log is folded into the file beside the writer, not by it.

SQLite folds as part of whatever commit makes the log a thousand pages long: one change in a
hundred waited for two more syncs of the disk, which is what the slowest of them took. A thread
with a connection of its own does it meanwhile. Where the writer never rests the log cannot be
begun anew, so that it would grow: from a certain length on the writer folds the little that is
left itself.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Final

log = logging.getLogger(__name__)

OFTEN: Final = 500  # changed rows; most change a page or two
LONG: Final = 4000  # pages, 16 MB
BY_HAND: Final = "PRAGMA wal_autocheckpoint=0"
_FOLD: Final = "PRAGMA wal_checkpoint(PASSIVE)"  # waits for nobody, and nobody for it


class Folding:
    """Folds whenever enough was written. `wrote` and `now` are the writer's, `close` anybody's."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], *, long: int = LONG) -> None:
        self._connect = connect
        self._long = long
        self._seen = 0  # changes when it was last asked for
        self._wanted = threading.Event()
        self._too_long = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def wrote(self, raw: sqlite3.Connection) -> None:
        """After a commit: have it folded if that is worth it."""
        if self._too_long:
            self._too_long = False
            _folded(raw)
        elif raw.total_changes - self._seen >= OFTEN:
            self._seen = raw.total_changes
            self._wanted.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="store-fold", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Fold what was asked for, stop, and let go of the file."""
        self._closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        raw = self._connect()
        try:
            while self._wanted.wait():
                self._wanted.clear()
                self._too_long = _folded(raw) >= self._long
                if self._closed:
                    return
        finally:
            raw.close()


def _folded(raw: sqlite3.Connection) -> int:
    """Fold what can be folded now; return how many pages the log has."""
    try:
        found: Any = raw.execute(_FOLD).fetchone()
    except sqlite3.Error as error:  # the next time it may; until then all is in the log
        log.warning("the write-ahead log was not folded", extra={"error": str(error)})
        return 0
    return int(found[1])
