"""A process that runs for months: what is old or too much goes, what is open stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from engine.config.schema.cron import Cron
from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.kept import Kept
from engine.messages.repetition import Sent
from engine.store import kept as kept_rows, outbox, sent, sessions
from engine.store.kept import KeptQuery
from engine.testing.clock import ManualClock
from engine.upkeep.housekeeping import PORTION, Housekeeping
from jobs.ledger import Run, RunStatus, Trigger
from jobs.store import runs
from jobs.store.base import RunQuery
from jobs.store.db import Database, Tx

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    store = await Database.memory()
    yield store
    await store.close()


async def clean(database: Database, *, keep: int = 2000, **log: int) -> None:
    settings = Cron.model_validate({"runLog": {"keepLines": keep, **log}})
    await Housekeeping(
        database=database,
        clock=ManualClock(NOON),
        settings=lambda: settings,
        inbox=lambda: 90 * DAY,
    ).clean()


def ran(number: int, at: datetime, *, job: str = "report", kind: str = "cron") -> Run:
    return Run(
        id=f"{job}-{number}",
        job_id=job,
        kind=kind,
        agent_id="main",
        trigger=Trigger.SCHEDULE,
        status=RunStatus.OK,
        slot=at,
        claimed_at=at,
        ended_at=at,
    )


async def kept(database: Database, job: str) -> int:
    return (await database.read(lambda tx: runs.page(tx, RunQuery(job_id=job, limit=1)))).total


async def test_more_old_runs_than_one_portion_go_in_one_round(database: Database) -> None:
    old = [ran(n, NOON - 200 * DAY + n * MINUTE) for n in range(2 * PORTION + 3)]
    await database.write(lambda tx: runs.insert(tx, [*old, ran(-1, NOON - DAY)]))
    await clean(database, keep=10**6)
    assert await kept(database, "report") == 1


async def test_runs_of_jobs_are_kept_as_long_as_the_config_says_and_beats_for_a_quarter(
    database: Database,
) -> None:
    for age in (5, 29, 31, 89, 91):
        made = [
            ran(age, NOON - age * DAY),
            ran(age, NOON - age * DAY, job="heartbeat:main", kind="heartbeat"),
        ]
        await database.write(lambda tx, made=made: runs.insert(tx, made))  # type: ignore[misc]  # bound now
    await clean(database)
    assert (await kept(database, "report"), await kept(database, "heartbeat:main")) == (2, 4)
    await clean(database, keepDays=7)
    assert (await kept(database, "report"), await kept(database, "heartbeat:main")) == (1, 4)


async def test_the_number_of_rows_kept_has_an_older_name(database: Database) -> None:
    made = [ran(n, NOON - DAY + n * MINUTE) for n in range(30)]
    await database.write(lambda tx: runs.insert(tx, made))
    await clean(database, keep=20)
    assert await kept(database, "report") == 20
    await clean(database, keep=20, keepPerJob=10)
    assert await kept(database, "report") == 10


async def test_of_each_cron_job_the_newest_runs_are_kept_and_every_beat(
    database: Database,
) -> None:
    made = [
        ran(n, NOON - DAY + n * MINUTE, job=job, kind=kind)
        for job, kind in (("often", "cron"), ("seldom", "cron"), ("heartbeat:main", "heartbeat"))
        for n in range(30)
        if job != "seldom" or n < 3
    ]
    await database.write(lambda tx: runs.insert(tx, made))
    await clean(database, keep=10)
    assert await kept(database, "often") == 10
    assert await kept(database, "seldom") == 3
    assert await kept(database, "heartbeat:main") == 30
    newest = await database.read(lambda tx: runs.get(tx, "often-29"))
    assert newest is not None


async def test_what_waits_beyond_the_cap_of_an_account_is_cancelled_and_says_why(
    database: Database,
) -> None:
    waiting = [
        Delivery(
            key=f"m{n}",
            route=Route(channel="telegram", account_id="default", to="42"),
            text=f"message {n}",
            kind="message",
            created_at=NOON,
            expires_at=NOON + DAY,
        )
        for n in range(outbox.MOST + 5)
    ]
    await database.write(lambda tx: [outbox.add(tx, one) for one in waiting])
    await clean(database)
    found, total = await database.read(
        lambda tx: outbox.page(tx, states=[State.CANCELLED], limit=10)
    )
    assert total == 5
    assert {one.reason for one in found} == {"overflow"}


async def test_texts_and_keys_of_long_ago_are_forgotten(database: Database) -> None:
    def before(tx: Tx) -> None:
        sent.note(tx, "lane", "old", NOON - 40 * DAY)
        sent.note(tx, "lane", "new", NOON - DAY)
        rows = [(f"k{n}", n) for n in range(sessions.SEEN_MOST + 7)]
        tx.exec_driver_sql("INSERT INTO inbound_seen (key, at) VALUES (?, ?)", rows)

    await database.write(before)
    await clean(database)
    assert await database.read(lambda tx: sent.last(tx, "lane", "old")) is None
    assert await database.read(lambda tx: sent.last(tx, "lane", "new")) == Sent(NOON - DAY, 0)
    count = "SELECT count(*) FROM inbound_seen"
    seen = await database.read(lambda tx: tx.exec_driver_sql(count).scalar_one())
    assert seen == sessions.SEEN_MOST


async def test_words_that_reached_nobody_are_kept_for_a_quarter_and_muted_ones_for_good(
    database: Database,
) -> None:
    def arrange(tx: Tx) -> None:
        for age in (89, 91, 92):
            one = Kept(
                id=f"run:{age}",
                text="x" * age,
                reason="no-route",
                at=NOON - age * DAY,
                kind="heartbeat",
                run_id=str(age),
            )
            kept_rows.keep(tx, one)
        muted = kept_rows.find(tx, "run:92")
        assert muted is not None
        kept_rows.mute(tx, muted.number, NOON)

    await database.write(arrange)
    await clean(database)
    found, _ = await database.read(lambda tx: kept_rows.page(tx, KeptQuery(), NOON))
    assert [one.run_id for one in found] == ["89", "92"]
