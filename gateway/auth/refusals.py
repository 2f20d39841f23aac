"""Refusals of `connect` as clients read them: codes, words, next step (protocol.md §5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from gateway.protocol.errors import Code, WireError
from gateway.protocol.handshake import Connect, Refused
from gateway.store.devices import Device as Known, Wish

_WORDS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    # authReason: details.code, words, next step, fix
    "token_missing": (
        "AUTH_TOKEN_MISSING",
        "gateway token missing (provide the token of this gateway)",
        "update_auth_configuration",
        "set ENGINE_GATEWAY_TOKEN, or pass --token",
    ),
    "token_mismatch": (
        "AUTH_TOKEN_MISMATCH",
        "gateway token mismatch (provide the token of this gateway)",
        "update_auth_credentials",
        "unset ENGINE_GATEWAY_TOKEN, or pass the token of this gateway with --token",
    ),
    "token_missing_config": (
        "AUTH_TOKEN_NOT_CONFIGURED",
        "gateway token not configured on gateway (set gateway.auth.token)",
        "update_auth_configuration",
        "set gateway.auth.token, or take it out: then one is made",
    ),
    "password_missing": (
        "AUTH_PASSWORD_MISSING",
        "gateway password missing (provide the password of this gateway)",
        "update_auth_configuration",
        "set ENGINE_GATEWAY_PASSWORD, or pass --password",
    ),
    "password_mismatch": (
        "AUTH_PASSWORD_MISMATCH",
        "gateway password mismatch (provide the password of this gateway)",
        "update_auth_credentials",
        "pass the password of this gateway with --password-file",
    ),
    "password_missing_config": (
        "AUTH_PASSWORD_NOT_CONFIGURED",
        "gateway password not configured on gateway (set gateway.auth.password)",
        "update_auth_configuration",
        "engine config set gateway.auth.mode token",
    ),
    "scope_mismatch": (
        "AUTH_SCOPE_MISMATCH",
        "device token does not cover the scopes asked for",
        "review_auth_configuration",
        "connect once with the gateway token, or: engine devices rotate",
    ),
    "bootstrap_token_invalid": (
        "AUTH_BOOTSTRAP_TOKEN_INVALID",
        "bootstrap token invalid (this gateway hands out none)",
        "review_auth_configuration",
        "connect with the gateway token",
    ),
    "trusted_proxy_user_missing": (
        "AUTH_IDENTITY_HEADER_REQUIRED",
        "the proxy named no user",
        "review_auth_configuration",
        "let the proxy set gateway.auth.trustedProxy.userHeader, once",
    ),
    "trusted_proxy_user_not_allowed": (
        "AUTH_VERIFIED_USER_REQUIRED",
        "this user is not among those allowed",
        "review_auth_configuration",
        "add the user to gateway.auth.trustedProxy.allowUsers",
    ),
    "trusted_proxy_untrusted_source": (
        "AUTH_UNAUTHORIZED",
        "this gateway is reached through its proxy only",
        "review_auth_configuration",
        "call through the proxy, or add its address to gateway.trustedProxies",
    ),
    "trusted_proxy_loopback_source": (
        "AUTH_UNAUTHORIZED",
        "the proxy calls from this host, and that is not allowed",
        "review_auth_configuration",
        "engine config set gateway.auth.trustedProxy.allowLoopback true",
    ),
    "device_token_mismatch": (
        "AUTH_DEVICE_TOKEN_MISMATCH",
        "device token mismatch (rotate or reissue the device token)",
        "update_auth_credentials",
        "connect once with the gateway token",
    ),
}


def unauthorized(reason: str, connect: Connect) -> Refused:
    """The shared secret does not fit; ``reason`` is the `authReason` of `secret_fault`."""
    code, words, step, fix = _WORDS.get(reason) or _missing_header(reason)
    retry = (
        reason == "token_mismatch"
        and connect.device is not None
        and connect.auth.device_token is None
    )
    details: dict[str, Any] = {
        "code": code,
        "authReason": reason,
        "canRetryWithDeviceToken": retry,
        "recommendedNextStep": "retry_with_device_token" if retry else step,
        "fix": fix,
    }
    return Refused(WireError(Code.INVALID_REQUEST, f"unauthorized: {words}", details))


def _missing_header(reason: str) -> tuple[str, str, str, str]:
    header = reason.removeprefix("trusted_proxy_missing_header_")
    return (
        "AUTH_IDENTITY_HEADER_REQUIRED",
        f"the proxy did not send the header {header}",
        "review_auth_configuration",
        "let the proxy set every one of gateway.auth.trustedProxy.requiredHeaders",
    )


def rate_limited(wait: timedelta) -> Refused:
    """Too many failures from this address (§4.7)."""
    details = {
        "code": "AUTH_RATE_LIMITED",
        "authReason": "rate_limited",
        "canRetryWithDeviceToken": False,
        "recommendedNextStep": "wait_then_retry",
    }
    message = "unauthorized: too many failed authentication attempts (retry later)"
    milliseconds = int(wait.total_seconds() * 1000)
    error = WireError(Code.INVALID_REQUEST, message, details, milliseconds)
    return Refused(error, quiet=True)


def device_required() -> Refused:
    """Nothing was shown, or a role that needs a device (§4.3)."""
    details = {
        "code": "DEVICE_IDENTITY_REQUIRED",
        "fix": "set ENGINE_GATEWAY_TOKEN, or pass --token",
    }
    return Refused(WireError(Code.NOT_PAIRED, "device identity required", details))


def browser_device_required() -> Refused:
    """A browser client without a device."""
    details = {"code": "CONTROL_UI_DEVICE_IDENTITY_REQUIRED"}
    message = "control ui requires device identity (device identity required)"
    return Refused(WireError(Code.INVALID_REQUEST, message, details))


_PAIRING_WORDS: Final[Mapping[Wish, str]] = {
    Wish.NOT_PAIRED: "device is not approved yet",
    Wish.SCOPE_UPGRADE: "device is asking for more scopes than currently approved",
    Wish.ROLE_UPGRADE: "device is asking for a higher role than currently approved",
    Wish.METADATA_UPGRADE: "device identity changed and must be re-approved",
}


def pairing_required(connect: Connect, device: Known) -> Refused:
    """A device that wants what nobody has approved (§4.4)."""
    request = device.request
    if request is None:
        raise AssertionError("whoever is to be asked about has a request")
    message = f"pairing required: {_PAIRING_WORDS[request.wish]}"
    approve = f"engine devices approve {request.id}"
    details: dict[str, Any] = {
        "code": "PAIRING_REQUIRED",
        "reason": request.wish.value,
        "requestId": request.id,
        "deviceId": device.device_id,
        "requestedRole": connect.role,
        "requestedScopes": list(connect.scopes),
        "remediationHint": f"on the gateway's host: {approve}",
        "recommendedNextStep": "wait_then_retry",
        "pauseReconnect": True,
        "fix": f"on the gateway's host: {approve}",
    }
    if device.approved:
        details |= {"approvedRoles": list(device.roles), "approvedScopes": list(device.scopes)}
    reason = f"{message} (requestId: {request.id})"
    return Refused(WireError(Code.NOT_PAIRED, message, details), reason)


def bad_device(code: str, reason: str) -> Refused:
    """A device proof with a fault, by its code (§4.2)."""
    words = reason.replace("-", " ") or "device proof refused"
    details = {"code": code, "reason": reason, "authReason": reason}
    return Refused(WireError(Code.INVALID_REQUEST, f"device proof refused: {words}", details))


def alien_origin(origin: str | None, fault: str) -> Refused:
    """A browser page of somewhere else (§4.6)."""
    details = {
        "code": "CONTROL_UI_ORIGIN_NOT_ALLOWED",
        "reason": fault,
        "fix": "add the origin to gateway.controlUi.allowedOrigins",
    }
    return Refused(WireError(Code.INVALID_REQUEST, f"origin refused: {origin or fault}", details))
