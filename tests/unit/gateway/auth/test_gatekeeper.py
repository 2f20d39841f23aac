"""Who may connect, and with which rights."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.peer import Peer
from gateway.auth.policy import Mode, Policy
from gateway.auth.proof import signing_payloads
from gateway.protocol.handshake import Connect, Granted, Refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEAR = Peer(host="127.0.0.1", headers={"host": "127.0.0.1:18789"})
FAR = Peer(host="203.0.113.9", headers={"host": "gateway.example"})
TOKEN = Policy(mode=Mode.TOKEN, token="right")


def connect(client: str = "cli", mode: str = "cli", **changes: Any) -> Connect:
    return Connect.model_validate(
        {
            "minProtocol": 3,
            "maxProtocol": 4,
            "client": {"id": client, "mode": mode, "version": "1", "platform": "Linux"},
            "scopes": ["operator.read", "operator.admin"],
            "auth": {"token": "right"},
            **changes,
        }
    )


def judge(asked: Connect, peer: Peer = NEAR, policy: Policy = TOKEN) -> Granted | Refused:
    return Gatekeeper(policy).judge(asked, "nonce", NOW, peer)


def scopes(asked: Connect, peer: Peer = NEAR) -> tuple[str, ...]:
    verdict = judge(asked, peer)
    assert isinstance(verdict, Granted)
    return verdict.scopes


def code(verdict: Granted | Refused) -> object:
    assert isinstance(verdict, Refused)
    return verdict.error.details["code"]


@pytest.mark.parametrize(("client", "mode"), [("cli", "cli"), ("gateway-client", "backend")])
def test_local_command_lines_keep_the_scopes_they_ask_for(client: str, mode: str) -> None:
    assert scopes(connect(client, mode)) == ("operator.read", "operator.admin")


def test_a_local_probe_keeps_reading() -> None:
    assert scopes(connect("cli", "probe")) == ("operator.read",)


@pytest.mark.parametrize(("client", "mode"), [("test", "test"), ("openclaw-probe", "probe")])
def test_other_clients_without_a_device_keep_nothing(client: str, mode: str) -> None:
    assert scopes(connect(client, mode)) == ()


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost", "x-forwarded-for": "10.0.0.1"},
        {"host": "localhost", "forwarded": "for=10.0.0.1"},
        {"host": "localhost", "x-real-ip": "10.0.0.1"},
        {"host": "evil.example"},
        {},
    ],
)
def test_a_loopback_peer_behind_a_proxy_or_foreign_host_is_remote(headers: dict[str, str]) -> None:
    assert scopes(connect(), Peer(host="127.0.0.1", headers=headers)) == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_every_spelling_of_loopback_is_local(host: str) -> None:
    assert Peer(host=host, headers={"host": "[::1]:1"}).local


def test_a_remote_client_with_the_token_connects_without_scopes() -> None:
    assert scopes(connect(), FAR) == ()


def test_the_upgrade_header_caps_scopes() -> None:
    peer = Peer(host="127.0.0.1", headers={**NEAR.headers, "x-openclaw-scopes": "operator.read"})
    assert scopes(connect(), peer) == ("operator.read",)


@pytest.mark.parametrize(
    ("policy", "auth", "expected"),
    [
        (TOKEN, {"token": "wrong"}, "AUTH_TOKEN_MISMATCH"),
        (TOKEN, {"password": "x"}, "AUTH_TOKEN_MISSING"),
        (TOKEN, {"deviceToken": "x"}, "AUTH_DEVICE_TOKEN_MISMATCH"),
        (TOKEN, {}, "DEVICE_IDENTITY_REQUIRED"),
        (Policy(mode=Mode.TOKEN), {"token": "x"}, "AUTH_TOKEN_NOT_CONFIGURED"),
        (Policy(mode=Mode.PASSWORD, password="p"), {"password": "q"}, "AUTH_PASSWORD_MISMATCH"),
        (Policy(mode=Mode.PASSWORD, password="p"), {"token": "p"}, "AUTH_PASSWORD_MISSING"),
        (Policy(mode=Mode.PASSWORD), {"password": "p"}, "AUTH_PASSWORD_NOT_CONFIGURED"),
    ],
)
def test_each_fault_of_a_credential_has_its_code(
    policy: Policy, auth: dict[str, str], expected: str
) -> None:
    assert code(judge(connect(auth=auth), policy=policy)) == expected


def test_mode_none_needs_nothing() -> None:
    assert isinstance(judge(connect(auth={}), policy=Policy(mode=Mode.NONE)), Granted)


def test_no_refusal_repeats_a_secret() -> None:
    verdict = judge(connect(auth={"token": "shown-secret"}))
    assert "shown-secret" not in repr(verdict)
    assert "right" not in repr(TOKEN)


def test_a_node_needs_a_device() -> None:
    assert code(judge(connect(role="node"))) == "DEVICE_IDENTITY_REQUIRED"


def test_an_alien_origin_is_refused_even_for_a_command_line() -> None:
    peer = Peer(host="127.0.0.1", headers={**NEAR.headers, "origin": "https://evil.example"})
    assert code(judge(connect(), peer)) == "CONTROL_UI_ORIGIN_NOT_ALLOWED"


def test_ten_failures_lock_a_remote_address_and_a_local_one_never() -> None:
    keeper = Gatekeeper(TOKEN)
    wrong = connect(auth={"token": "wrong"})
    for peer in (FAR, NEAR):
        for _ in range(10):
            keeper.judge(wrong, "n", NOW, peer)
    locked = keeper.judge(connect(), "n", NOW, FAR)
    assert code(locked) == "AUTH_RATE_LIMITED"
    assert isinstance(keeper.judge(connect(), "n", NOW, NEAR), Granted)
    later = NOW + timedelta(seconds=301)
    assert isinstance(keeper.judge(connect(), "n", later, FAR), Granted)


def test_a_changed_secret_holds_from_the_next_connect_on() -> None:
    keeper = Gatekeeper(TOKEN)
    keeper.adopt(Policy(mode=Mode.TOKEN, token="new"))
    assert code(keeper.judge(connect(), "n", NOW, NEAR)) == "AUTH_TOKEN_MISMATCH"
    fresh = connect(auth={"token": "new"})
    assert isinstance(keeper.judge(fresh, "n", NOW, NEAR), Granted)


KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RAW = KEY.public_key().public_bytes_raw()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def proven(version: int = 3, **changes: Any) -> Connect:
    device = {
        "id": hashlib.sha256(RAW).hexdigest(),
        "publicKey": b64(RAW),
        "signature": "",
        "signedAt": int(NOW.timestamp() * 1000),
        "nonce": "nonce",
    }
    unsigned = connect(device=device)
    assert unsigned.device is not None
    payload = signing_payloads(unsigned, unsigned.device)[0 if version == 3 else 1]
    return connect(device={**device, "signature": b64(KEY.sign(payload.encode())), **changes})


@pytest.mark.parametrize("version", [2, 3])
def test_a_device_on_loopback_is_let_in_with_its_scopes(version: int) -> None:
    verdict = judge(proven(version))
    assert isinstance(verdict, Granted)
    assert verdict.scopes == ("operator.read", "operator.admin")
    assert verdict.device_id is not None


def test_an_unknown_device_from_far_must_be_paired() -> None:
    assert code(judge(proven(), FAR)) == "PAIRING_REQUIRED"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"id": "0" * 64}, "DEVICE_AUTH_DEVICE_ID_MISMATCH"),
        ({"publicKey": "short"}, "DEVICE_AUTH_PUBLIC_KEY_INVALID"),
        ({"signedAt": 1}, "DEVICE_AUTH_SIGNATURE_EXPIRED"),
        ({"nonce": ""}, "DEVICE_AUTH_NONCE_REQUIRED"),
        ({"nonce": "of another socket"}, "DEVICE_AUTH_NONCE_MISMATCH"),
        ({"signature": b64(bytes(64))}, "DEVICE_AUTH_SIGNATURE_INVALID"),
    ],
)
def test_every_tampered_field_has_its_own_code(changes: dict[str, Any], expected: str) -> None:
    assert code(judge(proven(**changes))) == expected


def test_who_writes_another_origin_for_each_guess_is_locked_out_all_the_same() -> None:
    keeper = Gatekeeper(replace(TOKEN, allowed_origins=("*",)))

    def guessed(guess: int) -> Granted | Refused:
        headers = {**FAR.headers, "origin": f"https://{guess}.example"}
        wrong = connect(auth={"token": f"guess-{guess}"})
        return keeper.judge(wrong, "nonce", NOW, Peer(host=FAR.host, headers=headers))

    assert code([guessed(guess) for guess in range(12)][-1]) == "AUTH_RATE_LIMITED"
