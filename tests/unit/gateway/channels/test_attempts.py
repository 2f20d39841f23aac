"""What of a message goes next, and when nothing ever can."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.address import Route
from engine.delivery import Delivery
from engine.testing.clock import ManualClock
from gateway.channels.attempts import MAY_REPEAT, attempt_of, planned, refusal, smaller
from tests.fakes.scripted_channel import ScriptedChannel

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROUTE = Route(channel="telegram", account_id="default", to="42")
PLAIN = Delivery(
    key="a",
    route=ROUTE,
    text="word " * 20,
    kind="cron",
    created_at=NOON,
    expires_at=NOON + timedelta(hours=1),
)


@pytest.fixture
def channel() -> ScriptedChannel:
    return ScriptedChannel(ManualClock(NOON))


def test_a_message_is_cut_once_and_repeated_as_it_was_cut(channel: ScriptedChannel) -> None:
    chunks, _ = planned(PLAIN, channel)
    assert len(chunks) > 1
    assert planned(replace(PLAIN, chunks=("as", "it", "was")), channel)[0] == ("as", "it", "was")


def test_what_had_to_be_truncated_is_noted(channel: ScriptedChannel) -> None:
    assert planned(PLAIN, channel)[1] == {}
    _, notes = planned(replace(PLAIN, text="word " * 1000, notes={"silent": True}), channel)
    assert notes == {"silent": True, "truncated": True}


def test_only_the_refused_chunk_is_cut_again(channel: ScriptedChannel) -> None:
    sent = replace(PLAIN, chunks=("first", "word " * 7 + "word", "last"), cursor=1)
    first, *middle, last = smaller(sent, channel)
    assert (first, last) == ("first", "last")
    assert len(middle) == 2


def test_the_chunk_at_the_cursor_goes_next_as_its_notes_say() -> None:
    notes = {"mayRepeat": True, "formatFallback": True}
    attempt = attempt_of(replace(PLAIN, chunks=("a", "b"), cursor=1, notes=notes), ROUTE)
    assert (attempt.text, attempt.chunk_index) == ("b" + MAY_REPEAT, 1)
    assert (attempt.plain, attempt.silent) == (True, False)


def test_what_can_never_be_sent_says_why(channel: ScriptedChannel) -> None:
    assert refusal(ROUTE, channel) == ""
    assert refusal(ROUTE, None) == "channel-not-ready"
    assert refusal(replace(ROUTE, account_id="other"), channel) == "unknown-account"
    channel.enabled = False
    assert refusal(ROUTE, channel) == "account-disabled"
