"""How the end of a command is told, and when it is not (heartbeat.md §16)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.programs.words import TOLD_MOST, End, ended, lost, name_of, unheard

ID = "0123456789abcdef01234567"
WELL = End(took=timedelta(seconds=41), said="all green")


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (WELL, "Exec finished (make, 01234567, code 0, 41 s): all green"),
        (replace(WELL, code=2), "Exec failed (make, 01234567, code 2, 41 s): all green"),
        (replace(WELL, code=-15), "Exec failed (make, 01234567, signal 15, 41 s): all green"),
        (
            replace(WELL, code=-9, timed_out=True, said=""),
            "Exec failed (make, 01234567, timed out, 41 s), without output",
        ),
    ],
)
def test_an_end_is_told_with_its_name_its_code_and_its_last_words(end: End, text: str) -> None:
    assert ended("make", ID, end) == text


def test_long_words_are_told_from_their_end_with_a_way_to_the_rest() -> None:
    text = ended("make", ID, replace(WELL, said="a" * TOLD_MOST + "the end"))
    assert "[…] a" in text
    assert f"the end\n[all of it: process log {ID}]" in text


@pytest.mark.parametrize(
    ("end", "switches", "heard"),
    [
        (WELL, {}, True),
        (replace(WELL, said=""), {}, False),
        (replace(WELL, said=""), {"quiet_too": True}, True),
        (replace(WELL, said="", code=1), {}, True),
        (replace(WELL, said="", killed=True, code=-9), {"quiet_too": True}, False),
        (replace(WELL, killed=True, code=-9), {}, True),
        (WELL, {"notify": False}, False),
    ],
)
def test_who_is_told(end: End, switches: dict[str, bool], heard: bool) -> None:
    because = unheard(end, **{"notify": True, "quiet_too": False, **switches})
    assert (because == "") is heard


def test_a_lost_command_is_told_honestly() -> None:
    assert "was interrupted (make, 01234567)" in lost("make", ID, ended_now=True)
    assert "has been ended" in lost("make", ID, ended_now=True)
    assert "nothing of it runs" in lost("make", ID, ended_now=False)


def test_a_name_is_one_short_line() -> None:
    assert name_of("cat <<E\n" + "x" * 100).startswith("cat <<E xxx")
    assert len(name_of("x" * 100)) == 60
