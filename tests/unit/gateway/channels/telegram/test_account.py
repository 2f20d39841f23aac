"""What an update says, and what a send asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from engine.messages.address import ChatType, Route
from gateway.channels.base import Inbound
from gateway.channels.foreign import LONGEST_TEXT
from gateway.channels.telegram.account import (
    Me,
    TelegramAccount,
    parse_update,
    send_parameters,
)

ME = Me(100, "engine_bot")
NOW = datetime(2026, 11, 20, 13, tzinfo=UTC)
PERSON = {"id": 42, "is_bot": False, "first_name": "Ann", "last_name": "Lee"}
MESSAGE: dict[str, Any] = {
    "message_id": 7,
    "from": PERSON,
    "chat": {"id": 42, "type": "private"},
    "date": 1_795_176_000,
    "text": "hello",
}
GROUP = MESSAGE | {"chat": {"id": -100, "type": "supergroup"}}


def parse(message: dict[str, Any]) -> Inbound | None:
    return parse_update({"update_id": 1000, "message": message}, "default", ME, NOW)


def parsed(message: dict[str, Any]) -> Inbound:
    found = parse(message)
    assert found is not None
    return found


def test_a_direct_message_has_its_sender_chat_and_cursor() -> None:
    got = parsed(MESSAGE)
    assert (got.peer.to, got.sender_id, got.sender_label) == ("42", "42", "Ann Lee")
    assert (got.message_id, got.text, got.cursor) == ("7", "hello", "1001")
    assert got.chat_type is ChatType.DIRECT
    assert got.at.isoformat() == "2026-11-20T12:00:00+00:00"


def test_a_topic_is_a_thread_and_a_reply_thread_is_not() -> None:
    topic = GROUP | {"message_thread_id": 9, "is_topic_message": True}
    assert parsed(topic).peer.thread_id == "9"
    assert parsed(GROUP | {"message_thread_id": 9}).peer.thread_id is None


@pytest.mark.parametrize(
    "message",
    [
        MESSAGE | {"from": PERSON | {"is_bot": True}},
        MESSAGE | {"from": None},
        MESSAGE | {"text": ""},
        {"message_id": 8, "chat": {"id": -100}, "migrate_to_chat_id": -1002},
    ],
)
def test_bots_and_service_messages_are_not_people(message: dict[str, Any]) -> None:
    assert parse(message) is None


def test_an_edit_is_not_a_message() -> None:
    assert parse_update({"update_id": 1, "edited_message": MESSAGE}, "default", ME, NOW) is None


def test_a_caption_is_text() -> None:
    assert parsed({**MESSAGE, "text": None, "caption": "a photo"}).text == "a photo"


@pytest.mark.parametrize("kind", ["photo", "voice", "sticker", "location"])
def test_a_message_without_words_says_what_it_is(kind: str) -> None:
    assert parsed({**MESSAGE, "text": None, kind: {"file_id": "x"}}).text == f"<media:{kind}>"


def test_text_is_made_fit_for_a_database() -> None:
    odd = "half \ud83d pair \ud83d\ude00 nul \x00 end"
    assert parsed(MESSAGE | {"text": odd}).text == "half \ufffd pair 😀 nul  end"
    assert len(parsed(MESSAGE | {"text": "x" * 5_000_000}).text) == LONGEST_TEXT
    assert parsed(MESSAGE | {"from": PERSON | {"username": "a\ud800"}}).sender_label == "@a\ufffd"


@pytest.mark.parametrize("date", [None, 0, -1, "yesterday", 10**30, 1e400, {"a": 1}])
def test_a_message_without_a_real_date_came_now(date: object) -> None:
    assert parsed(MESSAGE | {"date": date}).at == NOW


def test_messages_without_ids_are_told_apart_by_their_update() -> None:
    assert parsed({**MESSAGE, "message_id": None}).message_id == "update:1000"


def test_a_forum_that_does_not_mark_its_topics_has_them_all_the_same() -> None:
    forum = GROUP | {"chat": {"id": -100, "type": "supergroup", "is_forum": True}}
    assert parsed(forum | {"message_thread_id": 9}).peer.thread_id == "9"
    assert parsed(forum).peer.thread_id is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_FIELDS = ("message_id", "from", "chat", "date", "text", "entities", "message_thread_id")


@given(st.dictionaries(st.sampled_from((*_FIELDS, "photo", "reply_to_message")), _JSON), _JSON)
def test_no_update_can_break_its_reader(fields: dict[str, Any], junk: object) -> None:
    for update in (junk, {"update_id": junk, "message": MESSAGE | fields}):
        parse_update(update, "default", ME, NOW)
    parse_update({"update_id": 1, "message": GROUP | fields}, "default", ME, NOW)
    parse_update({"update_id": 1, "callback_query": {"message": fields}}, "default", ME, NOW)


def test_a_button_arrives_as_text() -> None:
    update = {
        "update_id": 5,
        "callback_query": {"id": "cb", "from": PERSON, "message": MESSAGE, "data": "yes"},
    }
    got = parse_update(update, "default", ME, NOW)
    assert got is not None
    assert got.text == "callback_data: yes"
    assert got.message_id == "callback:cb"


def entity(kind: str, at: int, length: int) -> dict[str, Any]:
    return {"type": kind, "offset": at, "length": length}


@pytest.mark.parametrize(
    ("more", "mentioned"),
    [
        ({}, False),
        ({"text": "😀 @Engine_Bot x", "entities": [entity("mention", 3, 11)]}, True),
        ({"text": "@other_bot", "entities": [entity("mention", 0, 10)]}, False),
        ({"text": "/go@engine_bot", "entities": [entity("bot_command", 0, 14)]}, True),
        ({"text": "/go", "entities": [entity("bot_command", 0, 3)]}, False),
        ({"entities": [entity("text_mention", 0, 5) | {"user": {"id": 100}}]}, True),
        ({"entities": [entity("bold", 0, 5)]}, False),
        ({"text": "@engine_bot hi"}, True),
        ({"text": "mail me@engine_bot.example"}, False),
        ({"entities": [entity("mention", -(10**30), 10**30), "junk", None]}, False),
        ({"text": "\ud83d @engine_bot", "entities": [entity("mention", 2, 11)]}, True),
        ({"reply_to_message": {"from": {"id": 100}}}, True),
        ({"reply_to_message": {"from": {"id": 42}}}, False),
    ],
)
def test_a_mention_is_an_entity_a_command_or_a_reply(more: dict[str, Any], mentioned: bool) -> None:
    assert parsed(GROUP | more).mentioned is mentioned


ROUTE = Route(channel="telegram", account_id="default", to="-100", thread_id="9")


def test_a_send_names_chat_thread_and_markup() -> None:
    assert send_parameters(ROUTE, "<b>x</b>", "**x**", silent=True) == {
        "chat_id": -100,
        "text": "<b>x</b>",
        "parse_mode": "HTML",
        "message_thread_id": 9,
        "disable_notification": True,
    }


def test_a_plain_send_has_no_markup() -> None:
    assert send_parameters(ROUTE, None, "**x**", silent=False)["text"] == "**x**"
    assert "parse_mode" not in send_parameters(ROUTE, None, "**x**", silent=False)


def test_the_general_topic_is_left_out() -> None:
    route = Route(channel="telegram", account_id="default", to="@name", thread_id="1")
    got = send_parameters(route, None, "x", silent=False)
    assert "message_thread_id" not in got
    assert got["chat_id"] == "@name"


def test_an_account_never_shows_its_token() -> None:
    assert "secret" not in repr(TelegramAccount(id="default", token="1:secret"))


@pytest.mark.parametrize(
    ("more", "others"),
    [
        ({"text": "@other_bot", "entities": [entity("mention", 0, 10)]}, True),
        ({"text": "@engine_bot", "entities": [entity("mention", 0, 11)]}, False),
        ({"entities": [entity("text_mention", 0, 5) | {"user": {"id": 7}}]}, True),
        ({"text": "plain"}, False),
    ],
)
def test_a_call_of_somebody_else_is_seen(more: dict[str, Any], others: bool) -> None:
    assert parsed(GROUP | more).calls_others is others


@pytest.mark.parametrize(
    ("signs", "text"),
    [
        (["👍"], "/hb useful message:7"),
        (["❤️"], "/hb useful message:7"),
        (["👎"], "/hb noise message:7"),
        (["👎", "👍"], "/hb useful message:7"),
        (["🐳"], None),  # it says nothing of an alert
        ([], None),  # it was taken back
    ],
)
def test_a_reaction_is_a_word_about_an_alert(signs: list[str], text: str | None) -> None:
    reaction = {
        "chat": {"id": 42, "type": "private"},
        "message_id": 7,
        "user": PERSON,
        "date": 1_795_176_000,
        "old_reaction": [],
        "new_reaction": [{"type": "emoji", "emoji": sign} for sign in signs],
    }
    found = parse_update({"update_id": 9, "message_reaction": reaction}, "default", ME, NOW)
    assert (None if found is None else found.text) == text
    if found is not None:
        assert (found.sender_id, found.peer.to, found.cursor) == ("42", "42", "10")
        assert found.message_id == "reaction:9"
