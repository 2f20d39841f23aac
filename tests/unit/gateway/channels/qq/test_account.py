"""The figures of one QQ bot: paces, windows and quotas (channels.md §7)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.messages.address import Route
from gateway.channels.qq.account import PeerQuota, QqAccount, Quota, rules, scopes, token_address

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def bot(**keys: object) -> QqAccount:
    return QqAccount(id="a", app_id="1", client_secret="s", **keys)  # type: ignore[arg-type]  # by name


def to(peer: str) -> Route:
    return Route(channel="qqbot", account_id="a", to=peer)


def paces(peer: str, *, certified: bool) -> list[tuple[str, int, timedelta]]:
    found = rules(bot(certified=certified), to(peer)).unasked
    return [(one.name.removeprefix("qqbot/a/unasked/"), one.limit, one.per) for one in found]


@pytest.mark.parametrize(
    ("peer", "certified", "bot_wide"),
    [
        ("c2c:X", False, [("direct", 5, SECOND), ("direct", 30, MINUTE)]),
        ("c2c:X", True, [("direct", 10, SECOND)]),
        ("group:X", False, [("groups", 30, MINUTE)]),
        ("group:X", True, [("groups", 60, MINUTE)]),
        ("channel:X", False, []),
    ],
)
def test_what_nobody_asked_for_is_paced_by_bot_and_peer(
    peer: str, certified: bool, bot_wide: list[tuple[str, int, timedelta]]
) -> None:
    own = 300 if peer.startswith("channel") else 20
    assert paces(peer, certified=certified) == [*bot_wide, (peer, own, MINUTE)]


@pytest.mark.parametrize(
    ("peer", "window", "replies", "per_day"),
    [
        ("c2c:X", 60, 4, 1000),
        ("group:X", 5, 5, 1000),
        ("channel:X", 5, 5, 20),
        ("dms:X", 5, 5, 2),
    ],
)
def test_windows_and_days_are_the_platforms(
    peer: str, window: int, replies: int, per_day: int
) -> None:
    found = rules(bot(), to(peer))
    assert (found.window, found.replies, found.per_day) == (window * MINUTE, replies, per_day)


def test_figures_are_config() -> None:
    own = PeerQuota(window=5 * MINUTE, replies=5, per_minute=1, per_day=0)
    found = rules(bot(quota=Quota(direct=own)), to("c2c:X"))
    assert (found.window, found.replies, found.per_day) == (5 * MINUTE, 5, 0)
    assert found.unasked[-1].limit == 1


@pytest.mark.parametrize(
    ("peer", "limits"),
    [("c2c:X", [100, 100]), ("group:X", [100, 100]), ("channel:X", [100, 5])],
)
def test_every_message_counts_against_the_interface(peer: str, limits: list[int]) -> None:
    assert [one.limit for one in scopes(to(peer))] == limits
    assert {one.per for one in scopes(to(peer))} == {SECOND}


def test_a_bare_host_gets_the_platforms_own_path_for_tokens() -> None:
    assert token_address("https://x") == "https://x/app/getAppAccessToken"
    assert token_address("https://x/own") == "https://x/own"


def test_the_secret_is_not_printed() -> None:
    assert "hidden" in repr(bot())
