"""What follows each end of a connection (the table of channels.md §8)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.channels.qq.closes import Ended, How, Next, Streak, after

HOUR = timedelta(hours=1)


def close(code: int, before: Streak | None = None, lived: timedelta | None = HOUR) -> Next:
    return after(Ended(code=code, lived=lived), before or Streak())


@pytest.mark.parametrize(
    ("code", "how", "seconds"),
    [
        (1000, How.RESUME, 1),
        (0, How.RESUME, 1),
        (4009, How.RESUME, 1),
        (4008, How.RESUME, 60),
        (4004, How.RESUME, 1),
        (4006, How.IDENTIFY, 1),
        (4007, How.IDENTIFY, 1),
        *((code, How.IDENTIFY, 1) for code in range(4900, 4914)),
        (4999, How.RESUME, 1),
    ],
)
def test_each_code_has_its_consequence(code: int, how: How, seconds: int) -> None:
    then = close(code)
    assert (then.how, then.wait) == (how, timedelta(seconds=seconds))


@pytest.mark.parametrize("code", [4001, 4002, 4010, 4011, 4012, 4013, 4014, 4914, 4915])
def test_what_no_waiting_mends_ends_the_account_in_plain_words(code: int) -> None:
    then = close(code)
    assert then.how is How.NEVER
    assert then.because.startswith(f"{code}: ")
    assert len(then.because) > 15


def test_codes_that_are_read_in_two_ways_tell_both() -> None:
    assert "sandbox" in close(4914).because
    assert "intent" in close(4914).because
    assert "banned" in close(4915).because


def test_a_refused_token_is_replaced_once() -> None:
    first = close(4004, lived=None)
    assert (first.how, first.new_token) == (How.RESUME, True)
    second = close(4004, first.streak, lived=None)
    assert second.how is How.NEVER
    assert close(4004, close(1000, first.streak).streak, lived=None).how is How.RESUME


def test_connections_that_never_stand_are_tried_slower_and_for_ever() -> None:
    streak, waits = Streak(), list[float]()
    for _ in range(200):
        then = close(0, streak, lived=None)
        streak = then.streak
        waits.append(then.wait.total_seconds())
    assert waits[:7] == [1, 2, 5, 10, 30, 60, 60]
    assert set(waits[6:]) == {60}


def test_three_short_lives_pause_and_name_the_second_process() -> None:
    streak = Streak()
    for _ in range(2):
        then = close(1000, streak, timedelta(seconds=2))
        streak = then.streak
    third = close(1000, streak, timedelta(seconds=2))
    assert third.wait == timedelta(seconds=60)
    assert "second process" in third.because
    assert third.streak.short_lives == 0


def test_a_connection_of_use_makes_up_for_those_before() -> None:
    assert close(1000, Streak(failures=9, short_lives=2)).wait == timedelta(seconds=1)


def test_who_is_asked_to_reconnect_does_so_at_once_and_goes_on() -> None:
    then = after(Ended(asked_to_reconnect=True, lived=timedelta(seconds=1)), Streak())
    assert (then.how, then.wait) == (How.RESUME, timedelta())


def test_an_invalid_session_begins_anew() -> None:
    assert after(Ended(invalid_session=True), Streak()).how is How.IDENTIFY
