"""Due burst: many persisted cron jobs due at the same instant, every slot durable."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.bench.common import Measured, ended, job, loop_of, probe, say, store

JOBS = 10_000
PEER_JOBS = 400
BATCH = 1000
SLOT = datetime(2026, 6, 1, 9, tzinfo=UTC)  # a Monday
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Shanghai", "Asia/Kolkata", "UTC")


def measure() -> list[Measured]:
    """Compare slots per second: claimed, performed, recorded."""
    say(f"{JOBS} jobs of ours")
    ours = max(probe("burst", "ours", JOBS)["rate"] for _ in range(3))
    say("raw SQLite")
    raw = max(probe("burst", "raw", JOBS)["rate"] for _ in range(3))
    say(f"{PEER_JOBS} jobs of APScheduler")
    kinds = ("asyncio", "background")
    peer = max(probe("burst", kind, PEER_JOBS)["rate"] for kind in kinds)
    say(f"{PEER_JOBS} jobs of APScheduler, its SQLite tuned to WAL")
    tuned = max(probe("burst", kind, PEER_JOBS, "wal")["rate"] for kind in kinds)
    return [
        Measured(
            work=f"due burst, {JOBS} jobs, FULL",
            measured=f"{ours:,.0f}/s",
            goal=">= 15 x APScheduler",
            peer=f"{peer:,.0f}/s (SQLAlchemyJobStore on SQLite, as it comes)",
            ratio=f"{ours / peer:.1f} x",
            ok=ours >= 15 * peer,
            figures={"per_second": ours, "apscheduler_per_second": peer},
        ),
        Measured(
            work="  the same, for scale",
            measured=f"{ours:,.0f}/s",
            goal="",
            peer=f"{tuned:,.0f}/s (its SQLite tuned to WAL)",
            ratio=f"{ours / tuned:.1f} x",
            figures={"apscheduler_wal_per_second": tuned},
        ),
        Measured(
            work="  the same",
            measured=f"{ours:,.0f}/s",
            goal=">= 25 % of raw SQLite",
            peer=f"{raw:,.0f}/s (executemany of claim, run, end, count)",
            ratio=f"{100 * ours / raw:.0f} %",
            ok=ours >= 0.25 * raw,
            figures={"per_second": ours, "raw_per_second": raw},
        ),
    ]


def expression(number: int) -> tuple[str, str]:
    """Return one of a few usual expressions that has a slot at `SLOT`."""
    zone = ZONES[number % len(ZONES)]
    local = SLOT.astimezone(ZoneInfo(zone))
    at = f"{local.minute} {local.hour}"
    forms = (
        f"{at} * * *",
        f"{at} * * 1-5",
        f"{at} * * MON",
        f"{local.minute} * * * *",
        f"{at} 1 * *",
    )
    return forms[number // len(ZONES) % len(forms)], zone


# -- ours ------------------------------------------------------------------------------------


async def ours(folder: Path, count: int) -> float:
    """One tick of the engine's loop over a file database; returns seconds."""
    from jobs.ledger import Run
    from jobs.model import Job
    from jobs.schedule import Cron
    from jobs.store.base import Finish
    from jobs.store.db import Database

    class Standing:
        def now(self) -> datetime:
            return SLOT + timedelta(milliseconds=20)

        def monotonic(self) -> timedelta:
            return timedelta(seconds=time.monotonic())

        async def sleep_until(self, instant: datetime) -> None:
            raise AssertionError(f"nobody waits for {instant}")

    class AtOnce:
        def begin(self, job: Job, run: Run) -> Finish:
            now = clock.now()
            return Finish(run=ended(run, now))

    clock = Standing()
    database = await Database.open(folder / "state.db")
    made = [(job(n, Cron(*expression(n))), SLOT) for n in range(count)]
    await store(database, made, clock.now())
    loop = loop_of(database, clock, AtOnce())
    began = time.perf_counter()
    await loop.tick()
    took = time.perf_counter() - began
    await database.close()
    _audit(folder / "state.db", count)
    return took


def _audit(path: Path, count: int) -> None:
    """See to it that every slot has its row and every job its count: fast and wrong is no row."""
    with sqlite3.connect(path) as raw:
        ended = raw.execute("SELECT count(*) FROM runs WHERE status = 'ok'").fetchone()[0]
        counted = raw.execute("SELECT count(*) FROM jobs WHERE ok_count = 1").fetchone()[0]
        ahead = raw.execute(
            "SELECT count(*) FROM jobs WHERE next_run_at > ?", (int(SLOT.timestamp() * 1000),)
        ).fetchone()[0]
    assert ended == counted == ahead == count, (ended, counted, ahead)


# -- raw SQLite ------------------------------------------------------------------------------


async def raw(folder: Path, count: int) -> float:
    """The four statements alone, batched by the driver, rows ready; returns seconds."""
    from jobs.schedule import Cron
    from jobs.store.db import Database

    path = folder / "state.db"
    database = await Database.open(path)
    made = [(job(n, Cron(*expression(n))), SLOT) for n in range(count)]
    await store(database, made, SLOT)
    await database.close()
    at = int(SLOT.timestamp() * 1000)
    claims, runs, ends, counts = [], [], [], []
    for n, (one, _) in enumerate(made):
        run_id = f"{at:012x}{n:012x}"
        claims.append((at + 3_600_000, one.id, at))
        runs.append((run_id, one.id, "cron", "main", "schedule", "claimed", at, one.name, at, at))
        ends.append(("ok", "acknowledged", at, at, run_id))
        counts.append((at, one.id))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    began = time.perf_counter()
    for n in range(0, count, BATCH):
        part = slice(n, n + BATCH)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "UPDATE jobs SET next_run_at = ? WHERE id = ? AND next_run_at = ?", claims[part]
        )
        connection.executemany(
            "INSERT INTO runs (id, job_id, kind, agent_id, trigger_kind, status, slot, job_name,"
            " requested_at, claimed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            runs[part],
        )
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "UPDATE runs SET status = ?, outcome = ?, started_at = ?, ended_at = ? WHERE id = ?",
            ends[part],
        )
        connection.executemany(
            "UPDATE jobs SET last_status = 'ok', last_run_at = ?, last_duration_ms = 0,"
            " run_count = run_count + 1, ok_count = ok_count + 1, consecutive_errors = 0"
            " WHERE id = ?",
            counts[part],
        )
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return took


# -- APScheduler -----------------------------------------------------------------------------

_landed = 0
_expected = 0
_all = threading.Event()
_lock = threading.Lock()


def land() -> None:
    """Be the work of APScheduler's jobs: as good as nothing."""
    global _landed
    with _lock:
        _landed += 1
        if _landed == _expected:
            _all.set()


async def land_async() -> None:
    """Do the same on the event loop."""
    land()


def peer_store(folder: Path, *, wal: bool) -> Any:
    """Return APScheduler's store on SQLite (it syncs fully by default), if asked with WAL."""
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore

    path = folder / "aps.db"
    if wal:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # the file remembers it
        connection.close()
    return SQLAlchemyJobStore(url=f"sqlite:///{path}")


def _filled(scheduler: Any, folder: Path, count: int, work: Any) -> None:
    from apscheduler.triggers.cron import CronTrigger

    global _expected
    _expected = count
    scheduler.add_jobstore(peer_store(folder, wal=sys.argv[-1] == "wal"))
    scheduler.start(paused=True)
    due = datetime.now(UTC) - timedelta(seconds=1)
    for n in range(count):
        expr, zone = expression(n)
        scheduler.add_job(
            work,
            CronTrigger.from_crontab(expr, timezone=zone),
            id=f"job-{n}",
            next_run_time=due,
            misfire_grace_time=None,
            max_instances=1,
            coalesce=True,
        )


async def asyncio_scheduler(folder: Path, count: int) -> float:
    """AsyncIOScheduler, jobs as coroutines; returns seconds until all ran and were advanced."""
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    scheduler = AsyncIOScheduler(timezone=UTC)
    _filled(scheduler, folder, count, land_async)
    began = time.perf_counter()
    scheduler.resume()
    while not _all.is_set():
        await asyncio.sleep(0.001)
    took = time.perf_counter() - began
    scheduler.shutdown(wait=False)
    return took


async def background_scheduler(folder: Path, count: int) -> float:
    """BackgroundScheduler with its threads; returns seconds."""
    from apscheduler.schedulers.background import BackgroundScheduler

    scheduler = BackgroundScheduler(timezone=UTC)
    _filled(scheduler, folder, count, land)
    began = time.perf_counter()
    scheduler.resume()
    await asyncio.to_thread(_all.wait)
    took = time.perf_counter() - began
    scheduler.shutdown(wait=True)
    return took


PROBES = {
    "ours": ours,
    "raw": raw,
    "asyncio": asyncio_scheduler,
    "background": background_scheduler,
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        seconds = asyncio.run(PROBES[sys.argv[1]](Path(place), int(sys.argv[2])))
    print(json.dumps({"rate": int(sys.argv[2]) / seconds}))
