"""What is said to somebody who named a place by hand: how to name it, never another config."""

from __future__ import annotations

import pytest

from engine.messages.remedy import place_fix
from engine.messages.route import (
    AccountFacts,
    ChannelFacts,
    NoRoute,
    RouteFacts,
    TargetWish,
    resolve,
)
from engine.messages.target import channel_named, split_target

CHANNELS = {
    "telegram": ChannelFacts(id="telegram", accounts=(AccountFacts(id="default"),)),
    "qqbot": ChannelFacts(
        id="qqbot", accounts=(AccountFacts(id="one"), AccountFacts(id="two")), default_account="one"
    ),
    "webhook": ChannelFacts(id="webhook", accounts=(AccountFacts(id="mine"),)),
}


def fix(to: str | None, *, channel: str | None = None, account: str | None = None) -> str:
    """What is said of such a place; it leads nowhere."""
    target = channel or split_target(to or "")[0] or "last"
    wish = TargetWish(target=target, to=to, account_id=account, source="config")
    found = resolve(wish, RouteFacts(agent_id="main", channels=CHANNELS))
    assert isinstance(found, NoRoute)
    return place_fix(found, wish, CHANNELS)


@pytest.mark.parametrize(
    ("to", "channel", "account", "said"),
    [
        ("42", None, None, "name it with its channel: local:inbox, qqbot:c2c:OPENID, telegram:12"),
        ("telegarm:42", None, None, "did you mean telegram:42?"),
        ("42", "telegarm", None, "did you mean telegram?"),
        ("42", "pigeon", None, "name one of: local, qqbot, telegram, webhook"),
        ("qqbot:foo", None, None, "name it as qqbot:c2c:OPENID"),
        ("qqbot:c2c:AB", "telegram", None, "name it as qqbot:c2c:OPENID"),
        (None, "telegram", None, "name a recipient: telegram:123456"),
        ("qqbot:c2c:AB", None, "three", "name one of: one, two"),
        ("webhook:nope", None, None, "name one of: mine"),
    ],
)
def test_a_place_that_leads_nowhere_is_named_anew(
    to: str | None, channel: str | None, account: str | None, said: str
) -> None:
    found = fix(to, channel=channel, account=account)
    assert found.startswith(said)
    assert "config set" not in found


def test_a_topic_that_is_no_number_is_refused_and_not_left_out() -> None:
    wish = TargetWish(target="telegram", to="telegram:-100", thread_id="abc", source="config")
    found = resolve(wish, RouteFacts(agent_id="main", channels=CHANNELS))
    assert isinstance(found, NoRoute)
    assert (found.because, place_fix(found, wish, CHANNELS)) == (
        "topic 'abc' is no number",
        "name the topic by its number",
    )


def test_a_channel_that_is_not_set_up_says_how_to_set_it_up() -> None:
    wish = TargetWish(target="telegram", to="telegram:42", source="config")
    found = resolve(wish, RouteFacts(agent_id="main"))
    assert isinstance(found, NoRoute)
    assert place_fix(found, wish, {}) == "engine setup --channel telegram"


def test_words_for_a_webhook_nobody_configured_go_to_no_other_one() -> None:
    wish = TargetWish(target="webhook", to="webhook:nope", source="config")
    found = resolve(wish, RouteFacts(agent_id="main", channels=CHANNELS))
    assert isinstance(found, NoRoute)
    assert "'nope' is not configured for webhook (have: mine)" in found.because


def test_every_form_that_is_shown_is_a_place() -> None:
    for part in fix("42").partition(": ")[2].split(", "):
        assert channel_named(part.partition(":")[0]) is not None
