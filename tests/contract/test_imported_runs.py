"""Runs that happened elsewhere, on every store: written once, and no slot is taken by them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from jobs.importing import past
from jobs.ledger import Run, RunStatus, Trigger
from jobs.store import imported, runs
from jobs.store.base import RunQuery
from jobs.store.db import Database, Tx

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=7)
MS = int(NOON.timestamp() * 1000)


def row(minutes: int) -> Run:
    entry = {"status": "ok", "ts": MS + minutes * 60_000, "summary": "x"}
    made = past.run_of(entry, job_id="a", job_name="A", agent_id=None, source="openclaw", now=LATER)
    assert made is not None
    return made


async def told(store: Database) -> list[datetime | None]:
    query = RunQuery(job_id="a", limit=2000, descending=False)
    page = await store.read(lambda tx: runs.page(tx, query))
    return [run.ended_at for run in page.entries]


async def test_rows_are_written_once_in_the_order_of_time(store: Database) -> None:
    rows = [row(n) for n in (3, 1, 2, 1)]

    def bring(tx: Tx) -> int:
        new = imported.missing(tx, rows)
        imported.insert(tx, new)
        return len(new)

    assert await store.write(bring) == 3
    assert await store.write(bring) == 0
    assert await told(store) == [NOON + timedelta(minutes=n) for n in (1, 2, 3)]


async def test_history_that_is_brought_is_older_than_what_happened_here(store: Database) -> None:
    here = replace(row(0), id="f" * 24)
    await store.write(lambda tx: runs.insert(tx, [here]))
    for part in ([row(30), row(50)], [row(40), row(20)]):  # of one import, or of two
        await store.write(lambda tx, part=part: imported.insert(tx, part))  # type: ignore[misc]  # bound now
    page = await store.read(lambda tx: runs.page(tx, RunQuery(kind="cron")))
    assert [run.id for run in page.entries] == [here.id, *(row(n).id for n in (50, 40, 30, 20))]
    later = replace(here, id="f" * 23 + "e")
    await store.write(lambda tx: runs.insert(tx, [later]))
    assert (await store.read(lambda tx: runs.newest(tx, "cron", 1)))[0].id == later.id


async def test_more_rows_than_a_statement_takes_are_all_found_again(store: Database) -> None:
    rows = [row(n) for n in range(1203)]
    await store.write(lambda tx: imported.insert(tx, imported.missing(tx, rows)))
    assert await store.read(lambda tx: imported.missing(tx, [*rows, row(5000)])) == [row(5000)]


async def test_the_slot_of_the_same_instant_is_still_free(store: Database) -> None:
    await store.write(lambda tx: imported.insert(tx, [row(0), row(1)]))
    slot = replace(row(0), id="b", slot=NOON, trigger=Trigger.SCHEDULE, status=RunStatus.CLAIMED)
    await store.write(lambda tx: runs.insert(tx, [slot]))
    assert len(await told(store)) == 3
