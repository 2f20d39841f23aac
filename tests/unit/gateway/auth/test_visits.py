"""Browsers a person let in: codes that are good once, cookies that end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.auth.peer import Peer
from gateway.auth.policy import Mode, Policy
from gateway.auth.visits import CODE, VISIT, Visits

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = Policy(mode=Mode.TOKEN, token="correct-horse")
BOTH = ("operator.read", "operator.write")


def asking(cookie: str = "", origin: str | None = "http://127.0.0.1:18789") -> Peer:
    told = {"host": "127.0.0.1:18789", "cookie": cookie}
    return Peer(host="127.0.0.1", headers=told | ({"origin": origin} if origin else {}))


def visiting(visits: Visits, policy: Policy = POLICY, scopes: tuple[str, ...] = BOTH) -> str:
    return "=".join(visits.cookie(policy, scopes, NOW))


def test_a_code_is_good_once() -> None:
    visits = Visits()
    code, _ = visits.offer(BOTH, NOW)
    assert visits.redeem(code, NOW) == BOTH
    assert visits.redeem(code, NOW) is None


def test_a_code_is_good_for_minutes_and_not_a_second_more() -> None:
    visits = Visits()
    first, until = visits.offer(BOTH, NOW)
    second, _ = visits.offer(BOTH, NOW)
    assert until == NOW + CODE
    assert visits.redeem(first, until - SECOND) == BOTH
    assert visits.redeem(second, until) is None


@pytest.mark.parametrize(
    ("held", "brings"),
    [
        (("operator.admin",), BOTH),
        (("operator.write",), BOTH),
        (("operator.read",), BOTH[:1]),
        ((), ()),
    ],
)
def test_nobody_brings_more_than_they_hold_nor_more_than_the_page_needs(
    held: tuple[str, ...], brings: tuple[str, ...]
) -> None:
    visits = Visits()
    assert visits.redeem(visits.offer(held, NOW)[0], NOW) == brings


def test_a_flood_of_codes_drops_the_oldest() -> None:
    visits = Visits()
    codes = [visits.offer(BOTH, NOW)[0] for _ in range(33)]
    assert visits.redeem(codes[0], NOW) is None
    assert visits.redeem(codes[1], NOW) == BOTH


def test_no_code_is_kept_as_it_was_given() -> None:
    visits = Visits()
    code, _ = visits.offer(BOTH, NOW)
    assert code not in repr(vars(visits))


def test_a_cookie_says_who_visits_until_it_ends() -> None:
    visits = Visits()
    peer = asking(visiting(visits))
    assert visits.scopes_of(POLICY, peer, NOW + VISIT - SECOND) == BOTH
    assert visits.scopes_of(POLICY, peer, NOW + VISIT) is None


def test_a_visit_outlives_a_restart_and_ends_with_the_secret() -> None:
    cookie = visiting(Visits())
    assert Visits().scopes_of(POLICY, asking(cookie), NOW) == BOTH
    assert Visits().scopes_of(replace(POLICY, token="another"), asking(cookie), NOW) is None


def test_where_there_is_no_secret_a_visit_ends_with_the_process() -> None:
    none = Policy(mode=Mode.NONE)
    visits = Visits()
    cookie = visiting(visits, none)
    assert visits.scopes_of(none, asking(cookie), NOW) == BOTH
    assert Visits().scopes_of(none, asking(cookie), NOW) is None


def test_a_changed_cookie_is_no_cookie() -> None:
    visits = Visits()
    cookie = visiting(visits, scopes=BOTH[:1])
    name, _, value = cookie.partition("=")
    until, letters, mark = value.split(".")
    for forged in (
        f"{until}.rw.{mark}",
        f"{int(until) + 1}.{letters}.{mark}",
        f"{until}.{letters}.",
        f".{letters}.{mark}",
        "",
        ".",
        "é",
        "x" * 9000,
        f"{until}.{letters}.{mark}x",
    ):
        assert visits.scopes_of(POLICY, asking(f"{name}={forged}"), NOW) is None, forged


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://127.0.0.1:3000", "http://localhost:18789", "https://evil.example"],
)
def test_a_socket_of_another_page_of_this_host_is_no_visit(origin: str | None) -> None:
    """A browser sends cookies to every port of a host; the page that calls must be our own."""
    visits = Visits()
    assert visits.calling(POLICY, asking(visiting(visits), origin), NOW) is None
    assert visits.calling(POLICY, asking(visiting(visits)), NOW) == BOTH


def test_behind_a_proxy_the_listed_origin_is_our_own() -> None:
    visits = Visits()
    public = replace(POLICY, allowed_origins=("https://engine.example",))
    peer = asking(visiting(visits, public), "https://engine.example")
    assert visits.calling(public, peer, NOW) == BOTH
