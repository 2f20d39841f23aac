"""Every slot of a whole engine has its row, whatever happened; one that is taken away is found."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.process import Ended
from engine.scheduling import Chosen, writing
from engine.testing import Simulation
from jobs.audit import Audit, Retention, Window
from jobs.store import slots

JOBS: dict[str, Any] = {
    "brief": {"schedule": "0 7 * * 1-5", "message": "what is on today?"},
    "hourly": {"schedule": "0 * * * *", "message": "look"},
    "night": {"schedule": "30 1 * * *", "message": "look"},
    "often": {"schedule": "every 47m", "message": "look"},
    "once": {"schedule": "at 2026-03-27T10:00", "message": "look"},
    "probe": {"schedule": "*/30 * * * *", "command": ["true"], "misfire": {"policy": "skip"}},
    "until": {"schedule": "0 12 * * *", "message": "look", "until": "2026-03-30T00:00:00Z"},
}


def config(every: str = "30m", **jobs: Any) -> dict[str, Any]:
    return {
        "agents": {"defaults": {"heartbeat": {"every": every}}},
        "cron": {"jobs": {**JOBS, **jobs}},
    }


async def audited(sim: Simulation) -> Audit:
    window = Window(since=sim.start - timedelta(days=1), until=sim.now())
    kept = Retention(since=sim.start - timedelta(days=90))
    return await sim.database.read(
        lambda tx: slots.audited(
            tx, window, cron=kept, beats=kept, removed=writing.gone(tx, window.since)
        )
    )


def named(audit: Audit) -> dict[str, tuple[int, int, int]]:
    return {job.job_id: (job.missing, job.duplicates, job.strays) for job in audit.jobs}


async def test_days_with_a_change_of_clocks_and_an_outage_leave_no_hole() -> None:
    start = "2026-03-27 00:00"
    async with Simulation(config(), start=start, zone="Europe/London", checklist="- look") as sim:
        await sim.until("2026-03-28 12:00")
        await sim.restart(down_for=timedelta(hours=30))
        await sim.until("2026-03-31 00:00")
        found = await audited(sim)
        assert found.clean, named(found)
        assert sum(job.expected for job in found.jobs) > 500
        assert {job.job_id for job in found.jobs} >= {"cfg:often", "heartbeat:main"}


async def test_jobs_that_change_meanwhile_are_audited_from_their_change() -> None:
    start = "2026-03-02 00:00"
    async with Simulation(config(), start=start, zone="UTC", checklist="- look") as sim:
        await sim.until("2026-03-02 08:10")
        changed = config("20m", brief={**JOBS["brief"], "schedule": "*/10 8 * * *"})
        del changed["cron"]["jobs"]["hourly"]
        await sim.apply(changed)
        await sim.until("2026-03-02 14:10")
        await sim.apply(config("45m"))
        await sim.until("2026-03-02 20:10")
        await sim.restart(down_for=timedelta(hours=20), config=config("50m"))
        await sim.until("2026-03-04 00:00")
        found = await audited(sim)
        assert found.clean, named(found)


async def test_what_an_operator_and_calendars_do_leaves_no_hole() -> None:
    every = {"message": "look"}
    jobs = {
        "back": {**every, "schedule": "0 9 * * 6", "calendars": _on("previous-allowed")},
        "forth": {**every, "schedule": "0 9 * * 0,3", "calendars": _on("next-allowed")},
        "closed": {**every, "schedule": "0 */3 * * *", "calendars": _on("skip")},
        "paused": {**every, "schedule": "0 */2 * * *", "jitter": "2m"},
        "few": {**every, "schedule": "30 * * * *", "maxRuns": 3},
        "daily": {**every, "schedule": "45 */2 * * *", "maxRunsPerDay": 2},
        "all": {**every, "schedule": "every 97m", "misfire": {"policy": "run-all"}},
    }
    given = {"cron": {"calendars": {"workdays": {"weekdays": ["mon-fri"]}}, "jobs": jobs}}
    async with Simulation(given, start="2026-03-05 00:00", zone="UTC", checklist="- look") as sim:
        control = sim.engine.control
        await sim.until("2026-03-05 10:10")
        await control.pause(Chosen(ref="paused"), by="test")
        await control.skip("all", by="test", count=2)
        await sim.until("2026-03-06 10:10")
        await control.resume(Chosen(ref="paused"), by="test")
        since = sim.now() - timedelta(hours=30)
        await control.backfill("daily", since=since, until=sim.now(), by="test")
        await sim.restart(down_for=timedelta(hours=20))
        await sim.until("2026-03-09 12:00")
        found = await audited(sim)
        assert found.clean, named(found)
        assert {job.job_id: job.moved for job in found.jobs}["cfg:back"] == 1


def _on(excluded: str) -> dict[str, Any]:
    return {"names": ["workdays"], "onExcluded": excluded}


async def test_a_row_deleted_by_hand_is_a_hole() -> None:
    start = "2026-03-02 00:00"
    async with Simulation(config(), start=start, zone="UTC", checklist="- look") as sim:
        await sim.until("2026-03-03 00:00")
        for job_id in ("cfg:probe", "heartbeat:main"):
            sql = (
                "DELETE FROM runs WHERE job_id = ? AND slot ="
                " (SELECT slot FROM runs WHERE job_id = ? ORDER BY slot LIMIT 1 OFFSET 5)"
            )
            await sim.database.write(
                lambda tx, of=job_id, sql=sql: tx.exec_driver_sql(sql, (of, of))  # type: ignore[misc]  # bound now
            )
        found = await audited(sim)
        assert found.missing == 2
        holed = sorted(job.job_id for job in found.jobs if job.missing)
        assert holed == ["cfg:probe", "heartbeat:main"]


async def test_a_job_that_switched_itself_off_is_audited_from_when_it_went_on() -> None:
    config = {
        "agents": {"defaults": {"heartbeat": {"every": "0m"}}},
        "cron": {
            "autoDisableAfter": 2,
            "jobs": {
                "probe": {
                    "schedule": "every 10m",
                    "command": ["false"],
                    "retry": {"backoffMs": [0]},
                }
            },
        },
    }
    failing = Ended(code=1, out=b"", err=b"")
    sim = Simulation(config, start="2026-03-02 00:00", zone="UTC", commands=lambda _argv: failing)
    async with sim:
        await sim.until("2026-03-02 03:05")
        assert not (await sim.engine.scheduling.get("probe"))["enabled"]
        await sim.engine.control.resume(Chosen(ref="probe"), by="ana")
        await sim.until("2026-03-02 03:15")
        found = await audited(sim)
        assert found.clean, named(found)


async def test_a_job_that_was_removed_is_audited_up_to_its_removal() -> None:
    off = {"agents": {"defaults": {"heartbeat": {"every": "0m"}}}}
    async with Simulation(off, start="2026-03-02 00:30", zone="UTC") as sim:
        wish = {"name": "brief", "every": "10m", "message": "look"}
        added = await sim.engine.scheduling.add(wish, by="ana")
        await sim.until("2026-03-02 02:05")
        await sim.engine.scheduling.remove(added["id"], by="ana")
        await sim.until("2026-03-02 04:00")
        [mine] = (await audited(sim)).jobs
        assert (mine.title, mine.expected, mine.recorded) == ("brief (removed)", 9, 9)
        sql = "DELETE FROM runs WHERE seq = (SELECT max(seq) FROM runs)"
        await sim.database.write(lambda tx: tx.exec_driver_sql(sql))
        found = await audited(sim)
        assert (found.ok, found.jobs[0].missing) == (False, 1)
        assert "removedAtMs" in found.to_json()["jobs"][0]


async def test_a_job_the_config_deleted_is_audited_too() -> None:
    async with Simulation(config(), start="2026-03-02 00:30", zone="UTC") as sim:
        await sim.until("2026-03-02 03:30")
        less = config()
        less["cron"] = {"jobs": {**JOBS}, "configRemoval": "delete"}
        del less["cron"]["jobs"]["hourly"]
        await sim.apply(less)
        [mine] = [job for job in (await audited(sim)).jobs if job.removed_at is not None]
        assert (mine.title, mine.expected, mine.recorded) == ("hourly (removed)", 3, 3)


async def test_a_job_with_so_many_runs_is_whole_when_it_has_had_them() -> None:
    limited = {"schedule": "every 10m", "message": "look", "maxRuns": 5}
    start = "2026-03-02 00:00"
    async with Simulation(config(limited=limited), start=start, zone="UTC") as sim:
        await sim.until("2026-03-02 06:00")
        found = await audited(sim)
        assert found.clean, named(found)
        (mine,) = [job for job in found.jobs if job.job_id == "cfg:limited"]
        assert mine.expected == 5
