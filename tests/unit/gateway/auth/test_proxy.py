"""What a reverse proxy says is believed of a trusted one only (protocol.md §4.5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.peer import Peer
from gateway.auth.policy import Mode, Policy
from gateway.auth.proxy import Networks, ProxyRule, client_of
from gateway.auth.web import Stranger, Visitor
from gateway.connection import peer_of
from gateway.protocol.handshake import Connect, Granted, Refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULE = ProxyRule(user_header="X-User", required_headers=("X-Verified",))
POLICY = Policy(
    mode=Mode.TRUSTED_PROXY,
    password="local-password",
    proxy=RULE,
    proxies=Networks.of(("10.0.0.0/24", "127.0.0.1")),
    allowed_origins=("https://chat.example",),
)
GOOD = {"x-user": "ann", "x-verified": "yes", "host": "chat.example"}
PAGE = {"id": "openclaw-control-ui", "mode": "webchat", "version": "1", "platform": "web"}


def judge(
    headers: dict[str, str],
    host: str = "10.0.0.7",
    policy: Policy = POLICY,
    **changes: Any,
) -> Granted | Refused:
    params = {
        "minProtocol": 4,
        "maxProtocol": 4,
        "client": {"id": "cli", "mode": "cli", "version": "1", "platform": "linux"},
        "scopes": ["operator.read", "operator.write"],
        **changes,
    }
    peer = Peer(host=host, headers=headers)
    return Gatekeeper(policy).judge(Connect.model_validate(params), "n", NOW, peer)


def why(verdict: Granted | Refused) -> object:
    assert isinstance(verdict, Refused)
    return verdict.error.details["authReason"]


ALLOWING = replace(POLICY, proxy=replace(RULE, allow_users=frozenset({"bob"})))


@pytest.mark.parametrize(
    ("headers", "host", "policy", "reason", "code"),
    [
        (GOOD, "203.0.113.9", POLICY, "trusted_proxy_untrusted_source", "AUTH_UNAUTHORIZED"),
        (GOOD, "127.0.0.1", POLICY, "trusted_proxy_loopback_source", "AUTH_UNAUTHORIZED"),
        ({"x-user": "ann"}, "10.0.0.7", POLICY, "trusted_proxy_missing_header_x-verified",
         "AUTH_IDENTITY_HEADER_REQUIRED"),
        ({"x-verified": "1"}, "10.0.0.7", POLICY, "trusted_proxy_user_missing",
         "AUTH_IDENTITY_HEADER_REQUIRED"),
        ({**GOOD, "x-user": " "}, "10.0.0.7", POLICY, "trusted_proxy_user_missing",
         "AUTH_IDENTITY_HEADER_REQUIRED"),
        ({**GOOD, "x-user": "admin, ann"}, "10.0.0.7", POLICY, "trusted_proxy_user_missing",
         "AUTH_IDENTITY_HEADER_REQUIRED"),
        (GOOD, "10.0.0.7", ALLOWING, "trusted_proxy_user_not_allowed",
         "AUTH_VERIFIED_USER_REQUIRED"),
    ],
)  # fmt: skip
def test_each_way_a_proxy_may_fail_has_its_reason(
    headers: dict[str, str], host: str, policy: Policy, reason: str, code: str
) -> None:
    verdict = judge(headers, host, policy)
    assert why(verdict) == reason
    assert isinstance(verdict, Refused)
    assert verdict.error.details["code"] == code
    assert verdict.error.details["recommendedNextStep"] == "review_auth_configuration"


def test_who_the_proxy_vouches_for_is_in_and_a_page_keeps_its_scopes() -> None:
    headers = {**GOOD, "origin": "https://chat.example"}
    page = judge(headers, client=PAGE)
    assert isinstance(page, Granted)
    assert (page.method, page.scopes) == ("trusted-proxy", ("operator.read", "operator.write"))
    capped = judge({**headers, "x-openclaw-scopes": "operator.read"}, client=PAGE)
    assert isinstance(capped, Granted)
    assert capped.scopes == ("operator.read",)
    none = judge({**headers, "x-openclaw-scopes": ""}, client=PAGE)
    assert isinstance(none, Granted)
    assert none.scopes == ()


def test_a_page_of_another_origin_is_refused_behind_the_proxy_too() -> None:
    verdict = judge({**GOOD, "origin": "https://evil.example"}, client=PAGE)
    assert isinstance(verdict, Refused)
    assert verdict.error.details["code"] == "CONTROL_UI_ORIGIN_NOT_ALLOWED"


def test_callers_of_this_host_use_the_password() -> None:
    near = {"host": "localhost"}
    verdict = judge(near, "127.0.0.1", auth={"password": "local-password"})
    assert isinstance(verdict, Granted)
    assert (verdict.method, len(verdict.scopes)) == ("password", 2)
    assert why(judge(near, "127.0.0.1", auth={"password": "x"})) == "password_mismatch"
    # A forwarded request is not of this host, whatever it shows.
    forwarded = {**near, "x-forwarded-for": "203.0.113.1"}
    assert isinstance(judge(forwarded, "127.0.0.1", auth={"password": "x"}), Refused)


NETWORKS = Networks.of(("10.0.0.0/24",))


@pytest.mark.parametrize(
    ("host", "headers", "client"),
    [
        ("203.0.113.9", {"x-forwarded-for": "1.1.1.1"}, "203.0.113.9"),
        ("10.0.0.1", {"x-forwarded-for": "1.1.1.1"}, "1.1.1.1"),
        ("10.0.0.1", {"x-forwarded-for": "6.6.6.6, 1.1.1.1, 10.0.0.2"}, "1.1.1.1"),
        ("10.0.0.1", {"x-forwarded-for": "1.1.1.1:4711"}, "1.1.1.1"),
        ("10.0.0.1", {"x-forwarded-for": "[2001:db8::1]:80"}, "2001:db8::1"),
        ("10.0.0.1", {"x-forwarded-for": "1.1.1.1, nonsense"}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": ""}, "10.0.0.1"),
        ("10.0.0.1", {"x-real-ip": "1.1.1.1"}, "10.0.0.1"),
        ("::ffff:10.0.0.1", {"x-forwarded-for": "1.1.1.1"}, "1.1.1.1"),
    ],
)
def test_the_client_behind_a_proxy_is_the_last_hop_that_is_not_ours(
    host: str, headers: dict[str, str], client: str
) -> None:
    assert client_of(Peer(host=host, headers=headers), NETWORKS) == client


def test_x_real_ip_is_believed_only_where_that_is_asked_for() -> None:
    peer = Peer(host="10.0.0.1", headers={"x-real-ip": "1.1.1.1"})
    assert client_of(peer, replace(NETWORKS, real_ip=True)) == "1.1.1.1"


def test_one_client_behind_a_proxy_does_not_lock_out_the_others() -> None:
    keeper = Gatekeeper(Policy(mode=Mode.TOKEN, token="right", proxies=NETWORKS))
    wrong = Connect.model_validate(
        {
            "minProtocol": 4,
            "maxProtocol": 4,
            "client": {"id": "test", "mode": "test", "version": "1", "platform": "linux"},
            "auth": {"token": "wrong"},
        }
    )

    def code(client: str) -> object:
        peer = Peer(host="10.0.0.1", headers={"x-forwarded-for": f"9.9.9.9, {client}"})
        verdict = keeper.judge(wrong, "n", NOW, peer)
        assert isinstance(verdict, Refused)
        return verdict.error.details["code"]

    assert [code("1.1.1.1") for _ in range(11)][-1] == "AUTH_RATE_LIMITED"
    assert code("2.2.2.2") == "AUTH_TOKEN_MISMATCH"


def test_a_header_that_comes_twice_is_one_list() -> None:
    scope = {
        "headers": [(b"X-User", b"admin"), (b"x-user", b"ann")],
        "client": ("10.0.0.7", 1),
    }
    assert peer_of(scope).headers["x-user"] == "admin, ann"


def test_http_callers_come_in_by_the_same_rule() -> None:
    keeper = Gatekeeper(POLICY)
    peer = Peer(host="10.0.0.7", headers={**GOOD, "x-openclaw-scopes": "operator.read"})
    assert keeper.visit(peer, NOW) == Visitor(("operator.read",))
    stranger = Peer(host="203.0.113.9", headers=GOOD)
    assert keeper.visit(stranger, NOW) == Stranger()
