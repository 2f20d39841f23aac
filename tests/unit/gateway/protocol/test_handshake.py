"""connect → hello-ok or a refusal, as function calls."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from gateway.protocol.errors import Code, WireError
from gateway.protocol.handshake import (
    Close,
    Connect,
    Granted,
    Handshake,
    HelloFacts,
    Phase,
    Refused,
    Send,
    Session,
    hello_ok,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def params(**changes: Any) -> dict[str, Any]:
    return {
        "minProtocol": 4,
        "maxProtocol": 4,
        "client": {"id": "cli", "mode": "cli", "version": "1", "platform": "linux"},
        "scopes": ["operator.read"],
        **changes,
    }


def request(method: str = "connect", **changes: Any) -> str:
    frame = {"type": "req", "id": "1", "method": method, "params": params(**changes)}
    return json.dumps(frame)


def allow(connect: Connect, nonce: str, now: datetime) -> Granted | Refused:
    return Granted(scopes=tuple(connect.scopes), method="token")


def deny(connect: Connect, nonce: str, now: datetime) -> Granted | Refused:
    return Refused(WireError(Code.INVALID_REQUEST, "unauthorized: " + "é" * 100))


FACTS = HelloFacts(
    version="1",
    boot_id="b",
    methods=("health",),
    events=("tick",),
    presence=(),
    health={},
    state_version={"presence": 0, "health": 0},
    uptime_ms=0,
    default_agent_id="main",
    main_key="main",
    config_path="/c",
    state_dir="/s",
    auth_mode="token",
)


def handshake(judge: Any = allow, phase: Phase = Phase.READY) -> Handshake:
    return Handshake(
        conn_id="c1",
        nonce="n1",
        judge=judge,
        hello=lambda session: hello_ok(session, FACTS),
        phase=lambda: phase,
    )


def closed(shaking: Handshake, text: str | bytes) -> Close:
    last = shaking.receive(text, NOW)[-1]
    assert isinstance(last, Close)
    assert shaking.session is None
    return last


def error_of(shaking: Handshake, text: str) -> dict[str, Any]:
    first = shaking.receive(text, NOW)[0]
    assert isinstance(first, Send)
    error: dict[str, Any] = json.loads(first.text)["error"]
    return error


def session(shaking: Handshake, text: str) -> Session:
    shaking.receive(text, NOW)
    assert shaking.session is not None
    return shaking.session


def test_the_challenge_has_a_nonce_and_an_integer_time_and_no_number() -> None:
    frame = json.loads(handshake().challenge(NOW).text)
    assert frame["payload"]["nonce"] == "n1"
    assert frame["payload"]["ts"] == 1772366400000
    assert "seq" not in frame


@pytest.mark.parametrize(
    ("low", "high", "spoken"), [(3, 3, 3), (4, 4, 4), (3, 4, 4), (1, 3, 3), (4, 9, 4)]
)
def test_the_highest_common_version_is_spoken(low: int, high: int, spoken: int) -> None:
    assert session(handshake(), request(minProtocol=low, maxProtocol=high)).protocol == spoken


@pytest.mark.parametrize(("low", "high"), [(1, 2), (5, 6)])
def test_no_common_version_closes_1002(low: int, high: int) -> None:
    text = request(minProtocol=low, maxProtocol=high)
    assert closed(handshake(), text) == Close(1002, "protocol mismatch")
    assert error_of(handshake(), text)["details"]["clientMaxProtocol"] == high


def test_the_first_frame_must_be_connect() -> None:
    assert closed(handshake(), request("health")).code == 1008


def test_the_documentations_example_mode_is_refused_in_known_words() -> None:
    client = {"id": "cli", "mode": "operator", "version": "1", "platform": "linux"}
    error = error_of(handshake(), request(client=client))
    assert error["message"] == (
        "invalid connect params: at /client/mode: must be equal to one of the allowed values"
    )


def test_a_missing_and_a_surplus_property_are_named() -> None:
    text = json.dumps({"type": "req", "id": "1", "method": "connect", "params": {"colour": 1}})
    message = error_of(handshake(), text)["message"]
    assert "at root: must have required property 'minProtocol'" in message
    assert "at root: unexpected property 'colour'" in message


def test_our_own_client_ids_are_welcome() -> None:
    client = {"id": "engine-cli", "mode": "cli", "version": "1", "platform": "linux"}
    assert session(handshake(), request(client=client)).client.id == "engine-cli"


def test_a_close_reason_is_cut_at_a_character_and_fits_the_frame() -> None:
    reason = closed(handshake(deny), request()).reason
    assert len(reason.encode()) <= 123
    assert reason.endswith("é")


def test_an_oversized_frame_is_refused_before_it_is_read() -> None:
    assert closed(handshake(), "x" * 65_537).code == 1009


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.DRAINING])
def test_before_ready_and_while_leaving_the_client_is_told_to_come_back(phase: Phase) -> None:
    assert closed(handshake(phase=phase), request()).code == 1013
    assert error_of(handshake(phase=phase), request())["retryable"]


def test_only_admins_learn_where_the_files_are() -> None:
    reader = hello_ok(session(handshake(), request()), FACTS)
    admin = hello_ok(session(handshake(), request(scopes=["operator.admin"])), FACTS)
    assert "configPath" not in reader["snapshot"]
    assert admin["snapshot"]["configPath"] == "/c"


def test_the_auth_method_is_told_on_wire_4_only() -> None:
    old = hello_ok(session(handshake(), request(minProtocol=3, maxProtocol=3)), FACTS)
    new = hello_ok(session(handshake(), request()), FACTS)
    assert "method" not in old["auth"]
    assert new["auth"]["method"] == "token"


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
def test_garbage_is_always_refused_with_words(garbage: str | bytes) -> None:
    close = closed(handshake(), garbage)
    assert len(close.reason) >= 10


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_json_as_connect_params_is_refused_with_words(value: object) -> None:
    text = json.dumps({"type": "req", "id": "1", "method": "connect", "params": value})
    assert len(closed(handshake(), text).reason) >= 10
