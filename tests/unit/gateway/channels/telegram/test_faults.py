"""Telegram's refusals, one by one (channels.md §10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.channels.base import FaultClass
from gateway.channels.telegram.faults import classify


@pytest.mark.parametrize(
    ("status", "words", "fault"),
    [
        (401, "Unauthorized", FaultClass.AUTH),
        (404, "Not Found", FaultClass.AUTH),
        (404, "Not Found: method not found", FaultClass.UNKNOWN_ERROR),
        (403, "Forbidden: bot was blocked by the user", FaultClass.BLOCKED),
        (403, "Forbidden: user is deactivated", FaultClass.BLOCKED),
        (
            403,
            "Forbidden: bot can't initiate conversation with a user",
            FaultClass.CANNOT_INITIATE,
        ),
        (403, "Forbidden: bot was kicked from the supergroup chat", FaultClass.NOT_MEMBER),
        (403, "Forbidden: bot is not a member of the channel chat", FaultClass.NOT_MEMBER),
        (403, "Forbidden: the group chat was deleted", FaultClass.NOT_MEMBER),
        (403, "Forbidden: bot can't send messages to bots", FaultClass.UNKNOWN_ERROR),
        (400, "Bad Request: not enough rights to send text messages", FaultClass.MUTED),
        (400, "Bad Request: chat not found", FaultClass.NOT_FOUND),
        (400, "Bad Request: message thread not found", FaultClass.THREAD_GONE),
        (400, "Bad Request: can't parse entities: …", FaultClass.FORMAT),
        (400, "Bad Request: message is too long", FaultClass.TOO_LONG),
        (400, "Bad Request: message text is empty", FaultClass.CONTENT_REJECTED),
        (409, "Conflict: terminated by other getUpdates request", FaultClass.CONFLICT),
        (413, "Request Entity Too Large", FaultClass.TOO_LONG),
        (429, "Too Many Requests: retry after 3", FaultClass.RATE_LIMITED),
        (500, "Internal Server Error", FaultClass.SERVER),
        (418, "teapot", FaultClass.UNKNOWN_ERROR),
    ],
)
def test_every_refusal_has_its_class(status: int, words: str, fault: FaultClass) -> None:
    body = {"ok": False, "error_code": status, "description": words}
    found = classify(status, body)
    assert found.fault is fault
    assert found.code == str(status)
    assert found.detail == words


def test_the_code_in_the_body_counts_more_than_the_status() -> None:
    assert classify(200, {"ok": False, "error_code": 429}).fault is FaultClass.RATE_LIMITED


def test_later_has_its_seconds() -> None:
    body = {"ok": False, "error_code": 429, "parameters": {"retry_after": 3}}
    assert classify(429, body).retry_after_seconds == 3


def test_a_migrated_group_has_its_new_id() -> None:
    body = {"ok": False, "error_code": 400, "parameters": {"migrate_to_chat_id": -1002}}
    found = classify(400, body)
    assert (found.fault, found.migrate_to) == (FaultClass.MIGRATED, "-1002")


@pytest.mark.parametrize(
    ("status", "fault"),
    [(200, FaultClass.NETWORK_AMBIGUOUS), (502, FaultClass.SERVER)],
)
def test_an_unreadable_answer_is_judged_by_its_status(status: int, fault: FaultClass) -> None:
    assert classify(status, None).fault is fault


@pytest.mark.parametrize(
    "body",
    [{}, {"error_code": "x"}, {"error_code": True}, {"parameters": 3}, {"parameters": {}}],
)
def test_an_odd_body_is_no_accident(body: dict[str, Any]) -> None:
    assert classify(400, body).fault is FaultClass.CONTENT_REJECTED


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [(3, 3), ("7", 7), (2.5, 2.5), (-5, 0), (10**9, 86_400), (10**400, None), ("soon", None)],
)
def test_a_wait_is_one_that_can_be_waited(stated: object, seconds: float | None) -> None:
    body = {"ok": False, "error_code": 429, "parameters": {"retry_after": stated}}
    assert classify(429, body).retry_after_seconds == seconds
    for word in ("nan", "inf", "-inf"):
        assert classify(429, {**body, "parameters": {"retry_after": float(word)}}) == replace(
            classify(429, body), retry_after_seconds=None
        )


def test_a_proxy_says_later_in_a_header() -> None:
    fault = classify(429, None, retry_after="11")
    assert (fault.fault, fault.retry_after_seconds) == (FaultClass.RATE_LIMITED, 11)
    assert (
        classify(429, None, retry_after="Sat, 21 Nov 2026 10:00:00 GMT").retry_after_seconds is None
    )


def test_a_plain_no_is_no_doubt() -> None:
    assert classify(200, {"ok": False}).fault is FaultClass.CONTENT_REJECTED
    assert (
        classify(200, {"ok": False, "description": "chat not found"}).fault is FaultClass.NOT_FOUND
    )
