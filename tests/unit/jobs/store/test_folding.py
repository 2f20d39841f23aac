"""The write-ahead log reaches the file beside the writer, and stays short."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from jobs.store.folding import BY_HAND, OFTEN, Folding


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.db"


@pytest.fixture
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(BY_HAND)
        connection.execute("CREATE TABLE words (word TEXT)")
        yield connection


def write(raw: sqlite3.Connection, count: int) -> None:
    raw.execute("BEGIN")
    raw.executemany("INSERT INTO words VALUES (?)", [("x" * 500,)] * count)
    raw.execute("COMMIT")


def in_file(path: Path) -> int:
    """How many words are in the file itself, whatever the log says."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        try:
            found = connection.execute("SELECT count(*) FROM words").fetchone()
        except sqlite3.OperationalError:  # not even the table
            return 0
    return int(found[0])


def other(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, check_same_thread=False)


def test_what_was_written_reaches_the_file_while_it_is_open(
    path: Path, raw: sqlite3.Connection
) -> None:
    folding = Folding(partial(other, path))
    write(raw, OFTEN)
    assert in_file(path) == 0
    folding.wrote(raw)
    folding.close()
    assert in_file(path) == OFTEN


def test_a_few_changes_are_left_in_the_log(path: Path, raw: sqlite3.Connection) -> None:
    folding = Folding(partial(other, path))
    write(raw, OFTEN - 1)
    folding.wrote(raw)
    folding.close()
    assert in_file(path) == 0


def test_the_writer_folds_a_log_that_got_too_long(path: Path, raw: sqlite3.Connection) -> None:
    folding = Folding(partial(other, path), long=1)
    write(raw, OFTEN)
    folding.wrote(raw)
    folding.close()  # its thread has found it too long
    write(raw, 1)
    folding.wrote(raw)
    assert in_file(path) == OFTEN + 1


def test_a_log_that_cannot_be_folded_harms_no_writer(
    path: Path, raw: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    def closed() -> sqlite3.Connection:
        connection = other(path)
        connection.close()
        return connection

    folding = Folding(closed)
    write(raw, OFTEN)
    folding.wrote(raw)
    folding.close()
    assert "was not folded" in caplog.text
    write(raw, 1)


def test_a_fold_is_asked_for_only_by_a_commit_during_which_nobody_folded(
    path: Path, raw: sqlite3.Connection
) -> None:
    """Else all may be folded when it begins, and a commit begin the log anew beside it."""
    folds = list[str]()
    go_on, began, over = (threading.Event() for _ in range(3))

    class Wanted(threading.Event):
        def clear(self) -> None:
            super().clear()
            over.set()

    class Slow(sqlite3.Connection):
        def execute(self, *given: object) -> sqlite3.Cursor:
            began.set()
            assert go_on.wait(5)
            folds.append(threading.current_thread().name)
            return super().execute(*given)  # type: ignore[arg-type]

    folding = Folding(lambda: sqlite3.connect(path, factory=Slow, check_same_thread=False))
    folding._wanted = Wanted()

    def commit() -> None:
        folding.begins()
        write(raw, OFTEN)

    commit()
    folding.wrote(raw)
    assert began.wait(5)
    commit()  # while it folds, and ends only after that
    go_on.set()
    assert over.wait(5)
    folding.wrote(raw)
    assert not folding._wanted.is_set()
    commit()
    folding.wrote(raw)
    folding.close()
    assert folds == ["store-fold", "store-fold"]
    assert in_file(path) == 3 * OFTEN


def test_where_no_thread_can_be_had_the_writer_goes_on_and_folds_itself(
    path: Path, raw: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    folding = Folding(partial(other, path))
    write(raw, OFTEN)
    folding.wrote(raw)
    folding.close()
    assert in_file(path) == OFTEN


def test_where_no_file_can_be_opened_the_writer_folds_itself(
    path: Path, raw: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left() -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    folding = Folding(none_left)
    write(raw, OFTEN)
    folding.wrote(raw)
    folding.close()
    assert "was not folded" in caplog.text
    folding.begins()
    write(raw, 1)
    folding.wrote(raw)
    assert in_file(path) == OFTEN + 1
