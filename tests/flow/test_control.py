"""What an operator does to jobs, and what their trouble tells him (cron.md §22)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from engine.agents.base import FailureClass
from engine.alerts.alarms import AlertRules
from engine.alerts.alerting import Alerting
from engine.events import Bus
from engine.process import Ended
from engine.pytest_plugin import EngineSim
from engine.scheduling import Chosen
from engine.store import outbox
from engine.testing import ScriptedAgent, Simulation
from jobs.errors import ConfigOwned, EngineError, InvalidInput, JobNotFound
from jobs.ledger import Trigger
from jobs.store import jobs as job_rows
from jobs.store.db import Database, Tx, Work
from jobs.wallclock import ms

T = TypeVar("T")

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
OFF: dict[str, Any] = {"agents": {"defaults": {"heartbeat": {"every": "0m", "target": "last"}}}}
START = "2026-06-01 00:30"


def declaring(cron: dict[str, Any] | None = None, **jobs: Any) -> dict[str, Any]:
    return OFF | {"cron": {"jobs": jobs, **(cron or {})}}


def hourly(**asked: Any) -> dict[str, Any]:
    return {"schedule": "0 * * * *", "message": "look", **asked}


def one(ref: str = "job") -> Chosen:
    return Chosen(ref=ref)


async def job_of(sim: Simulation) -> dict[str, Any]:
    return await sim.engine.scheduling.get("job")


# -- pausing -------------------------------------------------------------------------------------


async def test_a_paused_job_does_not_run_and_its_slots_are_told_when_it_goes_on(
    engine_sim: EngineSim,
) -> None:
    job = hourly(misfire={"policy": "skip"})
    sim = engine_sim(declaring(job=job), start=START, zone="UTC")
    await sim.until("2026-06-01 01:30")
    await sim.engine.control.pause(one(), by="ana", note="on holiday")
    assert (await job_of(sim))["state"]["paused"]["note"] == "on holiday"
    await sim.until("2026-06-01 04:30")
    await sim.engine.control.resume(one(), by="ana")
    report = await sim.until("2026-06-01 05:30")
    assert [(row.local, row.status, row.reason) for row in report.rows] == [
        ("01:00", "ok", None),
        ("02:00", "skipped", "paused"),
        ("03:00", "skipped", "paused"),
        ("04:00", "skipped", "paused"),
        ("05:00", "ok", None),
    ]
    assert report.rows[1].because == "it was paused by ana: on holiday"
    assert (await job_of(sim))["state"]["skipCount"] == 3


async def test_what_a_pause_held_up_is_made_up_by_the_misfire_policy(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(declaring(job=hourly()), start=START, zone="UTC")
    await sim.open()
    await sim.engine.control.pause(one(), by="ana")
    await sim.until("2026-06-01 03:10")
    await sim.engine.control.resume(one(), by="ana")
    report = await sim.until("2026-06-01 03:30")
    assert [(row.local, row.status) for row in report.rows] == [
        ("01:00", "skipped"),
        ("02:00", "skipped"),
        ("03:00", "ok"),
    ]
    assert report.rows[-1].row.trigger is Trigger.CATCHUP


async def test_a_pause_ends_by_itself(engine_sim: EngineSim) -> None:
    sim = engine_sim(declaring(job=hourly(misfire={"policy": "skip"})), start=START, zone="UTC")
    await sim.open()
    until = datetime(2026, 6, 1, 2, 30, tzinfo=UTC)
    await sim.engine.control.pause(one(), by="ana", until=until)
    report = await sim.until("2026-06-01 03:30")
    assert [(row.local, row.status) for row in report.rows] == [
        ("01:00", "skipped"),
        ("02:00", "skipped"),
        ("03:00", "ok"),
    ]
    assert (await job_of(sim))["state"].get("paused") is None


async def test_a_pause_that_begins_just_after_a_look_ends_on_time_too(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(declaring(job=hourly(misfire={"policy": "skip"})), start=START, zone="UTC")
    await sim.until("2026-06-01 01:10")
    until = datetime(2026, 6, 1, 2, 30, tzinfo=UTC)
    await sim.engine.control.pause(one(), by="ana", until=until)
    report = await sim.until("2026-06-01 03:30")
    assert [row.status for row in report.rows] == ["ok", "skipped", "ok"]


@pytest.mark.parametrize(
    ("column", "words"), [("definition", "{"), ("alarm", "["), ("paused", '{"untilMs": "soon"}')]
)
async def test_a_job_that_cannot_be_looked_after_holds_up_nobody(
    engine_sim: EngineSim, column: str, words: str
) -> None:
    jobs = {"bad": hourly(expectWithin="2h"), "good": hourly(expectWithin="150m")}
    agent = ScriptedAgent(then=FailureClass.AUTH)
    sim = engine_sim(declaring(**jobs), start=START, zone="UTC", agent=agent)
    await sim.open()
    spoil = f"UPDATE jobs SET {column} = ?, watch_at = 0 WHERE id = 'cfg:bad'"  # noqa: S608
    await sim.database.write(lambda tx: tx.exec_driver_sql(spoil, (words,)))
    report = await sim.until("2026-06-01 06:30")
    assert [row.local for row in report.runs("good")] == [f"0{hour}:00" for hour in range(1, 7)]
    assert sum('"good" has not succeeded' in sent.text for sent in report.deliveries) == 1
    assert not sim.engine.vitals.failing


async def test_an_agent_holds_the_job_whose_run_it_is(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then="Enough for now.")
    job = hourly(misfire={"policy": "skip"})
    sim = engine_sim(declaring(job=job), start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 01:30")
    [cron] = [tool for tool in agent.requests[0].tools if tool.name == "cron"]
    await cron.call({"action": "pause", "note": "the fair is over", "until": "2h"})
    paused = (await job_of(sim))["state"]["paused"]
    assert (paused["by"], paused["note"]) == ("agent:main", "the fair is over")
    report = await sim.until("2026-06-01 04:30")
    assert [(row.local, row.status) for row in report.rows if row.status == "ok"] == [
        ("01:00", "ok"),
        ("04:00", "ok"),
    ]


async def test_a_pause_survives_a_restart_and_a_reload(engine_sim: EngineSim) -> None:
    sim = engine_sim(declaring(job=hourly()), start=START, zone="UTC")
    await sim.open()
    await sim.engine.control.pause(one(), by="ana")
    await sim.restart()
    await sim.apply(declaring(job=hourly(description="changed")))
    assert (await sim.until("2026-06-01 02:30")).rows == ()


async def test_jobs_are_paused_by_tag_and_all_at_once(engine_sim: EngineSim) -> None:
    jobs = {"a": hourly(tags=["night"]), "b": hourly(tags=["night"]), "c": hourly()}
    sim = engine_sim(declaring(**jobs), start=START, zone="UTC")
    await sim.open()
    told = await sim.engine.control.pause(Chosen(tag="night"), by="ana")
    assert told["paused"] == 2
    assert [row.job for row in (await sim.until("2026-06-01 01:30")).rows] == ["c"]
    assert (await sim.engine.control.pause(Chosen(everything=True), by="ana"))["paused"] == 1
    assert (await sim.engine.control.resume(Chosen(everything=True), by="ana"))["resumed"] == 3
    with pytest.raises(JobNotFound, match="no job has the tag 'day'"):
        await sim.engine.control.pause(Chosen(tag="day"), by="ana")
    with pytest.raises(InvalidInput, match="the end of the pause has passed"):
        await sim.engine.control.pause(one("a"), by="ana", until=sim.now())


async def broken_job(sim: Simulation, **asked: Any) -> None:
    """Add a job that is switched off because it failed."""
    await sim.open()
    await sim.engine.scheduling.add({"name": "job", **hourly(**asked)}, by="ana")
    await sim.until("2026-06-01 01:30")
    assert (await job_of(sim))["state"]["autoDisabled"] is not None


AT_ONCE: dict[str, Any] = OFF | {"cron": {"autoDisableAfter": 1}}


async def test_a_job_that_was_switched_off_by_failures_and_goes_on_can_be_switched_off(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(FailureClass.AUTH, then="Fine.")
    sim = engine_sim(AT_ONCE, start=START, zone="UTC", agent=agent)
    await broken_job(sim)
    await sim.engine.control.resume(one(), by="ana")
    assert (await job_of(sim))["enabled"] is True
    await sim.engine.scheduling.update("job", {"enabled": False}, by="ana")
    report = await sim.until("2026-06-01 03:30")
    assert (await job_of(sim))["enabled"] is False
    assert [row.status for row in report.rows] == ["failed"]


async def test_resuming_all_leaves_a_job_alone_that_somebody_wants_off(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then=FailureClass.AUTH)
    sim = engine_sim(AT_ONCE, start=START, zone="UTC", agent=agent)
    await broken_job(sim)
    await sim.engine.scheduling.update("job", {"enabled": False}, by="ana")
    await sim.engine.scheduling.run("job", by="ana")  # fails once more
    await sim.advance(MINUTE)
    told = await sim.engine.control.resume(Chosen(everything=True), by="ana")
    assert (told["resumed"], (await job_of(sim))["enabled"]) == (0, False)


async def test_resuming_all_leaves_a_job_alone_that_left_the_config(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(then=FailureClass.AUTH)
    declared = declaring({"autoDisableAfter": 1}, job=hourly())
    sim = engine_sim(declared, start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 01:30")
    await sim.apply(declaring({"autoDisableAfter": 1}))
    told = await sim.engine.control.resume(Chosen(everything=True), by="ana")
    assert (told["resumed"], (await job_of(sim))["enabled"]) == (0, False)


# -- leaving out, running again ------------------------------------------------------------------


async def test_the_next_slots_can_be_left_out_once(engine_sim: EngineSim) -> None:
    sim = engine_sim(declaring(job=hourly()), start=START, zone="UTC")
    await sim.open()
    told = await sim.engine.control.skip("job", by="ana", count=2, note="moving house")
    assert len(told["skipped"]) == 2
    report = await sim.until("2026-06-01 03:30")
    assert [(row.local, row.status, row.reason) for row in report.rows] == [
        ("01:00", "skipped", "calendar-excluded"),
        ("02:00", "skipped", "calendar-excluded"),
        ("03:00", "ok", None),
    ]
    assert report.rows[0].because == "this slot was left out by hand, by ana: moving house"


async def test_leaving_out_can_be_taken_back(engine_sim: EngineSim) -> None:
    sim = engine_sim(declaring(job=hourly()), start=START, zone="UTC")
    await sim.open()
    await sim.engine.control.skip("job", by="ana")
    await sim.engine.control.skip("job", by="ana", undo=True)
    assert [row.status for row in (await sim.until("2026-06-01 01:30")).rows] == ["ok"]


async def test_a_run_can_be_cancelled_whether_it_goes_on_or_waits(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then="Done.", takes=10 * HOUR)
    job = hourly(overlap="buffer-one", timeoutSeconds=0)
    sim = engine_sim(declaring(job=job), start=START, zone="UTC", agent=agent)
    first, second = [row.row.id for row in (await sim.until("2026-06-01 02:30")).rows]
    assert (await sim.engine.control.cancel(second, by="ana"))["cancelled"]
    assert (await sim.engine.control.cancel(first, by="ana"))["cancelled"]
    report = await sim.advance(MINUTE)
    assert [(row.status, row.reason) for row in report.rows] == [
        ("skipped", "agent-runner-cancelled")
    ] * 2
    assert not (await sim.engine.control.cancel(first, by="ana"))["cancelled"]
    with pytest.raises(JobNotFound, match="not on record"):
        await sim.engine.control.cancel("nothing", by="ana")


async def test_a_backfill_runs_the_slots_that_did_not(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then="Done.")
    job = hourly(message="Report for {{scheduledFor}}", misfire={"policy": "skip"})
    sim = engine_sim(declaring(job=job), start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 01:30")
    await sim.restart(down_for=3 * HOUR)  # 02:00, 03:00 and 04:00 are missed
    await sim.until("2026-06-01 05:30")
    since, until = datetime(2026, 6, 1, 0, tzinfo=UTC), datetime(2026, 6, 1, 5, tzinfo=UTC)
    fill = sim.engine.control.backfill
    plan = await fill("job", by="ana", since=since, until=until, dry_run=True)
    assert (len(plan["slots"]), plan["runIds"]) == (4, [])  # midnight never ran, too
    await fill("job", by="ana", since=since, until=until)
    report = await sim.advance(MINUTE)
    filled = [row for row in report.rows if row.row.trigger is Trigger.BACKFILL]
    assert [row.status for row in filled] == ["ok"] * 4
    said = [one.prompt.split("\n")[0] for one in agent.requests[-4:]]
    assert said == [f"Report for 2026-06-01T0{hour}:00:00+00:00" for hour in (0, 2, 3, 4)]
    again = await fill("job", by="ana", since=since, until=until)
    assert again["slots"] == []


async def test_a_backfill_keeps_to_its_rate_and_the_next_slot_does_not_wait_for_it(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(declaring(job=hourly()), start=START, zone="UTC", agent=ScriptedAgent())
    await sim.until("2026-06-01 03:30")
    since, until = datetime(2026, 6, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, 3, tzinfo=UTC)
    fill = sim.engine.control.backfill
    made = await fill("job", by="ana", since=since, until=until, policy="all", rate="2/1h")
    await sim.until("2026-06-01 03:40")
    await sim.restart()  # those that wait still do
    assert (await sim.engine.control.cancel(made["runIds"][2], by="ana"))["cancelled"]
    report = await sim.until("2026-06-01 05:59")
    began = [
        (f"{row.row.started_at:%H:%M}", row.row.trigger.value)
        for row in report.runs("job")[3:]
        if row.row.started_at
    ]
    assert sorted(began) == [
        ("03:30", "backfill"),
        ("04:00", "backfill"),
        ("04:00", "schedule"),
        ("05:00", "schedule"),
    ]


@pytest.mark.parametrize("rate", ["often", "0/1h", "2", "2/", "/1h"])
async def test_a_rate_nobody_understands_is_refused(engine_sim: EngineSim, rate: str) -> None:
    sim = engine_sim(declaring(job=hourly()), start=START, zone="UTC")
    await sim.until("2026-06-01 03:30")
    now = sim.now()
    with pytest.raises(EngineError):
        await sim.engine.control.backfill("job", by="a", since=now - HOUR, until=now, rate=rate)


async def test_a_job_removed_by_force_takes_its_runs_with_it(engine_sim: EngineSim) -> None:
    job = hourly(overlap="buffer-one", timeoutSeconds=0)
    job["schedule"] = {"kind": "cron", "expr": job["schedule"], "tz": "UTC", "staggerMs": 0}
    agent = ScriptedAgent(then="Done.", takes=10 * HOUR)
    sim = engine_sim(declaring(), start=START, zone="UTC", agent=agent)
    await sim.open()
    added = await sim.engine.scheduling.add({"name": "job", **job}, by="ana")
    await sim.until("2026-06-01 02:30")
    await sim.engine.scheduling.remove(added["id"], by="ana", force=True)
    report = await sim.until("2026-06-01 05:30")
    assert [(row.local, row.status, row.because) for row in report.rows] == [
        ("01:00", "skipped", "its job was removed by ana"),
        ("02:00", "skipped", "its job was removed by ana"),
    ]
    assert report.deliveries == ()


# -- alarms --------------------------------------------------------------------------------------


async def told(sim: Simulation) -> list[str]:
    return [one.text for one in (await sim.report()).deliveries]


async def test_a_failing_job_is_told_once_and_again_when_it_recovers(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent(*[FailureClass.AUTH] * 4, then="Fine.")
    job = hourly(failureAlert={"after": 2, "cooldown": "24h"}, retry={"backoffMs": [0]})
    sim = engine_sim(declaring(job=job), start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 05:30")
    assert await told(sim) == [
        'Cron job "job" failed 2 times\nCause: auth\nLast error: scripted auth',
        "Fine.",
        'Cron job "job" recovered (in trouble since 2026-06-01 02:00Z)',
    ]


@pytest.mark.parametrize(
    ("wish", "told_of"),
    [
        (True, ['Cron job "job" skipped 2 times\nSkip reason: max-runs-per-day']),
        (False, []),
    ],
)
async def test_slots_that_are_skipped_as_they_come_are_told_if_that_is_wanted(
    engine_sim: EngineSim, wish: bool, told_of: list[str]
) -> None:
    alert = {"after": 2, "cooldown": "24h", "includeSkipped": wish}
    job = hourly(failureAlert=alert, maxRunsPerDay=1, delivery={"mode": "none"})
    sim = engine_sim(declaring(job=job), start=START, zone="UTC", agent=ScriptedAgent(then="Fine."))
    await sim.until("2026-06-01 05:30")
    assert await told(sim) == told_of
    state = (await job_of(sim))["state"]
    assert (state["consecutiveSkipped"], state["skipCount"]) == (4, 4)
    await sim.until("2026-06-02 00:30")  # the next day it may run again
    recovered = 'Cron job "job" recovered (in trouble since 2026-06-01 03:00Z)'
    assert await told(sim) == [*told_of, *([recovered] if wish else [])]
    assert (await job_of(sim))["state"]["consecutiveSkipped"] == 0


async def test_a_slot_that_was_left_out_on_purpose_is_no_alarm(engine_sim: EngineSim) -> None:
    job = hourly(failureAlert={"after": 1, "includeSkipped": True}, delivery={"mode": "none"})
    sim = engine_sim(declaring(job=job), start=START, zone="UTC", agent=ScriptedAgent(then="Fine."))
    await sim.until("2026-06-01 00:59")
    await sim.engine.control.skip("job", by="ana", count=2)
    await sim.until("2026-06-01 03:30")
    assert await told(sim) == []


async def test_a_job_with_a_place_for_failures_needs_no_more(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then=FailureClass.AUTH)
    place = {"channel": "local", "to": "nurse"}
    deliver = {"mode": "announce", "channel": "local", "to": "me", "failureDestination": place}
    job = hourly(delivery=deliver, retry={"backoffMs": [0]})
    sim = engine_sim(declaring(job=job), start=START, zone="UTC", agent=agent)
    report = await sim.until("2026-06-01 02:30")
    assert [one.to for one in report.deliveries] == ["nurse"]
    state = (await job_of(sim))["state"]
    assert state["alarm"]["key"].startswith("alarm:")
    assert state["lastFailureNotificationStatus"] == "delivered"
    assert state["lastFailureAlertAtMs"] == state["alarm"]["lastMs"]
    assert (state["lastDeliveryStatus"], state["lastDiagnosticSummary"]) == (
        "not-requested",
        "scripted auth",
    )
    newest = (await sim.engine.scheduling.runs({"id": "job"}))["entries"][0]
    assert newest["failureNotificationDelivery"] == {"delivered": True, "status": "delivered"}


async def test_a_job_says_where_its_words_would_go_now(engine_sim: EngineSim) -> None:
    sim = engine_sim(declaring(job=hourly()), start=START, zone="UTC")
    await sim.open()
    wanted = {"label": "announce -> local:inbox", "detail": "resolved from last-local"}
    assert (await job_of(sim))["deliveryPreview"] == wanted
    listed = await sim.engine.scheduling.list({"includeDeliveryPreviews": True})
    assert listed["deliveryPreviews"] == {"cfg:job": wanted}
    added = await sim.engine.scheduling.add({"every": "1h", "message": "x"}, by="ana")
    assert added["deliveryPreview"] == wanted


async def test_a_job_says_of_its_last_words_whether_they_arrived(engine_sim: EngineSim) -> None:
    sim = engine_sim(declaring(job=hourly()), start=START, zone="UTC")
    await sim.until("2026-06-01 01:30")
    state = (await job_of(sim))["state"]
    assert (state["lastDelivered"], state["lastDeliveryStatus"]) == (True, "delivered")
    [listed] = (await sim.engine.scheduling.list({}))["jobs"]
    assert listed["state"] == state
    entry = (await sim.engine.scheduling.runs({"id": "job"}))["entries"][0]
    assert (entry["completionStatus"], entry["delivery"]["delivered"]) == ("succeeded", True)
    assert entry["sessionId"]


@pytest.mark.parametrize("off", [{"failureAlert": False}, {}])
async def test_nobody_is_told_who_does_not_want_to_know(
    engine_sim: EngineSim, off: dict[str, Any]
) -> None:
    agent = ScriptedAgent(then=FailureClass.AUTH)
    job = hourly(retry={"backoffMs": [0]}, **off)
    sim = engine_sim(declaring(job=job), start=START, zone="UTC", agent=agent)
    assert (await sim.until("2026-06-01 05:30")).deliveries == ()


async def test_the_alerts_of_all_jobs_stand_in_the_config(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then=FailureClass.AUTH)
    alert = {"enabled": True, "after": 1, "channel": "local", "to": "nurse"}
    config = declaring({"failureAlert": alert}, job=hourly())
    sim = engine_sim(config, start=START, zone="UTC", agent=agent)
    report = await sim.until("2026-06-01 01:30")
    assert [(one.to, one.text.split("\n")[0]) for one in report.deliveries] == [
        ("nurse", 'Cron job "job" failed once')
    ]


async def test_a_job_that_is_switched_off_says_how_to_switch_it_on(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then=FailureClass.AUTH)
    config = declaring({"autoDisableAfter": 3}, job=hourly(retry={"backoffMs": [0]}))
    sim = engine_sim(config, start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 05:30")
    (text,) = await told(sim)
    assert text.startswith('Cron job "job" failed 3 times')
    assert text.endswith("It was switched off. When it is mended: engine cron enable cfg:job")
    await sim.engine.control.resume(one(), by="ana")
    assert (await job_of(sim))["enabled"]


async def test_a_job_that_does_not_succeed_in_time_is_missed(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent("Fine.", *[FailureClass.AUTH] * 4, then="Fine.")
    job = hourly(expectWithin="150m", retry={"backoffMs": [0]})
    sim = engine_sim(declaring(job=job), start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 07:30")
    see = "See: engine cron runs cfg:job"
    assert await told(sim) == [
        "Fine.",
        f'Cron job "job" has not succeeded for 2h30m\nLast success: 2026-06-01 01:00Z\n{see}',
        "Fine.",
        'Cron job "job" recovered (in trouble since 2026-06-01 03:30Z)',
        "Fine.",
    ]


class Meanwhile(Database):
    """A store in which something else is written just before everything that is written."""

    def __init__(self, inner: Database, first: Callable[[Tx], None]) -> None:
        super().__init__(inner)
        self._first = first

    async def write(self, work: Work[T]) -> T:
        await super().write(self._first)
        return await super().write(work)


async def test_a_success_while_the_dead_mans_alarm_is_raised_is_kept(
    engine_sim: EngineSim,
) -> None:
    job = {"schedule": "0 0 1 1 *", "message": "back up", "expectWithin": "2h"}
    sim = engine_sim(declaring(job=job), start=START, zone="UTC")
    await sim.open()
    sim.clock.step(2 * HOUR)
    now = sim.now()
    succeeded = {"alarm": {"lastOkMs": ms(now)}, "watch_at": now + 2 * HOUR}

    async def no_pauses() -> int:
        return 0

    alerting = Alerting(
        database=Meanwhile(sim.database, lambda tx: job_rows.set_state(tx, "cfg:job", **succeeded)),
        bus=Bus(),
        roster=lambda: sim.engine.roster,
        rules=AlertRules,
        end_pauses=no_pauses,
    )
    assert await alerting.look(now) == now + 2 * HOUR
    stored = await sim.database.read(lambda tx: job_rows.find(tx, "job"))
    assert stored.state.alarm == {"lastOkMs": ms(now)}
    assert await sim.database.read(outbox.page) == ([], 0)


async def test_the_dead_mans_alarm_comes_also_when_the_gateway_was_down(
    engine_sim: EngineSim,
) -> None:
    job = {"schedule": "0 3 * * *", "message": "back up", "expectWithin": "26h"}
    sim = engine_sim(declaring(job=job | {"misfire": {"policy": "skip"}}), start=START, zone="UTC")
    await sim.until("2026-06-01 04:00")
    await sim.restart(down_for=3 * 24 * HOUR)
    await sim.advance(MINUTE)
    assert 'Cron job "job" has not succeeded for 1d2h' in (await told(sim))[-1]


@pytest.mark.parametrize(("by", "alarmed"), [("01:20", True), ("20m", True), ("45m", False)])
async def test_a_slot_that_is_not_done_by_its_deadline_is_told(
    engine_sim: EngineSim, by: str, alarmed: bool
) -> None:
    agent = ScriptedAgent(then="Done.", takes=30 * MINUTE)
    job = {"schedule": "0 1 * * *", "message": "report", "mustFinishBy": by, "tz": "UTC"}
    sim = engine_sim(declaring(job=job), start=START, zone="UTC", agent=agent)
    await sim.until("2026-06-01 03:00")
    texts = set(await told(sim)) - {"Done."}
    wanted = 'Cron job "job" was not done by 2026-06-01 01:20Z\nSlot: 2026-06-01 01:00Z (running)'
    assert [text.startswith(wanted) for text in texts] == ([True] if alarmed else [])


@pytest.mark.parametrize("done", [False, True])
async def test_a_frequent_job_is_late_if_nothing_of_its_day_was_done_by_the_deadline(
    engine_sim: EngineSim, done: bool
) -> None:
    job = {"schedule": "* * * * *", "message": "look", "mustFinishBy": "18:00", "tz": "UTC"}
    sim = engine_sim(
        declaring(job=job | {"gate": ["is-there-anything"]}),
        start="2026-06-01 08:30",
        zone="UTC",
        agent=ScriptedAgent(then="NO_REPLY"),
        commands=lambda _argv: Ended(code=0 if done else 1, out=b"", err=b""),
    )
    await sim.until("2026-06-01 18:30")
    texts = await told(sim)
    assert ["was not done by 2026-06-01 18:00Z" in text for text in texts] == [True][done:]


# -- taking over ---------------------------------------------------------------------------------


async def test_an_adopted_job_keeps_its_state_and_its_entry_does_nothing_any_more(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(declaring(job=hourly(), other=hourly()), start=START, zone="UTC")
    await sim.until("2026-06-01 01:30")
    with pytest.raises(ConfigOwned, match="engine cron adopt job"):
        await sim.engine.scheduling.update("job", {"name": "mine"}, by="ana")
    await sim.engine.control.adopt("job", by="ana")
    await sim.engine.scheduling.update("job", {"description": "mine"}, by="ana")
    await sim.restart()
    await sim.apply(declaring(job=hourly(message="changed"), other=hourly()))
    job = await job_of(sim)
    assert (job["source"], job["description"], job["state"]["okCount"]) == ("runtime", "mine", 1)
    assert job["payload"]["message"] == "look"
    (line,) = (await sim.engine.scheduling.status())["configErrors"]
    assert "it was taken over at run time (engine cron adopt job)" in line
    await sim.apply(declaring(other=hourly()))
    assert (await sim.engine.scheduling.status())["configErrors"] == []
    report = await sim.until("2026-06-01 02:30")
    assert [len(report.runs(name)) for name in ("job", "other")] == [2, 2]
    with pytest.raises(InvalidInput, match="no job of the config"):
        await sim.engine.control.adopt("job", by="ana")
