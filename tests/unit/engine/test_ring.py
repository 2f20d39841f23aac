"""Who was away reads what it missed, or is told that it is gone (heartbeat.md §20)."""

from __future__ import annotations

import pytest

from engine.ring import MOST, Ring


def ring(events: int, *, first: int = 100, most: int = 3) -> Ring:
    made = Ring(first, most=most)
    for n in range(events):
        made.add({"n": n})
    return made


@pytest.mark.parametrize(
    ("events", "cursor", "missed", "complete"),
    [
        (0, None, [], True),
        (2, None, [], True),  # nothing is replayed unasked
        (2, 99, [100, 101], True),
        (2, 100, [101], True),
        (2, 101, [], True),
        (5, 101, [102, 103, 104], True),  # the oldest that is there is the next
        (5, 100, [102, 103, 104], False),  # 101 is gone
        (5, 7, [102, 103, 104], False),  # of an earlier process
        (5, 500, [102, 103, 104], False),  # of a process whose clock was ahead
        (0, 99, [], True),
        (0, 7, [], False),
    ],
)
def test_what_came_after_a_number_is_told_or_that_it_is_gone(
    events: int, cursor: int | None, missed: list[int], complete: bool
) -> None:
    told = ring(events).since(cursor)
    assert [one["seq"] for one in told["events"]] == missed
    assert told["complete"] is complete
    assert told["cursor"] == 99 + events


def test_five_hundred_are_kept() -> None:
    made = ring(MOST + 7, first=0, most=MOST)
    assert MOST == 500
    told = made.since(6)
    assert (len(told["events"]), told["oldest"], told["complete"]) == (500, 7, True)
    assert made.since(5)["complete"] is False
