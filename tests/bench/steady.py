"""Steady work: a thousand slots a second, one each millisecond, for some seconds."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.burst import peer_store
from tests.bench.common import Measured, ended, job, loop_of, percentile, probe, say, store

JOBS = 1000
WARM_UP = 1.5
SECONDS = 5.0


def measure() -> list[Measured]:
    """Compare lateness and processor time."""
    say("ours")
    ours = probe("steady", "ours")
    peer, told = _peer()
    say("APScheduler in memory, for scale")
    memory = probe("steady", "memory")
    kept = ours["rate"] >= 0.98 * JOBS
    return [
        Measured(
            work=f"{JOBS} slots/s steady: lateness p99",
            measured=f"{ours['p99']:.1f} ms (p50 {ours['p50']:.1f}; {ours['rate']:.0f}/s)",
            goal="< 15 ms",
            peer=f"{peer['p99']:.1f} ms, {told}",
            ratio=f"{peer['p99'] / ours['p99']:.1f} x",
            ok=ours["p99"] < 15 and kept,
            figures={"p99_ms": ours["p99"], "p50_ms": ours["p50"], "per_second": ours["rate"]},
        ),
        Measured(
            work="  the same: CPU",
            measured=f"{ours['cpu']:.1f} %",
            goal="<= half of APScheduler's",
            peer=f"{peer['cpu']:.1f} %, {told}",
            ratio=f"{_of_a_slot(ours) / _of_a_slot(peer):.2f} a slot",
            ok=_of_a_slot(ours) <= _of_a_slot(peer) / 2 and kept,
            figures={"cpu_percent": ours["cpu"], "apscheduler_cpu_percent": peer["cpu"]},
        ),
        Measured(
            work="  the same, for scale",
            measured=f"{ours['cpu']:.1f} %",
            goal="",
            peer=f"{memory['cpu']:.1f} %, APScheduler in memory: nothing is kept",
            ratio=f"{ours['cpu'] / memory['cpu']:.2f}",
            figures={"apscheduler_memory_cpu_percent": memory["cpu"]},
        ),
    ]


def _of_a_slot(figures: dict[str, float]) -> float:
    """Processor time of one slot: a peer that does not keep up seems to need little."""
    return figures["cpu"] / figures["rate"]


def _peer() -> tuple[dict[str, float], str]:
    """Return the plainest APScheduler with a store that keeps up, or the tuned one."""
    peer, told = _durable("sqlite", "on SQLite as it comes")
    return (peer, told) if _keeps_up(peer) else _durable("wal", "on SQLite tuned to WAL")


def _durable(kind: str, told: str) -> tuple[dict[str, float], str]:
    say(f"APScheduler {told}")
    peer = probe("steady", kind)
    if _keeps_up(peer):
        return peer, f"APScheduler {told}"
    say(f"it reached only {peer['rate']:.0f}/s")
    return peer, f"APScheduler {told}, {peer['rate']:.0f}/s"


def _keeps_up(peer: dict[str, float]) -> bool:
    return peer["rate"] >= 0.95 * JOBS


async def _figures(late: list[float]) -> dict[str, float]:
    """Let it warm up, then count for a while; ``late`` grows with every slot served."""
    await asyncio.sleep(WARM_UP)
    late.clear()
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(SECONDS)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    seen = late[:]
    return {
        "rate": len(seen) / took,
        "p50": 1000 * percentile(seen, 0.5),
        "p99": 1000 * percentile(seen, 0.99),
        "cpu": 100 * cpu / took,
    }


async def ours(folder: Path) -> dict[str, float]:
    """The engine's loop and clockwork over a file database."""
    from engine.clock import SystemClock
    from engine.clockwork import Clockwork
    from jobs.ledger import Run
    from jobs.model import Job
    from jobs.schedule import Every
    from jobs.store.base import Finish
    from jobs.store.db import Database

    late: list[float] = []

    class AtOnce:
        def begin(self, job: Job, run: Run) -> Finish:
            now = clock.now()
            assert run.slot is not None
            late.append((now - run.slot).total_seconds())
            return Finish(run=ended(run, now))

    clock = SystemClock()
    database = await Database.open(folder / "state.db")
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    anchors = [start + timedelta(milliseconds=n) for n in range(JOBS)]
    made = [(job(n, Every(timedelta(seconds=1), at)), at) for n, at in enumerate(anchors)]
    await store(database, made, start)
    clockwork = Clockwork(loop_of(database, clock, AtOnce()), clock=clock)
    clockwork.start()
    await asyncio.sleep((start - datetime.now(UTC)).total_seconds())
    figures = await _figures(late)
    await clockwork.stop()
    await database.close()
    return figures


_late: list[float] = []


async def land(phase: float) -> None:
    """Be the work of APScheduler's jobs: note how late it is within its second."""
    _late.append((time.time() - phase) % 1.0)


async def apscheduler(folder: Path, kind: str) -> dict[str, float]:
    """AsyncIOScheduler with the same jobs."""
    from apscheduler.jobstores.memory import MemoryJobStore
    from apscheduler.schedulers.asyncio import AsyncIOScheduler
    from apscheduler.triggers.interval import IntervalTrigger

    scheduler = AsyncIOScheduler(timezone=UTC)
    scheduler.add_jobstore(
        MemoryJobStore() if kind == "memory" else peer_store(folder, wal=kind == "wal")
    )
    scheduler.start(paused=True)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=6)
    for n in range(JOBS):
        at = start + timedelta(milliseconds=n)
        scheduler.add_job(
            land,
            IntervalTrigger(seconds=1, start_date=at, timezone=UTC),
            args=[at.timestamp()],
            misfire_grace_time=None,
            max_instances=1,
            coalesce=True,
        )
    scheduler.resume()
    await asyncio.sleep(max(0.0, (start - datetime.now(UTC)).total_seconds()))
    figures = await _figures(_late)
    scheduler.shutdown(wait=False)
    return figures


async def main(which: str) -> dict[str, float]:
    """Take one measurement."""
    with tempfile.TemporaryDirectory() as place:
        if which == "ours":
            return await ours(Path(place))
        return await apscheduler(Path(place), which)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
