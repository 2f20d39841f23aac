"""What of a message goes next, and when nothing ever can."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.messages.address import Route
from engine.messages.cargo import Carriage
from engine.messages.delivery import Delivery
from engine.messages.media import Media, MediaKind
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


TAKES = Carriage(name="it", most={MediaKind.IMAGE: 100, MediaKind.FILE: 200}, caption=10)
PHOTO = Media(kind=MediaKind.IMAGE, name="p.png", path="/m/p.png", size=9)
BIG = Media(kind=MediaKind.FILE, name="b.zip", path="/m/b.zip", size=900)


def test_short_words_are_the_caption_of_the_first_file(channel: ScriptedChannel) -> None:
    channel.carriage = TAKES
    chunks, notes = planned(replace(PLAIN, text="look", media=(PHOTO, PHOTO)), channel)
    assert chunks == ("look", "")
    sent = replace(PLAIN, media=(PHOTO, PHOTO), chunks=chunks, notes=notes, cursor=1)
    assert attempt_of(sent, ROUTE).media == PHOTO
    assert attempt_of(sent, ROUTE).text == ""


def test_longer_words_follow_the_files_as_text(channel: ScriptedChannel) -> None:
    channel.carriage = TAKES
    chunks, notes = planned(replace(PLAIN, text="look at this, please", media=(PHOTO,)), channel)
    assert chunks == ("", "look at this, please")
    last = replace(PLAIN, media=(PHOTO,), chunks=chunks, notes=notes, cursor=1)
    assert attempt_of(last, ROUTE).media is None


def test_a_file_that_is_too_large_leaves_a_word_and_the_message_goes(
    channel: ScriptedChannel,
) -> None:
    channel.carriage = TAKES
    chunks, notes = planned(replace(PLAIN, text="", media=(BIG,)), channel)
    assert "".join(chunks).startswith("(b.zip, 900 bytes, was not sent:")
    assert notes["mediaRefused"][0]["class"] == "media-too-large"


def test_a_refused_caption_becomes_text_after_its_file(channel: ScriptedChannel) -> None:
    notes = {"mediaParts": [0]}
    sent = replace(PLAIN, media=(PHOTO,), chunks=("long words", "more"), notes=notes)
    assert smaller(sent, channel) == ("", "long words", "more")
