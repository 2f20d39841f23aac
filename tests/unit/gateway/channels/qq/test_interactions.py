"""A pressed button as the platform tells it, and what is not one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.channels.qq.interactions import heard, pressed

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def press(**fields: Any) -> dict[str, Any]:
    whole = {"id": "i1", "scene": "c2c", "user_openid": "U", "data": {"resolved": {}}}
    return whole | fields


def resolved(**fields: Any) -> dict[str, Any]:
    return {"data": {"type": 11, "resolved": fields}}


@pytest.mark.parametrize(
    ("fields", "to", "sender", "text"),
    [
        (resolved(button_data="a", button_id="1"), "c2c:U", "U", "callback_data: a"),
        (resolved(button_id="1"), "c2c:U", "U", "callback_data: 1"),
        (resolved(feature_id="menu"), "c2c:U", "U", "callback_data: menu"),
        ({}, "c2c:U", "U", "callback_data: "),
        (
            {"scene": "group", "group_openid": "G", "group_member_openid": "M"},
            "group:G",
            "M",
            "callback_data: ",
        ),
        (
            {"scene": "guild", "channel_id": "7", **resolved(user_id="42", button_data="x")},
            "channel:7",
            "42",
            "callback_data: x",
        ),
    ],
)
def test_a_press_is_read_in_every_scene(
    fields: dict[str, Any], to: str, sender: str, text: str
) -> None:
    message = pressed(press(**fields), account_id="a", now=NOON, cursor="c")
    assert message is not None
    assert (message.peer.to, message.sender_id, message.text) == (to, sender, text)
    assert (message.mentioned, message.message_id, message.cursor) == (True, "interaction:i1", "c")


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None},
        {"scene": "elsewhere"},
        {"scene": "group"},
        {"scene": "guild", "channel_id": "7"},
        {"user_openid": None},
        {"scene": None, "data": "junk"},
    ],
)
def test_what_names_nobody_is_nobodys(fields: dict[str, Any]) -> None:
    assert pressed(press(**fields), account_id="a", now=NOON, cursor=None) is None


def test_the_word_that_it_was_heard_names_it() -> None:
    assert heard(press()) == ("/interactions/i1", {"code": 0})
    assert heard({}) is None
