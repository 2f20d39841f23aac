from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.cli import render

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ms", "words"),
    [(None, "-"), (850, "850 ms"), (11_000, "11.0 s"), (5_400_000, "1h30m"), (1_800_000, "30m")],
)
def test_durations_read_like_words(ms: int | None, words: str) -> None:
    assert render.duration(ms) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (300, "in 5m"),
        (-7_200, "2h ago"),
        (0, "now"),
        (200_000, "in 2d7h"),
        (7_199, "in 1h59m"),
        (59, "in 59s"),
        (0.4, "now"),
        (-312, "5m ago"),
    ],
)
def test_instants_are_told_from_now(seconds: float, words: str) -> None:
    at = NOW + timedelta(seconds=seconds)
    assert render.relative(int(at.timestamp() * 1000), NOW) == words


def test_cjk_takes_two_cells_and_is_cut_on_a_character() -> None:
    assert render.cells("小弟ok") == 6
    assert render.cut("小弟小弟", 5) == "小弟…"
    assert render.cells(render.pad("小弟", 10)) == 10


def test_columns_of_a_table_stay_aligned_with_cjk_in_them() -> None:
    text = render.table(("NAME", "STATE"), [("小弟", "on"), ("liuyi", "off")], room=40)
    assert [render.cells(line[: line.index("o")]) for line in text.splitlines()[1:]] == [7, 7]


def test_a_table_fits_and_its_first_column_can_be_pasted() -> None:
    rows = [("f1e9723a-ce6e-4678-bf88-d6b1256fdcf7", "word " * 30, "word " * 30)]
    text = render.table(("ID", "A", "B"), rows, room=100, keep=1)
    assert all(render.cells(line) <= 100 for line in text.splitlines())
    assert rows[0][0] in text


def test_columns_that_can_be_spared_go_before_others_are_cut() -> None:
    rows = [("id", "a name of some length", "delivery of some length")]
    text = render.table(("ID", "NAME", "DELIVERY"), rows, room=30, spare=("DELIVERY",))
    assert "DELIVERY" not in text
    assert "a name of some length" in text


def test_words_from_elsewhere_cannot_steer_the_terminal() -> None:
    assert render.plain("a\x1b[2Jb\x07c\nd") == "a[2Jbc\nd"


def test_nothing_is_cut_for_a_program_that_reads(capsys: pytest.CaptureFixture[str]) -> None:
    render.show_table(("ID", "TEXT"), [("1", "word " * 60)], spare=("TEXT",))
    told = capsys.readouterr().out
    assert "…" not in told
    assert told.count("word") == 60
