"""What QQ's events say: samples as the platform sends them, and worse."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.messages.address import ChatType
from gateway.channels.base import Inbound, Standing
from gateway.channels.qq.events import parse

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
C2C = {
    "id": "ROBOT1.0_a!!",
    "content": "hello",
    "timestamp": "2026-11-20T19:59:00+08:00",
    "author": {"id": "A1", "user_openid": "A1", "union_openid": ""},
    "message_scene": {"source": "default"},
}
GROUP = {
    "id": "ROBOT1.0_b!!",
    "content": " hello",
    "timestamp": "2026-11-20T19:59:00+08:00",
    "author": {"id": "M1", "member_openid": "M1", "bot": False, "member_role": "member"},
    "group_id": "G1",
    "group_openid": "G1",
}
GUILD = {
    "id": "08e0",
    "channel_id": "7001",
    "guild_id": "9001",
    "content": "<@!77> hello <@!78>",
    "timestamp": "2026-11-20T19:59:00+08:00",
    "author": {"id": "42", "username": "Ann", "bot": False},
}


def read(kind: str, data: dict[str, Any]) -> Inbound | None:
    return parse(kind, data, event_id="e1", account_id="xiaodi", me="77", now=NOON, cursor="cursor")


def said(kind: str, data: dict[str, Any]) -> Inbound:
    found = read(kind, data)
    assert found is not None
    return found


def test_a_direct_message() -> None:
    got = said("C2C_MESSAGE_CREATE", C2C)
    assert (got.channel, got.account_id, got.peer.to) == ("qqbot", "xiaodi", "c2c:A1")
    assert (got.text, got.sender_id, got.chat_type) == ("hello", "A1", ChatType.DIRECT)
    assert got.at == datetime(2026, 11, 20, 11, 59, tzinfo=UTC)
    assert (got.message_id, got.cursor, got.answerable) == ("ROBOT1.0_a!!", "cursor", True)


@pytest.mark.parametrize(
    ("kind", "mentioned"),
    [("GROUP_AT_MESSAGE_CREATE", True), ("GROUP_MESSAGE_CREATE", False)],
)
def test_a_group_message_and_whether_it_addresses_the_bot(kind: str, mentioned: bool) -> None:
    got = said(kind, GROUP)
    assert (got.peer.to, got.sender_id, got.text) == ("group:G1", "M1", "hello")
    assert (got.chat_type, got.mentioned) == (ChatType.GROUP, mentioned)


@pytest.mark.parametrize(
    ("mention", "mentioned"),
    [
        ({"scope": "single", "is_you": True, "id": "x"}, True),
        ({"scope": "single", "is_you": False, "id": "x"}, False),
        ({"scope": "all", "is_you": True}, False),
        ({"id": "77"}, True),
    ],
)
def test_a_mention_in_a_group_that_tells_everything(
    mention: dict[str, Any], mentioned: bool
) -> None:
    got = said("GROUP_MESSAGE_CREATE", GROUP | {"mentions": [mention]})
    assert got.mentioned is mentioned


def test_a_guild_message_is_heard_without_its_own_mention() -> None:
    got = said("AT_MESSAGE_CREATE", GUILD)
    assert (got.peer.to, got.sender_id, got.sender_label) == ("channel:7001", "42", "Ann")
    assert (got.text, got.chat_type) == ("hello <@!78>", ChatType.CHANNEL)
    assert said("DIRECT_MESSAGE_CREATE", GUILD).peer.to == "dms:9001"


def test_media_and_faces_are_told_by_kind() -> None:
    attachments = [
        {"content_type": "image/png", "url": "https://x"},
        {"content_type": "voice", "asr_refer_text": "call me"},
        "odd",
    ]
    got = said("C2C_MESSAGE_CREATE", C2C | {"content": "", "attachments": attachments})
    assert got.text == "<media:image>\n<media:voice> call me"
    ext = base64.b64encode(json.dumps({"text": "微笑"}).encode()).decode()
    face = f'<faceType=1,faceId="14",ext="{ext}">'
    assert said("C2C_MESSAGE_CREATE", C2C | {"content": f"hi {face}"}).text == "hi [微笑]"
    odd = C2C | {"content": '<faceType=1,faceId="",ext="!">'}
    assert said("C2C_MESSAGE_CREATE", odd).text == "[face]"


@pytest.mark.parametrize(
    ("kind", "data", "standing", "to"),
    [
        ("C2C_MSG_RECEIVE", {"openid": "A1"}, Standing.WELCOME, "c2c:A1"),
        ("C2C_MSG_REJECT", {"openid": "A1"}, Standing.UNWELCOME, "c2c:A1"),
        ("FRIEND_ADD", {"openid": "A1"}, Standing.WELCOME, "c2c:A1"),
        ("FRIEND_DEL", {"openid": "A1"}, Standing.GONE, "c2c:A1"),
        ("GROUP_MSG_RECEIVE", {"group_openid": "G1"}, Standing.WELCOME, "group:G1"),
        ("GROUP_MSG_REJECT", {"group_openid": "G1"}, Standing.UNWELCOME, "group:G1"),
        ("GROUP_ADD_ROBOT", {"group_openid": "G1"}, Standing.WELCOME, "group:G1"),
        ("GROUP_DEL_ROBOT", {"group_openid": "G1"}, Standing.GONE, "group:G1"),
    ],
)
def test_what_the_platform_tells_about_a_peer(
    kind: str, data: dict[str, Any], standing: Standing, to: str
) -> None:
    got = said(kind, data)
    assert (got.standing, got.peer.to, got.text, got.cursor) == (standing, to, "", "cursor")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("C2C_MESSAGE_CREATE", {}),
        ("C2C_MESSAGE_CREATE", C2C | {"author": None}),
        ("C2C_MESSAGE_CREATE", C2C | {"content": None}),
        ("C2C_MESSAGE_CREATE", C2C | {"content": {"x": 1}}),
        ("GROUP_AT_MESSAGE_CREATE", GROUP | {"group_openid": None}),
        ("GROUP_MESSAGE_CREATE", GROUP | {"author": {"member_openid": "B", "bot": True}}),
        ("C2C_MSG_REJECT", {}),
        ("GUILD_CREATE", {"id": "1"}),
        ("", {}),
    ],
)
def test_what_is_no_message_of_a_person_is_none(kind: str, data: dict[str, Any]) -> None:
    assert read(kind, data) is None


@pytest.mark.parametrize(
    "at", [None, 5, "yesterday", "2026-11-20T19:59:00", "2024-01-01T00:00:00+08:00"]
)
def test_a_message_without_a_readable_time_was_written_now(at: object) -> None:
    assert said("C2C_MESSAGE_CREATE", C2C | {"timestamp": at}).at == NOON


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("FRIEND_ADD", {"openid": "A1"}),
        ("FRIEND_DEL", {"openid": "A1", "timestamp": "\ud800"}),
        ("C2C_MESSAGE_CREATE", {**C2C, "id": ""}),
    ],
)
@pytest.mark.parametrize("event_id", ["\ud800", ""])
def test_no_event_is_named_by_what_no_database_takes(
    kind: str, data: dict[str, Any], event_id: str
) -> None:
    """It could not be admitted, would come again for ever, and keep all behind it out."""
    got = parse(kind, data, event_id=event_id, account_id="a", me="", now=NOON, cursor="cursor")
    assert got is not None
    assert got.message_id.encode()


@pytest.mark.parametrize(
    ("mentions", "others"),
    [
        ([], False),
        ([{"id": "OTHER"}], True),
        ([{"id": "77"}], False),
        ([{"is_you": True}, {"id": "OTHER"}], True),
    ],
)
def test_a_mention_of_somebody_else_is_seen(mentions: list[dict[str, Any]], others: bool) -> None:
    got = said("GROUP_MESSAGE_CREATE", GROUP | {"mentions": mentions})
    assert got.calls_others is others
