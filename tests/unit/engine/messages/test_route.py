"""To whom: heartbeat.md §14 and channels.md §2, §4, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.messages.address import ChatType, Route
from engine.messages.route import (
    AccountFacts,
    ChannelFacts,
    NoRoute,
    RouteFacts,
    TargetWish,
    resolve,
)
from engine.messages.target import LastRoute, Stranger
from jobs.ledger import SkipReason

NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)
TELEGRAM = ChannelFacts(id="telegram", accounts=(AccountFacts(id="a"), AccountFacts(id="b")))
LAST = LastRoute(
    agent_id="main",
    session_key="agent:main:main",
    channel="telegram",
    account_id="b",
    to="42",
    chat_type=ChatType.DIRECT,
    set_at=NOON,
    set_by="7",
)
FACTS = RouteFacts(agent_id="main", channels={"telegram": TELEGRAM}, last=LAST)
TO_LAST = TargetWish(target="last", source="config")


def _reason(wish: TargetWish, facts: RouteFacts = FACTS) -> SkipReason:
    found = resolve(wish, facts)
    assert isinstance(found, NoRoute)
    assert found.because
    return found.reason


def _route(wish: TargetWish, facts: RouteFacts = FACTS) -> Route:
    found = resolve(wish, facts)
    assert isinstance(found, Route), found
    return found


def test_last_is_where_the_person_wrote_from() -> None:
    route = _route(TO_LAST)
    assert (route.channel, route.account_id, route.to, route.via) == ("telegram", "b", "42", "last")
    assert route.learnt_at == NOON


def test_a_group_keeps_its_thread_and_a_direct_chat_does_not() -> None:
    group = replace(LAST, to="-100", thread_id="9", chat_type=ChatType.GROUP)
    assert _route(TO_LAST, replace(FACTS, last=group)).thread_id == "9"
    direct = replace(LAST, thread_id="9")
    assert _route(TO_LAST, replace(FACTS, last=direct)).thread_id is None


def test_an_event_answers_where_it_came_from_even_if_the_session_moved_on() -> None:
    origin = Route(channel="telegram", account_id="a", to="-100", thread_id="3")
    route = _route(TO_LAST, replace(FACTS, event=origin))
    assert (route.to, route.thread_id, route.via) == ("-100", "3", "event")


def test_nobody_wrote_yet_is_said_so() -> None:
    assert _reason(TO_LAST, replace(FACTS, last=None)) is SkipReason.NO_ROUTE


def test_with_no_outside_channel_the_local_inbox_is_the_last_resort() -> None:
    facts = RouteFacts(agent_id="main", local_fallback=True)
    assert (_route(TO_LAST, facts).channel, _route(TO_LAST, facts).to) == ("local", "inbox")


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (TargetWish(), SkipReason.TARGET_NONE),
        (TargetWish(target="none", source="config"), SkipReason.TARGET_NONE),
        (TargetWish(target="slack"), SkipReason.TARGET_INVALID),
        (TargetWish(target="telegram", to="-100/4"), SkipReason.TARGET_INVALID),
        (TargetWish(target="telegram", to="5", account_id="x"), SkipReason.UNKNOWN_ACCOUNT),
        (TargetWish(target="last", account_id="x"), SkipReason.UNKNOWN_ACCOUNT),
        (TargetWish(target="last", direct_policy="block"), SkipReason.DM_BLOCKED),
        (
            TargetWish(target="telegram", to="@whoever", direct_policy="block"),
            SkipReason.DM_BLOCKED,
        ),
    ],
)
def test_every_reason_for_no_route_is_named(wish: TargetWish, reason: SkipReason) -> None:
    assert _reason(wish) is reason


def test_a_channel_without_recipient_is_no_target() -> None:
    wish = TargetWish(target="telegram")
    assert _reason(wish, replace(FACTS, last=None)) is SkipReason.NO_TARGET


def test_an_explicit_topic_is_kept() -> None:
    route = _route(TargetWish(target="telegram", to="-100111:topic:42", account_id="a"))
    assert (route.to, route.thread_id, route.chat_type) == ("-100111", "42", ChatType.GROUP)


def test_a_disabled_account_is_not_used() -> None:
    off = replace(TELEGRAM, accounts=(AccountFacts(id="b", enabled=False),))
    assert _reason(TO_LAST, replace(FACTS, channels={"telegram": off})) is (
        SkipReason.ACCOUNT_DISABLED
    )


def test_a_route_that_refuses_messages_is_not_used_and_named() -> None:
    found = resolve(TO_LAST, replace(FACTS, last=replace(LAST, unusable="blocked")))
    assert isinstance(found, NoRoute)
    assert found.reason is SkipReason.NO_ROUTE
    assert "blocked" in found.because


def test_the_list_of_accounts_is_the_evidence() -> None:
    found = resolve(TargetWish(target="telegram", to="5", account_id="x"), FACTS)
    assert isinstance(found, NoRoute)
    assert "(have: a, b)" in found.because


def test_an_event_through_a_disabled_account_goes_nowhere() -> None:
    origin = Route(channel="telegram", account_id="a", to="-100")
    off = replace(TELEGRAM, accounts=(AccountFacts(id="a", enabled=False), AccountFacts(id="b")))
    facts = replace(FACTS, event=origin, channels={"telegram": off})
    assert _reason(TO_LAST, facts) is SkipReason.ACCOUNT_DISABLED


def test_last_with_a_recipient_keeps_the_account() -> None:
    route = _route(replace(TO_LAST, to="77"))
    assert (route.account_id, route.to, route.chat_type) == ("b", "77", ChatType.DIRECT)


def test_last_with_a_channel_before_the_recipient_goes_to_that_channel() -> None:
    route = _route(replace(TO_LAST, to="local:inbox"))
    assert (route.channel, route.to) == ("local", "inbox")


LOCAL = ChannelFacts(id="local", accounts=(AccountFacts(id="default"),))
ONE = ChannelFacts(id="telegram", accounts=(AccountFacts(id="default"),))


def test_a_bare_recipient_goes_out_by_the_only_channel_and_the_inbox_counts_as_none() -> None:
    wish = replace(TO_LAST, to="123456")
    facts = RouteFacts(agent_id="main", channels={"local": LOCAL, "telegram": ONE})
    assert (_route(wish, facts).channel, _route(wish, facts).to) == ("telegram", "123456")
    fallback = replace(facts, local_fallback=True)
    assert _route(wish, fallback).channel == "telegram"


@pytest.mark.parametrize(
    ("channels", "because", "fix"),
    [
        ({"local": LOCAL}, "none but the inbox of this machine", "engine setup --channel telegram"),
        (
            {"local": LOCAL, "telegram": ONE, "webhook": ChannelFacts(id="webhook")},
            "there are several (telegram, webhook)",
            "telegram:123456",
        ),
    ],
)
def test_a_bare_recipient_is_never_thrown_away(
    channels: dict[str, ChannelFacts], because: str, fix: str
) -> None:
    facts = RouteFacts(agent_id="main", channels=channels, local_fallback=True)
    found = resolve(replace(TO_LAST, to="123456"), facts)
    assert isinstance(found, NoRoute)
    assert found.reason is SkipReason.TARGET_INVALID
    assert because in found.because
    assert fix in found.fix


def test_a_named_channel_takes_the_recipient_of_its_own_conversation_only() -> None:
    assert _route(TargetWish(target="telegram")).to == "42"
    elsewhere = replace(FACTS, last=replace(LAST, channel="qqbot", to="c2c:x"))
    assert _reason(TargetWish(target="telegram"), elsewhere) is SkipReason.NO_TARGET
    accounts = (AccountFacts(id="a", default_to="9"), AccountFacts(id="b", default_to="10"))
    facts = replace(elsewhere, channels={"telegram": replace(TELEGRAM, accounts=accounts)})
    assert _route(TargetWish(target="telegram"), facts).to == "9"
    assert _route(TargetWish(target="telegram", account_id="b"), facts).to == "10"


def test_the_topic_of_a_group_is_kept_only_for_that_group() -> None:
    group = replace(LAST, to="-100", thread_id="9", chat_type=ChatType.GROUP)
    facts = replace(FACTS, last=group)
    assert _route(TargetWish(target="telegram"), facts).thread_id == "9"
    assert _route(TargetWish(target="telegram", to="-200"), facts).thread_id is None


def test_direct_chats_blocked_leave_groups_open() -> None:
    wish = TargetWish(target="telegram", to="-100", direct_policy="block")
    assert _route(wish).to == "-100"


def test_the_owner_is_written_to_in_private_never_in_a_group() -> None:
    owner = Route(channel="telegram", account_id="", to="42", chat_type=ChatType.DIRECT)
    wish = TargetWish(target="owner", source="config")
    known = replace(FACTS, owners=(owner,))
    assert (_route(wish, known).account_id, _route(wish, known).to) == ("b", "42")
    in_group = replace(known, last=replace(LAST, to="-100", chat_type=ChatType.GROUP))
    assert (_route(wish, in_group).to, _route(wish, in_group).via) == ("42", "owner")
    assert _reason(wish) is SkipReason.NO_ROUTE


OTHER = ChannelFacts(id="qqbot", accounts=(AccountFacts(id="a"), AccountFacts(id="b")))
ANN = Route(channel="telegram", account_id="", to="42", chat_type=ChatType.DIRECT)
ANN_ON_QQ = Route(channel="qqbot", account_id="b", to="c2c:ann", chat_type=ChatType.DIRECT)


@pytest.mark.parametrize(
    ("spoke_on", "expected"),
    [
        ("telegram", ("telegram", "42")),
        ("qqbot", ("qqbot", "c2c:ann")),  # the channel of the conversation comes first
        (None, ("telegram", "42")),
    ],
)
def test_the_owner_is_reached_where_the_conversation_is(
    spoke_on: str | None, expected: tuple[str, str]
) -> None:
    last = None if spoke_on is None else replace(LAST, channel=spoke_on, to="somebody")
    facts = replace(
        FACTS,
        channels={"telegram": TELEGRAM, "qqbot": OTHER},
        owners=(ANN, ANN_ON_QQ),
        last=last,
    )
    found = _route(TargetWish(target="owner", source="config"), facts)
    assert (found.channel, found.to) == expected
    if found.channel == "qqbot":
        assert found.account_id == "b"  # where this owner may write


def test_an_owner_on_a_channel_that_is_off_is_passed_over() -> None:
    off = replace(TELEGRAM, accounts=tuple(replace(a, enabled=False) for a in TELEGRAM.accounts))
    facts = replace(
        FACTS, channels={"telegram": off, "qqbot": OTHER}, owners=(ANN, ANN_ON_QQ), last=None
    )
    assert _route(TargetWish(target="owner", source="config"), facts).channel == "qqbot"


def test_without_an_owner_nobody_is_written_to_and_it_says_where_to_name_one() -> None:
    found = resolve(TargetWish(target="owner", source="config"), FACTS)
    assert isinstance(found, NoRoute)
    assert found.reason is SkipReason.NO_ROUTE
    assert "commands.ownerAllowFrom" in found.because


@pytest.mark.parametrize(
    ("channel", "last", "account", "warned"),
    [
        (TELEGRAM, LAST, "b", False),
        (replace(TELEGRAM, bound_accounts=("b",)), None, "b", False),
        (replace(TELEGRAM, default_account="b"), None, "b", False),
        (replace(TELEGRAM, bound_accounts=("a",), default_account="b"), None, "a", False),
        (replace(TELEGRAM, accounts=(AccountFacts(id="only"),)), None, "only", False),
        (TELEGRAM, None, "a", True),
    ],
)
def test_no_account_is_guessed_without_a_word(
    channel: ChannelFacts, last: LastRoute | None, account: str, warned: bool
) -> None:
    facts = RouteFacts(agent_id="main", channels={"telegram": channel}, last=last)
    route = _route(TargetWish(target="telegram", to="42"), facts)
    assert (route.account_id, route.warning is not None) == (account, warned)


@pytest.mark.parametrize(
    ("reason", "way"),
    [
        ("pairing-required", "engine pairing list"),
        ("blocked", "engine config set 'channels.telegram.allowFrom[]' '\"4711\"'"),
    ],
)
def test_who_wrote_and_was_not_let_in_is_named_with_the_way_to_let_them_in(
    reason: str, way: str
) -> None:
    stranger = Stranger("telegram", "default", "4711", reason)
    found = resolve(TO_LAST, replace(FACTS, last=None, stranger=stranger))
    assert isinstance(found, NoRoute)
    assert found.because.endswith(
        f"so last leads nowhere; 4711 wrote on telegram and was not let in ({reason}):"
        f" to change that: {way}"
    )
    assert found.fix == way  # not "send the bot one message": somebody did


def test_a_channel_that_is_not_configured_names_the_command_that_adds_it() -> None:
    found = resolve(TargetWish(target="telegram", to="42"), RouteFacts(agent_id="main"))
    assert isinstance(found, NoRoute)
    assert (found.reason, found.fix) == (
        SkipReason.TARGET_INVALID,
        "engine setup --channel telegram",
    )


# -- the examples of heartbeat.md §14.1, row by row ------------------------------------------

TOPIC = Route(channel="telegram", account_id="a", to="-100", thread_id="3")
ELSEWHERE = replace(LAST, channel="slack", account_id="x", to="U1")
EXAMPLES: dict[str, tuple[TargetWish, RouteFacts, str | SkipReason]] = {
    "an explicit topic": (
        TargetWish(target="telegram", to="-100111:topic:42", account_id="a"),
        FACTS,
        "telegram|a|-100111|42",
    ),
    "the topic a program was started from, though the session moved on": (
        TO_LAST,
        replace(FACTS, event=TOPIC),
        "telegram|a|-100|3",
    ),
    "only a browser so far, and a channel is enabled": (
        TO_LAST,
        replace(FACTS, last=None),
        SkipReason.NO_ROUTE,
    ),
    "only a browser so far, and no channel is enabled": (
        TO_LAST,
        replace(FACTS, last=None, local_fallback=True),
        "local|default|inbox|",
    ),
    "another channel than the session's, and nobody is named": (
        TargetWish(target="telegram"),
        replace(FACTS, last=ELSEWHERE),
        SkipReason.NO_TARGET,
    ),
    "last with an account the channel has not": (
        replace(TO_LAST, account_id="of-another-channel"),
        FACTS,
        SkipReason.UNKNOWN_ACCOUNT,
    ),
    "last with a recipient on another channel": (
        replace(TO_LAST, to="local:notes"),
        FACTS,
        "local|default|notes|",
    ),
    "a prefix of the channel itself": (
        TargetWish(target="telegram", to="tg:77", account_id="a"),
        FACTS,
        "telegram|a|77|",
    ),
    "an unknown kind of chat, and direct ones are blocked": (
        TargetWish(target="telegram", to="@somebody", account_id="a", direct_policy="block"),
        FACTS,
        SkipReason.DM_BLOCKED,
    ),
    "target none": (TargetWish(target="none", source="config"), FACTS, SkipReason.TARGET_NONE),
    "no target at all": (TargetWish(), FACTS, SkipReason.TARGET_NONE),
    "a channel nobody knows": (TargetWish(target="slack"), FACTS, SkipReason.TARGET_INVALID),
}


@pytest.mark.parametrize(("wish", "facts", "want"), EXAMPLES.values(), ids=EXAMPLES.keys())
def test_every_example_of_the_table_leads_where_it_says(
    wish: TargetWish, facts: RouteFacts, want: str | SkipReason
) -> None:
    found = resolve(wish, facts)
    got = found.lane if isinstance(found, Route) else found.reason
    assert got == want
