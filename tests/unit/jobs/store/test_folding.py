"""The write-ahead log reaches the file beside the writer, and stays short."""

from __future__ import annotations

import sqlite3
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
