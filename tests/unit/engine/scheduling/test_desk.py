"""The desk at which jobs change: every caller meets the same rules here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.agents.tools.cron import Grant, cron_tool
from engine.config.json5 import Place
from engine.events import Bus, Event
from engine.scheduling import Control, Scheduling, SchedulingSettings
from engine.store import audit
from engine.testing.clock import ManualClock
from jobs.errors import (
    ConfigInvalid,
    ConfigOwned,
    Conflict,
    InvalidInput,
    InvalidJob,
    InvalidSchedule,
    JobNotFound,
)
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger
from jobs.model import HeartbeatBeat, Job, Source
from jobs.schedule import Every
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import Finish
from jobs.store.db import Database

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MS = 1_000
NOBODY: Any = None  # no run is dispatched or cancelled there
BRIEF: Mapping[str, Any] = {
    "name": "brief",
    "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "UTC"},
    "payload": {"kind": "agentTurn", "message": "Summarise"},
}
PLACES = {"brief": Place("engine.json", 12)}


def ms(at: datetime) -> int:
    return int(at.timestamp() * MS)


class House:
    """The desk with everything it is handed, and what it told and started."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(NOON)
        self.events: list[Event] = []
        self.dispatched: list[tuple[Job, Run]] = []
        self.active: dict[str, str] = {}
        self.cancelled: list[tuple[str, str]] = []
        self.pokes = 0
        self.settings = SchedulingSettings(tz="UTC", agents=("main", "ops"))
        bus = Bus()
        bus.listen(self.events.append)
        self.desk = Scheduling(
            database=database,
            clock=self.clock,
            bus=bus,
            settings=lambda: self.settings,
            dispatch=lambda job, run: self.dispatched.append((job, run)),
            active=self.active.get,
            cancel=lambda job_id, because: self.cancelled.append((job_id, because)),
            poke=self._poked,
            boot_id="boot-1",
        )

    def _poked(self) -> None:
        self.pokes += 1

    @property
    def actions(self) -> list[str]:
        return [event.payload["action"] for event in self.events]

    async def add(self, **more: Any) -> dict[str, Any]:
        return await self.desk.add({**BRIEF, **more}, by="ops")

    async def ends(self, job_id: str, **how: Any) -> Run:
        """Let a run of a job end, as the loop would write it."""
        now = self.clock.now()
        plain: dict[str, Any] = {
            "id": f"{ms(now):012x}{len(self.dispatched):012x}",
            "job_id": job_id,
            "kind": "cron",
            "agent_id": None,
            "trigger": Trigger.SCHEDULE,
            "status": RunStatus.OK,
            "claimed_at": now,
            "started_at": now,
            "ended_at": now,
        }
        run = Run(**{**plain, **how})
        open_run = replace(run, status=RunStatus.RUNNING, ended_at=None)
        await self.database.write(lambda tx: run_rows.insert(tx, [open_run]))
        await self.database.write(lambda tx: run_rows.finish(tx, [Finish(run=run)]))
        return run


@pytest.fixture
async def house() -> AsyncIterator[House]:
    database = await Database.memory()
    yield House(database)
    await database.close()


# -- adding ------------------------------------------------------------------------------------


async def test_a_new_job_is_due_at_its_first_slot_and_says_so(house: House) -> None:
    job = await house.add()
    assert job["nextRunAtMs"] == ms(NOON + timedelta(hours=19))
    assert job["state"]["nextRunAtMs"] == job["nextRunAtMs"]
    assert job["effectiveAgentId"] == "main"
    assert await house.desk.get(job["id"]) == job


async def test_a_change_is_told_after_its_commit_and_arms_the_timer(house: House) -> None:
    job = await house.add()
    assert house.actions == ["added"]
    assert house.events[0].payload["nextRunAtMs"] == job["nextRunAtMs"]
    assert house.pokes == 1


async def test_who_changed_a_job_is_on_the_record(house: House) -> None:
    job = await house.add()
    await house.desk.update("brief", {"name": "news"}, by="anna")
    await house.desk.remove("news", by="ben")
    lines = await house.database.read(audit.newest)
    assert [(line["actor"], line["action"], line["subject"]) for line in lines] == [
        ("ben", "cron.remove", job["id"]),
        ("anna", "cron.update", job["id"]),
        ("ops", "cron.add", job["id"]),
    ]


async def test_a_refused_job_leaves_nothing_behind(house: House) -> None:
    with pytest.raises(InvalidSchedule):
        await house.add(schedule={"kind": "cron", "expr": "0 0 30 2 *"})
    assert (await house.desk.list({"includeDisabled": True}))["total"] == 0
    assert (house.events, house.pokes) == ([], 0)


@pytest.mark.parametrize("ago", [1, 40, 60])
async def test_an_instant_that_has_just_passed_is_due_now(house: House, ago: int) -> None:
    at = (NOON - timedelta(seconds=ago)).isoformat()
    job = await house.add(schedule={"kind": "at", "at": at})
    assert job["nextRunAtMs"] == ms(NOON)


async def test_the_default_stagger_is_made_visible_and_the_config_says_what_missing_means(
    house: House,
) -> None:
    house.settings = replace(house.settings, misfire=replace(house.settings.misfire, policy="skip"))
    job = await house.add(schedule={"kind": "cron", "expr": "0 * * * *", "tz": "UTC"})
    assert job["schedule"]["staggerMs"] == 300_000
    assert job["misfire"]["policy"] == "skip"


async def test_a_disabled_job_has_no_next_run(house: House) -> None:
    job = await house.add(enabled=False)
    assert job["nextRunAtMs"] is None
    assert await house.database.read(job_rows.next_due) is None


async def test_the_same_declaration_twice_is_one_job(house: House) -> None:
    every = {"kind": "every", "everyMs": 60_000}
    first = await house.add(declarationKey="mine", schedule=every)
    await house.clock.advance(timedelta(seconds=90))
    again = await house.add(declarationKey="mine", schedule=every)
    changed = await house.add(declarationKey="mine", schedule=every, name="other")
    assert (first["created"], first["updated"]) == (True, False)
    assert (again["created"], again["updated"]) == (False, False)
    assert (changed["created"], changed["updated"]) == (False, True)
    assert {job["job"]["id"] for job in (first, again, changed)} == {first["job"]["id"]}
    assert changed["job"]["schedule"] == first["job"]["schedule"]


async def test_keys_of_the_config_cannot_be_declared_by_others(house: House) -> None:
    with pytest.raises(InvalidJob, match="config:"):
        await house.add(declarationKey="config:brief")


# -- updating ----------------------------------------------------------------------------------


async def test_an_edit_beside_the_schedule_leaves_the_slot_alone(house: House) -> None:
    job = await house.add(schedule={"kind": "every", "everyMs": 3_600_000})
    await house.clock.advance(timedelta(hours=2))
    edited = await house.desk.update(job["id"], {"name": "news"}, by="ops")
    assert edited["nextRunAtMs"] == job["nextRunAtMs"]


async def test_a_new_schedule_counts_from_now(house: House) -> None:
    job = await house.add()
    await house.clock.advance(timedelta(hours=1))
    edited = await house.desk.update(job["id"], {"schedule": {"expr": "0 20 * * *"}}, by="ops")
    assert edited["nextRunAtMs"] == ms(NOON + timedelta(hours=8))
    assert edited["state"]["scheduleActivatedAtMs"] == ms(NOON + timedelta(hours=1))


async def test_no_other_job_moves(house: House) -> None:
    other = await house.add(name="other", schedule={"kind": "every", "everyMs": 60_000})
    job = await house.add()
    await house.clock.advance(timedelta(hours=1))
    await house.desk.update(job["id"], {"schedule": {"expr": "0 20 * * *"}}, by="ops")
    assert (await house.desk.get(other["id"]))["nextRunAtMs"] == other["nextRunAtMs"]


async def test_a_patch_that_changes_nothing_writes_and_tells_nothing(house: House) -> None:
    job = await house.add()
    await house.clock.advance(timedelta(hours=1))
    assert await house.desk.update(job["id"], {"name": "brief"}, by="ops") == job
    assert house.actions == ["added"]


async def test_disabling_takes_the_slot_away_and_enabling_begins_anew(house: House) -> None:
    job = await house.add()
    off = await house.desk.update(job["id"], {"enabled": False}, by="ops")
    assert off["nextRunAtMs"] is None
    await house.database.write(
        lambda tx: job_rows.set_state(
            tx, job["id"], consecutive_errors=10, auto_disabled="consecutive-failures"
        )
    )
    await house.clock.advance(timedelta(days=2))
    on = await house.desk.update(job["id"], {"enabled": True}, by="ops")
    assert on["nextRunAtMs"] == ms(NOON + timedelta(days=2, hours=19))
    assert on["state"]["consecutiveErrors"] == 0
    assert "autoDisabled" not in on["state"]


async def test_an_edit_of_something_that_changed_meanwhile_is_refused(house: House) -> None:
    job = await house.add()
    now = await house.desk.update("brief", {"description": "x"}, by="anna")
    with pytest.raises(Conflict) as refused:
        await house.desk.update(
            "brief", {"name": "news"}, by="ben", expected_revision=job["configRevision"]
        )
    assert refused.value.detail["currentRevision"] == now["configRevision"]


# -- unknown jobs --------------------------------------------------------------------------------


async def test_an_unknown_job_is_named_in_the_refusal(house: House) -> None:
    with pytest.raises(JobNotFound, match="cron job not found: nope"):
        await house.desk.get("nope")
    with pytest.raises(JobNotFound, match="unknown cron job id: nope"):
        await house.desk.update("nope", {}, by="ops")
    with pytest.raises(JobNotFound, match="unknown cron job id: nope"):
        await house.desk.remove("nope", by="ops")
    with pytest.raises(JobNotFound, match="unknown cron job id: nope"):
        await house.desk.run("nope", by="ops")
    with pytest.raises(JobNotFound, match="unknown cron job id: nope"):
        await house.desk.runs({"id": "nope"})


async def test_a_name_that_fits_several_jobs_names_none(house: House) -> None:
    first, second = await house.add(), await house.add()
    with pytest.raises(Conflict, match="not one job") as told:
        await house.desk.remove("brief", by="ops")
    assert f"{first['id']}, {second['id']}" in told.value.why


# -- removing ------------------------------------------------------------------------------------


async def test_a_removed_job_is_gone_and_its_runs_can_still_be_read(house: House) -> None:
    job = await house.add()
    await house.ends(job["id"])
    assert await house.desk.remove(job["id"], by="ops") == {"ok": True, "removed": True}
    assert house.actions == ["added", "removed"]
    assert (await house.desk.list({"includeDisabled": True}))["jobs"] == []
    assert (await house.desk.runs({"id": job["id"]}))["total"] == 1


@pytest.mark.parametrize(("force", "cut"), [(False, 0), (True, 1)])
async def test_a_removal_ends_what_runs_only_by_force(house: House, force: bool, cut: int) -> None:
    job = await house.add()
    await house.desk.remove(job["id"], by="ops", force=force)
    assert house.cancelled == [(job["id"], "its job was removed by ops")] * cut


# -- running -------------------------------------------------------------------------------------


async def test_a_run_that_another_process_was_asked_for_is_refused(house: House) -> None:
    job = await house.add()
    process = (await house.desk.status())["processInstanceId"]
    with pytest.raises(Conflict, match="has been restarted since"):
        await house.desk.run(job["id"], by="ops", process="boot-0")
    assert (await house.desk.run(job["id"], by="ops", process=process))["enqueued"]


async def test_a_job_nobody_can_read_is_named_and_can_be_removed(house: House) -> None:
    job = await house.add(id="bad")
    await house.add(id="good")
    spoil = "UPDATE jobs SET definition = 'null', held = 'quarantined: x' WHERE id = 'bad'"
    await house.database.write(lambda tx: tx.exec_driver_sql(spoil))
    page = await house.desk.list({"includeDisabled": True})
    assert ([one["id"] for one in page["jobs"]], page["unreadable"]) == (["good"], ["bad"])
    assert (await house.desk.status())["quarantined"] == [{"jobId": "bad", "reason": "x"}]
    with pytest.raises(InvalidJob, match="engine cron rm bad"):
        await house.desk.get(job["id"])
    answer = await house.desk.run("bad", by="ops")
    assert answer == {"ok": True, "ran": False, "reason": "invalid-spec"}
    assert await house.desk.remove("bad", by="ops") == {"ok": True, "removed": True}
    assert (await house.desk.list({"includeDisabled": True}))["total"] == 1


async def test_a_manual_run_is_a_row_of_its_own_and_leaves_the_slot(house: House) -> None:
    job = await house.add(enabled=False)
    answer = await house.desk.run(job["id"], by="ops")
    [(dispatched, run)] = house.dispatched
    assert answer == {"ok": True, "enqueued": True, "runId": run.id}
    assert (dispatched.id, run.trigger, run.slot) == (job["id"], Trigger.MANUAL, None)
    assert (run.status, run.boot_id, run.wake["by"]) == (RunStatus.CLAIMED, "boot-1", "ops")
    assert await house.database.read(lambda tx: run_rows.get(tx, run.id)) == run
    assert (await house.desk.get(job["id"]))["state"] == job["state"]


@pytest.mark.parametrize(
    ("mode", "later", "enabled", "reason"),
    [
        ("due", timedelta(hours=1), True, "not-due"),
        ("due", timedelta(hours=20), True, None),
        ("due", timedelta(hours=20), False, "disabled"),
        ("if-enabled", timedelta(), False, "disabled"),
        ("if-enabled", timedelta(), True, None),
        ("force", timedelta(), False, None),
    ],
)
async def test_a_mode_decides_what_a_manual_run_asks(
    house: House, mode: str, later: timedelta, enabled: bool, reason: str | None
) -> None:
    job = await house.add(enabled=enabled)
    await house.clock.advance(later)
    answer = await house.desk.run(job["id"], mode=mode, by="ops")
    assert answer.get("reason") == reason
    assert len(house.dispatched) == (reason is None)


async def test_a_job_is_never_run_twice_at_once(house: House) -> None:
    job = await house.add()
    house.active[job["id"]] = "r1"
    answer = await house.desk.run(job["id"], by="ops")
    assert answer == {"ok": True, "ran": False, "reason": "already-running"}
    assert house.dispatched == []


async def test_a_manual_run_that_its_slot_overtook_is_recorded_and_not_begun(house: House) -> None:
    job = await house.add()
    answers: list[str | None] = [None, "r1"]  # the loop took the slot while the row was written
    desk = Scheduling(
        database=house.database,
        clock=house.clock,
        bus=Bus(),
        settings=lambda: house.settings,
        dispatch=lambda job, run: house.dispatched.append((job, run)),
        active=lambda _: answers.pop(0),
        cancel=lambda _job_id, _because: None,
        poke=lambda: None,
        boot_id="boot-1",
    )
    answer = await desk.run(job["id"], by="ops")
    assert answer == {"ok": True, "ran": False, "reason": "already-running"}
    assert house.dispatched == []
    [entry] = (await desk.runs({"id": job["id"]}))["entries"]
    assert (entry["trigger"], entry["status"]) == ("manual", "skipped")
    assert entry["skipReason"] == "overlap-skip"


async def test_a_run_log_status_nobody_knows_is_refused(house: House) -> None:
    assert (await house.desk.runs({"status": "failed"}))["total"] == 0
    with pytest.raises(InvalidInput, match="'sad' is not known"):
        await house.desk.runs({"status": "sad"})


async def test_a_heartbeat_is_neither_run_nor_edited_by_hand(house: House) -> None:
    await house.desk.sync_heartbeats([beat("main")])
    with pytest.raises(InvalidJob, match="woken"):
        await house.desk.run("heartbeat:main", by="ops")
    for change in (house.desk.remove, lambda ref, by: house.desk.update(ref, {}, by=by)):
        with pytest.raises(InvalidJob, match="system"):
            await change("heartbeat:main", by="ops")


async def test_a_mode_nobody_knows_is_refused(house: House) -> None:
    job = await house.add()
    with pytest.raises(InvalidInput, match="'perhaps'"):
        await house.desk.run(job["id"], mode="perhaps", by="ops")


# -- listing -------------------------------------------------------------------------------------


async def test_a_list_is_walked_page_by_page(house: House) -> None:
    for n in range(5):
        await house.add(name=f"job {n}")
    walked: list[str] = []
    offset: int | None = 0
    marks = set()
    while offset is not None:
        page = await house.desk.list({"limit": 2, "offset": offset, "sortBy": "name"})
        assert (page["offset"], page["limit"], page["total"]) == (offset, 2, 5)
        walked += [job["name"] for job in page["jobs"]]
        marks.add(page["snapshotRevision"])
        assert page["hasMore"] == (page["nextOffset"] is not None)
        offset = page["nextOffset"]
    assert walked == [f"job {n}" for n in range(5)]
    assert len(marks) == 1


async def test_an_edit_changes_the_mark_of_a_list_and_a_run_does_not(house: House) -> None:
    job = await house.add()
    before = (await house.desk.list({}))["snapshotRevision"]
    await house.ends(job["id"])
    assert (await house.desk.list({}))["snapshotRevision"] == before
    await house.desk.update(job["id"], {"name": "news"}, by="ops")
    assert (await house.desk.list({}))["snapshotRevision"] != before


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["every", "brief"]),
        ({"includeDisabled": True, "sortBy": "name"}, ["brief", "every", "off"]),
        ({"enabled": "disabled"}, ["off"]),
        ({"enabled": "all", "sortBy": "name", "sortDir": "desc"}, ["off", "every", "brief"]),
        ({"agentId": "ops"}, ["every"]),
        ({"agentId": "main"}, ["brief"]),
        ({"scheduleKind": "every"}, ["every"]),
        ({"scheduleKind": "at"}, []),
        ({"scheduleKind": "all"}, ["every", "brief"]),
        ({"lastRunStatus": "ok"}, ["brief"]),
        ({"lastRunStatus": "unknown"}, ["every"]),
        ({"query": "RIE"}, ["brief"]),
        ({"includeSystem": True, "sortBy": "name"}, ["brief", "every", "heartbeat main"]),
    ],
)
async def test_a_list_shows_what_was_asked_for(
    house: House, params: dict[str, Any], names: list[str]
) -> None:
    job = await house.add()
    await house.add(name="every", agentId="ops", schedule={"kind": "every", "everyMs": 60_000})
    await house.add(name="off", enabled=False)
    await house.desk.sync_heartbeats([beat("main")])
    await house.ends(job["id"])
    assert [job["name"] for job in (await house.desk.list(params))["jobs"]] == names


async def test_a_compact_list_has_no_prompts_and_previews_come_on_request(house: House) -> None:
    job = await house.add(delivery={"mode": "announce", "channel": "telegram", "to": "-100"})
    page = await house.desk.list({"compact": True, "includeDeliveryPreviews": True})
    assert page["jobs"][0]["payload"] == {"kind": "agentTurn"}
    assert page["deliveryPreviews"] == {
        job["id"]: {"label": "announce -> telegram:-100", "detail": "explicit"}
    }


async def test_the_status_counts_jobs_and_what_went_wrong_in_a_day(house: House) -> None:
    job = await house.add()
    await house.ends(job["id"], status=RunStatus.FAILED)
    house.settings = replace(house.settings, enabled=False)
    status = await house.desk.status()
    assert (status["enabled"], status["jobs"], status["errors24h"]) == (False, 1, 1)
    assert status["nextRunAtMs"] == status["nextWakeAtMs"] == job["nextRunAtMs"]
    await house.desk.remove(job["id"], by="ops")
    assert (await house.desk.status())["jobs"] == 0


# -- the run log ---------------------------------------------------------------------------------


async def test_the_run_log_tells_what_each_run_came_to(house: House) -> None:
    job = await house.add()
    slot = NOON - timedelta(seconds=2)
    await house.ends(
        job["id"],
        slot=slot,
        outcome=Outcome.ACKNOWLEDGED,
        target={"channel": "telegram"},
        ended_at=NOON + timedelta(seconds=3),
    )
    page = await house.desk.runs({"id": job["id"], "limit": 10})
    [entry] = page["entries"]
    assert {key: page[key] for key in ("total", "offset", "limit", "hasMore", "nextOffset")} == {
        "total": 1,
        "offset": 0,
        "limit": 10,
        "hasMore": False,
        "nextOffset": None,
    }
    assert (entry["status"], entry["deliveryStatus"]) == ("ok", "suppressed")
    assert (entry["scheduledForMs"], entry["latenessMs"]) == (ms(slot), 2000)
    assert (entry["durationMs"], entry["trigger"], entry["attempt"]) == (3000, "schedule", 1)


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, ["skipped", "error", "ok"]),
        ({"sortDir": "asc"}, ["ok", "error", "skipped"]),
        ({"status": "error"}, ["error"]),
        ({"statuses": ["ok", "skipped"]}, ["skipped", "ok"]),
        ({"reason": "overlap-skip"}, ["skipped"]),
        ({"query": "BROKE"}, ["error"]),
        ({"query": "local"}, ["ok"]),  # the channel
        ({"agentId": "ops"}, ["skipped"]),
        ({"trigger": "retry"}, ["error"]),
        ({"deliveryStatus": "suppressed"}, ["ok"]),
        ({"deliveryStatuses": ["not-requested"]}, ["skipped", "error"]),
        ({"limit": 1, "offset": 1}, ["error"]),
        ({"deliveryStatus": "not-requested", "limit": 1, "offset": 1}, ["error"]),
        ({"sinceMs": ms(NOON + timedelta(seconds=1))}, ["skipped", "error"]),
    ],
)
async def test_the_run_log_can_be_filtered(
    house: House, params: dict[str, Any], found: list[str]
) -> None:
    job = await house.add()
    await house.ends(job["id"], outcome=Outcome.EMPTY, target={"channel": "local"})
    await house.clock.advance(timedelta(seconds=1))
    await house.ends(
        job["id"],
        status=RunStatus.FAILED,
        trigger=Trigger.RETRY,
        error={"class": "auth", "message": "it broke"},
    )
    await house.clock.advance(timedelta(seconds=1))
    await house.ends(
        job["id"], status=RunStatus.SKIPPED, reason=SkipReason.OVERLAP_SKIP, agent_id="ops"
    )
    page = await house.desk.runs({"scope": "all", **params})
    assert [entry["status"] for entry in page["entries"]] == found


@pytest.mark.parametrize("ref", ["../x", "a/b", "a\\b", "..", "x\0"])
async def test_a_log_id_that_looks_like_a_path_is_refused(house: House, ref: str) -> None:
    with pytest.raises(InvalidInput, match=r"invalid cron\.runs params: invalid id"):
        await house.desk.runs({"id": ref})


async def test_a_status_nobody_knows_is_refused(house: House) -> None:
    with pytest.raises(InvalidInput, match="'fine'"):
        await house.desk.runs({"status": "fine"})


# -- heartbeats ----------------------------------------------------------------------------------


def beat(agent: str, minutes: int = 30) -> Job:
    return Job(
        id=f"heartbeat:{agent}",
        name=f"heartbeat {agent}",
        schedule=Every(timedelta(minutes=minutes), NOON - timedelta(minutes=7)),
        payload=HeartbeatBeat(),
        agent_id=agent,
        session_target="main",
        source=Source.SYSTEM,
    )


async def stored_beat(house: House, agent: str) -> dict[str, Any]:
    return await house.desk.get(f"heartbeat:{agent}")


async def test_a_restart_never_moves_a_cadence(house: House) -> None:
    await house.desk.sync_heartbeats([beat("main")])
    due = (await stored_beat(house, "main"))["nextRunAtMs"]
    await house.clock.advance(timedelta(hours=5))
    await house.desk.sync_heartbeats([beat("main")])
    assert (await stored_beat(house, "main"))["nextRunAtMs"] == due
    assert house.pokes == 1


async def test_another_interval_counts_from_now_on(house: House) -> None:
    await house.desk.sync_heartbeats([beat("main")])
    await house.desk.sync_heartbeats([beat("main", minutes=10)])
    assert (await stored_beat(house, "main"))["nextRunAtMs"] == ms(NOON + timedelta(minutes=3))
    assert house.pokes == 2


async def test_an_agent_that_no_longer_beats_keeps_its_row_disabled(house: House) -> None:
    await house.desk.sync_heartbeats([beat("main"), beat("ops")])
    await house.desk.sync_heartbeats([beat("main")])
    assert (await stored_beat(house, "ops"))["enabled"] is False
    await house.clock.advance(timedelta(days=1))
    await house.desk.sync_heartbeats([beat("main"), beat("ops")])
    again = await stored_beat(house, "ops")
    assert (again["enabled"], again["nextRunAtMs"]) == (
        True,
        ms(NOON + timedelta(days=1, minutes=23)),
    )


# -- the agents' tool ----------------------------------------------------------------------------


async def test_the_tool_works_at_the_same_desk(house: House) -> None:
    control = Control(
        database=house.database,
        clock=house.clock,
        bus=Bus(),
        runs=lambda: NOBODY,
        poke=lambda: None,
        boot_id="boot-1",
    )
    grant = Grant(agent_id="ops", session_key="agent:ops:main")
    tool = cron_tool(house.desk, control, grant)

    async def asked(action: str, **arguments: Any) -> Any:
        return json.loads(await tool.call({"action": action, **arguments}))

    job = await asked("add", job=BRIEF)
    assert await asked("get", jobId=job["id"]) == job
    assert (await asked("list"))["total"] == 1
    await asked("update", jobId=job["id"], patch={"name": "x"})
    assert (await asked("run", jobId=job["id"]))["enqueued"]
    await asked("pause", jobId=job["id"], note="quiet", until="3d")
    held = (await asked("get", jobId=job["id"]))["state"]["paused"]
    assert (held["by"], held["untilMs"]) == ("agent:ops", ms(NOON + timedelta(days=3)))
    assert (await asked("resume", jobId=job["id"]))["resumed"] == 1
    assert (await asked("runs", jobId=job["id"]))["total"] == 1
    assert (await asked("status"))["jobs"] == 1
    assert (await asked("remove", jobId=job["id"]))["removed"]


# -- jobs of the config (cron.md §13) --------------------------------------------------------------

DECLARED: Mapping[str, Any] = {"brief": {"schedule": "0 7 * * *", "message": "Summarise"}}
CHANGED: Mapping[str, Any] = {"brief": {"schedule": "0 7 * * *", "message": "Shorter"}}


async def test_a_declared_job_is_there_after_the_start(house: House) -> None:
    counts = await house.desk.reconcile(DECLARED, places=PLACES)
    job = await house.desk.get("brief")
    assert (job["id"], job["source"], counts["add"]) == ("cfg:brief", "config", 1)
    assert job["nextRunAtMs"] == ms(NOON + timedelta(hours=19))
    assert house.actions == ["added", "configApplied"]


async def test_an_unchanged_entry_is_not_written(house: House) -> None:
    await house.desk.reconcile(DECLARED)
    job = await house.desk.get("brief")
    await house.clock.advance(timedelta(days=3))
    counts = await house.desk.reconcile(DECLARED)
    assert sum(counts.values()) == 0
    assert await house.desk.get("brief") == job
    assert house.actions == ["added", "configApplied"]


async def test_a_changed_entry_keeps_slot_counters_and_last_run(house: House) -> None:
    await house.desk.reconcile(DECLARED)
    await house.ends("cfg:brief")
    before = (await house.desk.get("brief"))["state"]
    await house.clock.advance(timedelta(days=3))
    await house.desk.reconcile(CHANGED)
    after = await house.desk.get("brief")
    assert after["payload"]["message"] == "Shorter"
    assert after["state"] == before


async def test_another_schedule_starts_anew_and_keeps_the_history(house: House) -> None:
    await house.desk.reconcile(DECLARED)
    await house.ends("cfg:brief")
    await house.desk.reconcile({"brief": {"schedule": "0 20 * * *", "message": "Summarise"}})
    job = await house.desk.get("brief")
    assert job["nextRunAtMs"] == ms(NOON + timedelta(hours=8))
    assert job["state"]["runCount"] == 1


async def test_an_entry_taken_out_orphans_its_job_and_brought_back_revives_it(
    house: House,
) -> None:
    await house.desk.reconcile(DECLARED)
    await house.ends("cfg:brief")
    await house.desk.reconcile({})
    assert (await house.desk.list({}))["jobs"] == []
    [orphan] = (await house.desk.list({"includeDisabled": True}))["jobs"]
    assert (orphan["enabled"], orphan["state"]["orphanedAtMs"]) == (False, ms(NOON))
    await house.desk.reconcile(DECLARED)
    revived = await house.desk.get("brief")
    assert (revived["enabled"], revived["state"]["runCount"]) == (True, 1)
    assert "orphanedAtMs" not in revived["state"]
    assert revived["nextRunAtMs"] == ms(NOON + timedelta(hours=19))


async def test_removal_can_mean_deletion(house: House) -> None:
    house.settings = replace(house.settings, config_removal="delete")
    await house.desk.reconcile(DECLARED)
    await house.desk.reconcile({})
    assert (await house.desk.list({"includeDisabled": True}))["total"] == 0
    assert house.actions[-2:] == ["removed", "configApplied"]


async def test_one_wrong_entry_changes_nothing_at_all(house: House) -> None:
    await house.desk.reconcile(DECLARED, places=PLACES)
    job = await house.desk.get("brief")
    places = {"brief": Place("engine.json", 12), "worse": Place("engine.json", 15)}
    with pytest.raises(ConfigInvalid, match=r"engine\.json:15: cron\.jobs\.worse: "):
        await house.desk.reconcile(
            {**CHANGED, "worse": {"schedule": "99 * * * *", "message": "x"}}, places=places
        )
    assert await house.desk.get("brief") == job
    assert "cron.jobs.worse" in (await house.desk.status())["configErrors"][0]
    await house.desk.reconcile(DECLARED, places=PLACES)
    assert (await house.desk.status())["configErrors"] == []


async def test_why_the_file_is_not_in_force_is_shown_until_it_is(house: House) -> None:
    await house.desk.reconcile(DECLARED)
    house.desk.file_told(["engine.json:7: cron.jobs.brief: unknown key 'messsage'"])
    assert "messsage" in (await house.desk.status())["configErrors"][0]
    house.desk.file_told([])
    assert (await house.desk.status())["configErrors"] == []


async def test_a_runtime_job_with_the_id_of_an_entry_stops_the_whole_set(house: House) -> None:
    await house.add(id="cfg:brief")
    with pytest.raises(ConfigInvalid, match=r"cron\.jobs\.brief"):
        await house.desk.reconcile({**DECLARED, "other": DECLARED["brief"]})
    assert (await house.desk.list({}))["total"] == 1


async def test_a_declared_job_is_changed_in_the_config_only(house: House) -> None:
    await house.desk.reconcile(DECLARED, places=PLACES)
    words = (
        'job "brief" is defined in engine.json:12 (cron.jobs.brief); edit the config, or run'
        " 'engine cron adopt brief' to take it over at runtime"
    )
    for patch in ({"name": "x"}, {"enabled": False}, {"enabled": True}):
        with pytest.raises(ConfigOwned) as refused:
            await house.desk.update("brief", patch, by="ops")
        assert refused.value.what == words
    with pytest.raises(ConfigOwned) as refused:
        await house.desk.remove("cfg:brief", by="ops")
    assert refused.value.detail == {"file": "engine.json", "line": 12, "key": "cron.jobs.brief"}


async def test_a_declared_job_can_be_run_and_its_log_read(house: House) -> None:
    await house.desk.reconcile(DECLARED, places=PLACES)
    assert (await house.desk.run("brief", by="ops"))["enqueued"]
    assert (await house.desk.runs({"id": "brief"}))["total"] == 1


async def test_the_job_of_an_entry_that_is_gone_can_be_removed_and_nothing_else(
    house: House,
) -> None:
    await house.desk.reconcile(DECLARED, places=PLACES)
    await house.desk.reconcile({})
    for patch in ({"name": "x"}, {"enabled": True}):
        with pytest.raises(ConfigOwned, match=r"taken out of the config \(cron\.jobs\.brief\)"):
            await house.desk.update("brief", patch, by="ops")
    assert (await house.desk.remove("brief", by="ops"))["removed"]


async def test_switched_off_in_the_config_is_not_an_orphan(house: House) -> None:
    await house.desk.reconcile({"brief": {**DECLARED["brief"], "enabled": False}})
    job = await house.desk.get("brief")
    assert (job["enabled"], job["nextRunAtMs"]) == (False, None)
    assert "orphanedAtMs" not in job["state"]


async def test_a_one_shot_that_ran_does_not_run_again_after_a_restart(house: House) -> None:
    once = {"once": {"schedule": "at 2026-03-01T13:00", "message": "go"}}
    await house.desk.reconcile(once)
    await house.clock.advance(timedelta(hours=2))
    await house.ends("cfg:once")
    await house.database.write(lambda tx: job_rows.set_state(tx, "cfg:once", next_run_at=None))
    await house.desk.reconcile(once)
    await house.desk.reconcile({"once": {**once["once"], "message": "went"}})
    assert (await house.desk.get("once"))["nextRunAtMs"] is None


async def test_a_job_its_failures_switched_off_stays_off_until_its_entry_changes(
    house: House,
) -> None:
    await house.desk.reconcile(DECLARED)
    await house.database.write(lambda tx: job_rows.switch_off(tx, "cfg:brief", NOON))
    await house.database.write(
        lambda tx: job_rows.set_state(tx, "cfg:brief", auto_disabled="consecutive-failures")
    )
    assert sum((await house.desk.reconcile(DECLARED)).values()) == 0
    assert (await house.desk.get("brief"))["enabled"] is False
    await house.desk.reconcile(CHANGED)
    job = await house.desk.get("brief")
    assert (job["enabled"], job["nextRunAtMs"]) == (True, ms(NOON + timedelta(hours=19)))
    assert "autoDisabled" not in job["state"]


async def test_a_one_shot_that_ran_is_not_written_at_every_start(house: House) -> None:
    once = {"once": {"schedule": "at 2026-03-01T13:00", "message": "go"}}
    await house.desk.reconcile(once)
    await house.clock.advance(timedelta(hours=2))
    await house.ends("cfg:once")
    await house.database.write(lambda tx: job_rows.switch_off(tx, "cfg:once", NOON))
    assert sum((await house.desk.reconcile(once)).values()) == 0


async def test_a_row_nobody_can_read_is_written_anew_from_the_config(house: House) -> None:
    await house.desk.reconcile(DECLARED)
    await house.database.write(
        lambda tx: tx.exec_driver_sql("UPDATE jobs SET definition = '{' WHERE id = 'cfg:brief'")
    )
    await house.desk.reconcile(DECLARED)
    assert (await house.desk.get("brief"))["payload"]["message"] == "Summarise"
