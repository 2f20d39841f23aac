"""A million jobs that are not due: what it costs to have them."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.common import Measured, job, probe, say

JOBS = 1_000_000
SECONDS = 32.0  # longer than the longest nap, so that a wake-up is in it


def measure() -> list[Measured]:
    """Measure start, memory and processor time of the scheduler's process."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "state.db"
        say(f"writing {JOBS:,} jobs")
        asyncio.run(fill(path, JOBS))
        say(f"idle for {SECONDS:.0f} s")
        got = probe("idle", path, time.time())
    return [
        Measured(
            work=f"{JOBS:,} idle jobs: CPU",
            measured=f"{got['cpu']:.3f} %",
            goal="< 0.1 %",
            ok=got["cpu"] < 0.1,
            figures={"cpu_percent": got["cpu"]},
        ),
        Measured(
            work="  the same: memory",
            measured=f"{got['rss']:.0f} MB",
            goal="< 60 MB",
            ok=got["rss"] < 60,
            figures={"rss_mb": got["rss"]},
        ),
        Measured(
            work="  the same: ready",
            measured=f"{got['opened']:.2f} s (process start included: {got['ready']:.2f} s)",
            goal="< 0.5 s",
            ok=got["opened"] < 0.5,
            figures={"opened_s": got["opened"], "process_s": got["ready"]},
        ),
    ]


async def fill(path: Path, count: int) -> None:
    """Write the jobs past the store: its own way is measured elsewhere."""
    from jobs.schedule import Cron
    from jobs.store import jobs as job_rows
    from jobs.store.db import Database

    database = await Database.open(path)
    now = datetime.now(UTC)
    sample = job(0, Cron("0 9 * * *", "Europe/Berlin"))
    await database.write(lambda tx: job_rows.insert(tx, sample, next_run_at=None, now=now))
    await database.close()
    first = int((now + timedelta(hours=3)).timestamp() * 1000)
    with sqlite3.connect(path, isolation_level=None) as raw:
        raw.execute("PRAGMA synchronous=OFF")
        raw.execute("BEGIN")
        raw.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO jobs (id, kind, name, agent_id, source, definition, revision, enabled,"
            " next_run_at) SELECT printf('job-%07d', i), kind, printf('Report %d', i), agent_id,"
            " source, replace(definition, 'job-0000000', printf('job-%07d', i)), revision,"
            " enabled, ? + i FROM n, jobs WHERE jobs.id = 'job-0000000'",
            (count, first),
        )
        raw.execute("COMMIT")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()


async def wait(path: Path, spawned: float) -> dict[str, float]:
    """Open, tick once, then have nothing to do."""
    began = time.perf_counter()
    from engine.clock import SystemClock
    from engine.clockwork import Clockwork
    from jobs.ledger import Run
    from jobs.model import Job
    from jobs.store.base import Finish
    from jobs.store.db import Database
    from tests.bench.common import loop_of

    class Nobody:
        def begin(self, job: Job, run: Run) -> Finish:
            raise AssertionError(f"{job.id} is not due")

    clock = SystemClock()
    database = await Database.open(path)
    clockwork = Clockwork(loop_of(database, clock, Nobody()), clock=clock)
    clockwork.start()
    while clockwork.armed_for is None:
        await asyncio.sleep(0.001)
    opened, ready = time.perf_counter() - began, time.time() - spawned
    await asyncio.sleep(0.5)
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(SECONDS)
    cpu = 100 * (time.process_time() - cpu) / (time.perf_counter() - started)
    rss = resident()
    await clockwork.stop()
    await database.close()
    return {"opened": opened, "ready": ready, "cpu": cpu, "rss": rss}


def resident() -> float:
    """Return the most megabytes this process ever held (on Linux, since it was started)."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(wait(Path(sys.argv[1]), float(sys.argv[2])))))
