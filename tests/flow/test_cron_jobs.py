"""Jobs of a whole engine: declared, fired, retried, missed, and told to the person."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.agents.base import FailureClass
from engine.process import Ended
from engine.pytest_plugin import EngineSim
from engine.store import outbox
from engine.testing import ScriptedAgent
from jobs.errors import ConfigInvalid, InvalidInput, JobNotFound
from jobs.store.db import Database

MINUTE = timedelta(minutes=1)
OFF: dict[str, Any] = {"agents": {"defaults": {"heartbeat": {"every": "0m", "target": "last"}}}}
CLOCK_CHANGES = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "cron_dst_fixtures.json").read_text()
)["cases"]


def declaring(**jobs: Any) -> dict[str, Any]:
    return OFF | {"cron": {"jobs": jobs}}


@pytest.mark.parametrize(
    "case", CLOCK_CHANGES[::12], ids=lambda case: f"{case['tz']}-{case['expr']}".replace(" ", "_")
)
async def test_a_change_of_clocks_fires_jobs_when_the_table_says(
    engine_sim: EngineSim, case: dict[str, Any]
) -> None:
    wanted = [datetime.fromisoformat(fire["utc"]) for fire in case["fires"]]
    job = {"schedule": case["expr"], "tz": case["tz"], "message": "look"}
    after = datetime.fromisoformat(case["after"])
    sim = engine_sim(declaring(job=job), start=after, zone="UTC")
    report = await sim.until(wanted[-1] + timedelta(seconds=1))
    assert [run.at for run in report.runs("job")] == wanted


async def test_a_turn_of_a_job_reaches_the_person(engine_sim: EngineSim) -> None:
    brief = {"schedule": "0 7 * * *", "message": "Summarise"}
    sim = engine_sim(declaring(brief=brief), start="2026-06-01 00:00", zone="UTC")
    report = await sim.until("2026-06-02 00:00")
    assert [(one.local, one.text) for one in report.deliveries] == [("07:00", "Done: Summarise")]


async def test_jobs_without_a_zone_follow_that_of_the_host(engine_sim: EngineSim) -> None:
    declared = {"schedule": "0 7 * * *", "message": "declared"}
    sim = engine_sim(declaring(declared=declared), start="2026-06-01 00:00", zone="UTC")
    await sim.open()
    desk = sim.engine.scheduling
    for name, tz in (("follows", {}), ("stays", {"tz": "UTC"})):
        await desk.add({"name": name, "cron": "0 7 * * *", "message": name, **tz}, by="ana")
    await sim.until("2026-06-01 02:00")
    await sim.engine.moved_to("Asia/Tokyo")
    told = {job["name"]: job["schedule"]["tz"] for job in (await desk.list({}))["jobs"]}
    assert told == {"declared": "Asia/Tokyo", "follows": "Asia/Tokyo", "stays": "UTC"}
    report = await sim.until("2026-06-02 00:00")
    assert [(run.job, f"{run.at:%H:%M}") for run in report.rows if run.status == "ok"] == [
        ("stays", "07:00"),
        ("declared", "22:00"),
        ("follows", "22:00"),
    ]


async def test_a_zone_of_the_host_that_changed_while_it_was_down_is_noticed(
    engine_sim: EngineSim,
) -> None:
    database = await Database.memory()
    for zone, wanted in (("UTC", "UTC"), ("Asia/Tokyo", "Asia/Tokyo")):
        sim = engine_sim(OFF, start="2026-06-01 00:00", zone=zone, database=database)
        await sim.open()
        if zone == "UTC":
            await sim.engine.scheduling.add({"cron": "0 7 * * *", "message": "x"}, by="ana")
        [job] = (await sim.engine.scheduling.list({}))["jobs"]
        assert job["schedule"]["tz"] == wanted
        await sim.close()
    await database.close()


async def test_an_agent_that_only_promises_is_asked_once_more(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent("On it! I'll check the builds now.", then="All 12 builds are green.")
    brief = {"schedule": "0 7 * * *", "message": "Check the builds"}
    sim = engine_sim(declaring(brief=brief), start="2026-06-01 06:00", zone="UTC", agent=agent)
    report = await sim.until("2026-06-01 08:00")
    assert [one.text for one in report.deliveries] == ["All 12 builds are green."]
    first, second = agent.requests
    assert second.prompt.startswith(first.prompt)
    assert "That is a promise" in second.prompt
    assert len(report.runs("brief")) == 1


async def test_an_agent_that_promises_twice_is_taken_at_its_word(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then="Working on it.")
    brief = {"schedule": "0 7 * * *", "message": "Check the builds"}
    sim = engine_sim(declaring(brief=brief), start="2026-06-01 06:00", zone="UTC", agent=agent)
    report = await sim.until("2026-06-01 08:00")
    assert [one.text for one in report.deliveries] == ["Working on it."]
    assert len(agent.requests) == 2


async def test_a_command_needs_no_model(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    probe = {"schedule": "0 * * * *", "command": ["df", "-h"], "deliver": "last"}
    sim = engine_sim(
        declaring(probe=probe),
        start="2026-06-01 00:30",
        agent=agent,
        commands=lambda argv: f"{argv[0]}: fine",
    )
    report = await sim.advance(timedelta(hours=1))
    assert [one.text for one in report.deliveries] == ["df: fine"]
    assert agent.requests == []


async def test_a_simulation_never_runs_a_command(engine_sim: EngineSim, tmp_path: Path) -> None:
    made = tmp_path / "made"
    probe = {"schedule": "0 * * * *", "command": ["touch", str(made)]}
    sim = engine_sim(declaring(probe=probe), start="2026-06-01 00:30")
    report = await sim.advance(timedelta(hours=1))
    assert len(report.runs("probe")) == 1
    assert not made.exists()


async def test_a_main_session_job_that_wakes_now_reaches_the_person(engine_sim: EngineSim) -> None:
    tea = {"schedule": "0 16 * * *", "systemEvent": "Tea is ready."}
    sim = engine_sim(declaring(tea=tea), start="2026-06-01 00:00", zone="UTC", checklist="")
    report = await sim.until("2026-06-02 00:00")
    assert [(one.local, one.text) for one in report.deliveries] == [
        ("16:00", "Reminder: Tea is ready.")
    ]


async def test_a_run_that_still_goes_makes_the_next_slot_skip(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent("slow", takes=25 * MINUTE)
    often = {"schedule": "*/10 * * * *", "message": "look"}
    sim = engine_sim(declaring(often=often), start="2026-06-01 00:01", zone="UTC", agent=agent)
    report = await sim.until("2026-06-01 00:50")
    assert [run.local for run in report.runs("often")] == ["00:10", "00:40"]
    assert [(run.local, run.reason) for run in report.skips("often")] == [
        ("00:20", "overlap-skip"),
        ("00:30", "overlap-skip"),
    ]


async def test_slots_missed_while_nobody_ran_are_recorded_and_the_last_is_made_up_for(
    engine_sim: EngineSim,
) -> None:
    hourly = {"schedule": "0 * * * *", "message": "look"}
    sim = engine_sim(declaring(hourly=hourly), start="2026-06-01 00:30", zone="UTC")
    await sim.until("2026-06-01 02:30")
    await sim.restart(down_for=timedelta(hours=4))
    report = await sim.until("2026-06-01 07:30")
    assert [run.local for run in report.runs("hourly")] == ["01:00", "02:00", "06:00", "07:00"]
    assert [(run.local, run.status) for run in report.skips("hourly")] == [
        ("03:00", "missed"),
        ("04:00", "missed"),
        ("05:00", "missed"),
    ]
    assert report.runs("hourly")[2].row.trigger.value == "catchup"


async def test_a_one_shot_is_gone_after_it_succeeded(engine_sim: EngineSim) -> None:
    sim = engine_sim(OFF, start="2026-06-01 00:00", zone="UTC")
    await sim.open()
    job = await sim.engine.scheduling.add(
        {"name": "once", "at": "20m", "message": "look"}, by="test"
    )
    report = await sim.advance(timedelta(hours=1))
    assert [run.local for run in report.runs(job["id"])] == ["00:20"]
    assert (await sim.engine.scheduling.list({"includeDisabled": True}))["jobs"] == []


@pytest.mark.parametrize("first", ["there", FailureClass.OVERLOADED, FailureClass.INVALID])
async def test_a_one_shot_run_by_hand_before_its_time_keeps_its_time(
    engine_sim: EngineSim, first: str | FailureClass
) -> None:
    agent = ScriptedAgent(first, then="there")
    sim = engine_sim(OFF, start="2026-06-01 00:00", zone="UTC", agent=agent)
    await sim.open()
    job = await sim.engine.scheduling.add({"name": "once", "at": "1h", "message": "look"}, by="me")
    await sim.engine.scheduling.run(job["id"], by="me")
    runs = (await sim.advance(timedelta(hours=2))).runs(job["id"])
    assert [run.row.trigger.value for run in runs] == ["manual", "schedule"]
    assert runs[1].local == "01:00"


async def test_a_declared_one_shot_that_succeeded_is_done_for_good(engine_sim: EngineSim) -> None:
    once = {"schedule": "at 2026-06-01T00:20:00Z", "message": "look", "deleteAfterRun": True}
    sim = engine_sim(declaring(once=once), start="2026-06-01 00:00", zone="UTC")
    await sim.until("2026-06-01 00:20:30")
    await sim.apply(declaring(once=once | {"message": "look again"}))
    await sim.restart()
    await sim.apply(declaring(once=once))
    report = await sim.until("2026-06-02 00:00")
    assert [run.local for run in report.runs("once")] == ["00:20"]
    (job,) = (await sim.engine.scheduling.list({"includeDisabled": True}))["jobs"]
    assert job["state"]["runCount"] == 1
    assert job["nextRunAtMs"] is None
    await sim.apply(declaring(once=once | {"schedule": "at 2026-06-03T00:00:00Z"}))
    report = await sim.until("2026-06-04 00:00")
    assert len(report.runs("once")) == 2


async def test_a_one_shot_that_met_a_passing_fault_is_tried_again(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(FailureClass.OVERLOADED, FailureClass.NETWORK, then="there")
    sim = engine_sim(OFF, start="2026-06-01 00:00", zone="UTC", agent=agent)
    await sim.open()
    job = await sim.engine.scheduling.add(
        {"name": "once", "at": "20m", "message": "look"}, by="test"
    )
    runs = (await sim.advance(timedelta(hours=3))).runs(job["id"])
    assert [run.status for run in runs] == ["failed", "failed", "ok"]
    assert [run.row.trigger.value for run in runs] == ["schedule", "retry", "retry"]
    first = runs[0].row.id
    assert [run.row.retry_of for run in runs] == [None, first, first]


async def test_a_failing_job_waits_longer_each_time_and_says_so(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(then=FailureClass.SERVER_ERROR)
    often = {"schedule": "* * * * *", "message": "look"}
    sim = engine_sim(declaring(often=often), start="2026-06-01 00:00", zone="UTC", agent=agent)
    report = await sim.advance(30 * MINUTE)
    assert {run.status for run in report.runs("often")} == {"failed"}
    assert {run.reason for run in report.skips("often")} == {"backoff"}
    # 30 s, 60 s, 5 min, 15 min: whatever slot lies before the end of a wait does not run
    began = [f"{run.at:%H:%M:%S}" for run in report.runs("often")]
    assert began == ["00:01:00", "00:01:30", "00:02:30", "00:07:30", "00:22:30"]


async def test_a_changed_entry_keeps_what_its_job_has_been_through(engine_sim: EngineSim) -> None:
    before = {"schedule": "0 7 * * *", "message": "Summarise"}
    sim = engine_sim(declaring(brief=before), start="2026-06-01 00:00", zone="UTC")
    await sim.until("2026-06-02 00:00")
    await sim.apply(declaring(brief=before | {"schedule": "0 9 * * *"}))
    report = await sim.until("2026-06-03 00:00")
    assert [run.local for run in report.runs("brief")] == ["07:00", "09:00"]
    (job,) = (await sim.engine.scheduling.list({}))["jobs"]
    assert job["state"]["runCount"] == 2


async def test_a_config_whose_jobs_are_refused_changes_no_beat_either(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(OFF, start="2026-06-01 00:00", zone="UTC")
    await sim.open()
    desk = sim.engine.scheduling
    await desk.add({"id": "cfg:brief", "name": "mine", "every": "1h", "message": "look"}, by="me")
    brief = declaring(brief={"schedule": "0 7 * * *", "message": "Summarise"})
    with pytest.raises(ConfigInvalid):
        await sim.apply(brief | {"agents": {"defaults": {"heartbeat": {"every": "5m"}}}})
    page = await desk.list({"includeDisabled": True, "includeSystem": True})
    assert [job["id"] for job in page["jobs"] if job["enabled"]] == ["cfg:brief"]


async def test_an_entry_that_is_gone_fires_no_more(engine_sim: EngineSim) -> None:
    brief = {"schedule": "0 7 * * *", "message": "Summarise"}
    sim = engine_sim(declaring(brief=brief), start="2026-06-01 00:00", zone="UTC")
    await sim.until("2026-06-02 00:00")
    await sim.apply(OFF)
    report = await sim.until("2026-06-04 00:00")
    assert len(report.runs("brief")) == 1


async def test_a_job_with_delivery_none_keeps_its_words(engine_sim: EngineSim) -> None:
    quiet = {"schedule": "0 7 * * *", "message": "Summarise", "deliver": "none"}
    sim = engine_sim(declaring(quiet=quiet), start="2026-06-01 00:00", zone="UTC")
    (run,) = (await sim.until("2026-06-02 00:00")).runs("quiet")
    assert (run.status, run.reason, run.text) == ("ok", None, "Done: Summarise")


async def test_jobs_that_are_switched_off_leave_a_row_for_every_slot(
    engine_sim: EngineSim,
) -> None:
    config = declaring(brief={"schedule": "0 7 * * *", "message": "Summarise"})
    config["cron"]["enabled"] = False
    sim = engine_sim(config, start="2026-06-01 00:00", zone="UTC")
    report = await sim.until("2026-06-03 00:00")
    assert [run.reason for run in report.skips("brief")] == ["disabled", "disabled"]


async def test_an_interrupted_run_is_one_failed_row_after_the_restart(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent("never said", takes=timedelta(hours=1))
    brief = {"schedule": "0 7 * * *", "message": "Summarise"}
    sim = engine_sim(declaring(brief=brief), start="2026-06-01 00:00", zone="UTC", agent=agent)
    await sim.until("2026-06-01 07:10")
    await sim.restart(down_for=5 * MINUTE)
    (run,) = (await sim.until("2026-06-02 00:00")).runs("brief")
    assert (run.status, run.reason) == ("failed", "interrupted")
    assert run.at == datetime(2026, 6, 1, 7, tzinfo=UTC)


async def test_words_go_to_several_places_and_to_a_webhook(engine_sim: EngineSim) -> None:
    hook = "https://hooks.example/done"
    deliver = {"mode": "announce", "channel": "local", "to": "me"}
    more = {"also": ["local:you", hook], "completionDestination": {"mode": "webhook", "to": hook}}
    brief = {"schedule": "0 7 * * *", "message": "Summarise", "delivery": deliver | more}
    posted = {"schedule": "0 8 * * *", "message": "Post", "deliver": hook}
    sim = engine_sim(declaring(brief=brief, posted=posted), start="2026-06-01 06:00", zone="UTC")
    report = await sim.advance(timedelta(hours=3))
    sent = [(one.local, one.channel, one.to) for one in report.deliveries]
    assert sorted(sent) == [
        ("07:00", "local", "me"),
        ("07:00", "local", "you"),
        ("07:00", "webhook", hook),  # once, although it is named twice
        ("08:00", "webhook", hook),
    ]
    (first, *_) = report.runs("brief")
    told = "https://hooks.example/…"  # the rest of an address is a secret
    assert [place["to"] for place in first.row.target["also"]] == ["you", told, told]


async def test_a_place_that_is_no_place_is_refused_by_name(engine_sim: EngineSim) -> None:
    deliver = {"mode": "announce", "also": [{"mode": "webhook", "to": "ftp://x"}]}
    job = {"schedule": "0 7 * * *", "message": "Summarise", "delivery": deliver}
    with pytest.raises(ConfigInvalid, match=r"valid http\(s\) URL"):
        await engine_sim(declaring(job=job), start="2026-06-01 06:00").open()


async def test_a_run_that_failed_is_one_line_of_the_log(
    engine_sim: EngineSim, caplog: pytest.LogCaptureFixture
) -> None:
    probe = {"schedule": "0 * * * *", "command": ["df"], "name": "disk"}
    sim = engine_sim(
        declaring(probe=probe),
        start="2026-06-01 00:30",
        commands=lambda _: Ended(code=3, out=b"", err=b"no such disk"),
    )
    await sim.advance(timedelta(hours=1))
    (line,) = [one for one in caplog.records if one.getMessage() == "a cron run failed"]
    assert line.__dict__["job"] == "disk"
    assert "no such disk" in line.__dict__["because"]


async def test_the_runs_of_a_removed_job_are_found_by_the_name_it_had(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(OFF, start="2026-06-01 00:30", zone="UTC", agent=ScriptedAgent(then="Done."))
    await sim.open()
    wish: dict[str, Any] = {"schedule": {"kind": "cron", "expr": "0 * * * *"}, "name": "water"}
    wish["payload"] = {"kind": "agentTurn", "message": "look"}
    added = await sim.engine.scheduling.add(wish, by="ana")
    await sim.until("2026-06-01 02:30")
    await sim.engine.scheduling.remove(added["id"], by="ana")
    page = await sim.engine.scheduling.runs({"id": "water"})
    assert [entry["jobId"] for entry in page["entries"]] == [added["id"]] * 2
    with pytest.raises(JobNotFound):
        await sim.engine.scheduling.runs({"id": "wine"})


@pytest.mark.parametrize(("given", "hours"), [({}, 24), ({"deliverBy": "2h"}, 2)])
async def test_words_of_a_job_are_sent_as_long_as_they_are_worth_it(
    engine_sim: EngineSim, given: dict[str, Any], hours: int
) -> None:
    told = {"mode": "announce", "channel": "local", "to": "main", **given}
    brief = {"schedule": "0 9 * * *", "command": ["echo", "hi"], "delivery": told}
    sim = engine_sim(declaring(brief=brief), start="2026-06-01 08:00", zone="UTC")
    await sim.until("2026-06-01 09:30")
    (message,), _ = await sim.database.read(outbox.page)
    assert message.expires_at - message.created_at == timedelta(hours=hours)


@pytest.mark.parametrize("span", ["soon", "0s", "31d", -1, True])
async def test_a_span_nobody_can_keep_is_refused(engine_sim: EngineSim, span: Any) -> None:
    sim = await engine_sim(declaring(), start="2026-06-01 08:00", zone="UTC").open()
    job = {
        "schedule": {"kind": "every", "everyMs": 3_600_000},
        "payload": {"kind": "command", "argv": ["true"]},
        "delivery": {"mode": "announce", "channel": "local", "to": "main", "deliverBy": span},
    }
    with pytest.raises(InvalidInput):
        await sim.engine.scheduling.add({"name": "j", **job}, by="me")
