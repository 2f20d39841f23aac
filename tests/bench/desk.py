"""Changing a job: add, update and remove through the desk, durable, few and many jobs around.

After each change the disk is asked for one durable row without any of us: what a change takes
beyond that is ours, what it takes of processor time is what another machine would ask too.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.bench.burst import peer_store
from tests.bench.common import Measured, Took, percentile, probe, say
from tests.bench.idle import fill
from tests.bench.machine import BareCommits

FEW, MANY = 1000, 100_000
CHANGES = 1000
WARM = 20
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
    return [_row(word, few, many, peers) for word in WORDS]


Summary = dict[str, dict[str, float]]


def _row(word: str, few: Summary, many: Summary, peers: dict[str, Summary]) -> Measured:
    ours, before, peer = many[word], few[word], peers["sqlite"][word]
    memory, bare = peers["memory"][word], many["bare"]
    told = f"{peer['p99']:.1f} ms (APScheduler on SQLite, {FEW:,} jobs);"
    told += f" {memory['p99']:.2f} ms in memory"
    parts = f"CPU {ours['cpu_p99']:.2f} ms; a bare commit {bare['p99']:.2f} ms"
    return Measured(
        work=f"{word} a job among {MANY:,}: p99",
        measured=f"{ours['p99']:.2f} ms (among {FEW:,}: {before['p99']:.2f} ms; {parts})",
        goal="< 2 ms, flat",
        peer=told,
        ratio=f"{peer['p99'] / ours['p99']:.1f} x",
        ok=ours["p99"] < 2 and ours["p50"] < 1.5 * before["p50"],
        figures={
            "p99_ms": ours["p99"],
            "p50_ms": ours["p50"],
            "cpu_p99_ms": ours["cpu_p99"],
            "cpu_p50_ms": ours["cpu_p50"],
            "few_p99_ms": before["p99"],
            "few_p50_ms": before["p50"],
            "bare_commit_p99_ms": bare["p99"],
            "bare_commit_p50_ms": bare["p50"],
            "apscheduler_p99_ms": peer["p99"],
            "apscheduler_p50_ms": peer["p50"],
            "apscheduler_memory_p99_ms": memory["p99"],
        },
    )


def _summed(took: Sequence[float], prefix: str = "") -> dict[str, float]:
    """Return milliseconds."""
    shares = (("p50", 0.5), ("p99", 0.99))
    return {f"{prefix}{name}": 1000 * percentile(took, share) for name, share in shares}


# -- ours ------------------------------------------------------------------------------------


async def ours(folder: Path, count: int) -> Summary:
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
    took, warm = ({word: Took() for word in WORDS} for _ in range(2))
    with BareCommits(folder) as bare:
        for number in range(WARM + CHANGES):
            await _one(desk, number, took if number >= WARM else warm, bare)
    await database.close()
    summed = {word: {**_summed(one.wall), **_summed(one.cpu, "cpu_")} for word, one in took.items()}
    return {**summed, "bare": _summed(bare.took)}


async def _one(desk: Any, number: int, took: dict[str, Took], bare: BareCommits) -> None:
    wish = {
        "name": f"Weekly {number}",
        "schedule": {"kind": "cron", "expr": f"{number % 60} {number % 24} * * 1-5"},
        "payload": {"kind": "agentTurn", "message": "Summarise what happened this week."},
    }
    made = await took["add"].by(lambda: desk.add(wish, by="bench"))
    bare.one()
    patch = {"schedule": {"kind": "cron", "expr": f"{number % 60} 7 * * *"}}
    await took["update"].by(lambda: desk.update(made["id"], patch, by="bench"))
    bare.one()
    await took["remove"].by(lambda: desk.remove(made["id"], by="bench"))
    bare.one()


# -- APScheduler -----------------------------------------------------------------------------


def _work() -> None:
    """Be the work of APScheduler's jobs."""


async def apscheduler(folder: Path, kind: str, count: int) -> Summary:
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
    took: dict[str, list[float]] = {word: [] for word in WORDS}
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
    return {word: _summed(all_of) for word, all_of in took.items()}


async def main(which: str, count: int) -> Summary:
    """Take one measurement."""
    with tempfile.TemporaryDirectory() as place:
        if which == "ours":
            return await ours(Path(place), count)
        return await apscheduler(Path(place), which, count)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2])))))
