"""Defaults under agents, channels under accounts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.config import effective
from engine.config.schema import Config
from engine.config.schema.agents import ActiveHours
from engine.messages.address import ChatType


def config(**sections: Any) -> Config:
    return Config.model_validate(sections)


CHATS = {
    "agents": {"list": [{"id": "main"}, {"id": "ops"}, {"id": "ann"}, {"id": "deploys"}]},
    "channels": {
        "telegram": {
            "accounts": {"default": {"botToken": "1:a"}, "work": {"botToken": "2:b"}},
            "groups": {"-100": {"topics": {"7": {"agentId": "Deploys"}}}},
        },
        "qqbot": {"defaultAccount": "xiaodi", "accounts": {"xiaodi": {"appId": "1"}}},
    },
    "bindings": [
        {"agentId": "ops", "match": {"channel": "telegram", "accountId": "*"}},
        {
            "agentId": "ann",
            "match": {"channel": "tg", "peer": {"kind": "group", "id": "-100"}},
        },
        {
            "agentId": "ann",
            "match": {"channel": "qq", "peer": {"kind": "dm", "id": "OPENID"}},
        },
        {"agentId": "ops", "match": {"channel": "qq"}},
    ],
}
GROUP, DIRECT = ChatType.GROUP, ChatType.DIRECT


@pytest.mark.parametrize(
    ("channel", "account", "chat", "agent"),
    [
        ("telegram", "default", effective.Chat("-100", GROUP, "7"), "deploys"),
        ("telegram", "default", effective.Chat("-100", GROUP, "8"), "ann"),
        ("telegram", "default", effective.Chat("-100", GROUP), "ann"),
        ("telegram", "work", effective.Chat("-100", GROUP), "ops"),  # bound on the default account
        ("telegram", "default", effective.Chat("-200", GROUP), "ops"),
        ("qqbot", "xiaodi", effective.Chat("c2c:openid", DIRECT), "ann"),
        ("qqbot", "xiaodi", effective.Chat("group:openid", GROUP), "ops"),
        ("qqbot", "other", effective.Chat("c2c:x", DIRECT), "main"),
    ],
)
def test_the_most_specific_choice_names_the_agent(
    channel: str, account: str, chat: effective.Chat, agent: str
) -> None:
    found = Config.model_validate(CHATS)
    assert effective.agent_of(found, channel, account, chat) == agent


def test_an_agent_block_lies_over_the_defaults_key_by_key() -> None:
    found = config(
        agents={
            "defaults": {
                "heartbeat": {
                    "target": "last",
                    "ackMaxChars": 5,
                    "activeHours": {"start": "08:00", "end": "20:00"},
                }
            },
            "list": [
                {
                    "id": "ops",
                    "heartbeat": {"idlePauseAfter": "1h", "activeHours": {"timezone": "UTC"}},
                }
            ],
        }
    )
    block = effective.heartbeat(found, found.agents.list[0])
    assert (block.target, block.ack_max_chars) == ("last", 5)
    assert block.idle_pause_after == timedelta(hours=1)
    assert isinstance(block.active_hours, ActiveHours)
    assert block.active_hours.start is None  # replaced whole, not merged


def test_there_is_always_a_default_agent() -> None:
    assert effective.default_agent(config()) == "main"
    listed = {"list": [{"id": "a"}, {"id": "b", "default": True}]}
    assert effective.default_agent(config(agents=listed)) == "b"
    assert effective.default_agent(config(agents={"list": [{"id": "a"}]})) == "a"


def test_accounts_inherit_from_their_channel_but_not_its_credentials() -> None:
    found = effective.telegram_accounts(
        config(
            channels={
                "telegram": {
                    "botToken": "T",
                    "dmPolicy": "open",
                    "accounts": {"Work": {"botToken": "W"}, "bare": {}},
                }
            }
        )
    )
    assert list(found) == ["default", "work", "bare"]
    assert found["work"].dm_policy == "open"
    assert found["default"].bot_token is not None
    assert found["default"].bot_token.reveal() == "T"
    assert found["bare"].bot_token is None


def test_a_closed_list_at_the_top_is_a_ceiling() -> None:
    found = effective.telegram_accounts(
        config(channels={"telegram": {"allowFrom": [1], "accounts": {"a": {"allowFrom": ["*"]}}}})
    )
    assert found["a"].allow_from == ("1",)


def test_each_flag_of_visibility_comes_from_the_first_place_that_sets_it() -> None:
    found = config(
        channels={
            "defaults": {"heartbeat": {"showOk": True, "useIndicator": False}},
            "telegram": {"heartbeatVisibility": {"showOk": False}, "accounts": {"a": {}}},
        }
    )
    shown = effective.visibility(found, "tg", "a")
    assert (shown.show_ok, shown.show_alerts, shown.use_indicator) == (False, True, False)
    shown = effective.visibility(found, "local")
    assert (shown.show_ok, shown.show_alerts, shown.use_indicator) == (True, True, False)
    assert effective.visibility(found, None).show_ok is False


def test_the_account_bound_to_an_agent_is_known() -> None:
    found = config(
        agents={"list": [{"id": "ops"}]},
        bindings=[{"agentId": "OPS", "match": {"channel": "qq", "accountId": "Liuyi"}}],
    )
    assert effective.bound_accounts(found, "ops", "qqbot") == ("liuyi",)


def test_channels_that_are_on() -> None:
    assert effective.configured_channels(config()) == ("local",)
    found = config(channels={"telegram": {}, "qqbot": {"enabled": False}})
    assert effective.configured_channels(found) == ("telegram", "local")


def test_the_binding_of_the_account_beats_that_of_the_channel_and_both_the_default() -> None:
    found = config(
        agents={"list": [{"id": "main"}, {"id": "Ops"}, {"id": "rest"}]},
        bindings=[
            {"agentId": "main", "match": {"channel": "tg", "peer": {"kind": "dm", "id": "1"}}},
            {"agentId": "rest", "match": {"channel": "tg", "accountId": "*"}},
            {"agentId": "Ops", "match": {"channel": "telegram", "accountId": "Work"}},
        ],
    )
    assert effective.agent_of(found, "telegram", "work") == "ops"
    assert effective.agent_of(found, "telegram", "other") == "rest"
    assert effective.agent_of(found, "local", "default") == "main"
    assert effective.bound_accounts(found, "ops", "telegram") == ("work",)
    assert effective.bound_accounts(found, "rest", "telegram") == ()
