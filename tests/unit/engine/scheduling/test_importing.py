"""Jobs from elsewhere at the desk: all or nothing, each judged alone, the same again converges."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.scheduling.importing import Imports
from engine.store import audit
from engine.testing.clock import ManualClock
from jobs.codec import stored_to_wire
from jobs.edit import Rules, create
from jobs.errors import ConfigOwned, InvalidInput
from jobs.exporting.document import document
from jobs.importing import own
from jobs.ledger import Run
from jobs.model import Source, StoredJob
from jobs.schedule import Every
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import JobQuery, RunQuery
from jobs.store.db import Database, Tx

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MS = int(NOON.timestamp() * 1000)


def entry(ident: str = "a", /, **more: Any) -> dict[str, Any]:
    job = {
        "id": ident,
        "name": f"Job {ident}",
        "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "UTC", "staggerMs": 0},
        "payload": {"kind": "agentTurn", "message": "Look"},
    }
    state, runs = more.pop("state", {}), more.pop("runs", [])
    key = more.pop("key", f"import:openclaw:{ident}")
    return {"key": key, "where": ident, "job": job | more, "state": state, "runs": runs}


def run(minutes: int, status: str = "ok") -> dict[str, Any]:
    began = MS - minutes * 60_000
    return {"ts": began + 1000, "runAtMs": began, "status": status, "action": "finished"}


class House:
    """The part of the desk, and what it told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(NOON)
        self.told: list[tuple[str, str]] = []
        self.imports = Imports(
            database=database,
            clock=self.clock,
            rules=lambda now: Rules(now=now, agents=("main",)),
            refuse_owned=self._refuse_owned,
            tell=self._tell,
        )

    def _refuse_owned(self, stored: StoredJob) -> None:
        if stored.job.source is Source.CONFIG:
            raise ConfigOwned("it belongs to the config", file="", line=0, key="")

    def _tell(self, told: Sequence[tuple[StoredJob, str]]) -> None:
        self.told += [(stored.job.id, action) for stored, action in told]

    async def bring(self, *entries: Any, kind: str = "openclaw", **more: Any) -> dict[str, Any]:
        params = {"kind": kind, "entries": list(entries), **more}
        return await self.imports.bring_in(params, by="cli")

    async def job(self, ref: str) -> StoredJob:
        return await self.database.read(lambda tx: job_rows.find(tx, ref))

    async def jobs(self) -> list[StoredJob]:
        query = JobQuery(enabled=None, sort="name")
        page = await self.database.read(lambda tx: job_rows.select(tx, query))
        return list(page.jobs)

    async def runs(self, ref: str) -> tuple[Run, ...]:
        query = RunQuery(job_id=ref, descending=False)
        return (await self.database.read(lambda tx: run_rows.page(tx, query))).entries


@pytest.fixture
async def house() -> AsyncIterator[House]:
    database = await Database.memory()
    yield House(database)
    await database.close()


def acts(answer: dict[str, Any]) -> list[str]:
    return [result["act"] for result in answer["results"]]


# -- what is written -----------------------------------------------------------------------------


async def test_an_entry_becomes_a_job_that_is_due_from_now_on(house: House) -> None:
    answer = await house.bring(entry(createdAtMs=MS - 86_400_000, state={"nextRunAtMs": 5}))
    assert answer["counts"] == {"add": 1, "update": 0, "unchanged": 0, "refused": 0, "runs": 0}
    stored = await house.job("a")
    assert stored.job.source is Source.IMPORT
    assert stored.job.declaration_key == "import:openclaw:a"
    assert stored.job.created_at == NOON - timedelta(days=1)
    assert stored.state.next_run_at == NOON + timedelta(hours=19)
    assert stored.state.schedule_activated_at == NOON  # the audit owes nothing of the past
    assert house.told == [("a", "added")]


async def test_what_it_did_before_is_kept(house: House) -> None:
    state = {"lastRunAtMs": MS - 1000, "lastRunStatus": "error", "consecutiveErrors": 2}
    answer = await house.bring(entry(state=state, runs=[run(5), run(9, "error")]))
    assert answer["results"][0]["runs"] == 2
    stored = await house.job("a")
    assert stored.state.last_status == "error"
    assert stored.state.consecutive_errors == 2
    rows = await house.runs("a")
    assert [row.status.value for row in rows] == ["failed", "ok"]  # in the order of time
    assert all(row.slot is None and row.status.final for row in rows)


async def test_who_imported_is_on_the_record(house: House) -> None:
    await house.bring(entry())
    (line,) = await house.database.read(audit.newest)
    assert (line["actor"], line["action"], line["subject"]) == ("cli", "cron.import", "a")


async def test_importing_again_changes_nothing(house: House) -> None:
    given = [entry(runs=[run(5)]), entry("b", schedule={"kind": "every", "everyMs": 60_000})]
    await house.bring(*given)
    before = await house.jobs()
    await house.clock.advance(timedelta(minutes=7))
    answer = await house.bring(*given)
    assert acts(answer) == ["unchanged", "unchanged"]
    assert answer["counts"]["runs"] == 0
    assert await house.jobs() == before
    assert len(await house.runs("a")) == 1


async def test_a_changed_source_is_an_edit_that_keeps_the_state(house: House) -> None:
    await house.bring(entry(state={"runCount": 7}))
    answer = await house.bring(entry(name="Renamed"), entry("b"))
    assert acts(answer) == ["update", "add"]
    stored = await house.job("a")
    assert stored.job.name == "Renamed"
    assert stored.state.run_count == 7
    assert house.told == [("a", "added"), ("a", "updated"), ("b", "added")]


async def test_a_job_keeps_its_grid_and_its_counters_while_it_runs_here(house: House) -> None:
    await house.bring(entry(schedule={"kind": "every", "everyMs": 60_000}))
    await house.database.write(lambda tx: job_rows.set_state(tx, "a", run_count=3))
    await house.clock.advance(timedelta(seconds=30))
    given = entry(schedule={"kind": "every", "everyMs": 60_000}, state={"runCount": 1})
    await house.bring({**given, "job": {**given["job"], "name": "New"}})
    stored = await house.job("a")
    assert isinstance(stored.job.schedule, Every)
    assert stored.job.schedule.anchor == NOON
    assert stored.state.run_count == 3


async def test_history_that_comes_later_finds_its_job(house: House) -> None:
    await house.bring(entry())
    more = {"key": "import:openclaw:a", "where": "a", "runs": [run(1), run(2)]}
    answer = await house.bring(more)
    assert acts(answer) == ["unchanged"]
    assert answer["counts"]["runs"] == 2
    answer = await house.bring({**more, "key": "import:openclaw:nobody"})
    assert acts(answer) == ["refused"]


async def test_a_run_of_a_time_to_come_is_left_out_until_it_has_been(house: House) -> None:
    told = {"state": {"lastRunAtMs": MS + 60_000}, "createdAtMs": MS + 60_000}
    ahead = entry(runs=[run(1), run(-1)], **told)
    answer = await house.bring(ahead)
    assert answer["counts"]["runs"] == 1
    assert [(one["weight"], one["where"], one["why"]) for one in answer["remarks"]] == [
        ("left-out", "a", "1 of its runs lie in the future")
    ]
    stored = await house.job("a")
    assert (stored.state.last_run_at, stored.job.created_at) == (None, NOON)
    house.clock.move_to(NOON + timedelta(minutes=2))
    answer = await house.bring(ahead)
    assert (answer["counts"]["runs"], answer["remarks"]) == (1, [])


# -- what is not ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ({"schedule": {"kind": "cron", "expr": "61 * * * *"}}, '"61" is out of range'),
        ({"schedule": {"kind": "cron", "expr": "0 0 * * *", "tz": "Mars"}}, "Mars"),
        ({"payload": {"kind": "agentTurn", "message": 7}}, "payload.message"),
        ({"payload": 7}, "payload must be an object"),
        ({"agentId": "ops"}, "unknown agent 'ops'"),
        ({"color": "red"}, "unknown key 'color'"),
        ({"name": "half \ud800"}, "half a character"),
        ({"delivery": {"mode": ["x"]}}, "delivery"),
        ({"schedule": {"kind": "every", "everyMs": 10**30}}, "Invalid --every"),
        ({"sessionTarget": {"a": 1}}, "sessionTarget"),
    ],
)
async def test_a_bad_entry_is_told_and_holds_up_no_other(
    house: House, job: dict[str, Any], why: str
) -> None:
    answer = await house.bring(entry("bad", **job), entry("good"))
    assert acts(answer) == ["refused", "add"]
    assert why in answer["results"][0]["why"]
    assert [stored.job.id for stored in await house.jobs()] == ["good"]


async def test_a_pause_whose_end_is_no_instant_holds_up_no_other_job(house: House) -> None:
    bad = entry("bad", state={"paused": {"by": "ana", "untilMs": "soon"}})
    assert acts(await house.bring(entry("good"), bad)) == ["add", "add"]
    assert (await house.job("bad")).state.paused == {"by": "ana"}
    assert (await house.job("good")).state.paused is None


async def test_a_dry_run_says_all_of_it_and_writes_nothing(house: House) -> None:
    answer = await house.bring(entry(runs=[run(1)]), entry("bad", payload=None), dryRun=True)
    assert answer["dryRun"] is True
    assert acts(answer) == ["add", "refused"]
    assert answer["results"][0]["nextRunAtMs"] == MS + 19 * 3_600_000
    assert answer["counts"]["runs"] == 1
    assert await house.jobs() == []
    assert house.told == []


async def test_a_job_of_somebody_else_is_not_overwritten(house: House) -> None:
    other = create({**entry()["job"], "name": "Mine"}, Rules(now=NOON))

    def put(tx: Tx) -> None:
        job_rows.insert(tx, other, next_run_at=None, now=NOON)

    await house.database.write(put)
    answer = await house.bring(entry())
    assert acts(answer) == ["refused"]
    assert "another job has that id or key: Mine" in answer["results"][0]["why"]
    assert (await house.job("a")).job.name == "Mine"


async def test_one_id_twice_in_one_import_is_told(house: House) -> None:
    answer = await house.bring(entry(), entry("a", key="import:openclaw:other"))
    assert acts(answer) == ["add", "refused"]
    assert answer["results"][1]["why"].endswith("it came twice")


@pytest.mark.parametrize("key", ["config:brief", "mine", "import:nanobot:a"])
async def test_a_key_of_another_source_is_refused(house: House, key: str) -> None:
    answer = await house.bring(entry(key=key))
    assert acts(answer) == ["refused"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"kind": "a b", "entries": []},
        {"kind": "openclaw"},
        {"kind": "openclaw", "entries": [7]},
        {"kind": "openclaw", "entries": [{"key": "import:openclaw:a", "job": []}]},
        {"kind": "openclaw", "entries": [{"job": {}}]},
    ],
)
async def test_a_call_that_is_none_is_refused_whole(house: House, params: Any) -> None:
    with pytest.raises(InvalidInput, match=r"invalid cron\.import params"):
        await house.imports.bring_in(params, by="cli")


# -- our own export ------------------------------------------------------------------------------


async def test_an_export_brings_everything_back(house: House) -> None:
    given = [entry(state={"runCount": 2, "okCount": 2}), entry("b", enabled=False)]
    await house.bring(*given)
    before = await house.jobs()
    exported = document(stored_to_wire(stored) for stored in before)
    elsewhere = House(await Database.memory())
    report = own.read(exported)
    answer = await elsewhere.bring(*(one.to_json() for one in report.entries), kind="engine")
    assert acts(answer) == ["add", "add"]
    after = await elsewhere.jobs()
    assert [stored.job for stored in after] == [stored.job for stored in before]
    assert [stored.revision for stored in after] == [stored.revision for stored in before]
    assert [stored.state for stored in after] == [stored.state for stored in before]
    again = await elsewhere.bring(*(one.to_json() for one in report.entries), kind="engine")
    assert acts(again) == ["unchanged", "unchanged"]
    await elsewhere.database.close()


async def test_a_job_made_by_hand_comes_back_as_one(house: House) -> None:
    given = entry(source="runtime", declarationKey="mine", key="mine")
    await house.bring(given, kind="engine")
    stored = await house.job("a")
    assert stored.job.source is Source.RUNTIME
    assert stored.job.declaration_key == "mine"
