from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.scheduling import Outlook, Sight
from engine.testing.clock import ManualClock
from jobs.errors import InvalidInput, InvalidSchedule, JobNotFound
from jobs.hours import ActiveHours, parse
from jobs.ledger import Run, RunStatus, Trigger, Usage
from jobs.model import AgentTurn, HeartbeatBeat, Job
from jobs.schedule import Cron, Every
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.db import Database, Tx

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    opened = await Database.memory()
    yield opened
    await opened.close()


def outlook(database: Database, hours: ActiveHours | None = None) -> Outlook:
    sight = Sight(
        tz="Asia/Shanghai",
        default_agent="main",
        most_at_once=1,
        hours_of=lambda agent: hours if agent == "main" else None,
    )
    return Outlook(database=database, clock=ManualClock(NOON), sight=lambda: sight)


async def stored(database: Database, *jobs: Job) -> None:
    def work(tx: Tx) -> None:
        for job in jobs:
            job_rows.insert(tx, job, next_run_at=job.schedule.next_after(NOON), now=NOON)

    await database.write(work)


def job(job_id: str, schedule: Any, **given: Any) -> Job:
    payload = given.pop("payload", AgentTurn(message="hi"))
    return Job(id=job_id, name=job_id, schedule=schedule, payload=payload, **given)


async def test_an_expression_is_explained_in_the_zone_asked_for(database: Database) -> None:
    told = await outlook(database).explain(
        {"expr": "0 9 * * *", "tz": "Europe/Berlin", "from": "2026-06-01T00:00", "count": 1}
    )
    assert told["expr"] == "0 9 * * *"
    assert told["sentence"] == "At 09:00 every day, Europe/Berlin time."
    assert told["occurrences"][0]["utc"] == "2026-06-01T07:00:00Z"
    assert told["otherTz"] == "UTC"


async def test_without_a_zone_it_is_the_configs_and_the_language_is_chosen(
    database: Database,
) -> None:
    told = await outlook(database).explain({"expr": "0 9 * * *", "lang": "zh"})
    assert told["sentence"] == "每天09:00，亚洲/上海时间"
    assert len(told["occurrences"]) == 5


async def test_a_job_is_explained_with_what_its_runs_cost(database: Database) -> None:
    await stored(database, job("brief", Cron("0 9 * * *", "Europe/Berlin")))
    run = Run(
        id="r-1",
        job_id="brief",
        kind="cron",
        agent_id=None,
        trigger=Trigger.MANUAL,
        status=RunStatus.OK,
        usage=Usage(input_tokens=10, output_tokens=5, cost_usd=0.5),
    )
    await database.write(lambda tx: run_rows.insert(tx, [run]))
    told = await outlook(database).explain({"id": "brief", "tz": "Asia/Tokyo", "count": 1})
    assert (told["jobId"], told["name"]) == ("brief", "brief")
    assert told["tz"] == "Europe/Berlin"
    assert told["occurrences"][0]["otherOffset"] == "+09:00"
    assert told["cost"]["usdPerDay"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"expr": "0 25 * * *"}, InvalidSchedule),
        ({"expr": "0 9 * * *", "tz": "Mars/Base"}, InvalidSchedule),
        ({"expr": "0 9 * * *", "otherTz": "Mars/Base"}, InvalidSchedule),
        ({"expr": "0 9 * * *", "from": "soon"}, InvalidSchedule),
        ({"expr": "0 9 * * *", "count": 1001}, InvalidInput),
        ({"id": "nobody"}, JobNotFound),
    ],
)
async def test_what_cannot_be_explained_is_refused(
    database: Database, params: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await outlook(database).explain(params)


async def test_the_timeline_holds_jobs_beats_and_active_hours(database: Database) -> None:
    grid = Every(timedelta(hours=1), NOON)
    await stored(
        database,
        job("brief", Cron("0 9 * * *", "Asia/Shanghai")),
        job("other", Cron("0 9 * * *", "Asia/Shanghai")),
        job("heartbeat:main", grid, payload=HeartbeatBeat(), agent_id="main"),
        job("heartbeat:ops", grid, payload=HeartbeatBeat(), agent_id="ops"),
        job("off", grid, enabled=False),
    )
    hours = parse("08:00", "20:00", "Asia/Shanghai")
    told = await outlook(database, hours).timeline({"hours": 48, "cellMinutes": 60})
    assert [row["name"] for row in told["jobs"]] == [
        "brief",
        "other",
        "heartbeat:main",
        "heartbeat:ops",
    ]
    assert [len(row["cells"]) for row in told["jobs"]] == [48] * 4
    assert [sum(row["quiet"]) for row in told["jobs"]] == [0, 0, 24, 0]
    assert list(told["activeHours"]) == ["main"]
    assert [spot["due"] for spot in told["hotSpots"]] == [2, 2]
    assert told["tz"] == "Asia/Shanghai"


async def test_the_timeline_is_a_day_in_quarters_of_an_hour_unless_asked_otherwise(
    database: Database,
) -> None:
    told = await outlook(database).timeline({})
    assert told["untilMs"] - told["fromMs"] == 86_400_000
    assert told["cellMs"] == 900_000


# -- next ----------------------------------------------------------------------------------------


async def test_the_coming_slots_of_an_expression_end_where_it_is_asked(database: Database) -> None:
    asked = {"expr": "0 9 * * *", "tz": "UTC", "until": "2026-03-03T09:00"}
    told = await outlook(database).next(asked)
    assert [slot["utc"] for slot in told["occurrences"]] == [
        "2026-03-02T09:00:00Z",
        "2026-03-03T09:00:00Z",
    ]
    assert (told["expr"], told["tz"]) == ("0 9 * * *", "UTC")


async def test_the_coming_slots_of_a_job_name_it(database: Database) -> None:
    await stored(database, job("tea", Every(timedelta(hours=2), NOON)))
    told = await outlook(database).next({"id": "tea", "count": 2})
    assert [slot["utc"] for slot in told["occurrences"]] == [
        "2026-03-01T14:00:00Z",
        "2026-03-01T16:00:00Z",
    ]
    assert told["jobId"] == "tea"


async def test_the_coming_slots_of_all_jobs_come_in_their_order(database: Database) -> None:
    await stored(
        database,
        job("tea", Every(timedelta(hours=2), NOON)),
        job("news", Cron("0 13 * * *", "UTC"), agent_id="ops"),
        job("off", Every(timedelta(minutes=1), NOON), enabled=False),
        job("held", Every(timedelta(minutes=1), NOON)),
    )
    await database.write(lambda tx: job_rows.set_state(tx, "held", paused={"by": "ana"}))
    told = await outlook(database).next({"count": 3})
    assert [(one["jobId"], one["utc"]) for one in told["occurrences"]] == [
        ("news", "2026-03-01T13:00:00Z"),
        ("tea", "2026-03-01T14:00:00Z"),
        ("tea", "2026-03-01T16:00:00Z"),
    ]
    assert [one["agentId"] for one in told["occurrences"]] == ["ops", "main", "main"]
    assert told["occurrences"][0]["local"] == "2026-03-01T21:00:00"  # in Shanghai


# -- audit ---------------------------------------------------------------------------------------


async def test_an_audit_says_of_each_job_whether_its_slots_have_rows(database: Database) -> None:
    await stored(database, job("tea", Every(timedelta(hours=2), NOON)))
    told = await outlook(database).audit({})
    assert (told["ok"], [one["jobId"] for one in told["jobs"]]) == (True, ["tea"])
    assert told["untilMs"] - told["sinceMs"] == timedelta(days=7) // timedelta(milliseconds=1)
    with pytest.raises(JobNotFound):
        await outlook(database).audit({"id": "coffee"})
