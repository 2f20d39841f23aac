"""The tables of running work: keys that were used, runs that are waited for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.testing.clock import ManualClock
from gateway.rpc.desk import ClientRuns, HealthBoard, Once, Tasks
from jobs.errors import InvalidInput, StoreUnavailable
from tests.fakes.gateway_core import FakeCore

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SHORT, LONG = timedelta(milliseconds=10), timedelta(seconds=5)


async def test_what_the_disk_refused_is_tried_again_under_the_same_key() -> None:
    once, tries = Once(Tasks(), ManualClock(NOON)), 0

    async def work() -> object:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreUnavailable("the state database cannot be used", why="disk is full")
        return "sent"

    with pytest.raises(StoreUnavailable):
        await once.run("send:k", work)
    assert await once.run("send:k", work) == "sent"
    assert await once.run("send:k", work) == "sent"
    assert tries == 2


async def test_a_refusal_is_repeated_without_a_second_try() -> None:
    once, tries = Once(Tasks(), ManualClock(NOON)), 0

    async def work() -> object:
        nonlocal tries
        tries += 1
        raise InvalidInput("no such channel")

    for _ in range(2):
        with pytest.raises(InvalidInput):
            await once.run("send:k", work)
    assert tries == 1


async def test_who_waits_longer_for_a_run_to_come_is_still_told() -> None:
    runs = ClientRuns(Tasks(), ManualClock(NOON))
    patient = asyncio.create_task(runs.wait("later", LONG))
    assert await runs.wait("later", SHORT) is None

    async def turn() -> dict[str, str]:
        return {"status": "ok"}

    started = runs.start("later", turn())
    assert await patient is started


async def test_health_that_cannot_be_asked_is_not_the_last_good_answer() -> None:
    class Core(FakeCore):
        async def health(self) -> dict[str, Any]:
            if self.sick:
                raise StoreUnavailable("the state database cannot be used", why="disk i/o error")
            return {"ok": True, "agents": []}

        sick = False

    core = Core()
    board = HealthBoard(core, ManualClock(NOON), Tasks(), lambda _name, _payload: None)
    told = []
    for core.sick in (False, True, False):
        await board.refresh()
        told.append(dict(board.facts))
    assert [one["ok"] for one in told] == [True, False, True]
    assert "disk i/o error" in told[1]["failing"]["health"]
