"""The log read again: behind a cursor, across files that turned, and sifted (§11, §10.1)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.log.files import Place
from engine.log.reading import Sieve, sifted, tail

LINES = [f'{{"level":"info","msg":"line {n}"}}\n' for n in range(5)]
SIZE = len(LINES[0])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "engine-2026-01-01.log").write_text("old\n")
    (tmp_path / "engine-2026-01-02.log").write_text("".join(LINES))
    return Place(folder=tmp_path)


def said(answer: dict[str, Any]) -> list[str]:
    return [json.loads(line)["msg"] for line in answer["lines"]]


def test_the_newest_lines_come_first_and_then_what_was_added(place: Place) -> None:
    first = tail(place, None, limit=2, most=10_000)
    assert said(first) == ["line 3", "line 4"]
    assert first["file"].endswith("engine-2026-01-02.log")
    with (place.folder / "engine-2026-01-02.log").open("a") as log:
        log.write(LINES[0] + LINES[1][:10])
    again = tail(place, first["cursor"], limit=100, most=10_000)
    assert said(again) == ["line 0"]  # half a line waits for its end
    assert again["cursor"] == 6 * SIZE


@pytest.mark.parametrize(
    ("limit", "most", "shown"),
    [
        (100, 10_000, ["old", *(f"line {n}" for n in range(5))]),
        (5, 10_000, [f"line {n}" for n in range(5)]),
        (100, 5 * SIZE, [f"line {n}" for n in range(5)]),
    ],
)
def test_in_the_morning_the_lines_of_last_night_come_first(
    place: Place, limit: int, most: int, shown: list[str]
) -> None:
    (place.folder / "engine-2026-01-01.log").write_text('{"level":"error","msg":"old"}\n')
    first = tail(place, None, limit=limit, most=most)
    assert said(first) == shown
    assert (first["cursor"], first["file"][-14:]) == (5 * SIZE, "2026-01-02.log")


def test_many_lines_are_told_in_portions_none_left_out(place: Place) -> None:
    cursor, heard = 0, []
    for _ in range(3):
        answer = tail(place, cursor, limit=2, most=10_000)
        heard += said(answer)
        cursor = answer["cursor"]
    assert heard == [f"line {n}" for n in range(5)]


def test_what_is_too_much_is_skipped_by_whole_lines_and_said(place: Place) -> None:
    answer = tail(place, 0, limit=100, most=2 * SIZE + 5)
    assert said(answer) == ["line 3", "line 4"]
    assert answer["truncated"]
    assert answer["skippedBytes"] == 3 * SIZE - 5


def test_a_file_that_shrank_begins_anew(place: Place) -> None:
    answer = tail(place, 10_000, limit=100, most=10_000)
    assert answer["reset"]
    assert len(answer["lines"]) == 5


def test_no_log_yet_is_an_empty_answer(tmp_path: Path) -> None:
    assert tail(Place(folder=tmp_path), None, limit=1, most=1)["lines"] == []


@pytest.mark.parametrize("turned", ["midnight", "too large"])
def test_who_follows_loses_no_line_when_the_file_turns(place: Place, turned: str) -> None:
    today = place.folder / "engine-2026-01-02.log"
    at = tail(place, None, limit=1, most=10_000)
    with today.open("a") as log:
        log.write(LINES[0])
    if turned == "midnight":
        (place.folder / "engine-2026-01-03.log").write_text(LINES[1] * 9)
    else:
        today.replace(today.with_name(f"{today.name}.1"))
        today.write_text(LINES[1] * 9)
    heard = []
    for _ in range(3):
        at = tail(place, at["cursor"], limit=100, most=10_000, mark=at["mark"])
        heard += said(at)
    assert heard == ["line 0", *["line 1"] * 9]


def line(level: str = "info", room: str = "gateway.sender", **more: Any) -> str:
    return json.dumps({"ts": "2026-01-02T12:00:00+00:00", "level": level, "subsystem": room} | more)


@pytest.mark.parametrize(
    ("sieve", "given", "passes"),
    [
        (Sieve(), "not JSON", True),
        (Sieve(level="warn"), line("error"), True),
        (Sieve(level="warn"), line("info"), False),
        (Sieve(level="warn"), "not JSON", False),
        (Sieve(grep=re.compile("AUTH_")), "AUTH_TOKEN_MISSING", True),
        (Sieve(grep=re.compile("AUTH_")), line(), False),
        (Sieve(subsystem="sender"), line(), True),
        (Sieve(subsystem="gateway"), line(), True),
        (Sieve(subsystem="send"), line(), False),
        (Sieve(job="brief"), line(jobId="brief"), True),
        (Sieve(job="brief"), line(), False),
        (Sieve(agent="main"), line(agentId="ops"), False),
        (Sieve(since=datetime(2026, 1, 2, 12, tzinfo=UTC)), line(), True),
        (Sieve(since=datetime(2026, 1, 2, 13, tzinfo=UTC)), line(), False),
    ],
)
def test_only_what_is_asked_for_passes(sieve: Sieve, given: str, passes: bool) -> None:
    assert bool(sifted([given], sieve, 10)) is passes


def test_the_newest_of_those_that_pass_are_shown() -> None:
    assert sifted([line(n=n) for n in range(5)], Sieve(level="info"), 1) == [line(n=4)]
