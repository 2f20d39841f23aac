"""What becomes of a run whose job somebody changes while it goes on or waits (cron.md §7, §19)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.agents.base import FailureClass, TurnReply, TurnRequest
from engine.pytest_plugin import EngineSim
from engine.scheduling import Chosen
from engine.testing import ScriptedAgent, Simulation
from jobs.ledger import REMOVED, SCHEDULER_OFF
from jobs.wallclock import ms

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
OFF: dict[str, Any] = {"agents": {"defaults": {"heartbeat": {"every": "0m", "target": "last"}}}}
START = "2026-06-01 00:30"
TOMORROW = datetime(2026, 6, 2, 9, tzinfo=UTC)
MOVED: dict[str, Any] = {"schedule": {"kind": "at", "at": "2026-06-02T09:00Z"}}


async def add(sim: Simulation, name: str, **asked: Any) -> None:
    await sim.open()
    await sim.engine.scheduling.add({"name": name, "message": "look", **asked}, by="ana")


def once(at: str = "2026-06-01T01:00Z") -> dict[str, Any]:
    return {"schedule": {"kind": "at", "at": at}}


async def jobs_of(sim: Simulation) -> list[dict[str, Any]]:
    found = await sim.engine.scheduling.list({"includeDisabled": True})
    jobs: list[dict[str, Any]] = found["jobs"]
    return jobs


# -- while it goes on ----------------------------------------------------------------------------


@pytest.mark.parametrize("delete", [True, False])
@pytest.mark.parametrize("ends", ["Done.", FailureClass.NETWORK, FailureClass.AUTH])
async def test_a_one_shot_that_is_moved_during_its_run_keeps_its_new_instant(
    engine_sim: EngineSim, ends: str | FailureClass, delete: bool
) -> None:
    agent = ScriptedAgent(then=ends, takes=10 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "once", **once(), deleteAfterRun=delete)
    await sim.until("2026-06-01 01:05")
    await sim.engine.scheduling.update("once", MOVED, by="ana")
    await sim.until("2026-06-01 01:30")
    (job,) = await jobs_of(sim)
    assert (job["enabled"], job["state"]["nextRunAtMs"]) == (True, ms(TOMORROW))
    report = await sim.until("2026-06-02 09:30")
    assert TOMORROW in [row.row.slot for row in report.rows]


async def test_a_one_shot_that_is_switched_off_and_on_during_its_run_is_over_with_it(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="Done.", takes=10 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "once", **once(), deleteAfterRun=False)
    await sim.until("2026-06-01 01:05")
    await sim.engine.scheduling.update("once", {"enabled": False}, by="ana")
    await sim.engine.scheduling.update("once", {"enabled": True}, by="ana")
    await sim.until("2026-06-01 01:30")
    assert await stands(sim) == (False, None)


async def test_a_job_may_move_itself_from_its_own_turn(engine_sim: EngineSim) -> None:
    class Mover:
        async def answer(self, request: TurnRequest) -> TurnReply:
            await sim.engine.scheduling.update("once", MOVED, by="agent main")
            return TurnReply(payloads=("Moved.",), model="m", provider="p")

    sim = engine_sim(OFF, start=START, zone="UTC", agent=Mover())
    await add(sim, "once", **once())
    await sim.until("2026-06-01 01:30")
    (job,) = await jobs_of(sim)
    assert (job["enabled"], job["state"]["nextRunAtMs"]) == (True, ms(TOMORROW))


async def test_a_job_that_is_switched_off_during_its_run_is_not_tried_again(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then=FailureClass.NETWORK, takes=10 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "once", **once())
    await sim.until("2026-06-01 01:05")
    await sim.engine.scheduling.update("once", {"enabled": False}, by="ana")
    await sim.until("2026-06-01 02:00")
    (job,) = await jobs_of(sim)
    assert (job["enabled"], job["state"].get("nextRunAtMs")) == (False, None)
    assert job["state"].get("autoDisabled") is None


async def test_a_new_schedule_knows_no_backoff_of_the_old_one(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(FailureClass.NETWORK, then="Done.", takes=10 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "job", schedule={"kind": "every", "everyMs": 3_600_000, "anchorMs": 0})
    await sim.until("2026-06-01 01:09")
    soon = {"kind": "cron", "expr": "10 * * * * *", "staggerMs": 0}
    await sim.engine.scheduling.update("job", {"schedule": soon}, by="ana")
    report = await sim.until("2026-06-01 01:30")
    assert [(row.status, row.reason) for row in report.rows[:3]] == [
        ("failed", "agent-runner-failure"),
        ("skipped", "overlap-skip"),
        ("ok", None),
    ]


# -- a one-shot that did not come to its end (cron.md §9.1) --------------------------------------


async def stands(sim: Simulation) -> tuple[bool, Any]:
    """Return whether the one-shot is on, and when it comes next."""
    job = await sim.engine.scheduling.get("once")
    return job["enabled"], job["state"].get("nextRunAtMs")


async def test_a_one_shot_whose_run_is_cancelled_is_over(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then="Done.", takes=10 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "once", **once())
    report = await sim.until("2026-06-01 01:05")
    await sim.engine.control.cancel(report.rows[-1].row.id, by="ana")
    await sim.until("2026-06-01 01:30")
    assert await stands(sim) == (False, None)


async def test_a_one_shot_that_is_skipped_when_it_comes_due_is_over(
    engine_sim: EngineSim,
) -> None:
    spent = OFF | {"cron": {"budget": {"runsPerDay": 1}}}
    sim = engine_sim(spent, start=START, zone="UTC", agent=ScriptedAgent(then="Done."))
    await add(sim, "first", **once())
    await add(sim, "once", **once("2026-06-01T02:00Z"))
    report = await sim.until("2026-06-01 02:30")
    assert report.rows[-1].reason == "budget-exhausted"
    assert await stands(sim) == (False, None)


async def test_a_one_shot_found_too_late_is_over(engine_sim: EngineSim) -> None:
    sim = engine_sim(OFF, start=START, zone="UTC", agent=ScriptedAgent(then="Done."))
    await add(sim, "once", **once(), misfire={"policy": "run-once", "graceMs": 60_000})
    await sim.restart(down_for=2 * HOUR)
    report = await sim.until("2026-06-01 03:00")
    assert report.rows[-1].reason == "missed-grace-exceeded"
    assert await stands(sim) == (False, None)


async def test_a_one_shot_that_met_a_fault_of_the_engine_is_over_and_somebody_is_told(
    engine_sim: EngineSim,
) -> None:
    def broken(argv: Sequence[str]) -> str:
        raise RuntimeError("boom")

    sim = engine_sim(OFF, start=START, zone="UTC", commands=broken)
    command = {"kind": "command", "argv": ["df"]}
    await sim.open()
    wish = {"name": "once", "payload": command, **once(), "failureAlert": {"after": 1}}
    await sim.engine.scheduling.add(wish, by="ana")
    report = await sim.until("2026-06-01 01:30")
    assert await stands(sim) == (False, None)
    (told,) = report.deliveries
    assert 'Cron job "once" failed once' in told.text


# -- while it waits ------------------------------------------------------------------------------

HOURS: dict[str, Any] = {
    "agents": {
        "defaults": {
            "userTimezone": "UTC",
            "heartbeat": {
                "every": "0m",
                "target": "last",
                "activeHours": {"start": "08:00", "end": "10:00"},
            },
        }
    }
}


async def waiting_for_morning(sim: Simulation, **asked: Any) -> None:
    asked = {"schedule": "30 6 * * *", **asked}
    await add(sim, "job", respectActiveHours="defer", **asked)
    report = await sim.until("2026-06-01 07:00")
    assert report.rows[-1].status == "deferred"


async def remove(sim: Simulation) -> None:
    await sim.engine.scheduling.remove("job", by="ana")


async def disable(sim: Simulation) -> None:
    await sim.engine.scheduling.update("job", {"enabled": False}, by="ana")


async def test_a_run_that_waits_is_over_as_its_job_is_removed(engine_sim: EngineSim) -> None:
    sim = engine_sim(HOURS, start=START, zone="UTC", agent=ScriptedAgent(then="Good morning."))
    await waiting_for_morning(sim)
    removed_at = sim.now()
    await remove(sim)
    report = await sim.advance(timedelta(seconds=1))
    (row,) = report.rows
    assert (row.reason, row.because, row.row.ended_at) == ("disabled", REMOVED, removed_at)


async def pause(sim: Simulation) -> None:
    await sim.engine.control.pause(Chosen(ref="job"), by="ana")


async def move(sim: Simulation) -> None:
    await sim.engine.scheduling.update("job", {"schedule": "0 12 * * *"}, by="ana")


async def cron_off(sim: Simulation) -> None:
    await sim.apply(HOURS | {"cron": {"enabled": False}})


@pytest.mark.parametrize(
    ("change", "reason", "because"),
    [
        (remove, "disabled", REMOVED),
        (disable, "disabled", "the job was switched off before it could begin"),
        (pause, "paused", "it was paused by ana"),
        (move, "superseded", "the job got another schedule before it could begin"),
        (cron_off, "disabled", SCHEDULER_OFF),
    ],
    ids=["removed", "switched-off", "paused", "moved", "cron-off"],
)
async def test_a_run_that_waits_for_its_hour_does_not_begin_if_nobody_wants_it_any_more(
    engine_sim: EngineSim,
    change: Callable[[Simulation], Awaitable[None]],
    reason: str,
    because: str,
) -> None:
    agent = ScriptedAgent(then="Good morning.")
    sim = engine_sim(HOURS, start=START, zone="UTC", agent=agent)
    await waiting_for_morning(sim)
    await change(sim)
    report = await sim.until("2026-06-01 09:00")
    (row,) = report.rows
    assert (row.status, row.reason, row.because) == ("skipped", reason, because)
    assert agent.requests == []


async def test_a_run_that_waits_goes_by_the_words_its_job_has_when_it_begins(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="Good morning.")
    sim = engine_sim(HOURS, start=START, zone="UTC", agent=agent)
    await waiting_for_morning(sim)
    await sim.engine.scheduling.update("job", {"message": "new words"}, by="ana")
    report = await sim.until("2026-06-01 09:00")
    assert [(row.local, row.status) for row in report.rows] == [("06:30", "ok")]
    assert ["new words" in one.prompt for one in agent.requests] == [True]


async def test_a_one_shot_that_is_moved_while_it_waits_stays_moved_across_a_restart(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(HOURS, start=START, zone="UTC", agent=ScriptedAgent(then="Done."))
    await waiting_for_morning(sim, **once("2026-06-01T06:30Z"))
    await sim.engine.scheduling.update("job", MOVED, by="ana")
    await sim.restart()
    report = await sim.until("2026-06-01 09:00")
    assert [(row.status, row.reason) for row in report.rows] == [("skipped", "superseded")]
    (job,) = await jobs_of(sim)
    assert (job["enabled"], job["state"]["nextRunAtMs"]) == (True, ms(TOMORROW))


async def test_a_one_shot_that_was_paused_while_it_waited_is_made_up_when_it_goes_on(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(HOURS, start=START, zone="UTC", agent=ScriptedAgent(then="Done."))
    await waiting_for_morning(sim, **once("2026-06-01T06:30Z"), deleteAfterRun=False)
    await pause(sim)
    await sim.until("2026-06-01 08:30")
    await sim.engine.control.resume(Chosen(ref="job"), by="ana")
    report = await sim.until("2026-06-01 09:00")
    assert [row.status for row in report.rows] == ["skipped", "ok"]


async def test_a_run_that_waits_for_another_job_is_over_when_its_own_is_removed(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="Done.", takes=20 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "first", schedule="0 * * * *", exact=True)
    await add(sim, "job", schedule="5 * * * *", exact=True, after="first")
    await sim.until("2026-06-01 01:10")
    await remove(sim)
    report = await sim.until("2026-06-01 01:40")
    assert [(row.job, row.status) for row in report.rows] == [("first", "ok"), ("job", "skipped")]


async def test_a_run_behind_another_does_not_begin_when_its_job_is_removed(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="Done.", takes=90 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "job", schedule="0 * * * *", exact=True, overlap="buffer-one")
    await sim.until("2026-06-01 02:10")
    await remove(sim)
    report = await sim.until("2026-06-01 09:00")
    assert [row.status for row in report.rows] == ["ok", "skipped"]


@pytest.mark.parametrize("change", [remove, disable, pause], ids=["removed", "off", "paused"])
async def test_a_backfill_stops_with_its_job(
    engine_sim: EngineSim, change: Callable[[Simulation], Awaitable[None]]
) -> None:
    agent = ScriptedAgent(then="Done.", takes=10 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "job", schedule="0 * * * *", exact=True)
    await backfill(sim)
    await sim.until("2026-06-01 00:35")
    await change(sim)
    report = await sim.until("2026-06-01 00:59")
    assert [row.status for row in report.rows] == ["ok", *["skipped"] * 5]
    assert len(agent.requests) == 1


async def test_a_job_that_is_off_may_be_backfilled_all_the_same(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then="Done.", takes=2 * MINUTE)
    sim = engine_sim(OFF, start=START, zone="UTC", agent=agent)
    await add(sim, "job", schedule="0 * * * *", exact=True, enabled=False)
    await sim.apply(OFF | {"cron": {"enabled": False}})
    await backfill(sim)
    report = await sim.until("2026-06-01 00:59")
    assert [row.status for row in report.rows] == ["ok"] * 6


async def backfill(sim: Simulation) -> None:
    since = datetime(2026, 5, 31, tzinfo=UTC)
    await sim.engine.control.backfill("job", since=since, until=since + 5 * HOUR, by="ana")


async def test_a_run_that_waits_for_its_hour_is_in_nobodys_way(engine_sim: EngineSim) -> None:
    sim = engine_sim(HOURS, start=START, zone="UTC", agent=ScriptedAgent(then="Done."))
    await waiting_for_morning(sim)
    assert (await sim.engine.scheduling.run("job", by="ana")).get("enqueued") is True
    report = await sim.until("2026-06-01 07:30")
    assert [row.status for row in report.rows] == ["deferred", "ok"]
    report = await sim.until("2026-06-01 08:30")
    assert [row.status for row in report.rows] == ["ok", "ok"]


async def test_a_run_whose_hour_comes_waits_for_the_one_by_hand(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then="Done.", takes=45 * MINUTE)
    sim = engine_sim(HOURS, start=START, zone="UTC", agent=agent)
    await waiting_for_morning(sim)
    await sim.until("2026-06-01 07:30")
    await sim.engine.scheduling.run("job", by="ana")
    report = await sim.until("2026-06-01 09:30")
    waited, by_hand = (row.row for row in report.rows)
    assert waited.started_at is not None
    assert by_hand.ended_at is not None
    assert waited.started_at >= by_hand.ended_at
    assert (await sim.engine.scheduling.get("job"))["state"]["lastRunStatus"] == "ok"


async def test_a_job_nobody_can_read_any_more_does_not_keep_its_run_open_nor_the_engine_shut(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then="Done.", takes=30 * MINUTE)
    sim = engine_sim(HOURS, start=START, zone="UTC", agent=agent)
    await add(sim, "job", schedule="0 * * * *", exact=True)
    await waiting_for_morning_too(sim)
    report = await sim.until("2026-06-01 07:05")
    assert [row.status for row in report.rows[-2:]] == ["deferred", "running"]
    await sim.database.write(lambda tx: tx.exec_driver_sql("UPDATE jobs SET definition = '{'"))
    await sim.restart()
    report = await sim.until("2026-06-01 08:30")
    assert [(row.status, row.reason) for row in report.rows[-2:]] == [
        ("skipped", "superseded"),
        ("failed", "interrupted"),
    ]


async def waiting_for_morning_too(sim: Simulation) -> None:
    wish = {"name": "morning", "schedule": "30 6 * * *", "exact": True, "message": "look"}
    await sim.engine.scheduling.add({**wish, "respectActiveHours": "defer"}, by="ana")
