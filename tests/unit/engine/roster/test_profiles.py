"""Who the agents are, read out of a config: owners, phases, windows (heartbeat.md)."""

from __future__ import annotations

import json
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from engine.agents.base import TurnReply
from engine.config.load import load
from engine.config.paths import resolve
from engine.messages.address import Route
from engine.roster.profiles import roster_of
from engine.roster.roster import Roster
from engine.wording.prompt import system

TELEGRAM = {"botToken": "1:a", "dmPolicy": "pairing"}
QQ = {"appId": "1", "clientSecret": "s"}
OPENID = "0123456789ABCDEF0123456789ABCDEF"


def roster(tmp_path: Path, config: dict[str, Any]) -> Roster:
    paths = resolve({"ENGINE_STATE_DIR": str(tmp_path)})
    loaded = load(paths.config, {}, state=paths.state, raw=json.dumps(config).encode())
    return roster_of(loaded.config, paths, "UTC")


OWNERS: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    ({}, []),
    ({"commands": {"ownerAllowFrom": ["42"]}}, []),  # no channel knows 42
    (
        {"commands": {"ownerAllowFrom": ["*", " ", "tg:42"]}, "channels": {"telegram": TELEGRAM}},
        [("telegram", "", "42")],
    ),
    # A group is nobody, and so is a name that may be anything.
    (
        {
            "commands": {"ownerAllowFrom": ["-100123", "@ann", "42"]},
            "channels": {"telegram": TELEGRAM},
        },
        [("telegram", "", "42")],
    ),
    # Channels in configured order, whatever the order of the list.
    (
        {
            "commands": {"ownerAllowFrom": [OPENID, "42"]},
            "channels": {"telegram": TELEGRAM, "qqbot": QQ},
        },
        [("telegram", "", "42"), ("qqbot", "", f"c2c:{OPENID}")],
    ),
    # Nobody is named: whoever may write, on the account where they may.
    (
        {"channels": {"telegram": TELEGRAM | {"allowFrom": ["*", "7"]}}},
        [("telegram", "default", "7")],
    ),
    (
        {
            "channels": {
                "telegram": {
                    "accounts": {
                        "off": TELEGRAM | {"allowFrom": ["6"], "enabled": False},
                        "on": TELEGRAM | {"allowFrom": ["7"]},
                    }
                }
            }
        },
        [("telegram", "on", "7")],
    ),
    # An owner who is named beats a list of friends.
    (
        {
            "commands": {"ownerAllowFrom": ["42"]},
            "channels": {"telegram": TELEGRAM | {"allowFrom": ["7"]}},
        },
        [("telegram", "", "42")],
    ),
]


@pytest.mark.parametrize(("config", "owners"), OWNERS)
def test_owners_are_the_people_named_never_a_group(
    tmp_path: Path, config: dict[str, Any], owners: list[tuple[str, str, str]]
) -> None:
    found = roster(tmp_path, config).owners
    assert [(one.channel, one.account_id, one.to) for one in found] == owners
    assert all(one.chat_type == "direct" for one in found)


@pytest.mark.parametrize(
    ("phase", "at"), [("auto", None), ("09:00", time(9, 0)), ("23:59:30", time(23, 59, 30))]
)
def test_a_phase_is_a_time_of_day_or_none(tmp_path: Path, phase: str, at: time | None) -> None:
    block = {"every": "24h", "phase": phase}
    made = roster(tmp_path, {"agents": {"defaults": {"heartbeat": block}}})
    assert made.agent("main").beat.phase == at


REPLY = TurnReply(payloads=("hello",), model="m", provider="lab")


def test_the_nearest_prefix_stands_before_the_words_of_an_agent(tmp_path: Path) -> None:
    """Account before channel before all; `auto` is the agent's own name."""
    config = {
        "messages": {"responsePrefix": "auto"},
        "agents": {"list": [{"id": "main", "identity": {"name": "Molty"}}, {"id": "ops"}]},
        "channels": {
            "telegram": {
                "responsePrefix": "tg:",
                "accounts": {"a": {"botToken": "1:x", "responsePrefix": "{model}>"}, "b": {}},
            }
        },
    }
    ours = roster(tmp_path, config)

    def before(agent_id: str, account_id: str | None = None) -> str:
        route = None
        if account_id is not None:
            route = Route(channel="telegram", account_id=account_id, to="42")
        return ours.prefix(agent_id, REPLY, route)

    assert before("main") == "[Molty]"
    assert before("ops") == ""
    assert before("main", "a") == "m>"
    assert before("main", "b") == "tg:"


def test_an_agent_is_told_the_name_it_shows() -> None:
    assert "You are Molty (agent main)," in system("main", "chat", name="Molty")
    assert "You are main," in system("main", "chat", name="Main")


def test_a_target_with_its_recipient_is_read_as_both(tmp_path: Path) -> None:
    block = {"target": "TG:-100:topic:7"}
    config = {
        "agents": {"defaults": {"heartbeat": block}},
        "channels": {"telegram": TELEGRAM | {"allowFrom": ["7"]}},
    }
    wish = roster(tmp_path, config).agent(None).beat.wish
    assert (wish.target, wish.to) == ("telegram", "-100:topic:7")


def test_an_account_knows_whom_it_writes_to_when_nobody_is_named(tmp_path: Path) -> None:
    accounts = {"home": {"botToken": "2:b"}, "work": {"botToken": "3:c", "defaultTo": "9"}}
    telegram = {"allowFrom": ["7"], "defaultTo": "7", "defaultAccount": "home"}
    found = roster(tmp_path, {"channels": {"telegram": telegram | {"accounts": accounts}}})
    known = {one.id: one.default_to for one in found.channels("main")["telegram"].accounts}
    assert known == {"home": "7", "work": "9"}
