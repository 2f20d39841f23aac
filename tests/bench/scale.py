"""Ten thousand jobs: what reading them, a tick with nothing due and a page of the list cost.

cron.md §23 item 6. Next to the time on the clock stands that of the processor: it tells our
work from that of whoever else uses the machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.bench.common import Measured, Took, percentile, probe, say
from tests.bench.idle import fill

JOBS = 10_000
TIMES = 200  # fewer have no slowest one in a hundred
PAGES = 60  # begin there, one after the other


def measure() -> list[Measured]:
    """Measure in one fresh process."""
    say(f"{JOBS:,} jobs")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "state.db"
        asyncio.run(fill(path, JOBS))
        got = probe("scale", path)
    return [
        Measured(
            work=f"{JOBS:,} jobs: open and read all",
            measured=f"{got['load']:.2f} s",
            goal="< 2 s",
            ok=got["load"] < 2,
            figures={"load_s": got["load"]},
        ),
        Measured(
            work="  the same: a tick, nothing due",
            measured=f"{got['tick']:.2f} ms (p99; CPU {got['tick_cpu']:.2f} ms)",
            goal="< 5 ms",
            ok=got["tick"] < 5,
            figures={"tick_p99_ms": got["tick"], "tick_cpu_p99_ms": got["tick_cpu"]},
        ),
        Measured(
            work="  the same: a page of the list",
            measured=f"{got['page']:.1f} ms (p99, 200 jobs; CPU {got['page_cpu']:.1f} ms)",
            goal="< 50 ms",
            ok=got["page"] < 50,
            figures={"page_p99_ms": got["page"], "page_cpu_p99_ms": got["page_cpu"]},
        ),
    ]


async def measured(path: Path) -> dict[str, float]:
    """Open, read every definition, tick, ask for pages."""
    from engine.clock import SystemClock
    from engine.scheduling import reading
    from jobs.ledger import Run
    from jobs.model import Job
    from jobs.store import jobs as job_rows
    from jobs.store.base import Finish, JobQuery
    from jobs.store.db import Database
    from tests.bench.common import loop_of

    class Nobody:
        def begin(self, job: Job, run: Run) -> Finish:
            raise AssertionError(f"{job.id} is not due")

    began = time.perf_counter()
    database = await Database.open(path)
    # Counted there: ten thousand jobs let go of would be the first tick's to clear away.
    count = await database.read(lambda tx: len(job_rows.select(tx, JobQuery()).jobs))
    load = time.perf_counter() - began
    assert count == JOBS + 1, count
    loop = loop_of(database, SystemClock(), Nobody())

    def asked(number: int) -> Callable[[], Awaitable[Any]]:
        page = {"limit": 200, "offset": number % PAGES * 150}
        return lambda: database.read(lambda tx: reading.listing(tx, page, "main"))

    ticks, pages = Took(), Took()
    for number in range(TIMES):
        await ticks.by(loop.tick)
        await pages.by(asked(number))
    await database.close()
    return {
        "load": load,
        "tick": 1000 * percentile(ticks.wall, 0.99),
        "tick_cpu": 1000 * percentile(ticks.cpu, 0.99),
        "page": 1000 * percentile(pages.wall, 0.99),
        "page_cpu": 1000 * percentile(pages.cpu, 0.99),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measured(Path(sys.argv[1])))))
