"""How runs end early: whatever is on record first is what happened, and what everybody hears."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.events import Bus, Event
from engine.messages.address import Route
from engine.messages.delivery import Delivery
from engine.record import Ending, Recorder
from engine.running import Running
from engine.scheduling import Control
from engine.store import outbox
from engine.testing.clock import ManualClock
from jobs.ledger import START_AT, Run, RunStatus, SkipReason, Trigger
from jobs.model import AgentTurn, Job
from jobs.schedule import Every
from jobs.store import jobs, runs
from jobs.store.base import Finish
from jobs.store.db import Database, Tx
from jobs.wallclock import ms

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
JOB = Job(id="j", name="Report", schedule=Every(HOUR), payload=AgentTurn(message="report"))
RUN = Run(
    id="r1",
    job_id="j",
    kind="cron",
    agent_id="main",
    trigger=Trigger.SCHEDULE,
    status=RunStatus.CLAIMED,
    slot=NOON,
    claimed_at=NOON,
)
WORDS = Delivery(
    key="j:r1:0",
    route=Route(channel="local", account_id="default", to="you"),
    text="Done.",
    kind="cron",
    created_at=NOON,
    expires_at=NOON + HOUR,
)
OK = replace(RUN, status=RunStatus.OK, ended_at=NOON, delivery_key=WORDS.key)


class SlowEnd:
    """Ends its run well, and stands still inside the transaction until it is let go."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.inside = threading.Event()
        self.let_go = threading.Event()

    def begin(self, job: Job, run: Run) -> Coroutine[Any, Any, None]:
        return self._recorder.judged(lambda tx: self._judge(tx, run))

    def _judge(self, tx: Tx, run: Run) -> Ending:
        self.inside.set()
        assert self.let_go.wait(10)
        return Ending(end=Finish(run=OK), deliveries=[WORDS])


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    store = await Database.open(tmp_path / "state.db")
    await store.write(lambda tx: jobs.insert(tx, JOB, next_run_at=NOON, now=NOON))
    await store.write(lambda tx: runs.insert(tx, [RUN]))
    yield store
    await store.close()


async def test_a_run_that_is_cancelled_while_its_end_is_written_has_ended(
    database: Database,
) -> None:
    told: list[Event] = []
    bus = Bus()
    bus.listen(told.append)
    recorder = Recorder(database, bus)
    performer = SlowEnd(recorder)
    clock = ManualClock(NOON)
    running = Running(
        database=database, clock=clock, recorder=recorder, performers={"cron": performer}
    )
    control = Control(
        database=database,
        clock=clock,
        bus=bus,
        runs=lambda: running,
        poke=lambda: None,
        boot_id="boot",
    )
    running.begin(JOB, RUN)
    await asyncio.to_thread(performer.inside.wait, 10)
    cancelled = asyncio.create_task(control.cancel("r1", by="ana"))
    asyncio.get_running_loop().call_soon(performer.let_go.set)
    assert await cancelled == {"ok": True, "cancelled": False, "runId": "r1", "reason": "ok"}
    row = await database.read(lambda tx: runs.get(tx, "r1"))
    assert row is not None
    assert row.status is RunStatus.OK
    assert {event.payload["key"] for event in told if event.name == "outbox"} == {WORDS.key}
    actions = [event.payload["action"] for event in told if event.name == "cron"]
    assert actions == ["finished"]


async def test_an_end_that_is_not_the_first_sends_nothing_and_changes_nothing(
    database: Database,
) -> None:
    told: list[Event] = []
    bus = Bus()
    bus.listen(told.append)
    recorder = Recorder(database, bus)
    over = RUN.skipped(SkipReason.AGENT_RUNNER_CANCELLED, "cancelled by ana", NOON)
    await recorder.ended(Finish(run=over))
    told.clear()
    late = Finish(run=OK)
    effects: list[str] = []
    await recorder.ended(late, deliveries=[WORDS], also=[lambda _tx: effects.append("happened")])
    assert await database.read(lambda tx: outbox.get(tx, WORDS.key)) is None
    assert effects == []
    assert [event.payload["action"] for event in told] == ["skipped"]
    await recorder.all_ended([late])
    assert len(told) == 1


class Forever:
    """Its runs never end by themselves."""

    def __init__(self) -> None:
        self.begun: list[Run] = []

    async def begin(self, _: Job, run: Run) -> None:
        self.begun.append(run)
        await asyncio.Event().wait()


async def test_a_run_that_is_cancelled_before_its_first_step_ends_and_holds_up_nobody(
    database: Database,
) -> None:
    recorder = Recorder(database, Bus())
    clock = ManualClock(NOON)
    running = Running(
        database=database, clock=clock, recorder=recorder, performers={"cron": Forever()}
    )
    running.begin(JOB, RUN)
    assert running.cancel("r1", "cancelled by ana")  # before the loop goes round
    await running.idle()
    assert running.standing("j").running == ()
    row = await database.read(lambda tx: runs.get(tx, "r1"))
    assert row is not None
    assert (row.status, row.reason) == (RunStatus.SKIPPED, SkipReason.AGENT_RUNNER_CANCELLED)
    assert await running.stop(HOUR) == ()


async def test_a_clock_that_is_set_back_has_no_run_of_a_backfill_wait_twice(
    database: Database,
) -> None:
    recorder, performer = Recorder(database, Bus()), Forever()
    clock = ManualClock(NOON)
    running = Running(
        database=database, clock=clock, recorder=recorder, performers={"cron": performer}
    )
    later = {START_AT: ms(NOON + HOUR)}
    running.dispatch(JOB, replace(RUN, trigger=Trigger.BACKFILL, slot=None, facts=later))
    await clock.advance(HOUR / 2)
    clock.step(-3 * HOUR)
    await clock.advance(HOUR / 4)
    assert not performer.begun
    await clock.advance(HOUR / 4)
    (begun,) = performer.begun
    assert START_AT not in begun.facts  # whoever performs it waits no more either
    await running.stop(timedelta())
