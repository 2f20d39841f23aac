"""Who may talk: channels.md §3, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.config.schema import Config
from engine.messages.address import ChatType
from engine.messages.target import Peer
from gateway.channels.base import Inbound
from gateway.channels.configured import talk_policy
from gateway.channels.policy import GroupRule, Policy, entries, judge, matches

DM = Inbound(
    channel="telegram",
    account_id="default",
    peer=Peer(to="42", chat_type=ChatType.DIRECT),
    sender_id="42",
    sender_label=None,
    message_id="1",
    text="hello",
    at=datetime(2026, 11, 20, tzinfo=UTC),
)
GROUP = replace(
    DM, peer=Peer(to="-100", chat_type=ChatType.GROUP), chat_type=ChatType.GROUP, mentioned=True
)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(), "pairing-required"),
        (Policy(allow_from=("42",)), ""),
        (Policy(paired=("42",)), ""),
        (Policy(allow_from=("*",)), ""),
        (Policy(dm="allowlist", allow_from=("41",)), "blocked"),
        (Policy(dm="allowlist", allow_from=("tg:42",)), ""),
        (Policy(dm="open", allow_from=("*",)), ""),
        (Policy(dm="open", allow_from=("41",)), "blocked"),
        (Policy(dm="open", allow_from=("41",), paired=("42",)), "blocked"),
        (Policy(dm="disabled", allow_from=("42",)), "dm-disabled"),
        (Policy(dm="what", allow_from=()), "blocked"),
    ],
)
def test_a_direct_message_is_let_in_or_named_why_not(policy: Policy, reason: str) -> None:
    verdict = judge(policy, DM)
    assert (verdict.reason or "") == reason
    assert verdict.admitted is not bool(reason)


def test_a_blank_entry_admits_nobody() -> None:
    assert entries(("", "  ", "telegram: ")) == ()
    assert not matches(("",), "42")
    assert not matches(("",), "")


def test_an_asterisk_counts_only_as_a_whole_entry() -> None:
    assert not matches(("4*",), "42")
    assert matches((" * ",), "42")


def test_ids_are_compared_without_case_and_prefix() -> None:
    assert matches(("QQ:ABCdef",), "abcDEF")


def test_with_one_owner_named_nobody_else_moves_the_route() -> None:
    assert not judge(Policy(allow_from=("41",), paired=("42",)), DM).may_set_route
    assert judge(Policy(allow_from=("42",)), DM).may_set_route
    assert judge(Policy(allow_from=("41", "43"), paired=("42",)), DM).may_set_route


ALLOWED = Policy(allow_from=("42",), groups={"-100": GroupRule()})


@pytest.mark.parametrize(
    ("policy", "message", "reason"),
    [
        (ALLOWED, GROUP, ""),
        (replace(ALLOWED, group="disabled"), GROUP, "group-disabled"),
        (replace(ALLOWED, groups={"-1": GroupRule()}), GROUP, "group-not-allowed"),
        (replace(ALLOWED, groups={"-100": GroupRule(enabled=False)}), GROUP, "group-not-allowed"),
        (replace(ALLOWED, groups=None), GROUP, "group-not-allowed"),
        (replace(ALLOWED, groups={"*": GroupRule()}), GROUP, ""),
        (ALLOWED, replace(GROUP, sender_id="7"), "sender-not-allowed"),
        (replace(ALLOWED, group_allow_from=("7",)), replace(GROUP, sender_id="7"), ""),
        (replace(ALLOWED, groups=None, group_allow_from=("42",)), GROUP, ""),
        (ALLOWED, replace(GROUP, mentioned=False), "mention-required"),
        (
            replace(ALLOWED, groups={"-100": GroupRule(require_mention=False)}),
            replace(GROUP, mentioned=False),
            "",
        ),
        (
            replace(ALLOWED, groups={"-100": GroupRule(allow_from=("7",))}),
            GROUP,
            "sender-not-allowed",
        ),
        (Policy(group="open"), replace(GROUP, sender_id="7"), ""),
        (Policy(group="open", groups={"-1": GroupRule()}), GROUP, ""),
        (Policy(paired=("42",), groups={"-100": GroupRule()}), GROUP, "sender-not-allowed"),
    ],
)
def test_a_group_message_passes_every_step_or_names_the_first(
    policy: Policy, message: Inbound, reason: str
) -> None:
    assert (judge(policy, message).reason or "") == reason


@pytest.mark.parametrize(
    ("topic", "mentioned", "reason"),
    [
        ("7", False, None),  # the topic asks for no mention
        ("8", False, "mention-required"),
        ("9", True, "group-not-allowed"),  # switched off
        ("10", True, "sender-not-allowed"),  # somebody else's
    ],
)
def test_a_topic_has_rules_of_its_own(topic: str, mentioned: bool, reason: str | None) -> None:
    group = {
        "allowFrom": ["42"],
        "topics": {
            "7": {"requireMention": False},
            "9": {"enabled": False},
            "10": {"allowFrom": ["43"]},
        },
    }
    config = Config.model_validate(
        {"channels": {"telegram": {"botToken": "1:a", "groups": {"-100": group}}}}
    )
    message = replace(
        GROUP, peer=replace(GROUP.peer, to="-100", thread_id=topic), mentioned=mentioned
    )
    assert judge(talk_policy(config, "telegram", "default"), message).reason == reason


@pytest.mark.parametrize(
    ("own", "reason"),
    [("open", None), ("allowlist", "sender-not-allowed"), ("disabled", "group-disabled")],
)
def test_a_group_may_have_a_policy_of_its_own(own: str, reason: str | None) -> None:
    config = Config.model_validate(
        {"channels": {"telegram": {"botToken": "1:a", "groups": {"-100": {"groupPolicy": own}}}}}
    )
    message = replace(GROUP, peer=replace(GROUP.peer, to="-100"), mentioned=True)
    assert judge(talk_policy(config, "telegram", "default"), message).reason == reason


@pytest.mark.parametrize("written", ["group:GRP", "GRP", " grp "])
def test_on_qq_a_group_is_found_with_or_without_its_kind(written: str) -> None:
    message = replace(GROUP, channel="qqbot", peer=Peer(to="group:GRP", chat_type=ChatType.GROUP))
    policy = Policy(allow_from=("42",), groups={written: GroupRule()})
    assert judge(policy, message).admitted
