"""The machine tells somebody when its own heartbeat stops (heartbeat.md §19, §25 row 17)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from engine.store import outbox
from engine.testing import Simulation
from engine.upkeep.watchdog import Seen, Watchdog, stalled

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
CONFIG = {"agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}}}


@pytest.mark.parametrize(
    ("late", "works", "found"),
    [
        (None, None, False),  # nothing is due
        (-MINUTE, None, False),
        (MINUTE, None, False),  # load
        (MINUTE + SECOND, None, True),
        (MINUTE + SECOND, SECOND, False),  # a burst is being served
        (10 * MINUTE, 5 * MINUTE, True),  # by a tick that does not end
    ],
)
def test_only_what_is_due_for_long_and_that_nobody_works_at_stands_still(
    late: timedelta | None, works: timedelta | None, found: bool
) -> None:
    due = None if late is None else NOON - late
    assert stalled(Seen(due, works, NOON)) == (late if found else None)


class Kennel:
    """An engine whose loop is not ticked unless somebody does."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.woken = 0
        self.dog = Watchdog(
            database=sim.database,
            clock=sim.clock,
            vitals=sim.engine.vitals,
            alerting=sim.engine.alerting,
            at_work_for=lambda: None,
            wake=self._wake,
            default_agent=lambda: sim.engine.roster.default_id,
        )

    def _wake(self) -> None:
        self.woken += 1

    async def after(self, span: timedelta) -> list[str]:
        """Let time pass without a tick, look, and return what was told by then."""
        self.sim.clock.move_to(self.sim.now() + span)
        await self.dog.look()
        found, _ = await self.sim.database.read(lambda tx: outbox.page(tx))
        return [one.text.partition("\n")[0] for one in reversed(found)]


@pytest.fixture
async def kennel() -> AsyncIterator[Kennel]:
    async with Simulation(CONFIG, start=NOON, zone="UTC", checklist="- look\n") as sim:
        yield Kennel(sim)


async def test_a_loop_that_stands_still_is_woken_and_that_is_no_news_yet(kennel: Kennel) -> None:
    assert await kennel.after(40 * MINUTE) == []
    assert (kennel.woken, kennel.dog.stalls) == (1, 1)
    assert "nobody has served what was due" in kennel.sim.engine.vitals.failing["loop"]


async def test_if_waking_is_in_vain_somebody_is_told_once_and_once_when_it_goes_on(
    kennel: Kennel,
) -> None:
    for _ in range(3):
        await kennel.after(15 * MINUTE)
    told = await kennel.after(15 * MINUTE)
    assert len(told) == 1
    assert told[0].startswith("The engine stands still: nobody has served what was due")
    await kennel.sim.advance(MINUTE)
    assert (await kennel.after(SECOND))[-1] == "The engine goes on: what was due is served"
    assert kennel.sim.engine.vitals.failing == {}
    assert kennel.dog.stalls == 1


async def test_a_loop_that_serves_is_left_alone(kennel: Kennel) -> None:
    await kennel.sim.advance(timedelta(hours=3))
    assert await kennel.after(SECOND) == []
    assert (kennel.woken, kennel.dog.stalls) == (0, 0)
