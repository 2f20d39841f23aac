"""What is connected and dead is restarted, within limits, and on record: channels.md §12."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from engine.config import chats
from engine.config.schema import Config
from engine.store import audit
from engine.testing.clock import ManualClock
from gateway.channels.base import AccountStatus, Channel
from gateway.monitor import Monitor, Rules, rules_of, silent_for
from jobs.store.db import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BOT = AccountStatus(
    account_id="a", configured=True, enabled=True, runtime="connected", alive_at=NOON
)


class Platform:
    """A channel whose accounts stand as they are told to."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.accounts = [BOT, replace(BOT, account_id="b")]
        self.restarted: list[tuple[str, datetime]] = []

    def status(self) -> tuple[AccountStatus, ...]:
        return tuple(self.accounts)

    async def restart(self, account_id: str) -> None:
        self.restarted.append((account_id, self.clock.now()))


class Bench:
    """A monitor asked every minute."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock = database, ManualClock(NOON)
        self.platform = Platform(self.clock)
        self.rules, self.off = Rules(), set[str]()
        self.monitor = Monitor(
            {"telegram": cast("Channel", self.platform), "local": cast("Channel", object())},
            database,
            clock=self.clock,
            rules=lambda: self.rules,
            switched_on=lambda _, account: account not in self.off,
        )

    async def minutes(self, count: int, *alive: str) -> None:
        """Let time pass; ``alive`` give a sign of life every minute."""
        for _ in range(count):
            await self.clock.advance(MINUTE)
            self.platform.accounts = [
                replace(one, alive_at=self.clock.now()) if one.account_id in alive else one
                for one in self.platform.accounts
            ]
            await self.monitor.look()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    database = await Database.memory()
    yield Bench(database)
    await database.close()


async def test_who_is_connected_and_silent_for_half_an_hour_is_restarted(bench: Bench) -> None:
    await bench.minutes(40, "b")
    ((account, at),) = bench.platform.restarted
    assert account == "a"
    assert timedelta(minutes=30) <= at - NOON <= timedelta(minutes=36)
    told = bench.monitor.told("telegram", "a")
    assert (told["restarts"], told["restartsUsedUp"]) == (1, False)
    assert bench.monitor.told("telegram", "b") == {}
    (line,) = await bench.database.read(audit.newest)
    assert (line["actor"], line["action"], line["subject"]) == (
        "monitor",
        "channel.restarted",
        "telegram|a",
    )


async def test_it_is_restarted_ten_times_an_hour_at_most_and_that_is_told_once(
    bench: Bench,
) -> None:
    bench.rules = Rules(every=MINUTE, silent=MINUTE)
    await bench.minutes(40, "b")
    assert len(bench.platform.restarted) == 10
    assert bench.monitor.told("telegram", "a")["restartsUsedUp"]
    actions = [line["action"] for line in await bench.database.read(audit.newest)]
    assert actions.count("channel.restarts-used-up") == 1
    await bench.minutes(30, "b")  # an hour after the first the next may come
    assert len(bench.platform.restarted) > 10


@pytest.mark.parametrize(
    "change",
    [
        {"runtime": "backoff"},
        {"runtime": "stopped"},
        {"runtime": "auth-failed"},
        {"enabled": False},
    ],
)
async def test_only_a_connection_that_stands_is_judged(
    bench: Bench, change: dict[str, Any]
) -> None:
    bench.platform.accounts = [replace(BOT, **change)]
    await bench.minutes(60)
    assert bench.platform.restarted == []


async def test_each_account_has_a_switch_and_zero_minutes_switch_all_off(bench: Bench) -> None:
    bench.off = {"a"}
    await bench.minutes(40)
    assert {account for account, _ in bench.platform.restarted} == {"b"}
    bench.platform.restarted.clear()
    bench.rules = Rules(every=timedelta())
    await bench.minutes(120)
    assert bench.platform.restarted == []


async def test_it_looks_every_five_minutes(bench: Bench) -> None:
    bench.rules = Rules(silent=MINUTE)
    await bench.minutes(6)
    ((_, first), _) = bench.platform.restarted
    assert first == NOON + 6 * MINUTE  # the look after the first, at which it was seen


def test_a_new_connection_and_a_clock_set_back_have_their_time() -> None:
    later = NOON + timedelta(hours=2)
    assert silent_for(BOT, later - MINUTE, later) == MINUTE
    assert silent_for(replace(BOT, alive_at=None), NOON, NOON + MINUTE) == MINUTE
    assert silent_for(replace(BOT, alive_at=later), NOON, NOON + MINUTE) == timedelta()


def test_the_config_says_how_they_are_looked_after() -> None:
    keys = {"channelHealthCheckMinutes": 1, "channelMaxRestartsPerHour": 3}
    accounts = {"a": {"botToken": "1:a"}, "b": {"healthMonitor": {"enabled": True}}}
    config = Config.model_validate(
        {
            "gateway": keys,
            "channels": {"telegram": {"healthMonitor": {"enabled": False}, "accounts": accounts}},
        }
    )
    assert rules_of(config) == Rules(every=MINUTE, most=3)
    assert not chats.looked_after(config, "telegram", "a")
    assert chats.looked_after(config, "telegram", "b")
    assert chats.looked_after(config, "qqbot", "a")
