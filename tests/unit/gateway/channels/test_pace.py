"""Pacing: limits hold in every span of time; a penalty widens; nobody waits for ever."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from engine.messages.address import Route
from engine.messages.delivery import Priority
from gateway.channels.pace import Fairness, Pace, Scope
from gateway.channels.telegram.account import scopes

S = timedelta(seconds=1)
BOT = Scope("bot", 30, S)


def grants(pace: Pace, each: Sequence[tuple[Scope, ...]], horizon: timedelta) -> list[timedelta]:
    """Let everybody in ``each`` go as soon as may be; return when they went."""
    at, went, waiting = timedelta(), [], list(each)
    while waiting and at <= horizon:
        blocked = []
        for wanted in waiting:
            if pace.wait(wanted, at):
                blocked.append(wanted)
            else:
                pace.take(wanted, at)
                went.append(at)
        waiting = blocked
        if waiting:
            at += min(pace.wait(wanted, at) for wanted in waiting)
    return went


def most_within(went: list[timedelta], span: timedelta) -> int:
    return max(sum(1 for other in went if at <= other < at + span) for at in went)


def test_forty_chats_get_at_most_thirty_messages_in_any_second() -> None:
    wanted = [(BOT, Scope(f"chat{n}", 1, S)) for n in range(40)]
    went = grants(Pace(), wanted, 10 * S)
    assert len(went) == 40
    assert most_within(went, S) == 30
    assert went[-1] == S


def test_one_group_gets_at_most_twenty_messages_in_any_minute() -> None:
    group = Route(channel="telegram", account_id="a", to="-100")
    went = grants(Pace(), [scopes(group)] * 25, timedelta(minutes=3))
    assert len(went) == 25
    assert most_within(went, timedelta(minutes=1)) == 20


def test_a_direct_chat_gets_one_message_a_second() -> None:
    person = Route(channel="telegram", account_id="a", to="42")
    assert grants(Pace(), [scopes(person)] * 3, 10 * S) == [0 * S, S, 2 * S]


def test_a_penalty_pauses_that_chat_and_no_other() -> None:
    pace, one, other = Pace(), Scope("one", 1, S), Scope("other", 1, S)
    pace.penalise((BOT, one), 3 * S, 0 * S)
    assert pace.wait((BOT, one), 0 * S) == 3 * S
    assert pace.wait((BOT, one), 3 * S) == 0 * S
    assert pace.wait((BOT, other), 0 * S) == 0 * S


def test_three_penalties_in_a_minute_pause_the_bot() -> None:
    pace = Pace()
    for second in range(3):
        pace.penalise((BOT, Scope(f"chat{second}", 1, S)), 10 * S, second * S)
    assert pace.wait((BOT, Scope("another", 1, S)), 2 * S) == 10 * S


def test_three_penalties_in_three_minutes_do_not() -> None:
    pace = Pace()
    for minute in range(3):
        pace.penalise((BOT, Scope("chat", 1, S)), S, timedelta(minutes=minute))
    assert pace.wait((BOT, Scope("another", 1, S)), timedelta(minutes=2)) == 0 * S


def test_idle_chats_are_forgotten_without_loosening_the_busy_ones() -> None:
    pace = Pace()
    for n in range(5000):
        pace.take((Scope(f"chat{n}", 1, S),), n * S)
    assert pace.wait((Scope("chat4999", 1, S),), 4999 * S) == S
    assert pace.wait((Scope("chat1", 1, S),), 4999 * S) == 0 * S


def test_no_scope_means_no_wait() -> None:
    pace = Pace()
    pace.penalise((), S, 0 * S)
    assert pace.wait((), 0 * S) == 0 * S


def test_a_reply_goes_before_a_heartbeat_but_not_for_ever() -> None:
    fair = Fairness()
    waiting = [Priority.HEARTBEAT, *[Priority.REPLY] * 6]
    order = []
    while waiting:
        order.append(waiting.pop(fair.pick(waiting)))
    reply, beat = Priority.REPLY, Priority.HEARTBEAT
    assert order == [reply, reply, reply, reply, beat, reply, reply]


def test_equals_go_in_the_order_they_came() -> None:
    assert Fairness().pick([Priority.CRON, Priority.CRON]) == 0
