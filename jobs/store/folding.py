"""The write-ahead log is folded into the file beside the writer, not by it.

SQLite folds as part of whatever commit makes the log a thousand pages long: one change in a
hundred waited for two more syncs of the disk, which is what the slowest of them took. A thread
with a connection of its own does it meanwhile. Where the writer never rests the log cannot be
begun anew, so that it would grow: from a certain length on the writer folds the little that is
left itself.

SQLite before 3.51.3 may lose what was committed if a fold begins when everything is folded
already and the writer begins the log anew at that moment (sqlite.org/wal.html, "WAL-reset bug").
So one is asked for only after a commit during which nobody folded: what that commit added is in
the log still, and keeps it from being begun anew until the fold has ended.
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
    """Folds whenever enough was written. Told of every transaction by the writer."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], *, long: int = LONG) -> None:
        self._connect = connect
        self._long = long
        self._seen = 0  # changes when it was last asked for
        self._wanted = threading.Event()  # until it is done
        self._alone = True  # nobody folded when the writer's transaction began
        self._too_long = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def begins(self) -> None:
        """Before a transaction."""
        self._alone = not self._wanted.is_set()

    def wrote(self, raw: sqlite3.Connection) -> None:
        """After a commit: have it folded if that is worth it."""
        if not self._alone:
            return  # see the top
        if self._too_long:
            self._too_long = False
            _folded(raw)
        elif raw.total_changes - self._seen >= OFTEN:
            self._seen = raw.total_changes
            if self._thread is None and not self._started():
                _folded(raw)
                return
            self._wanted.set()

    def close(self) -> None:
        """Fold what was asked for, stop, and let go of the file. Nobody writes any more."""
        self._closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _started(self) -> bool:
        thread = threading.Thread(target=self._run, name="store-fold", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the host has no more threads: a commit folds, as ever
            _warn(error)
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        raw: sqlite3.Connection | None = None
        while self._wanted.wait():
            try:
                raw = raw or self._connect()
            except (sqlite3.Error, OSError) as error:  # no more files, for one: the writer has its
                _warn(error)
                self._too_long = True
            else:
                self._too_long = _folded(raw) >= self._long
            self._wanted.clear()
            if self._closed:
                break
        if raw is not None:
            raw.close()


def _folded(raw: sqlite3.Connection) -> int:
    """Fold what can be folded now; return how many pages the log has."""
    try:
        found: Any = raw.execute(_FOLD).fetchone()
    except sqlite3.Error as error:  # the next time it may; until then all is in the log
        _warn(error)
        return 0
    return int(found[1])


def _warn(error: Exception) -> None:
    log.warning("the write-ahead log was not folded", extra={"error": str(error)})
