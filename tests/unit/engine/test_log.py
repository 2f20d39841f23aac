"""The log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from engine.log import DayFile, set_up


def record(words: str) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.INFO, "x.py", 1, words, (), None)
    made.created = 0.0
    return made


def test_a_disk_that_refuses_the_log_is_told_once_and_stops_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "engine-1970-01-01.log"
    in_the_way.mkdir()
    file = DayFile(tmp_path)
    for _ in range(3):
        file.emit(record("lost"))
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith(f"the log in {tmp_path} is not written: ")
    in_the_way.rmdir()
    file.emit(record("kept"))
    assert in_the_way.read_text() == "kept\n"
    file.close()


@pytest.mark.parametrize("verbose", [False, True])
def test_what_is_of_interest_to_developers_is_told_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verbose: bool
) -> None:
    root = logging.getLogger()
    before, own = root.handlers[:], [logging.getLogger(n) for n in ("engine", "gateway", "jobs")]
    try:
        set_up(tmp_path, verbose=verbose)
        logging.getLogger("gateway.connection").debug("client connected")
        assert ("client connected" in capsys.readouterr().err) is verbose
    finally:
        for handler in (*root.handlers,):
            handler.close()
        root.handlers[:] = before
        for logger in own:
            logger.setLevel(logging.NOTSET)
