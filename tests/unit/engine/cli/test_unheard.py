"""`engine doctor` tells of words that went nowhere, each with what mends the way (§10)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.cli.doctor.look import live
from engine.cli.doctor.unheard import of_jobs, of_messages

JOB: dict[str, Any] = {"id": "j1", "name": "brief", "agentId": "ops", "enabled": True}


def message(state: str, **more: Any) -> dict[str, Any]:
    made = {"key": "k", "state": state, "kind": "heartbeat", "to": "telegram:42"}
    return {**made, "accountId": "work", "agentId": "main", **more}


BLOCKED = {"class": "blocked", "detail": "bot was blocked by the user"}
TOLD: list[tuple[list[dict[str, Any]], str]] = [
    (
        [message("failed", receipt=BLOCKED), message("failed", receipt=BLOCKED)],
        (
            "error delivery.blocked | 2 messages to telegram:42 by account work"
            " did not arrive in the last day"
            " (blocked: bot was blocked by the user) | in the chat: unblock or start the bot"
        ),
    ),
    (
        [message("failed", receipt={"class": "auth"})],
        (
            "error delivery.auth | a message to telegram:42 by account work"
            " did not arrive in the last day (auth)"
            " | engine config set channels.telegram.accounts.work.botToken NEW_ONE"
        ),
    ),
    (
        [message("expired", reason="expired")],
        (
            "error delivery.expired | a message to telegram:42 by account work"
            " did not arrive in the last day"
            " (expired) | engine outbox list --state failed"
        ),
    ),
    (
        [message("unknown", receipt={"class": "network-ambiguous"})],
        (
            "warn delivery.unknown | a message to telegram:42 by account work"
            " may not have arrived"
            " (network-ambiguous) | in the chat: look whether it has arrived"
        ),
    ),
    (
        [message("held", reason="window-expired")],
        (
            "warn delivery.held | a message to telegram:42 by account work"
            " waits until the person writes"
            " (window-expired) | in the chat: write to the bot; what is held for you is sent then"
        ),
    ),
]


@pytest.mark.parametrize(("entries", "words"), TOLD)
def test_a_message_that_reached_nobody_is_a_finding(
    entries: list[dict[str, Any]], words: str
) -> None:
    (one,) = of_messages(entries)
    assert f"{one.severity} {one.id} | {one.what} | {one.fix}" == words
    assert one.agents == ("main",)


@pytest.mark.parametrize(
    "entries",
    [
        [message("delivered")],
        [message("queued")],
        [message("cancelled")],
        [message("delivered"), message("failed", receipt=BLOCKED)],  # its way works again
        [message("failed", receipt=BLOCKED, kind="cron")],  # its job tells
    ],
)
def test_what_arrived_or_is_told_elsewhere_is_none(entries: list[dict[str, Any]]) -> None:
    assert list(of_messages(entries)) == []


def test_a_way_that_works_for_one_place_does_not_hide_another() -> None:
    other = message("failed", to="telegram:7", receipt=BLOCKED)
    newer = message("failed", receipt=BLOCKED)
    found = of_messages([newer, message("delivered"), other])
    assert [one.what.split(" did ")[0] for one in found] == [
        "a message to telegram:42 by account work",
        "a message to telegram:7 by account work",
    ]


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (
            {"state": {"lastDeliveryStatus": "not-delivered", "lastDeliveryError": "expired"}},
            "cron job brief: its last words did not arrive: expired | engine cron explain-run j1",
        ),
        (
            {"state": {"lastDeliveryStatus": "unknown", "lastDeliveryError": "cut off"}},
            (
                "cron job brief: its last words may not have arrived: cut off"
                " | in the chat: look whether it has arrived"
            ),
        ),
        (
            {"state": {"deliverySuppressionReason": "no-route"}},
            "cron job brief: its last words went nowhere: no-route | engine cron explain-run j1",
        ),
        (
            {"deliveryPreview": {"detail": "nobody wrote", "fix": "in the chat: write"}},
            "cron job brief: its words would reach nobody: nobody wrote | in the chat: write",
        ),
    ],
)
def test_a_job_nobody_hears_is_a_finding(job: dict[str, Any], words: str) -> None:
    (one,) = of_jobs([{**JOB, **job}], None)
    assert (f"{one.what} | {one.fix}", one.id, one.agents) == (
        words,
        "cron.job_no_target",
        ("ops",),
    )
    assert list(of_jobs([{**JOB, **job}], "main")) == []
    assert list(of_jobs([{**JOB, **job, "enabled": False}], None)) == []


def test_a_job_that_is_heard_is_none() -> None:
    assert list(of_jobs([{**JOB, "state": {"lastDeliveryStatus": "delivered"}}], None)) == []


DOWN: dict[str, Any] = {"enabled": True, "configured": True, "connected": False}


def test_an_account_that_does_not_work_is_a_fact_with_its_way_out() -> None:
    answer = {
        "channelAccounts": {
            "telegram": [{**DOWN, "accountId": "default", "lastError": "auth: 401 Unauthorized"}],
            "qqbot": [{**DOWN, "accountId": "work", "connected": True, "lastError": "auth: old"}],
        }
    }
    (one,) = live.channels(live.Told(channels=answer), None)
    assert (one.channel, one.auth, one.error, one.fix) == (
        "telegram",
        True,
        "auth: 401 Unauthorized",
        "engine config set channels.telegram.botToken NEW_ONE",
    )
