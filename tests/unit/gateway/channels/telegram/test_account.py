"""What an update says, and what a send asks for."""

from __future__ import annotations

from typing import Any

import pytest

from engine.target import ChatType, Route
from gateway.channels.base import Inbound
from gateway.channels.telegram.account import Me, TelegramAccount, parse_update, send_parameters

ME = Me(100, "engine_bot")
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
    return parse_update({"update_id": 1000, "message": message}, "default", ME)


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
    assert parse_update({"update_id": 1, "edited_message": MESSAGE}, "default", ME) is None


def test_a_caption_is_text() -> None:
    assert parsed({**MESSAGE, "text": None, "caption": "a photo"}).text == "a photo"


def test_a_button_arrives_as_text() -> None:
    update = {
        "update_id": 5,
        "callback_query": {"id": "cb", "from": PERSON, "message": MESSAGE, "data": "yes"},
    }
    got = parse_update(update, "default", ME)
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
