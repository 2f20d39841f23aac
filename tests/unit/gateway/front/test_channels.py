"""Channels and accounts as clients see them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.testing.clock import ManualClock
from gateway.channels.base import AccountStatus
from gateway.channels.webhook.channel import WebhookChannel
from gateway.front import channels
from tests.fakes.scripted_channel import ScriptedChannel

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
STATUS = AccountStatus(account_id="work", configured=True, enabled=True, runtime="connected")


@pytest.mark.parametrize(
    ("runtime", "running", "connected"),
    [
        ("connected", True, True),
        ("backoff", True, False),
        ("auth-failed", False, False),
        ("stopped", False, False),
    ],
)
def test_an_account_runs_until_it_is_stopped_or_refused(
    runtime: str, running: bool, connected: bool
) -> None:
    told = channels.account_words(replace(STATUS, runtime=runtime, last_inbound_at=NOON))
    assert (told["running"], told["connected"]) == (running, connected)
    assert told["lastInboundAt"] == 1_795_176_000_000


def test_a_channel_shows_the_first_error_of_its_accounts() -> None:
    channel = ScriptedChannel(ManualClock(NOON))
    assert channels.objects({"telegram": channel}) == {
        "telegram": {"configured": True, "running": True, "lastError": None}
    }
    assert channels.summary({"telegram": channel}) == ["telegram: default connected"]
    channel.runtime = "stopped"
    assert channels.objects({"telegram": channel})["telegram"]["running"] is False


def test_a_channel_without_accounts_is_not_said_to_be_configured() -> None:
    channel = WebhookChannel((), clock=ManualClock(NOON))
    assert channels.objects({"webhook": channel})["webhook"]["configured"] is False
