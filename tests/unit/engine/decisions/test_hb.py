"""What a person says to the engine in a chat: heartbeat.md §25 rows 13 and 21."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.decisions.hb import USAGE, Asked, Word, parse, suggestion


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("/hb useful", Asked(Word.USEFUL)),
        (" /HB  Noise ", Asked(Word.NOISE)),
        ("/hb@my_bot ack", Asked(Word.ACK)),
        ("/hb snooze 2h", Asked(Word.SNOOZE, timedelta(hours=2))),
        ("/hb mute", Asked(Word.MUTE)),
        ("/hb noise message:17", Asked(Word.NOISE, message="17")),
        ("/hb unmute", Asked(Word.UNMUTE)),
        ("/hb", USAGE),
        ("/hb great", USAGE),
        ("/hb snooze", USAGE),
        ("/hb snooze soon", USAGE),
        ("/hb snooze 0s", USAGE),
        ("/hb useful indeed", USAGE),
        ("/hbx useful", None),
        ("tell me about /hb", None),
        ("", None),
    ],
)
def test_a_command_is_understood_explained_or_none(text: str, asked: Asked | str | None) -> None:
    assert parse(text) == asked


@pytest.mark.parametrize(
    ("useful", "noise", "told"), [(0, 2, ""), (1, 9, ""), (0, 3, "noise 3 times")]
)
def test_muting_is_suggested_for_words_that_are_only_ever_noise(
    useful: int, noise: int, told: str
) -> None:
    hint = suggestion(useful, noise, "7", chat=False)
    assert told in hint
    assert ("engine inbox mute 7" in hint) is bool(told)
