"""Changing a job: add, update and remove through the desk, durable, few and many jobs around."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.bench.burst import peer_store
from tests.bench.common import Measured, percentile, probe, say
from tests.bench.idle import fill

FEW, MANY = 1000, 100_000
CHANGES = 500
PEER_CHANGES = 200
WORDS = ("add", "update", "remove")


def measure() -> list[Measured]:
    """Compare the slowest one in a hundred, with a thousand jobs and with a hundred thousand."""
    say(f"a job among {FEW:,}")
    few = probe("desk", "ours", FEW)
    say(f"a job among {MANY:,}")
    many = probe("desk", "ours", MANY)
    say(f"APScheduler, a job among {FEW:,}")
    peers = {kind: probe("desk", kind, FEW) for kind in ("sqlite", "memory")}
    rows = []
    for word in WORDS:
        peer = peers["sqlite"][word]
        told = f"{peer['p99']:.1f} ms (APScheduler on SQLite, {FEW:,} jobs);"
        told += f" {peers['memory'][word]['p99']:.2f} ms in memory"
        rows.append(
            Measured(
                work=f"{word} a job among {MANY:,}: p99",
                measured=f"{many[word]['p99']:.2f} ms (among {FEW:,}: {few[word]['p99']:.2f} ms)",
                goal="< 2 ms, flat",
                peer=told,
                ratio=f"{peer['p99'] / many[word]['p99']:.1f} x",
                ok=many[word]["p99"] < 2 and many[word]["p50"] < 1.5 * few[word]["p50"],
                figures={
                    "p99_ms": many[word]["p99"],
                    "p50_ms": many[word]["p50"],
                    "few_p99_ms": few[word]["p99"],
                    "few_p50_ms": few[word]["p50"],
                    "sync_p99_ms": many["sync"]["p99"],
                    "apscheduler_p99_ms": peer["p99"],
                    "apscheduler_p50_ms": peer["p50"],
                    "apscheduler_memory_p99_ms": peers["memory"][word]["p99"],
                },
            )
        )
    return rows


Took = dict[str, list[float]]


def _summed(took: Took) -> dict[str, dict[str, float]]:
    return {
        word: {"p50": 1000 * percentile(all_of, 0.5), "p99": 1000 * percentile(all_of, 0.99)}
        for word, all_of in took.items()
    }


# -- ours ------------------------------------------------------------------------------------


async def ours(folder: Path, count: int) -> dict[str, dict[str, float]]:
    """Add, change and remove jobs, one after the other; each answer follows its commit."""
    from engine.clock import SystemClock
    from engine.events import Bus
    from engine.scheduling import Scheduling
    from engine.scheduling.desk import SchedulingSettings
    from gateway.runtime import settle
    from jobs.ledger import Run
    from jobs.model import Job
    from jobs.store.db import Database

    def nobody(job: Job, run: Run) -> None:
        raise AssertionError(f"nobody runs {job.id}")

    path = folder / "state.db"
    await fill(path, count)
    settle()
    database = await Database.open(path)
    desk = Scheduling(
        database=database,
        clock=SystemClock(),
        bus=Bus(),
        settings=lambda: SchedulingSettings(tz="Europe/Berlin"),
        dispatch=nobody,
        active=lambda _job_id: None,
        cancel=lambda _job_id, _because: None,
        poke=lambda: None,
        boot_id="bench",
    )
    took: Took = {word: [] for word in WORDS}
    for number in range(CHANGES + 20):
        await _one(desk, number, took if number >= 20 else {word: [] for word in WORDS})
    await database.close()
    return {**_summed(took), **_summed({"sync": synced(folder)})}


async def _one(desk: Any, number: int, took: Took) -> None:
    wish = {
        "name": f"Weekly {number}",
        "schedule": {"kind": "cron", "expr": f"{number % 60} {number % 24} * * 1-5"},
        "payload": {"kind": "agentTurn", "message": "Summarise what happened this week."},
    }
    made = await _timed(lambda: desk.add(wish, by="bench"), took["add"])
    patch = {"schedule": {"kind": "cron", "expr": f"{number % 60} 7 * * *"}}
    await _timed(lambda: desk.update(made["id"], patch, by="bench"), took["update"])
    await _timed(lambda: desk.remove(made["id"], by="bench"), took["remove"])


async def _timed(work: Callable[[], Awaitable[Any]], took: list[float]) -> Any:
    began = time.perf_counter()
    done = await work()
    took.append(time.perf_counter() - began)
    return done


def synced(folder: Path) -> list[float]:
    """Return what one durable row costs on this disk, without any of us."""
    took = []
    with sqlite3.connect(folder / "sync.db", isolation_level=None) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")
        for number in range(CHANGES):
            began = time.perf_counter()
            raw.execute("INSERT INTO rows VALUES (?, ?)", (number, "x" * 600))
            took.append(time.perf_counter() - began)
    raw.close()
    return took


# -- APScheduler -----------------------------------------------------------------------------


def _work() -> None:
    """Be the work of APScheduler's jobs."""


async def apscheduler(folder: Path, kind: str, count: int) -> dict[str, dict[str, float]]:
    """Do the same with AsyncIOScheduler."""
    from apscheduler.jobstores.memory import MemoryJobStore
    from apscheduler.schedulers.asyncio import AsyncIOScheduler
    from apscheduler.triggers.cron import CronTrigger

    scheduler = AsyncIOScheduler(timezone=UTC)
    scheduler.add_jobstore(MemoryJobStore() if kind == "memory" else peer_store(folder, wal=False))
    scheduler.start(paused=True)
    later = datetime.now(UTC) + timedelta(days=3)
    for n in range(count):
        trigger = CronTrigger.from_crontab("0 9 * * *", timezone="Europe/Berlin")
        scheduler.add_job(_work, trigger, id=f"job-{n}", next_run_time=later)
    took: Took = {word: [] for word in WORDS}
    for number in range(PEER_CHANGES):
        name, expr = f"weekly-{number}", f"{number % 60} {number % 24} * * 1-5"
        began = time.perf_counter()
        trigger = CronTrigger.from_crontab(expr, timezone="Europe/Berlin")
        scheduler.add_job(_work, trigger, id=name)
        added = time.perf_counter()
        trigger = CronTrigger.from_crontab(f"{number % 60} 7 * * *", timezone="Europe/Berlin")
        scheduler.reschedule_job(name, trigger=trigger)
        updated = time.perf_counter()
        scheduler.remove_job(name)
        took["add"].append(added - began)
        took["update"].append(updated - added)
        took["remove"].append(time.perf_counter() - updated)
    scheduler.shutdown(wait=False)
    return _summed(took)


async def main(which: str, count: int) -> dict[str, dict[str, float]]:
    """Take one measurement."""
    with tempfile.TemporaryDirectory() as place:
        if which == "ours":
            return await ours(Path(place), count)
        return await apscheduler(Path(place), which, count)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2])))))
