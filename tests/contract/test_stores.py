"""What jobs and the ledger promise, on every store (design.md, promises P1, P2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from jobs import codec
from jobs.errors import Conflict, InvalidJob, JobNotFound, StoreUnavailable
from jobs.ids import first_id
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Spent, Trigger, Usage
from jobs.model import AgentTurn, HeartbeatBeat, Job, StoredJob
from jobs.schedule import Every
from jobs.store import jobs, runs
from jobs.store.base import Claim, Finish, JobPage, JobQuery, RunPage, RunQuery
from jobs.store.db import Database, Tx
from jobs.store.spendings import Spendings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = Every(period=HOUR)


def job(ref: str = "brief", **more: Any) -> Job:
    return Job(
        id=ref,
        name=more.pop("name", ref),
        schedule=more.pop("schedule", HOURLY),
        payload=more.pop("payload", AgentTurn(message="good morning")),
        **more,
    )


def beat(agent: str) -> Job:
    return job(f"heartbeat:{agent}", payload=HeartbeatBeat(), agent_id=agent)


def run(ref: str = "r1", job_id: str = "brief", **more: Any) -> Run:
    return Run(
        id=ref,
        job_id=job_id,
        kind=more.pop("kind", "cron"),
        agent_id=more.pop("agent_id", "main"),
        trigger=more.pop("trigger", Trigger.SCHEDULE),
        status=more.pop("status", RunStatus.CLAIMED),
        claimed_at=more.pop("claimed_at", NOON),
        boot_id=more.pop("boot_id", "this"),
        **more,
    )


def step(ref: str = "r1", job_id: str = "brief", *, at: datetime = NOON) -> Claim:
    return Claim(job_id, at, at + HOUR, (run(ref, job_id, slot=at),))


def ended(ref: str = "r1", job_id: str = "brief", **more: Any) -> Finish:
    values = {"status": RunStatus.OK, "started_at": NOON, "ended_at": NOON + timedelta(seconds=3)}
    counts = more.pop("counts", True)
    columns = more.pop("job_columns", {})
    return Finish(run=run(ref, job_id, **(values | more)), counts=counts, job_columns=columns)


async def put(store: Database, *those: Job, at: datetime | None = NOON) -> None:
    def work(tx: Tx) -> None:
        for one in those:
            jobs.insert(tx, one, next_run_at=at, now=NOON)

    await store.write(work)


async def claim(store: Database, *claims: Claim) -> set[str]:
    return set(await store.write(lambda tx: runs.claim(tx, claims)))


async def begin(store: Database, at: datetime, ref: str = "r1") -> None:
    await store.write(lambda tx: runs.start(tx, run(ref, started_at=at)))


async def finish(store: Database, *ends: Finish) -> set[str]:
    return await store.write(lambda tx: runs.finish(tx, ends))


async def due(store: Database, at: datetime = NOON, limit: int = 1000) -> list[str]:
    return [row.id for row in await store.read(lambda tx: jobs.due(tx, at, limit))]


async def stored(store: Database, ref: str = "brief") -> StoredJob:
    found = await store.read(lambda tx: jobs.get(tx, ref))
    assert found is not None
    return found


async def state(store: Database, ref: str = "brief") -> Any:
    return (await stored(store, ref)).state


async def row(store: Database, ref: str = "r1") -> Run:
    found = await store.read(lambda tx: runs.get(tx, ref))
    assert found is not None
    return found


async def page(store: Database, **query: Any) -> RunPage:
    return await store.read(lambda tx: runs.page(tx, RunQuery(**query)))


def ids(those: Sequence[Run]) -> list[str]:
    return [one.id for one in those]


async def test_the_number_of_changes_grows_before_anybody_is_told_of_a_commit(
    store: Database,
) -> None:
    """Answers that are kept hang on it (design.md §6); of a shared server nobody knows."""
    before = store.changes
    await put(store, job())
    await store.read(lambda tx: jobs.get(tx, "brief"))
    after = store.changes
    assert (before is None) == (after is None) == (store.changes is None)
    if before is not None and after is not None:
        assert after > before
        assert store.changes == after


# -- jobs ----------------------------------------------------------------------------------


async def test_a_job_comes_back_as_it_was_put(store: Database) -> None:
    wanted = job(agent_id="main", description="why", created_at=NOON, updated_at=NOON)
    await put(store, wanted)
    found = await stored(store)
    assert replace(found.job, updated_at=NOON) == wanted
    assert found.state.next_run_at == NOON


async def test_a_job_that_does_not_exist_is_none(store: Database) -> None:
    assert await store.read(lambda tx: jobs.get(tx, "nobody")) is None


async def test_the_same_id_twice_is_refused_and_changes_nothing(store: Database) -> None:
    await put(store, job(name="first"))
    with pytest.raises(Conflict):
        await put(store, job(name="second"))
    assert (await stored(store)).job.name == "first"


async def test_a_declaration_key_belongs_to_one_job(store: Database) -> None:
    await put(store, job("a", declaration_key="k"))
    with pytest.raises(Conflict):
        await put(store, job("b", declaration_key="k"))


@pytest.mark.parametrize("ref", ["cfg:brief", "brief", "The brief", "key-1"])
async def test_a_job_is_found_by_id_config_key_name_and_declaration(
    store: Database, ref: str
) -> None:
    await put(store, job("cfg:brief", name="The brief", declaration_key="key-1"))
    found = await store.read(lambda tx: jobs.find(tx, ref))
    assert found.job.id == "cfg:brief"


async def test_a_name_of_several_jobs_is_refused(store: Database) -> None:
    await put(store, job("a", name="same"), job("b", name="same"))
    with pytest.raises(Conflict):
        await store.read(lambda tx: jobs.find(tx, "same"))


async def test_nothing_of_that_name_is_not_found(store: Database) -> None:
    with pytest.raises(JobNotFound):
        await store.read(lambda tx: jobs.find(tx, "nobody"))


async def test_an_update_keeps_the_state(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    await finish(store, ended())
    after = await store.write(
        lambda tx: jobs.update(tx, job(name="new"), next_run_at=NOON + 2 * HOUR, now=NOON + HOUR)
    )
    assert (after.job.name, after.state.run_count) == ("new", 1)
    assert (after.state.next_run_at, after.job.updated_at) == (NOON + 2 * HOUR, NOON + HOUR)


async def test_an_update_of_what_changed_meanwhile_is_refused(store: Database) -> None:
    await put(store, job())
    read = (await stored(store)).revision

    def change(name: str) -> Any:
        return lambda tx: jobs.update(
            tx, job(name=name), next_run_at=NOON, now=NOON, expected_revision=read
        )

    await store.write(change("mine"))
    with pytest.raises(Conflict):
        await store.write(change("theirs"))
    assert (await stored(store)).job.name == "mine"


async def test_an_update_of_nothing_is_not_found(store: Database) -> None:
    with pytest.raises(JobNotFound):
        await store.write(lambda tx: jobs.update(tx, job(), next_run_at=None, now=NOON))


async def test_a_deleted_job_leaves_its_runs(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    assert await store.write(lambda tx: jobs.delete(tx, "brief"))
    assert not await store.write(lambda tx: jobs.delete(tx, "brief"))
    assert (await row(store)).job_id == "brief"


async def test_switching_a_job_off_by_its_state_is_seen_by_readers(store: Database) -> None:
    await put(store, job())
    await store.write(
        lambda tx: jobs.set_state(tx, "brief", enabled=False, auto_disabled="schedule-errors")
    )
    found = await stored(store)
    assert (found.job.enabled, found.state.auto_disabled) == (False, "schedule-errors")
    assert await due(store) == []


async def test_a_job_switched_off_for_good_has_no_next_run_and_a_new_revision(
    store: Database,
) -> None:
    await put(store, job())
    before = (await stored(store)).revision
    await store.write(lambda tx: jobs.switch_off(tx, "brief", NOON))
    await store.write(lambda tx: jobs.switch_off(tx, "nobody", NOON))
    found = await stored(store)
    assert (found.job.enabled, found.state.next_run_at) == (False, None)
    assert found.revision != before


async def test_what_is_no_state_cannot_be_set_as_state(store: Database) -> None:
    await put(store, job())
    with pytest.raises(AssertionError):
        await store.write(lambda tx: jobs.set_state(tx, "brief", definition="{}"))


async def test_state_comes_back_as_it_was_set(store: Database) -> None:
    await put(store, job())
    pause = {"by": "ada", "note": "holiday", "until": None}
    await store.write(
        lambda tx: jobs.set_state(
            tx, "brief", paused=pause, orphaned_at=NOON, last_reason=SkipReason.PAUSED
        )
    )
    found = await state(store)
    assert (found.paused, found.orphaned_at) == (pause, NOON)
    assert found.last_reason is SkipReason.PAUSED


async def listed(store: Database, **query: Any) -> JobPage:
    return await store.read(lambda tx: jobs.select(tx, JobQuery(**query)))


async def select(store: Database, **query: Any) -> list[str]:
    return [one.job.id for one in (await listed(store, **query)).jobs]


async def test_a_list_shows_enabled_cron_jobs_by_their_next_run(store: Database) -> None:
    await put(store, job("late"), at=NOON + HOUR)
    await put(store, job("never"), at=None)
    await put(store, job("soon"), beat("main"), job("off", enabled=False))
    assert await select(store) == ["soon", "late", "never"]
    assert await select(store, enabled=None, kinds=("cron", "heartbeat")) == [
        "soon",
        "heartbeat:main",
        "off",
        "late",
        "never",
    ]


async def test_a_list_is_searched_as_text_not_as_a_pattern(store: Database) -> None:
    await put(store, job("a", name="50% off"), job("b", name="500 off"), job("c", name="under_s"))
    assert await select(store, text="50% O") == ["a"]
    assert await select(store, text="_") == ["c"]


async def test_pages_of_a_list_meet_without_a_gap(store: Database) -> None:
    await put(store, *(job(f"j{n}") for n in range(5)))
    pages = [await select(store, limit=2, offset=offset) for offset in (0, 2, 4)]
    assert pages == [["j0", "j1"], ["j2", "j3"], ["j4"]]


async def test_every_page_tells_how_many_jobs_there_are_and_bears_the_same_mark(
    store: Database,
) -> None:
    await put(store, *(job(f"j{n}") for n in range(5)), job("off", enabled=False))
    pages = [await listed(store, limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert {found.total for found in pages} == {5}
    assert len({found.snapshot for found in pages}) == 1
    assert await store.read(lambda tx: jobs.count(tx, JobQuery(enabled=None))) == 6


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        (lambda tx: jobs.update(tx, job("a", name="new"), next_run_at=NOON, now=NOON), True),
        (lambda tx: jobs.insert(tx, job("c"), next_run_at=NOON, now=NOON), True),
        (lambda tx: jobs.delete(tx, "b"), True),
        (lambda tx: jobs.set_state(tx, "a", enabled=False), True),  # it is listed no more
        (lambda tx: jobs.insert(tx, job("c", enabled=False), next_run_at=None, now=NOON), False),
        (lambda tx: jobs.set_state(tx, "a", next_run_at=NOON + HOUR, run_count=3), False),
    ],
    ids=["edited", "added", "removed", "switched off", "another list", "a run"],
)
async def test_the_mark_of_a_page_changes_with_the_jobs_it_covers_and_with_no_run(
    store: Database, change: Any, changes: bool
) -> None:
    await put(store, job("a"), job("b"))
    before = (await listed(store, limit=1)).snapshot
    await store.write(change)
    assert ((await listed(store, limit=1)).snapshot != before) is changes


async def test_the_mark_of_an_empty_page_is_one_too(store: Database) -> None:
    assert (await listed(store, limit=1)).snapshot != ""


SPOILT = {
    "cut": ("definition", "{"),
    "nothing": ("definition", "null"),
    "list": ("definition", "[]"),
    "word": ("definition", '"job"'),
    "deep": ("definition", "[" * 100_000),
    "reason": ("last_reason", "of-a-newer-version"),
    "pause": ("paused", "{"),
}


@pytest.mark.parametrize(("column", "words"), SPOILT.values(), ids=SPOILT)
async def test_a_row_that_cannot_be_read_harms_no_other(
    store: Database, column: str, words: str
) -> None:
    await put(store, job("bad"), job("good"))
    spoil = sa.text(f"UPDATE jobs SET {column} = :words WHERE id = 'bad'")  # noqa: S608
    await store.write(lambda tx: tx.execute(spoil, {"words": words}))
    found = await store.read(lambda tx: jobs.select(tx, JobQuery()))
    assert [one.job.id for one in found.jobs] == ["good"]
    assert found.unreadable == ("bad",)
    with pytest.raises(InvalidJob):
        await store.read(lambda tx: jobs.get(tx, "bad"))


async def test_a_quarantined_job_is_kept_and_never_due(store: Database) -> None:
    await put(store, job("bad"), job("good"))
    await store.write(lambda tx: jobs.quarantine(tx, "bad", "no schedule"))
    assert await due(store) == ["good"]
    assert await store.read(jobs.quarantined) == [("bad", "no schedule")]


# -- due -----------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["next_run_at", "retry_at"])
async def test_a_state_that_cannot_be_read_spoils_no_other_due_job(
    store: Database, column: str
) -> None:
    await put(store, job("bad"), job("good"))
    spoil = sa.text(f"UPDATE jobs SET {column} = -300000000000000 WHERE id = 'bad'")  # noqa: S608
    await store.write(lambda tx: tx.execute(spoil))
    found = {row.id: row.fault for row in await store.read(lambda tx: jobs.due(tx, NOON))}
    assert found["good"] == ""
    assert found["bad"].startswith("its state cannot be read: ")


async def test_due_is_what_has_come_earliest_first_then_by_creation(store: Database) -> None:
    await put(store, job("z"), job("a"))
    await put(store, job("early"), at=NOON - HOUR)
    await put(store, job("later"), at=NOON + timedelta(milliseconds=1))
    await put(store, job("never"), at=None)
    await put(store, job("off", enabled=False))
    assert await due(store) == ["early", "z", "a"]
    assert await due(store, limit=1) == ["early"]


async def test_a_paused_job_is_not_due_and_is_due_again_afterwards(store: Database) -> None:
    await put(store, job())
    await store.write(lambda tx: jobs.set_state(tx, "brief", paused={"by": "ada"}))
    assert await due(store) == []
    assert await store.read(jobs.next_due) is None
    await store.write(lambda tx: jobs.set_state(tx, "brief", paused=None))
    assert await due(store) == ["brief"]


async def test_the_next_due_instant_is_the_earliest_of_the_waiting(store: Database) -> None:
    assert await store.read(jobs.next_due) is None
    await put(store, job("a"), at=NOON + HOUR)
    await put(store, job("b"), at=NOON + 2 * HOUR)
    await put(store, job("off", enabled=False), at=NOON)
    assert await store.read(jobs.next_due) == NOON + HOUR


async def test_the_next_run_is_no_heartbeats(store: Database) -> None:
    await put(store, beat("main"), at=NOON)
    assert await store.read(jobs.next_run) is None
    await put(store, job("a"), at=NOON + HOUR)
    assert await store.read(jobs.next_due) == NOON
    assert await store.read(jobs.next_run) == NOON + HOUR


# -- claims (P1) ---------------------------------------------------------------------------


async def test_a_claim_advances_the_job_and_writes_the_row(store: Database) -> None:
    await put(store, job())
    assert await claim(store, step()) == {"brief"}
    assert (await state(store)).next_run_at == NOON + HOUR
    assert (await row(store)).status is RunStatus.CLAIMED
    assert (await row(store)).slot == NOON


async def test_a_run_may_be_claimed_and_running_at_once(store: Database) -> None:
    await put(store, job())
    running = run(slot=NOON, status=RunStatus.RUNNING, started_at=NOON)
    await claim(store, Claim("brief", NOON, None, (running,)))
    assert (await row(store)).started_at == NOON


async def test_a_claim_may_be_the_last_of_its_job(store: Database) -> None:
    await put(store, job())
    skipped = run(slot=NOON, status=RunStatus.SKIPPED, reason=SkipReason.DISABLED, ended_at=NOON)
    assert await claim(store, Claim("brief", NOON, None, (skipped,), switch_off=True))
    found = await store.read(lambda tx: jobs.get(tx, "brief"))
    assert found is not None
    assert (found.job.enabled, found.state.next_run_at) == (False, None)
    assert found.revision == codec.revision(found.job)


async def test_a_run_that_never_began_leaves_it_alone_that_another_goes_on(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    await begin(store, NOON)
    await store.write(lambda tx: runs.insert(tx, [run("r2")]))
    await finish(store, ended("r2", status=RunStatus.SKIPPED, started_at=None, counts=False))
    assert (await state(store)).running_since == NOON
    await store.write(lambda tx: runs.insert(tx, [run("r3")]))
    await begin(store, NOON + HOUR, "r3")
    await finish(store, ended("r3"))
    await store.write(lambda tx: runs.note_running(tx, "brief"))
    assert (await state(store)).running_since == NOON
    await finish(store, ended("r1"))
    await store.write(lambda tx: runs.note_running(tx, "brief"))
    assert (await state(store)).running_since is None


async def test_a_retry_names_the_run_it_all_began_with(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    for ref, before in (("r2", "r1"), ("r3", "r2")):
        await finish(store, ended(before, status=RunStatus.FAILED))
        again = run(ref, trigger=Trigger.RETRY)
        await put_off(store)
        await claim(store, Claim("brief", NOON, None, (again,)))
    assert [(await row(store, ref)).retry_of for ref in ("r1", "r2", "r3")] == [None, "r1", "r1"]


async def put_off(store: Database) -> None:
    await store.write(lambda tx: jobs.set_state(tx, "brief", next_run_at=NOON))


async def test_a_slot_is_claimed_once(store: Database) -> None:
    await put(store, job())
    assert await claim(store, step("r1")) == {"brief"}
    assert await claim(store, step("r2")) == set()
    assert ids((await page(store)).entries) == ["r1"]


async def test_a_race_has_one_winner(store: Database) -> None:
    await put(store, job())
    grants = await asyncio.gather(*(claim(store, step(f"r{n}")) for n in range(8)))
    assert sum(map(len, grants)) == 1
    assert (await page(store)).total == 1


async def test_a_lost_claim_harms_no_other_in_its_batch(store: Database) -> None:
    await put(store, *(job(f"j{n}") for n in range(4)))
    await claim(store, step("first", "j2"))
    granted = await claim(store, *(step(f"r{n}", f"j{n}") for n in range(4)))
    assert granted == {"j0", "j1", "j3"}
    assert (await page(store)).total == 4


async def test_a_slot_with_a_row_is_passed_and_never_run_again(store: Database) -> None:
    """The wall clock went back, or a schedule was edited: the slot comes a second time."""
    await put(store, job(), job("other"))
    await claim(store, step("r1"))
    await store.write(lambda tx: jobs.set_state(tx, "brief", next_run_at=NOON))
    assert await claim(store, step("again"), step("o", "other")) == {"other"}
    assert (await state(store)).next_run_at == NOON + HOUR
    assert ids((await page(store)).entries) == ["o", "r1"]


async def test_a_disabled_or_paused_job_is_not_granted(store: Database) -> None:
    await put(store, job("off"), job("held"))
    await store.write(lambda tx: jobs.set_state(tx, "off", enabled=False))
    await store.write(lambda tx: jobs.set_state(tx, "held", paused={"by": "ada"}))
    assert await claim(store, step("a", "off"), step("b", "held")) == set()


async def test_slots_passed_over_are_rows_and_are_counted(store: Database) -> None:
    await put(store, job())
    missed = run(
        "m",
        slot=NOON - 3 * HOUR,
        slot_to=NOON - 2 * HOUR,
        count=2,
        status=RunStatus.MISSED,
        reason=SkipReason.MISSED_DOWNTIME,
    )
    skipped = run("s", slot=NOON - HOUR, status=RunStatus.SKIPPED, reason=SkipReason.SUPERSEDED)
    await claim(store, Claim("brief", NOON, NOON + HOUR, (run(slot=NOON), missed, skipped)))
    found = await state(store)
    assert (found.missed_count, found.skip_count, found.run_count) == (2, 1, 0)
    assert (await row(store, "m")).count == 2


async def test_a_thousand_are_claimed_and_finished_at_once(store: Database) -> None:
    many = [f"j{n:04d}" for n in range(1000)]
    await put(store, *(job(ref) for ref in many))
    assert len(await claim(store, *(step(f"r{ref}", ref) for ref in many))) == 1000
    assert len(await finish(store, *(ended(f"r{ref}", ref) for ref in many))) == 1000
    assert await due(store) == []
    assert (await page(store, statuses=("ok",))).total == 1000


async def test_one_lost_claim_among_thousands_is_the_only_one_not_granted(store: Database) -> None:
    many = [f"j{n:04d}" for n in range(2100)]
    await put(store, *(job(ref) for ref in many))
    await claim(store, step("first", "j1500"))
    granted = await claim(store, *(step(f"r{ref}", ref) for ref in many))
    assert granted == {*many} - {"j1500"}
    assert (await page(store)).total == 2100
    twice = [ended(f"r{ref}", ref) for ref in many if ref in granted] + [ended("rj0000", "j0000")]
    assert len(await finish(store, *twice)) == 2099
    assert {(await state(store, ref)).run_count for ref in ("j0000", "j0001", "j2099")} == {1}
    assert (await state(store, "j1500")).run_count == 0


async def test_two_ends_of_one_job_in_one_batch_count_twice(store: Database) -> None:
    await put(store, job(), job("other"))
    rows = [run(f"r{n}", slot=NOON + n * HOUR) for n in range(2)]
    await store.write(lambda tx: runs.insert(tx, [*rows, run("o", "other")]))
    await finish(store, ended("r0"), ended("r1", status=RunStatus.FAILED), ended("o", "other"))
    found = await state(store)
    assert (found.run_count, found.ok_count, found.error_count) == (2, 1, 1)


async def test_what_is_due_is_read_on_behind_what_was_read(store: Database) -> None:
    await put(store, *(job(f"j{n}") for n in range(5)))
    await put(store, job("early"), at=NOON - HOUR)
    first = await store.read(lambda tx: jobs.due(tx, NOON, 3))
    rest = await store.read(lambda tx: jobs.due(tx, NOON, behind=first[-1]))
    assert [one.id for one in first] == ["early", "j0", "j1"]
    assert [one.id for one in rest] == ["j2", "j3", "j4"]


async def test_a_row_without_a_slot_may_stand_beside_any_other(store: Database) -> None:
    manual = [run(f"m{n}", trigger=Trigger.MANUAL) for n in range(2)]
    await store.write(lambda tx: runs.insert(tx, manual))
    assert (await page(store)).total == 2


@pytest.mark.parametrize("second", [run("r1"), run("r2", slot=NOON)])
async def test_the_database_itself_refuses_a_second_row_of_an_id_or_a_slot(
    store: Database, second: Run
) -> None:
    await store.write(lambda tx: runs.insert(tx, [run("r1", slot=NOON)]))
    with pytest.raises(Conflict):
        await store.write(lambda tx: runs.insert(tx, [second]))
    assert (await page(store)).total == 1


# -- ends ----------------------------------------------------------------------------------


async def test_a_run_comes_back_as_it_ended(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    whole = replace(
        run(slot=NOON),
        status=RunStatus.FAILED,
        reason=SkipReason.AGENT_RUNNER_FAILURE,
        because="the model said no",
        outcome=Outcome.FAILED,
        session_key="agent:main:main",
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=3),
        deferrals=2,
        wake={"source": "cron", "eventIds": ["e"]},
        facts={"busy": False, "quiet": {"opens": "09:00"}},
        target={"to": "42"},
        reply={"rawText": "世界 😀"},
        usage=Usage(input_tokens=5, output_tokens=7, cost_usd=0.25),
        model="m",
        provider="p",
        error={"class": "auth", "message": "401"},
        delivery_key="brief:r1:0",
        next_due_at=NOON + HOUR,
    )
    await finish(store, Finish(run=whole))
    assert await row(store) == whole


async def test_a_start_is_on_the_row_and_on_the_job(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    await begin(store, NOON + timedelta(seconds=1))
    assert (await row(store)).status is RunStatus.RUNNING
    assert (await state(store)).running_since == NOON + timedelta(seconds=1)
    await finish(store, ended())
    assert (await state(store)).running_since is None


@pytest.mark.parametrize(
    ("ends", "word", "errors", "skips", "counts"),
    [
        (["ok"], "ok", 0, 0, (1, 1, 0, 0)),
        (["failed", "failed"], "error", 2, 0, (2, 0, 2, 0)),
        (["failed", "ok"], "ok", 0, 0, (2, 1, 1, 0)),
        (["failed", "skipped", "skipped"], "skipped", 0, 2, (3, 0, 1, 2)),
        (["skipped", "failed"], "error", 1, 0, (2, 0, 1, 1)),
    ],
)
async def test_an_end_moves_the_counters_of_its_job(
    store: Database,
    ends: list[str],
    word: str,
    errors: int,
    skips: int,
    counts: tuple[int, int, int, int],
) -> None:
    await put(store, job())
    for number, status in enumerate(ends):
        await store.write(partial(runs.insert, rows=[run(f"r{number}")]))
        await finish(store, ended(f"r{number}", status=RunStatus(status)))
    s = await state(store)
    assert (s.last_status, s.consecutive_errors, s.consecutive_skipped) == (word, errors, skips)
    assert (s.run_count, s.ok_count, s.error_count, s.skip_count) == counts


async def test_the_last_run_is_told_by_its_job(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    await finish(
        store, ended(status=RunStatus.FAILED, error={"class": "timeout", "message": "too slow"})
    )
    s = await state(store)
    assert (s.last_run_at, s.last_error) == (NOON, "too slow")
    assert s.last_duration == timedelta(seconds=3)
    assert (await stored(store)).job.updated_at == NOON + timedelta(seconds=3)


async def test_a_run_ends_once_and_is_counted_once(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    assert await finish(store, ended()) == {"r1"}
    assert await finish(store, ended(status=RunStatus.FAILED)) == set()
    assert (await row(store)).status is RunStatus.OK
    assert (await state(store)).run_count == 1


async def test_ends_written_together_are_told_apart(store: Database) -> None:
    await put(store, job("a"), job("b"))
    await claim(store, step("ra", "a"), step("rb", "b"))
    await finish(store, ended("ra", "a"))
    assert await finish(store, ended("ra", "a"), ended("rb", "b")) == {"rb"}


async def test_an_end_that_does_not_count_leaves_the_counters(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    await begin(store, NOON)
    await finish(store, ended(counts=False))
    s = await state(store)
    assert (s.run_count, s.last_status, s.running_since) == (0, None, None)


async def test_an_end_may_change_its_job_beside_the_counters(store: Database) -> None:
    await put(store, job("a"), job("b"))
    await claim(store, step("ra", "a"), step("rb", "b"))
    off = {"enabled": False, "next_run_at": None}
    await finish(
        store,
        ended("ra", "a", job_columns=off),
        ended("rb", "b", job_columns={"retry_at": NOON + HOUR}),
    )
    assert not (await stored(store, "a")).job.enabled
    assert (await state(store, "b")).retry_at == NOON + HOUR


async def test_a_run_of_a_deleted_job_still_ends(store: Database) -> None:
    await store.write(lambda tx: runs.insert(tx, [run()]))
    assert await finish(store, ended()) == {"r1"}


async def test_a_change_of_a_row_leaves_its_job_alone(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    await store.write(
        lambda tx: runs.change(tx, run(slot=NOON, status=RunStatus.DEFERRED, deferrals=1))
    )
    assert ((await row(store)).status, (await row(store)).deferrals) == (RunStatus.DEFERRED, 1)
    assert (await state(store)).run_count == 0


# -- reading the ledger --------------------------------------------------------------------


async def test_pages_are_newest_first_and_know_how_many_there_are(store: Database) -> None:
    await store.write(lambda tx: runs.insert(tx, [run(f"r{n}") for n in range(5)]))
    first = await page(store, limit=2)
    assert (ids(first.entries), first.total) == (["r4", "r3"], 5)
    assert ids((await page(store, limit=2, offset=4)).entries) == ["r0"]
    assert ids((await page(store, descending=False, limit=1)).entries) == ["r0"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"job_id": "a"}, ["skip", "ok"]),
        ({"run_id": "ok"}, ["ok"]),
        ({"kind": "heartbeat"}, ["beat"]),
        ({"agent_id": "second"}, ["beat"]),
        ({"statuses": ("ok", "failed")}, ["beat", "ok"]),
        ({"reasons": ("quiet-hours",)}, ["skip"]),
        ({"since": NOON + HOUR}, ["beat"]),
        ({"until": NOON + HOUR}, ["skip", "ok"]),
        ({"text": "BERLIN"}, ["ok"]),
        ({"text": "100%"}, []),
    ],
)
async def test_a_page_shows_what_was_asked_for(
    store: Database, query: dict[str, Any], found: list[str]
) -> None:
    rows = [
        run("ok", "a", status=RunStatus.OK, reply={"preview": "rain in Berlin"}),
        run("skip", "a", status=RunStatus.SKIPPED, reason=SkipReason.QUIET_HOURS, because="1000"),
        run(
            "beat",
            "heartbeat:second",
            kind="heartbeat",
            agent_id="second",
            status=RunStatus.FAILED,
            claimed_at=NOON + HOUR,
        ),
    ]
    await store.write(lambda tx: runs.insert(tx, rows))
    assert ids((await page(store, **query)).entries) == found


async def test_the_last_beat_of_every_agent_is_its_newest_final_one(store: Database) -> None:
    def one(ref: str, agent: str, **more: Any) -> Run:
        values = {"kind": "heartbeat", "agent_id": agent, "status": RunStatus.OK}
        return run(ref, f"heartbeat:{agent}", **(values | more))

    rows = [
        one("a1", "a"),
        one("b1", "b"),
        one("a2", "a", status=RunStatus.SKIPPED),
        one("a3", "a", status=RunStatus.RUNNING),
        one("c1", "c", status=RunStatus.CLAIMED),
        run("cron", status=RunStatus.OK, agent_id="d"),
    ]
    assert await store.read(runs.last_beats) == []
    await store.write(lambda tx: runs.insert(tx, rows))
    assert ids(await store.read(runs.last_beats)) == ["a2", "b1"]


async def test_the_starts_of_an_agents_beats_are_known(store: Database) -> None:
    rows = [
        run(f"b{n}", kind="heartbeat", started_at=NOON + timedelta(seconds=n)) for n in range(3)
    ]
    await store.write(lambda tx: runs.insert(tx, [*rows, run("no", kind="heartbeat")]))
    since = NOON + timedelta(seconds=1)
    found = await store.read(lambda tx: runs.starts_since(tx, "main", since))
    assert [ref for ref, _ in found] == ["b1", "b2"]


async def test_open_rows_of_another_process_are_interrupted(store: Database) -> None:
    rows = [
        run("old", boot_id="before"),
        run("nobody", boot_id=None, status=RunStatus.DEFERRED),
        run("mine", boot_id="this", status=RunStatus.RUNNING),
        run("done", boot_id="before", status=RunStatus.OK),
    ]
    await store.write(lambda tx: runs.insert(tx, rows))
    found = await store.read(lambda tx: runs.interrupted(tx, "this"))
    assert ids(found) == ["old", "nobody"]


async def test_counts_add_up_the_slots_behind_folded_rows(store: Database) -> None:
    rows = [
        run("a", status=RunStatus.OK),
        run("b", status=RunStatus.MISSED, reason=SkipReason.MISSED_DOWNTIME, count=1500),
    ]
    await store.write(lambda tx: runs.insert(tx, rows))
    found = await store.read(lambda tx: runs.counts(tx, NOON))
    assert found == {("cron", "ok", None): 1, ("cron", "missed", "missed-downtime"): 1500}


async def test_pruning_takes_old_final_rows_only(store: Database) -> None:
    rows = [
        run("old", status=RunStatus.OK, ended_at=NOON - HOUR),
        run("open", status=RunStatus.RUNNING),
        run("new", status=RunStatus.OK, ended_at=NOON),
    ]
    await store.write(lambda tx: runs.insert(tx, rows))
    assert await store.read(lambda tx: runs.old(tx, "heartbeat", NOON)) == []
    places = await store.read(lambda tx: runs.old(tx, "cron", NOON))
    await store.write(lambda tx: runs.remove(tx, places))
    assert ids((await page(store)).entries) == ["new", "open"]


async def test_pruning_stops_at_its_limit_and_goes_on_when_asked_again(store: Database) -> None:
    rows = [run(f"r{n}", status=RunStatus.OK, ended_at=NOON) for n in range(5)]
    await store.write(lambda tx: runs.insert(tx, rows))

    def portion(tx: Tx) -> int:
        places = runs.old(tx, "cron", NOON + HOUR, limit=2)
        runs.remove(tx, places)
        return len(places)

    assert [await store.write(portion) for _ in range(4)] == [2, 2, 1, 0]


async def test_a_job_keeps_its_newest_rows(store: Database) -> None:
    rows = [run(f"r{n}", status=RunStatus.OK, ended_at=NOON) for n in range(5)]
    others = [run("other", "other", status=RunStatus.OK, ended_at=NOON)]
    await store.write(lambda tx: runs.insert(tx, others + rows))
    assert await store.write(lambda tx: runs.prune_job(tx, "brief", 2)) == 3
    assert ids((await page(store)).entries) == ["r4", "r3", "other"]


# -- transactions --------------------------------------------------------------------------


async def test_work_that_fails_leaves_nothing(store: Database) -> None:
    def half(tx: Tx) -> None:
        jobs.insert(tx, job(), next_run_at=NOON, now=NOON)
        raise LookupError("after the first half")

    with pytest.raises(LookupError):
        await store.write(half)
    assert await store.read(lambda tx: jobs.get(tx, "brief")) is None


async def test_one_transaction_spans_rooms(store: Database) -> None:
    def work(tx: Tx) -> None:
        jobs.insert(tx, job(), next_run_at=NOON, now=NOON)
        runs.claim(tx, [step()])
        runs.finish(tx, [ended()])

    await store.write(work)
    assert (await state(store)).ok_count == 1


async def test_reading_never_writes(store: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        await store.read(lambda tx: jobs.insert(tx, job(), next_run_at=NOON, now=NOON))
    await put(store, job())  # and the store goes on


async def test_a_closed_store_says_so(store: Database) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.read(jobs.next_due)
    with pytest.raises(StoreUnavailable):
        await put(store, job())


# -- limits and looks ----------------------------------------------------------------------


def made(ref: str, at: datetime, **more: Any) -> Run:
    """A run whose id says when it was made, as those of the engine do."""
    return run(f"{first_id(at)}{ref:0>12}", claimed_at=at, **more)


COSTLY = Usage(input_tokens=10, output_tokens=5, cost_usd=0.5)


async def sums(store: Database, ledger: Spendings, *keys: str | None) -> list[Spent]:
    await store.read(lambda tx: ledger.catch_up(tx, NOON + HOUR, keys))
    return [ledger.since(NOON, key) for key in keys]


async def test_runs_of_a_day_are_summed_and_what_was_passed_over_is_not(store: Database) -> None:
    rows = [
        made("a", NOON - HOUR, status=RunStatus.OK, usage=COSTLY),
        made("b", NOON, status=RunStatus.OK, usage=COSTLY),
        made("c", NOON + HOUR, status=RunStatus.FAILED, usage=replace(COSTLY, cost_usd=None)),
        made("d", NOON + HOUR, status=RunStatus.SKIPPED),
        made("e", NOON + HOUR, job_id="other", status=RunStatus.OK, usage=COSTLY),
        made("f", NOON + HOUR, job_id="heartbeat:main", kind="heartbeat", usage=COSTLY),
    ]
    await store.write(lambda tx: runs.insert(tx, rows))
    brief, all_ = Spent(runs=2, tokens=30, usd=0.5), Spent(runs=3, tokens=45, usd=1.0)
    ledger = Spendings()
    assert await sums(store, ledger, "brief") == [brief]
    assert await sums(store, ledger, None, "brief", "nobody") == [all_, brief, Spent()]
    assert await sums(store, ledger) == []


async def test_sums_follow_the_rows_that_come_and_end_and_count_each_once(store: Database) -> None:
    await put(store, job(), job("other"))
    ledger = Spendings()
    assert await sums(store, ledger, None, "brief") == [Spent(), Spent()]
    going = [
        made("a", NOON, status=RunStatus.CLAIMED),
        made("b", NOON + HOUR, status=RunStatus.DEFERRED),
        made("c", NOON + HOUR, status=RunStatus.RUNNING, job_id="other"),
    ]
    await store.write(lambda tx: runs.insert(tx, going))
    assert await sums(store, ledger, None, "brief") == [Spent(runs=3), Spent(runs=2)]
    ends = [
        Finish(run=replace(going[0], status=RunStatus.OK, usage=COSTLY, ended_at=NOON)),
        Finish(run=going[1].skipped(SkipReason.GATE_CLOSED, "no", NOON + HOUR)),
    ]
    await store.write(lambda tx: runs.finish(tx, ends))
    spent = Spent(runs=1, tokens=15, usd=0.5)
    for _ in range(2):
        assert await sums(store, ledger, None, "brief") == [spent + Spent(runs=1), spent]
    assert await sums(store, ledger, "other") == [Spent(runs=1)]  # it goes on, and is new here
    last = Finish(run=replace(going[2], status=RunStatus.OK, usage=COSTLY, ended_at=NOON))
    await store.write(lambda tx: runs.finish(tx, [last]))
    assert await sums(store, ledger, None, "brief", "other") == [spent + spent, spent, spent]
    assert await sums(store, Spendings(), None, "other") == [spent + spent, spent]


async def test_a_row_that_went_before_its_end_was_seen_is_not_asked_for_again(
    store: Database,
) -> None:
    ledger = Spendings()
    await sums(store, ledger, None)
    going = made("a", NOON, status=RunStatus.RUNNING)
    await store.write(lambda tx: runs.insert(tx, [going]))
    assert await sums(store, ledger, None) == [Spent(runs=1)]
    await store.write(lambda tx: tx.exec_driver_sql("DELETE FROM runs"))
    assert await sums(store, ledger, None) == [Spent(runs=1)]  # it had begun
    assert await sums(store, ledger, None) == [Spent(runs=1)]


async def test_a_look_at_what_was_spent_reads_only_what_is_new(store: Database) -> None:
    await store.write(
        lambda tx: runs.insert(
            tx, [made(f"{n}", NOON, status=RunStatus.OK, usage=COSTLY) for n in range(50)]
        )
    )
    ledger = Spendings()
    (before,) = await sums(store, ledger, None)
    # What is not read again cannot change the sum.
    await store.write(lambda tx: tx.exec_driver_sql("UPDATE runs SET usage = NULL"))
    assert await sums(store, ledger, None) == [before] == [Spent(runs=50, tokens=750, usd=25.0)]


async def test_runs_of_a_whole_life_are_counted_whatever_is_kept_of_them(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    asked = ("brief", "nobody")
    assert await store.read(lambda tx: runs.ran_ever(tx, asked)) == {"brief": 1}  # it goes on
    await finish(store, ended())
    assert await store.read(lambda tx: runs.ran_ever(tx, asked)) == {"brief": 1}
    assert await store.read(lambda tx: runs.ran_ever(tx, ())) == {}


async def test_a_slot_that_has_its_row_keeps_it(store: Database) -> None:
    await put(store, job())
    await claim(store, step())
    late = [run("r2", slot=NOON, status=RunStatus.SKIPPED), run("r3", slot=NOON + HOUR)]
    await store.write(lambda tx: runs.insert_slots(tx, late))
    assert ids((await page(store)).entries) == ["r3", "r1"]


async def test_a_job_that_wants_a_look_is_found_when_its_time_has_come(store: Database) -> None:
    await put(store, job("a"), job("b"), job("c"))
    await store.write(lambda tx: jobs.set_state(tx, "a", watch_at=NOON + HOUR))
    await store.write(lambda tx: jobs.set_state(tx, "b", watch_at=NOON))

    async def wanted(at: datetime) -> list[str]:
        found, _ = await store.read(lambda tx: jobs.to_watch(tx, at))
        return [one.job.id for one in found]

    assert await store.read(jobs.next_watch) == NOON
    assert await wanted(NOON) == ["b"]
    assert await wanted(NOON + HOUR) == ["b", "a"]
    await store.write(lambda tx: jobs.set_state(tx, "b", watch_at=None))
    assert await store.read(jobs.next_watch) == NOON + HOUR


async def test_a_watched_job_that_cannot_be_read_is_set_aside_by_a_writer(store: Database) -> None:
    await put(store, job("bad"), job("good"))
    for ref in ("bad", "good"):
        await store.write(lambda tx, ref=ref: jobs.set_state(tx, ref, watch_at=NOON))  # type: ignore[misc]  # bound now
    spoil = sa.text("UPDATE jobs SET definition = 'null' WHERE id = 'bad'")
    await store.write(lambda tx: tx.execute(spoil))
    found, unreadable = await store.read(lambda tx: jobs.to_watch(tx, NOON))
    assert ([one.job.id for one in found], unreadable) == (["good"], ["bad"])
    aside = await store.write(lambda tx: jobs.unwatch(tx, ["bad", "good"]))
    assert aside == await store.read(jobs.quarantined)
    assert [job_id for job_id, _ in aside] == ["bad"]
    assert (await store.read(lambda tx: jobs.to_watch(tx, NOON)))[1] == []


async def test_what_lies_over_a_job_comes_back(store: Database) -> None:
    await put(store, job())
    overlay = {"by": "ana", "note": "on holiday", "untilMs": 1}
    columns = {"paused": overlay, "skips": {"1772366400000": "by ana"}, "alarm": {"openMs": 5}}
    await store.write(lambda tx: jobs.set_state(tx, "brief", **columns))
    found = await state(store)
    assert (found.paused, found.skips, found.alarm) == tuple(columns.values())
    assert await due(store) == []  # it is held
    await store.write(lambda tx: jobs.set_state(tx, "brief", paused=None, skips=None, alarm=None))
    found = await state(store)
    assert (found.paused, found.skips, found.alarm) == (None, {}, {})
    (row_,) = await store.read(lambda tx: jobs.due(tx, NOON))
    assert row_.skips is None


async def test_the_row_of_a_slot_is_found_in_a_gap_too_and_a_log_by_the_name_of_its_job(
    store: Database,
) -> None:
    hour = timedelta(hours=1)
    gap = run("r2", slot=NOON + hour, slot_to=NOON + 4 * hour, count=4, job_name="was so")
    rows = [run("r1", slot=NOON, job_name="first"), gap, run("r3", slot=None, job_name="first")]
    await store.write(lambda tx: runs.insert(tx, rows))

    def found(at: datetime) -> Callable[[Tx], Run | None]:
        return lambda tx: runs.of_slot(tx, "brief", at)

    for at, ref in ((NOON, "r1"), (NOON + hour, "r2"), (NOON + 3 * hour, "r2")):
        one = await store.read(found(at))
        assert one is not None
        assert one.id == ref
    for at in (NOON - hour, NOON + hour / 2, NOON + 5 * hour):
        assert await store.read(found(at)) is None
    assert await store.read(lambda tx: runs.last_named(tx, "was so")) == "brief"
    assert await store.read(lambda tx: runs.last_named(tx, "nobody")) is None
