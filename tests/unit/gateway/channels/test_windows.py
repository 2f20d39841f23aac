"""Whether a message leaves as an answer, unasked, later or not (channels.md §8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.messages.address import Route
from engine.messages.contact import Contact, Reply, Window
from engine.messages.delivery import Delivery
from gateway.channels.windows import (
    AsReply,
    Hold,
    Recall,
    Refuse,
    ReplyRules,
    Unasked,
    day_ends,
    day_of,
    noted,
    period_of,
    way,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = ReplyRules(window=60 * MINUTE, replies=4, per_day=2)
PING = Delivery(
    key="k",
    route=Route(channel="qqbot", account_id="a", to="c2c:x"),
    text="x",
    kind="cron",
    created_at=NOON,
    expires_at=NOON + timedelta(hours=1),
)
OLD = Window(message_id="old", at=NOON - 30 * MINUTE)
NEW = Window(message_id="new", at=NOON - MINUTE)
KNOWN = Contact(known=True, windows=(NEW, OLD))


def test_the_newest_message_is_answered() -> None:
    assert way(PING, KNOWN, RULES, NOON) == AsReply(Reply("new", 1), 4)


def test_an_older_one_is_answered_when_the_newest_has_no_answers_left() -> None:
    contact = replace(KNOWN, windows=(replace(NEW, seq=4), OLD))
    assert way(PING, contact, RULES, NOON) == AsReply(Reply("old", 1), 4)


def test_a_reply_answers_the_message_it_was_asked_by() -> None:
    contact = replace(KNOWN, windows=(NEW, replace(OLD, run_id="r")))
    reply = replace(PING, kind="reply", run_id="r")
    assert way(reply, contact, RULES, NOON) == AsReply(Reply("old", 1), 4)


def test_one_answer_is_kept_back_for_the_turn_on_its_way() -> None:
    contact = Contact(known=True, owed=True, windows=(replace(NEW, seq=3),))
    assert way(PING, contact, RULES, NOON) == Unasked()
    reply = replace(PING, kind="reply")
    assert way(reply, contact, RULES, NOON) == AsReply(Reply("new", 4), 1)


def test_a_window_ends_to_the_second() -> None:
    contact = Contact(known=True, windows=(NEW,))
    at = NEW.at + RULES.window
    assert isinstance(way(PING, contact, RULES, at - timedelta(seconds=1)), AsReply)
    assert way(PING, contact, RULES, at) == Unasked()


def test_a_peer_nobody_met_is_written_to_unasked() -> None:
    assert way(PING, Contact(), RULES, NOON) == Unasked()


def test_a_peer_of_another_account_is_refused_with_the_right_one() -> None:
    found = way(PING, Contact(elsewhere=("liuyi",)), RULES, NOON)
    assert isinstance(found, Refuse)
    assert found.reason == "account-mismatch"
    assert "liuyi" in found.detail


@pytest.mark.parametrize(
    ("kind", "hold", "held"),
    [
        ("cron", None, True),
        ("reply", None, True),
        ("heartbeat", None, False),
        ("test", None, False),
        ("heartbeat", True, True),
        ("cron", False, False),
    ],
)
def test_what_may_wait_waits_where_nothing_unasked_is_taken(
    kind: str, hold: bool | None, held: bool
) -> None:
    contact = Contact(known=True, denied_until=NOON + MINUTE)
    found = way(replace(PING, kind=kind), contact, replace(RULES, hold=hold), NOON)
    assert isinstance(found, Hold) is held
    if not held:
        assert isinstance(found, Refuse)
        assert found.reason == "proactive-denied"
    assert way(PING, contact, RULES, NOON + MINUTE) == Unasked()


def test_quotas_are_refused_with_the_time_they_begin_anew() -> None:
    spent = Contact(known=True, spent_until=NOON + MINUTE)
    for contact in (spent, Contact(known=True, unasked_today=2)):
        found = way(PING, contact, RULES, NOON)
        assert isinstance(found, Refuse)
        assert found.reason == "quota-exhausted"
        assert "2026-11-20T1" in found.detail
    assert way(PING, spent, RULES, NOON + MINUTE) == Unasked()


def test_a_repeat_keeps_its_number_and_after_the_window_only_if_it_may_have_arrived() -> None:
    again = replace(PING, notes={"replyTo": "new", "replySeq": 2})
    assert way(again, KNOWN, RULES, NOON) == AsReply(Reply("new", 2), 1)
    late = NOON + 2 * RULES.window
    assert way(again, KNOWN, RULES, late) == Unasked()
    unsure = replace(again, notes={**again.notes, "replyUnsure": True})
    assert way(unsure, KNOWN, RULES, late) == AsReply(Reply("new", 2), 1)


def test_what_the_platform_called_late_is_not_tried_as_an_answer_again() -> None:
    late = replace(PING, notes={"windowExpired": True})
    assert way(late, KNOWN, RULES, NOON) == Unasked()


def test_the_receipt_tells_the_way() -> None:
    assert noted({}, AsReply(Reply("m", 3), 1)) == {
        "via": "passive",
        "replyTo": "m",
        "replySeq": 3,
    }
    assert noted({"replyTo": "m", "replySeq": 3, "x": 1}, Unasked()) == {"via": "proactive", "x": 1}


def test_a_day_is_beijings() -> None:
    before, behind = (
        datetime(2026, 11, 20, 15, 59, tzinfo=UTC),
        datetime(2026, 11, 20, 16, tzinfo=UTC),
    )
    assert day_of(behind) == day_of(before) + 1
    assert day_ends(before) == behind


@pytest.mark.parametrize(
    ("passed", "period"),
    [
        (timedelta(hours=3), 0),
        (timedelta(hours=5), 1),  # the day is Beijing's: another one by then
        (timedelta(days=2, hours=23), 1),
        (timedelta(days=3), 2),
        (timedelta(days=6, hours=23), 2),
        (timedelta(days=7), 3),
        (timedelta(days=29, hours=23), 3),
        (timedelta(days=30), None),
    ],
)
def test_periods_after_a_contact_are_counted_to_the_second(
    passed: timedelta, period: int | None
) -> None:
    assert period_of(NOON, NOON + passed) == period


@pytest.mark.parametrize(
    ("known", "recalled", "kind", "found"),
    [
        (True, 0, "cron", Recall(1)),
        (True, 0b10, "cron", Hold()),
        (True, 0b01, "cron", Recall(1)),
        (False, 0, "cron", Hold()),
    ],
)
def test_a_recall_is_what_is_left_before_waiting(
    known: bool, recalled: int, kind: str, found: Recall | Hold
) -> None:
    contact = Contact(
        known=True,
        denied_until=NOON + MINUTE,
        wrote_at=NOON - timedelta(days=2) if known else None,
        recalled=recalled,
    )
    ping = replace(PING, kind=kind)
    assert way(ping, contact, replace(RULES, recalls=True), NOON) == found
    assert way(ping, contact, RULES, NOON) == Hold()
    assert noted({"replyTo": "x", "replySeq": 1}, Recall(1)) == {"via": "recall"}
