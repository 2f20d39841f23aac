"""What a hook request asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.config.schema.hooks import Hooks
from gateway.hooks.orders import AgentOrder, Refused, WakeOrder, filled, order_of


def hooks(**keys: Any) -> Hooks:
    return Hooks.model_validate_json(json.dumps(keys))


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("wake", {}, "text required"),
        ("wake", {"text": 1}, "text required"),
        ("wake", {"text": "x", "mode": "later"}, "mode must be now or next-heartbeat"),
        ("agent", {"message": ""}, "message required"),
        ("agent", {"message": "x", "model": ""}, "model must be a non-empty string"),
        ("agent", {"message": "x", "name": 3}, "name must be a non-empty string"),
        ("agent", {"message": "x", "to": []}, "to must be a string"),
        ("agent", {"message": "x", "to": True}, "to must be a string"),
        ("agent", {"message": "x", "deliver": "no"}, "deliver must be true or false"),
        ("agent", {"message": "x", "timeoutSeconds": 1.5}, "timeoutSeconds must be a whole"),
        ("agent", {"message": "x", "timeoutSeconds": True}, "timeoutSeconds must be a whole"),
        ("agent", {"message": "x", "wakeMode": "soon"}, "wakeMode must be now"),
        ("agent", {"message": "x", "sessionKey": "a"}, "sessionKey is not taken from requests"),
    ],
)
def test_what_cannot_be_meant_is_refused(path: str, body: dict[str, Any], error: str) -> None:
    order = order_of(path, body, hooks())
    assert isinstance(order, Refused)
    assert error in order.error


@pytest.mark.parametrize(
    ("keys", "body", "allowed"),
    [
        ({"allowedAgentIds": ["main"]}, {"agentId": "MAIN"}, True),
        ({"allowedAgentIds": ["*"]}, {"agentId": "main"}, True),
        ({"allowedAgentIds": ["other"]}, {"agentId": "main"}, False),
        ({"allowedAgentIds": []}, {"agentId": "main"}, False),
        ({"allowedAgentIds": []}, {}, True),
        ({"allowRequestSessionKey": True}, {"sessionKey": "hook:a"}, True),
        (
            {"allowRequestSessionKey": True, "allowedSessionKeyPrefixes": ["hook:"]},
            {"sessionKey": "hook:a"},
            True,
        ),
        (
            {"allowRequestSessionKey": True, "allowedSessionKeyPrefixes": ["hook:"]},
            {"sessionKey": "main"},
            False,
        ),
    ],
)
def test_a_request_names_only_agents_and_sessions_it_may(
    keys: dict[str, Any], body: dict[str, Any], allowed: bool
) -> None:
    order = order_of("agent", {"message": "x", **body}, hooks(**keys))
    assert isinstance(order, AgentOrder if allowed else Refused)


def test_an_order_takes_every_field() -> None:
    body = {
        "message": " Look. ",
        "name": "Pager",
        "agentId": "main",
        "wakeMode": "next-heartbeat",
        "channel": "telegram",
        "to": 42,
        "model": "a/b",
        "thinking": "low",
        "timeoutSeconds": 30,
    }
    order = order_of("agent", body, hooks(defaultSessionKey="hook:all"))
    assert isinstance(order, AgentOrder)
    assert order.job("hook:1", "2026-06-01T08:00:00+00:00") == {
        "id": "hook:1",
        "name": "Pager",
        "agentId": "main",
        "schedule": {"kind": "at", "at": "2026-06-01T08:00:00+00:00"},
        "sessionTarget": "session:hook:all",
        "wakeMode": "next-heartbeat",
        "payload": {
            "kind": "agentTurn",
            "message": "Look.",
            "model": "a/b",
            "thinking": "low",
            "timeoutSeconds": 30,
            "external": True,
        },
        "delivery": {"mode": "announce", "channel": "telegram", "to": "42"},
        "deleteAfterRun": True,
    }


def test_a_wake_means_now_unless_it_says_otherwise() -> None:
    assert order_of("wake", {"text": " x "}, hooks()) == WakeOrder(text="x", mode="now")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{a.b}}", "1"),
        ("{{ a.list[1].c }}", "deep"),
        ("{{a.list.1.c}}", "deep"),
        ("{{a.gone}}|{{a.list[9]}}|{{a.b.c}}", "||"),
        ("{{a.list[0]}}", '{"c": "first"}'),
        ("no holes {a}", "no holes {a}"),
    ],
)
def test_a_template_says_what_the_body_has(template: str, said: str) -> None:
    body = {"a": {"b": 1, "list": [{"c": "first"}, {"c": "deep"}]}}
    assert filled(template, body) == said
