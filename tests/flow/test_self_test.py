"""Ways out that are tried silently, and how they do (heartbeat.md §25 row 18)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.route_health import Health, Tried, due, judged
from engine.pytest_plugin import EngineSim
from engine.testing import Simulation
from engine.upkeep.self_test import SelfTest

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CONFIG: dict[str, Any] = {
    "agents": {"defaults": {"heartbeat": {"every": "6h", "target": "last"}}},
    "channels": {"telegram": {"botToken": "1:a"}},
    "commands": {"ownerAllowFrom": ["telegram:7"]},
}


class Platform:
    """Says whether an account works, and remembers having been asked."""

    def __init__(self) -> None:
        self.works = True
        self.asked: list[tuple[str, str]] = []

    async def probe(self, channel: str, account: str) -> Mapping[str, Any]:
        self.asked.append((channel, account))
        return {"ok": self.works, "detail": "" if self.works else "probe failed: auth (revoked)"}


async def self_test_of(sim: Simulation, platform: Platform) -> SelfTest:
    await sim.open()
    await sim.contact("telegram", "42")
    return SelfTest(
        database=sim.database,
        clock=sim.clock,
        roster=lambda: sim.engine.roster,
        alerting=sim.engine.alerting,
        probe=platform.probe,
    )


async def weeks(sim: Simulation, tests: SelfTest, many: int) -> None:
    for _ in range(many * 7):
        await tests.look()
        await sim.advance(DAY)


async def health(sim: Simulation) -> Mapping[str, Any]:
    (told,) = await sim.engine.beat_jobs.listing()
    found: Mapping[str, Any] = told["routeHealth"]
    return found


async def test_each_way_is_tried_once_a_week_and_nobody_hears_of_it(engine_sim: EngineSim) -> None:
    platform = Platform()
    sim = engine_sim(CONFIG, start=NOON, zone="UTC", checklist="- look\n")
    await weeks(sim, await self_test_of(sim, platform), 3)
    assert platform.asked == [("telegram", "default")] * 3
    assert (await sim.report()).deliveries == ()
    assert (await health(sim))["state"] == "good"


@pytest.mark.parametrize(("every", "times"), [("1d", 7), ("off", 0)])
async def test_how_often_is_said_by_the_config(
    engine_sim: EngineSim, every: str, times: int
) -> None:
    platform = Platform()
    config = CONFIG | {"agents": {"defaults": {"heartbeat": {"target": "last", "selfTest": every}}}}
    sim = engine_sim(config, start=NOON, zone="UTC", checklist="- look\n")
    await weeks(sim, await self_test_of(sim, platform), 1)
    assert len(platform.asked) == times


async def test_a_way_that_broke_is_told_by_another_once_and_its_mending_too(
    engine_sim: EngineSim,
) -> None:
    platform = Platform()
    sim = engine_sim(CONFIG, start=NOON, zone="UTC", checklist="- look\n")
    tests = await self_test_of(sim, platform)
    await weeks(sim, tests, 1)
    platform.works = False
    await weeks(sim, tests, 2)
    assert await health(sim) == {
        "state": "failing",
        "because": "probe failed: auth (revoked)",
        "triedAtMs": round((NOON + 14 * DAY).timestamp() * 1000),
    }
    (told,) = (await sim.report()).deliveries
    assert told.to == "7"  # the owner's chat, not the one that fails
    assert told.text.splitlines()[:2] == [
        "Messages of main would not reach telegram → 42",
        "probe failed: auth (revoked)",
    ]
    platform.works = True
    await weeks(sim, tests, 2)
    report = await sim.report()
    assert report.deliveries[-1].text == "The way to telegram → 42 works again"


async def test_the_inbox_of_this_machine_needs_no_trying(engine_sim: EngineSim) -> None:
    platform = Platform()
    config = {"agents": {"defaults": {"heartbeat": {"every": "6h", "target": "last"}}}}
    sim = engine_sim(config, start=NOON, zone="UTC", checklist="- look\n")
    tests = SelfTest(
        database=(await sim.open()).database,
        clock=sim.clock,
        roster=lambda: sim.engine.roster,
        alerting=sim.engine.alerting,
        probe=platform.probe,
    )
    await tests.look()
    assert platform.asked == []


# -- judged ----------------------------------------------------------------------------------

SENT = Delivery(
    key="k",
    route=Route(channel="telegram", account_id="default", to="42"),
    text="red",
    kind="heartbeat",
    created_at=NOON,
    expires_at=NOON + DAY,
    state=State.DELIVERED,
    ended_at=NOON,
)
LOST = replace(SENT, state=State.FAILED, last_error={"class": "blocked"})


@pytest.mark.parametrize(
    ("newest", "tried", "found"),
    [
        (None, None, Health.UNTRIED),
        (SENT, None, Health.GOOD),
        (LOST, None, Health.FAILING),
        (LOST, Tried(at=NOON - HOUR, ok=True), Health.FAILING),
        (LOST, Tried(at=NOON + HOUR, ok=True), Health.GOOD),
        (SENT, Tried(at=NOON + HOUR, ok=False), Health.FAILING),
        (replace(SENT, state=State.UNKNOWN), None, Health.UNTRIED),
    ],
)
def test_whatever_is_newer_says_how_a_way_does(
    newest: Delivery | None, tried: Tried | None, found: Health
) -> None:
    told = judged(newest, tried)
    assert told.health is found
    assert told.because


@pytest.mark.parametrize(
    ("tried_at", "every", "is_due"),
    [
        (None, DAY, True),
        (NOON - DAY + HOUR, DAY, False),
        (NOON - DAY, DAY, True),
        (NOON + HOUR, DAY, True),  # by a clock that was ahead
        (None, timedelta(), False),
    ],
)
def test_a_way_is_tried_when_its_time_is_over(
    tried_at: datetime | None, every: timedelta, is_due: bool
) -> None:
    tried = None if tried_at is None else Tried(at=tried_at, ok=True)
    assert due(tried, every, NOON) is is_due
