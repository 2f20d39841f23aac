"""How messages are listened to, as the config says it: channels.md §3.1, §3.3, §5."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.config import access, chats, effective
from engine.config.load import load
from engine.config.schema import Config
from jobs.errors import ConfigInvalid

FAMILY = {"family": {"members": {"*": ["1"], "telegram": ["2"], "qq": ["ABC"]}}}


def config(**keys: Any) -> Config:
    return Config.model_validate({"accessGroups": FAMILY, **keys})


@pytest.mark.parametrize(
    ("entry", "channel", "people"),
    [
        ("accessGroup:family", "telegram", ("1", "2")),
        (" accessGroup: family ", "qqbot", ("1", "ABC")),
        ("accessGroup:nobody", "telegram", ()),
        ("42", "telegram", ("42",)),
        ("*", "telegram", ("*",)),
    ],
)
def test_an_access_group_stands_for_its_people(
    entry: str, channel: str, people: tuple[str, ...]
) -> None:
    assert access.expanded(config(), channel, (entry,)) == people


def test_an_access_group_counts_wherever_people_are_listed() -> None:
    me = ["accessGroup:family"]
    topic = {"allowFrom": me}
    group = {"allowFrom": me, "topics": {"7": topic}}
    keys = {"botToken": "1:a", "allowFrom": me, "groupAllowFrom": me, "groups": {"-1": group}}
    account = effective.telegram_accounts(config(channels={"telegram": keys}))["default"]
    assert account.groups is not None
    found = (account, account.groups["-1"], account.groups["-1"].topics["7"])
    assert {one.allow_from for one in found} == {account.group_allow_from} == {("1", "2")}


def test_a_group_of_another_kind_has_no_members() -> None:
    other = {"x": {"type": "discord.channelAudience", "members": {"*": ["1"]}}}
    assert access.expanded(config(accessGroups=other), "telegram", ("accessGroup:x",)) == ()


def read(tmp_path: Path, text: str) -> Any:
    return load(tmp_path / "engine.json", {}, raw=text.encode())


def test_a_group_nobody_wrote_down_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        read(
            tmp_path,
            """{accessGroups: {family: {members: {}}},
                channels: {telegram: {botToken: '1:a', allowFrom: ['accessGroup:famly']}}}""",
        )
    assert "channels.telegram.allowFrom[0]" in str(refused.value)
    assert "no accessGroups.famly (there is family)" in str(refused.value)


def test_a_pattern_that_is_not_used_is_told_where_it_stands(tmp_path: Path) -> None:
    loaded = read(
        tmp_path,
        """{agents: {list: [{id: 'main', groupChat: {mentionPatterns: ['ok', '(a+)+']}}]},
            messages: {groupChat: {mentionPatterns: ['[']}}}""",
    )
    notes = {
        n.path: n.message for n in loaded.notes if n.code == "channels.mention_pattern_ignored"
    }
    assert notes.keys() == {
        "agents.list[0].groupChat.mentionPatterns[1]",
        "messages.groupChat.mentionPatterns[0]",
    }
    assert all("is not used" in text for text in notes.values())


@pytest.mark.parametrize(
    ("own", "shared", "patterns"),
    [
        (None, None, ()),
        (None, ["bot"], ("bot",)),
        (["sam"], ["bot"], ("sam",)),
        ([], ["bot"], ()),
    ],
)
def test_an_agents_own_patterns_stand_over_those_of_all(
    own: list[str] | None, shared: list[str] | None, patterns: tuple[str, ...]
) -> None:
    agent = {"id": "main"} | ({} if own is None else {"groupChat": {"mentionPatterns": own}})
    group = {} if shared is None else {"mentionPatterns": shared}
    made = config(agents={"list": [agent]}, messages={"groupChat": group})
    assert chats.mention_patterns(made, "MAIN") == patterns


@pytest.mark.parametrize(
    ("account", "agent", "shared", "limit"),
    [(None, None, None, 50), (None, None, 5, 5), (None, 7, 5, 7), (0, 7, 5, 0)],
)
def test_the_nearest_history_limit_counts(
    account: int | None, agent: int | None, shared: int | None, limit: int
) -> None:
    made = config(
        channels={"telegram": {"botToken": "1:a", "historyLimit": account}},
        agents={"list": [{"id": "main", "groupChat": {"historyLimit": agent}}]},
        messages={"groupChat": {"historyLimit": shared}},
    )
    assert chats.history_limit(made, "telegram", "default", "main") == limit


def test_how_long_it_waits_for_more_words_may_differ_by_channel() -> None:
    made = config(messages={"inbound": {"debounceMs": 500, "byChannel": {"qq": 0}}})
    half = timedelta(milliseconds=500)
    assert (chats.debounce(made, "telegram"), chats.debounce(made, "qqbot")) == (half, timedelta())
    assert chats.debounce(config(), "telegram") == timedelta()


@pytest.mark.parametrize(
    ("session", "defaults", "every"),
    [
        ({}, {}, 0),
        ({"typingMode": "never"}, {"typingMode": "instant"}, None),
        ({}, {"typingMode": "never"}, None),
        ({"typingMode": "instant"}, {"typingMode": "never"}, 0),
        ({}, {"typingIntervalSeconds": 6}, 6),
        ({"typingIntervalSeconds": 3}, {"typingIntervalSeconds": 6}, 3),
    ],
)
def test_when_typing_is_shown(
    session: dict[str, Any], defaults: dict[str, Any], every: int | None
) -> None:
    found = chats.typing_interval(config(session=session, agents={"defaults": defaults}))
    assert found == (None if every is None else timedelta(seconds=every))


def test_how_old_a_message_may_be() -> None:
    accounts = {"a": {"botToken": "1:a", "maxInboundAge": "1h"}, "b": {"botToken": "2:b"}}
    made = config(channels={"telegram": {"accounts": accounts}})
    assert chats.max_age(made, "telegram", "a") == timedelta(hours=1)
    assert chats.max_age(made, "telegram", "b") == timedelta(hours=6)
