from __future__ import annotations

import pytest

from engine import sessions
from engine.messages.address import ChatType
from jobs.errors import InvalidInput


@pytest.mark.parametrize(
    ("written", "key"),
    [
        (None, "agent:ops:main"),
        ("", "agent:ops:main"),
        (" main ", "agent:ops:main"),
        ("agent:Ops:main", "agent:ops:main"),
        ("agent:other:telegram:group:-100:topic:7", "agent:other:telegram:group:-100:topic:7"),
        ("project-x", "agent:ops:project-x"),
        ("global", "global"),
    ],
)
def test_what_people_write_has_one_full_form(written: str | None, key: str) -> None:
    assert sessions.normalise(written, default_agent="ops") == key


def test_main_is_an_alias_of_a_renamed_main_session() -> None:
    for written in ("main", "home", "agent:a:main", "agent:a:home"):
        assert sessions.normalise(written, default_agent="a", main="home") == "agent:a:home"


@pytest.mark.parametrize(
    "key", ["agent:", "agent:x", "agent::y", "../etc", "a/b", "x\0", "a" * 300]
)
def test_a_key_that_cannot_be_stored_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput):
        sessions.normalise(key, default_agent="main")


def test_full_forms_stay_as_they_are() -> None:
    key = sessions.normalise("agent:a:qqbot:direct:ABCdef", default_agent="main")
    assert sessions.normalise(key, default_agent="main") == key


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ("main", "agent:a:main"),
        ("per-peer", "agent:a:direct:42"),
        ("per-channel-peer", "agent:a:telegram:direct:42"),
        ("per-account-channel-peer", "agent:a:telegram:work:direct:42"),
    ],
)
def test_a_direct_chat_follows_the_dm_scope(scope: str, key: str) -> None:
    direct = sessions.chat_key(
        "a",
        channel="telegram",
        account_id="work",
        peer="42",
        chat_type=ChatType.DIRECT,
        dm_scope=scope,
    )
    assert direct == key


def test_a_group_has_a_session_of_its_own_and_so_has_each_topic() -> None:
    keys = {
        sessions.chat_key(
            "a",
            channel="telegram",
            account_id="d",
            peer="-100",
            chat_type=ChatType.GROUP,
            thread_id=topic,
        )
        for topic in (None, "7", "8")
    }
    assert keys == {
        "agent:a:telegram:group:-100",
        "agent:a:telegram:group:-100:topic:7",
        "agent:a:telegram:group:-100:topic:8",
    }


def test_a_thread_of_a_direct_chat_is_kept_apart() -> None:
    key = sessions.chat_key(
        "a", channel="x", account_id="d", peer="1", chat_type=ChatType.DIRECT, thread_id="9"
    )
    assert key == "agent:a:main:thread:9"


def test_a_beat_runs_where_the_wake_says() -> None:
    key = sessions.beat_key("a", forced="agent:a:telegram:group:1", configured="other")
    assert key == "agent:a:telegram:group:1"


@pytest.mark.parametrize("foreign", ["agent:b:main", "agent:a:subagent:x"])
def test_a_beat_never_runs_in_a_session_that_is_not_its_own(foreign: str) -> None:
    assert sessions.beat_key("a", forced=foreign) == "agent:a:main"


def test_a_configured_session_is_used_without_a_wake() -> None:
    assert sessions.beat_key("a", configured="watch") == "agent:a:watch"


def test_isolation_adds_exactly_one_suffix_however_often() -> None:
    once = sessions.isolated_key(sessions.beat_key("a"))
    assert once == "agent:a:main:heartbeat"
    assert sessions.isolated_key(sessions.beat_key("a", forced=once)) == once
    assert sessions.isolated_key(once + ":heartbeat") == once


def test_a_job_has_a_session_and_each_run_its_own() -> None:
    assert sessions.cron_key("a", "j") == "agent:a:cron:j"
    assert sessions.cron_key("a", "j", run_id="r") == "agent:a:cron:j:run:r"


def test_a_named_session_is_path_safe() -> None:
    assert sessions.named_key("a", "weekly") == "agent:a:weekly"
    with pytest.raises(InvalidInput):
        sessions.named_key("a", "../../x")


def test_a_job_of_the_current_session_stays_in_it() -> None:
    for key in ("agent:a:main", "agent:a:telegram:group:-100", "agent:a:direct:Me"):
        assert sessions.named_key("a", key) == key
    assert sessions.named_key("a", "global", main="global") == "global"
    assert sessions.named_key("a", "main", main="home") == "agent:a:home"
    assert sessions.named_key("a", "agent:b:main") == "agent:a:agent:b:main"  # no other agent's


def test_a_key_tells_its_agent_and_its_kind() -> None:
    assert sessions.agent_of("agent:a:main", default_agent="d") == "a"
    assert sessions.agent_of("global", default_agent="d") == "d"
    assert sessions.kind_of("global") == "global"
    assert sessions.kind_of("agent:a:main") == "direct"
    assert sessions.kind_of("agent:a:telegram:direct:1") == "direct"
    assert sessions.kind_of("agent:a:direct:1") == "direct"
    assert sessions.kind_of("agent:a:telegram:group:1") == "group"
    assert sessions.kind_of("agent:a:cron:j") == "unknown"


def test_one_global_session_serves_all_agents() -> None:
    assert sessions.main_key("a", main="global") == sessions.main_key("b", main="global")
    assert sessions.belongs_to("global", "a")
