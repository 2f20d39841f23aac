"""The log as clients follow it (protocol.md §10.1, `logs.tail`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.front.host import tail

LINES = [f'{{"level":"info","message":"line {n}"}}\n' for n in range(5)]
SIZE = len(LINES[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "engine-2026-01-01.log").write_text("old\n")
    (tmp_path / "engine-2026-01-02.log").write_text("".join(LINES))
    return tmp_path


def said(answer: dict[str, object]) -> list[str]:
    lines = answer["lines"]
    assert isinstance(lines, list)
    return [json.loads(line)["0"] for line in lines]


def test_the_newest_lines_come_first_and_then_what_was_added(folder: Path) -> None:
    first = tail(folder, None, limit=2, most=10_000)
    assert said(first) == ["line 3", "line 4"]
    assert first["file"].endswith("engine-2026-01-02.log")
    with (folder / "engine-2026-01-02.log").open("a") as log:
        log.write(LINES[0] + LINES[1][:10])
    again = tail(folder, first["cursor"], limit=100, most=10_000)
    assert said(again) == ["line 0"]  # half a line waits for its end
    assert again["cursor"] == 6 * SIZE


def test_many_lines_are_told_in_portions_none_left_out(folder: Path) -> None:
    cursor, heard = 0, []
    for _ in range(3):
        answer = tail(folder, cursor, limit=2, most=10_000)
        heard += said(answer)
        cursor = answer["cursor"]
    assert heard == [f"line {n}" for n in range(5)]


def test_what_is_too_much_is_skipped_by_whole_lines_and_said(folder: Path) -> None:
    answer = tail(folder, 0, limit=100, most=2 * SIZE + 5)
    assert said(answer) == ["line 3", "line 4"]
    assert answer["truncated"]
    assert answer["skippedBytes"] == 3 * SIZE - 5


def test_a_file_that_shrank_begins_anew(folder: Path) -> None:
    answer = tail(folder, 10_000, limit=100, most=10_000)
    assert answer["reset"]
    assert len(answer["lines"]) == 5


def test_a_line_has_the_names_other_command_lines_read(folder: Path) -> None:
    line = json.loads(tail(folder, None, limit=1, most=10_000)["lines"][0])
    assert line["_meta"]["logLevelName"] == "INFO"


def test_no_log_yet_is_an_empty_answer(tmp_path: Path) -> None:
    assert tail(tmp_path, None, limit=1, most=1)["lines"] == []
