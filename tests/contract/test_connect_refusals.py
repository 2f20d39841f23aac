"""Every refusal of `connect`: code, reason, next step, and the close that follows (§5.2, §6)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.auth.policy import Mode, Policy
from gateway.auth.proxy import Networks, ProxyRule
from tests.fakes.gateway_port import connect_params, dialled, serving

PASSWORD = Policy(mode=Mode.PASSWORD, password="right")
PROXY = Policy(
    mode=Mode.TRUSTED_PROXY,
    proxy=ProxyRule(user_header="x-user", allow_loopback=True),
    proxies=Networks.of(("127.0.0.1",)),
)
STRANGER = Policy(mode=Mode.TRUSTED_PROXY, proxy=PROXY.proxy)
UI = {"id": "openclaw-control-ui", "mode": "webchat", "version": "1", "platform": "web"}
LOCAL_PAGE = {"origin": "http://localhost:1"}

# policy, params, how it dials, code, details.code, recommendedNextStep, words of the close
ROWS: dict[str, tuple[Policy | None, dict[str, Any], dict[str, Any], str, str, str | None, str]] = {
    "no token": (
        None, {"auth": {"password": "x"}}, {},
        "INVALID_REQUEST", "AUTH_TOKEN_MISSING", "update_auth_configuration",
        "gateway token missing",
    ),
    "wrong token": (
        None, {"auth": {"token": "x"}}, {},
        "INVALID_REQUEST", "AUTH_TOKEN_MISMATCH", "update_auth_credentials",
        "gateway token mismatch",
    ),
    "token not configured": (
        Policy(mode=Mode.TOKEN), {"auth": {"token": "x"}}, {},
        "INVALID_REQUEST", "AUTH_TOKEN_NOT_CONFIGURED", "update_auth_configuration",
        "gateway token not configured",
    ),
    "no password": (
        PASSWORD, {"auth": {"token": "x"}}, {},
        "INVALID_REQUEST", "AUTH_PASSWORD_MISSING", "update_auth_configuration",
        "gateway password missing",
    ),
    "wrong password": (
        PASSWORD, {"auth": {"password": "x"}}, {},
        "INVALID_REQUEST", "AUTH_PASSWORD_MISMATCH", "update_auth_credentials",
        "gateway password mismatch",
    ),
    "password not configured": (
        Policy(mode=Mode.PASSWORD), {"auth": {"password": "x"}}, {},
        "INVALID_REQUEST", "AUTH_PASSWORD_NOT_CONFIGURED", "update_auth_configuration",
        "gateway password not configured",
    ),
    "wrong device token": (
        None, {"auth": {"deviceToken": "x"}}, {},
        "INVALID_REQUEST", "AUTH_DEVICE_TOKEN_MISMATCH", "update_auth_credentials",
        "device token mismatch",
    ),
    "bootstrap token": (
        None, {"auth": {"bootstrapToken": "x"}}, {},
        "INVALID_REQUEST", "AUTH_BOOTSTRAP_TOKEN_INVALID", "review_auth_configuration",
        "bootstrap token invalid",
    ),
    "no user named by the proxy": (
        PROXY, {"auth": {}}, {},
        "INVALID_REQUEST", "AUTH_IDENTITY_HEADER_REQUIRED", "review_auth_configuration",
        "the proxy named no user",
    ),
    "round the proxy": (
        STRANGER, {"auth": {}}, {},
        "INVALID_REQUEST", "AUTH_UNAUTHORIZED", "review_auth_configuration",
        "reached through its proxy only",
    ),
    "nothing shown": (
        None, {"auth": {}}, {},
        "NOT_PAIRED", "DEVICE_IDENTITY_REQUIRED", None, "device identity required",
    ),
    "a node without a device": (
        None, {"role": "node"}, {},
        "NOT_PAIRED", "DEVICE_IDENTITY_REQUIRED", None, "device identity required",
    ),
    "a page without a device": (
        None, {"client": UI}, LOCAL_PAGE,
        "INVALID_REQUEST", "CONTROL_UI_DEVICE_IDENTITY_REQUIRED", None,
        "device identity required",
    ),
    "a page without an origin": (
        None, {"client": UI}, {},
        "INVALID_REQUEST", "CONTROL_UI_ORIGIN_NOT_ALLOWED", None, "origin missing or invalid",
    ),
    "a page of elsewhere": (
        None, {"client": UI}, {"origin": "https://evil.example"},
        "INVALID_REQUEST", "CONTROL_UI_ORIGIN_NOT_ALLOWED", None, "origin refused",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wire", [3, 4])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_each_refusal_has_its_code_its_next_step_and_a_close_with_words(
    row: tuple[Policy | None, dict[str, Any], dict[str, Any], str, str, str | None, str], wire: int
) -> None:
    policy, params, dial, code, detail, step, words = row
    spoken = {"minProtocol": wire, "maxProtocol": wire}
    async with serving() as port:
        if policy is not None:
            port.door.gatekeeper.adopt(policy)
        async with dialled(port, **dial) as client:
            error = (await client.ask("connect", connect_params(**spoken, **params)))["error"]
            assert (error["code"], error["details"]["code"]) == (code, detail)
            assert error["details"].get("recommendedNextStep") == step
            closed, reason = await client.ended()
            assert closed == 1008
            assert words in reason
            assert reason in (error["message"], error["message"][: len(reason)])
