"""Channels and accounts as clients see them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.cli.channels.commands import account_rows
from engine.messages.address import Route
from engine.messages.delivery import Delivery
from engine.messages.outbox import Event
from engine.store import outbox
from engine.testing.clock import ManualClock
from gateway.channels.base import AccountStatus
from gateway.channels.webhook.channel import WebhookChannel
from gateway.front import channels
from jobs.store.db import Database, Tx
from tests.fakes.scripted_channel import ScriptedChannel

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MESSAGE = Delivery(
    key="one",
    route=Route(channel="webhook", account_id="mine", to="mine"),
    text="The build is red.",
    kind="message",
    created_at=NOON,
    expires_at=NOON + timedelta(days=1),
)
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


async def test_an_account_tells_what_its_messages_came_to_also_before_this_process() -> None:
    """A webhook knows no connection, and a restart forgets: the store does neither."""
    database = await Database.memory()
    first = replace(MESSAGE, key="first")
    await ended(database, first, Event.ACCEPTED, NOON)
    arrived = await told(database)
    assert (arrived["lastOutboundAt"], "lastFailure" in arrived) == (1_795_176_000_000, False)
    await ended(database, replace(MESSAGE, key="second"), Event.REJECTED, NOON + timedelta(hours=1))
    lost = await told(database)
    assert lost["lastOutboundAt"] == 1_795_176_000_000
    assert (lost["lastFailure"]["reason"], lost["lastFailure"]["to"]) == ("refused", "webhook:mine")
    (row,) = account_rows(
        {"channelOrder": ["webhook"], "channelAccounts": {"webhook": [lost]}}, NOON
    )
    assert "refused" in row
    await ended(database, replace(MESSAGE, key="third"), Event.ACCEPTED, NOON + timedelta(hours=2))
    assert "lastFailure" not in await told(database)
    await database.close()


async def ended(database: Database, message: Delivery, how: Event, now: datetime) -> None:
    def work(tx: Tx) -> None:
        outbox.add(tx, message)
        outbox.move(tx, message.key, Event.ATTEMPT, now)
        outbox.move(tx, message.key, how, now, reason="refused" if how is Event.REJECTED else None)

    await database.write(work)


async def told(database: Database) -> dict[str, Any]:
    row = channels.account_words(replace(STATUS, account_id="mine"))
    left = await database.read(outbox.left_by)
    channels.add_past(row, left.get(("webhook", "mine")), None)
    return row
