"""A year of two hundred mixed jobs on a clock that runs ahead, and its audit (cron.md §23-7)."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta

from tests.bench.common import Measured, probe, say

JOBS = 200
DAYS = 365
START = datetime(2026, 1, 1, tzinfo=UTC)


def measure() -> list[Measured]:
    """Simulate in a fresh process."""
    say(f"{DAYS} days of {JOBS} jobs")
    got = probe("year", JOBS, DAYS, most=900)
    clean = "clean" if got["clean"] else "NOT CLEAN"
    return [
        Measured(
            work=f"{DAYS} days of {JOBS} mixed jobs, simulated",
            measured=f"{got['seconds']:.0f} s; {got['slots']:,.0f} slots, audit {clean}",
            goal="< 60 s, clean",
            ok=got["seconds"] < 60 and bool(got["clean"]),
            figures={key: float(value) for key, value in got.items()},
        )
    ]


async def simulated(count: int, days: int) -> dict[str, float]:
    """Let the time pass, then prove that every slot has its row."""
    from engine.testing import Simulation
    from jobs.audit import Retention, Window
    from jobs.store import slots
    from tests.fakes import mixed_jobs

    began, cpu = time.perf_counter(), time.process_time()
    end = START + timedelta(days=days)
    config = mixed_jobs.config(count, START, days)
    async with Simulation(config, start=START, zone="UTC", commands=mixed_jobs.commands) as sim:
        await sim.until(end)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        kept = Retention(since=START - timedelta(days=1))
        window = Window(since=START, until=end)
        audit = await sim.database.read(lambda tx: slots.audited(tx, window, cron=kept, beats=kept))
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "slots": sum(job.expected for job in audit.jobs),
        "clean": float(audit.clean),
    }


if __name__ == "__main__":
    from gateway.runtime import run, settle

    settle()  # as `engine simulate` does
    print(json.dumps(run(simulated(int(sys.argv[1]), int(sys.argv[2])))))
