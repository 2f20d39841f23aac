"""The policy a config asks for, and the starts it does not allow (operations.md §6)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config.paths import resolve
from engine.config.schema import Config
from gateway import settings
from gateway.auth import configured
from gateway.auth.configured import Shared
from gateway.auth.policy import Mode, Policy
from gateway.auth.proxy import Networks
from gateway.settings import RunOptions
from jobs.errors import ConfigInvalid, OwnershipRefused

LONG = "a-token-of-decent-length"
PROXY = {"trustedProxies": ["10.0.0.1"], "auth": {"trustedProxy": {"userHeader": "x-user"}}}


def policy(gateway: dict[str, Any], **environ: str) -> Policy:
    config = Config.model_validate({"gateway": gateway})
    options = RunOptions(paths=resolve({}))
    given = settings.given_token(options, config, environ)
    password = settings.given_password(options, config, environ)
    shared = Shared(token=given or LONG, password=password, named=given is not None)
    return configured.policy(config, shared)


@pytest.mark.parametrize(
    ("gateway", "mode"),
    [
        ({}, "token"),
        ({"auth": {"password": "p"}}, "password"),
        ({"auth": {"mode": "none"}}, "none"),
        ({"auth": {"mode": "token", "token": "t", "password": "p"}}, "token"),
        (PROXY, "trusted-proxy"),
    ],
)
def test_the_mode_follows_from_what_is_set(gateway: dict[str, Any], mode: str) -> None:
    assert policy(gateway).mode == mode


def test_the_password_of_the_environment_counts() -> None:
    found = policy({}, ENGINE_GATEWAY_PASSWORD="from-env")
    assert (found.mode, found.password) == (Mode.PASSWORD, "from-env")


@pytest.mark.parametrize(
    ("gateway", "why"),
    [
        ({"auth": {"token": "t", "password": "p"}}, "no mode says which"),
        ({"auth": {"mode": "trusted-proxy"}}, "no header names the user"),
        ({"auth": {"trustedProxy": {"userHeader": "x"}}}, "trustedProxies is empty"),
        (
            {**PROXY, "auth": {"token": "t", "trustedProxy": {"userHeader": "x"}}},
            "mixed_trusted_proxy_token",
        ),
        ({"trustedProxies": ["not an address"]}, "not an address"),
    ],
)
def test_a_config_nobody_can_mean_starts_no_gateway(gateway: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigInvalid, match=why) as refused:
        policy(gateway)
    assert refused.value.exit_status == 78
    assert refused.value.fix


def test_what_is_configured_of_the_proxy_and_of_devices_is_in_the_policy() -> None:
    found = policy(
        {
            **PROXY,
            "allowRealIpFallback": True,
            "nodes": {"pairing": {"autoApproveLocal": False}},
            "auth": {
                "trustedProxy": {
                    "userHeader": "x-user",
                    "requiredHeaders": ["x-v"],
                    "allowUsers": ["ann"],
                    "allowLoopback": True,
                }
            },
        }
    )
    assert found.proxies == Networks.of(("10.0.0.1",), real_ip=True)
    assert found.proxy is not None
    assert found.proxy.allow_users == {"ann"}
    assert found.proxy.required_headers == ("x-v",)
    assert found.proxy.allow_loopback
    assert not found.auto_approve_local


@pytest.mark.parametrize(
    "found",
    [
        Policy(mode=Mode.NONE),
        Policy(mode=Mode.TOKEN, token="short"),
        Policy(mode=Mode.PASSWORD),
        Policy(mode=Mode.PASSWORD, password="short"),
    ],
)
def test_beyond_this_machine_a_secret_is_needed(found: Policy) -> None:
    with pytest.raises(OwnershipRefused, match="refusing to bind gateway to lan") as no:
        configured.refuse_open(("192.168.1.2",), "lan", found)
    assert no.value.exit_status == 78
    configured.refuse_open(("127.0.0.1", "::1"), "loopback", found)


@pytest.mark.parametrize(
    "found", [Policy(mode=Mode.TOKEN, token=LONG), Policy(mode=Mode.PASSWORD, password=LONG),
              policy(PROXY)]
)  # fmt: skip
def test_with_one_it_is_bound(found: Policy) -> None:
    configured.refuse_open(("192.168.1.2",), "lan", found)


def test_a_secret_that_is_easily_guessed_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    configured.tell_weak(Policy(mode=Mode.TOKEN, token=LONG))
    configured.tell_weak(Policy(mode=Mode.NONE, token="short"))
    assert caplog.text == ""
    configured.tell_weak(Policy(mode=Mode.TOKEN, token="short"))
    assert "shorter than 16 characters" in caplog.text


@pytest.mark.parametrize("kind", ["token", "password"])
def test_hooks_do_not_share_the_gateways_secret(kind: str) -> None:
    config = Config.model_validate({"hooks": {"enabled": True, "token": "one-for-all"}})
    configured.refuse_shared(config, Policy(mode=Mode(kind), token="a", password="b"))
    token, password = ("one-for-all", "b") if kind == "token" else ("a", "one-for-all")
    shared = Policy(mode=Mode(kind), token=token, password=password)
    with pytest.raises(ConfigInvalid, match=f"the gateway's own {kind}") as refused:
        configured.refuse_shared(config, shared)
    assert refused.value.exit_status == 78
