"""When a text is the same again: heartbeat.md §13.2."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.messages.repetition import Sent, uncounted

NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("window", "later", "noise"),
    [
        (DAY, timedelta(), True),
        (DAY, DAY - timedelta(seconds=1), True),
        (DAY, DAY, False),
        (DAY, -timedelta(seconds=1), False),
        (None, timedelta(), False),
    ],
    ids=["at-once", "within", "after", "the-clock-was-set-back", "switched-off"],
)
def test_the_same_words_are_noise_for_a_window(
    window: timedelta | None, later: timedelta, noise: bool
) -> None:
    assert Sent(NOON, 0).within(window, NOON + later) is noise


def test_words_that_were_held_back_say_how_often_and_since_when() -> None:
    assert Sent(NOON, 0).counted("Rain.", SHANGHAI) == "Rain."
    told = Sent(NOON, 3).counted("Rain.", SHANGHAI)
    assert told == "Rain.\n(repeated 3× since 2026-03-17 20:00)"
    assert uncounted(told) == uncounted(" Rain.\n") == "Rain."
