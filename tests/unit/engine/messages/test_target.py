"""Targets as people write them (channels.md §4, cron.md §10.2)."""

from __future__ import annotations

import pytest

from engine.messages.address import ChatType
from engine.messages.target import parse_target, place_fault, split_target
from jobs.errors import InvalidInput


@pytest.mark.parametrize(
    ("channel", "text", "to", "thread", "kind"),
    [
        ("telegram", "123", "123", None, ChatType.DIRECT),
        ("telegram", "telegram:123", "123", None, ChatType.DIRECT),
        ("telegram", "TG:-100111", "-100111", None, ChatType.GROUP),
        ("telegram", "-100111:topic:42", "-100111", "42", ChatType.GROUP),
        ("telegram", "-100111:42", "-100111", "42", ChatType.GROUP),
        ("telegram", "@somebody", "@somebody", None, ChatType.UNKNOWN),
        ("qqbot", "qqbot:C2C:AbC", "c2c:AbC", None, ChatType.DIRECT),
        ("qqbot", "group:G1", "group:G1", None, ChatType.GROUP),
        ("qqbot", "a" * 32, "c2c:" + "a" * 32, None, ChatType.DIRECT),
        ("local", "local:inbox", "inbox", None, ChatType.DIRECT),
    ],
)
def test_a_target_is_understood(
    channel: str, text: str, to: str, thread: str | None, kind: ChatType
) -> None:
    peer = parse_target(channel, text)
    assert (peer.to, peer.thread_id, peer.chat_type) == (to, thread, kind)


@pytest.mark.parametrize(
    ("channel", "text"),
    [("telegram", "-100/42"), ("telegram", "qq:c2c:x"), ("telegram", ""), ("qqbot", "bob")],
)
def test_a_target_that_cannot_be_meant_is_refused_with_the_valid_forms(
    channel: str, text: str
) -> None:
    with pytest.raises(InvalidInput, match="use one of"):
        parse_target(channel, text)


def test_a_prefix_selects_the_channel() -> None:
    assert split_target("tg:5") == ("telegram", "5")
    assert split_target("-100:topic:5") == (None, "-100:topic:5")


@pytest.mark.parametrize(
    ("channel", "to", "words"),
    [
        ("telegrm", "1", 'unknown channel "telegrm" — did you mean "telegram"?'),
        ("slack", "1", 'unknown channel "slack" — use last, local, telegram, qqbot, webhook'),
        ("telegram", "abc", "it is no chat id or @name"),
    ],
)
def test_a_place_no_message_can_reach_is_told(channel: str, to: str, words: str) -> None:
    assert words in place_fault({"channel": channel, "to": to})


@pytest.mark.parametrize("channel", [None, "last", "owner", "tg", "local", "webhook"])
def test_a_place_a_message_can_reach_is_no_fault(channel: str | None) -> None:
    assert place_fault({"channel": channel}) == ""
