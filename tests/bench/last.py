"""`engine heartbeat last`: the whole process, next to an interpreter that does nothing."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.common import ROOT, Measured, plain_environ

TIMES = 9


def measure() -> list[Measured]:
    """Measure the command with the gateway down, reading the store."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        asyncio.run(fill(home / "state.db"))
        environ = {**plain_environ(), "ENGINE_STATE_DIR": str(home)}
        command = [sys.executable, "-m", "engine", "heartbeat", "last"]
        ours = statistics.median(started(command, environ))
        bare = statistics.median(started([sys.executable, "-c", "pass"], environ))
    return [
        Measured(
            work="engine heartbeat last, whole process",
            measured=f"{ours:.0f} ms",
            goal="< 100 ms",
            peer=f"{bare:.0f} ms (bare interpreter)",
            ratio=f"{ours / bare:.1f} x",
            ok=ours < 100,
            figures={"median_ms": ours, "interpreter_ms": bare},
        )
    ]


async def fill(path: Path) -> None:
    """Write one beat that had nothing to say."""
    from jobs.ledger import Outcome, Run, RunStatus, Trigger
    from jobs.store import runs
    from jobs.store.db import Database

    now = datetime.now(UTC)
    beat = Run(
        id="0" * 24,
        job_id="heartbeat:main",
        kind="heartbeat",
        agent_id="main",
        trigger=Trigger.SCHEDULE,
        status=RunStatus.OK,
        outcome=Outcome.ACKNOWLEDGED,
        slot=now,
        claimed_at=now,
        started_at=now,
        ended_at=now,
    )
    database = await Database.open(path)
    await database.write(lambda tx: runs.insert(tx, [beat]))
    await database.close()


def started(command: list[str], environ: dict[str, str]) -> list[float]:
    """Return milliseconds from start to end of some runs, after one to warm up."""
    took = []
    for _ in range(TIMES + 1):
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, env=environ, check=True, stdout=subprocess.DEVNULL)
        took.append(1000 * (time.perf_counter() - began))
    return took[1:]
