"""Ten thousand jobs: what reading them, a tick with nothing due and a page of the list cost.

cron.md §23 item 6.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.common import Measured, percentile, probe, say
from tests.bench.idle import fill

JOBS = 10_000
TIMES = 60


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
            measured=f"{got['tick']:.2f} ms (p99)",
            goal="< 5 ms",
            ok=got["tick"] < 5,
            figures={"tick_p99_ms": got["tick"]},
        ),
        Measured(
            work="  the same: a page of the list",
            measured=f"{got['page']:.1f} ms (p99, 200 jobs)",
            goal="< 50 ms",
            ok=got["page"] < 50,
            figures={"page_p99_ms": got["page"]},
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
    page = await database.read(lambda tx: job_rows.select(tx, JobQuery()))
    load = time.perf_counter() - began
    assert len(page.jobs) == JOBS + 1, len(page.jobs)
    del page
    loop = loop_of(database, SystemClock(), Nobody())
    ticks, pages = [], []
    for number in range(TIMES):
        began = time.perf_counter()
        await loop.tick()
        ticks.append(time.perf_counter() - began)
        asked = {"limit": 200, "offset": number * 150}
        began = time.perf_counter()
        await database.read(lambda tx, asked=asked: reading.listing(tx, asked, "main"))  # type: ignore[misc]  # bound now
        pages.append(time.perf_counter() - began)
    await database.close()
    return {
        "load": load,
        "tick": 1000 * percentile(ticks, 0.99),
        "page": 1000 * percentile(pages, 0.99),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measured(Path(sys.argv[1])))))
