"""Who may leave now: lanes, pace, priority, rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.messages.address import Route
from engine.messages.delivery import Delivery, Priority
from engine.messages.fault import Fault, FaultClass
from engine.testing.clock import ManualClock
from gateway.channels.traffic import LATER, LONGEST_REST, Leaving, Traffic
from tests.fakes.scripted_channel import ScriptedChannel

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
S = timedelta(seconds=1)


def head(key: str, *, to: str, **more: Any) -> Delivery:
    return Delivery(
        key=key,
        route=Route(channel="telegram", account_id="default", to=to),
        text=key,
        kind="cron",
        created_at=more.pop("created_at", NOON),
        expires_at=more.pop("expires_at", NOON + timedelta(hours=1)),
        **more,
    )


@pytest.fixture
def traffic() -> Traffic:
    return Traffic({"telegram": ScriptedChannel(ManualClock(NOON))})


def leaving(traffic: Traffic, *heads: Delivery, at: timedelta = timedelta()) -> Leaving:
    return traffic.leaving(heads, (), NOON + at, at)


def keys(found: Leaving) -> list[str]:
    return [one.key for one in found.now]


def test_a_lane_with_one_on_its_way_waits_without_a_moment(traffic: Traffic) -> None:
    one = head("a", to="1")
    assert traffic.leaving([one], {one.lane}, NOON, timedelta()) == Leaving((), ())


def test_who_was_chosen_counts_against_the_pace_at_once(traffic: Traffic) -> None:
    assert keys(leaving(traffic, head("a", to="1"))) == ["a"]
    again = leaving(traffic, head("b", to="1"), head("c", to="2"))
    assert keys(again) == ["c"]
    assert again.moments == (NOON + S,)
    traffic.landed(head("a", to="1").lane, timedelta())
    assert keys(leaving(traffic, head("b", to="1"))) == ["b"]  # it never left


def test_what_counts_is_when_the_platform_saw_it(traffic: Traffic) -> None:
    """A store that is slow to write `sending` would bunch what was let go apart."""
    one, other = head("a", to="1"), head("b", to="1")
    assert keys(leaving(traffic, one)) == ["a"]
    assert keys(leaving(traffic, other, at=5 * S)) == []  # its request has not left yet
    traffic.leaves(one.lane, 5 * S)
    assert leaving(traffic, other, at=5.5 * S).moments == (NOON + 6 * S,)
    traffic.landed(one.lane, 5.5 * S)
    assert keys(leaving(traffic, other, at=6.4 * S)) == []
    assert keys(leaving(traffic, other, at=6.5 * S)) == ["b"]


def test_a_request_that_hangs_holds_up_no_other_chat_for_longer_than_the_span(
    traffic: Traffic,
) -> None:
    one = head("a", to="1")
    leaving(traffic, one)
    traffic.leaves(one.lane, timedelta())
    assert keys(leaving(traffic, head("b", to="1"), at=S)) == ["b"]


def test_what_is_overdue_waits_for_no_pace(traffic: Traffic) -> None:
    leaving(traffic, head("a", to="1"))
    late = head("b", to="1", expires_at=NOON)
    assert keys(leaving(traffic, late)) == ["b"]


def test_replies_go_before_bulk_whatever_is_older(traffic: Traffic) -> None:
    bulk = head("bulk", to="1", priority=Priority.BULK, created_at=NOON - S)
    reply = head("reply", to="2", priority=Priority.REPLY)
    assert keys(leaving(traffic, bulk, reply)) == ["reply", "bulk"]


def test_a_lane_rests_until_its_moment_or_until_a_channel_changes(traffic: Traffic) -> None:
    one = head("a", to="1")
    traffic.rest(one.lane, NOON + 5 * S)
    assert leaving(traffic, one) == Leaving((), (NOON + 5 * S,))
    traffic.wake()
    assert keys(leaving(traffic, one)) == ["a"]


def test_later_without_a_time_is_five_seconds(traffic: Traffic) -> None:
    one = head("a", to="1")
    traffic.slow_down(one, Fault(fault=FaultClass.RATE_LIMITED), timedelta())
    assert leaving(traffic, one).moments == (NOON + LATER,)


def test_a_channel_that_is_gone_has_no_pace() -> None:
    one = head("a", to="1")
    assert keys(leaving(Traffic({}), one)) == ["a"]


def test_a_clock_that_is_set_back_lengthens_no_rest(traffic: Traffic) -> None:
    one = head("a", to="1")
    traffic.rest(one.lane, NOON + LONGEST_REST)
    assert keys(leaving(traffic, one)) == []
    before = NOON - timedelta(hours=2)
    assert keys(traffic.leaving([one], (), before, S)) == ["a"]
