"""`make bench`: how fast the scheduler is, next to its peers in the same run (design.md §6).

Every figure is taken in a fresh process. Prints a table and writes `results/latest.json`;
ends with 1 if a goal does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import burst, desk, idle, last, scale, slots, steady, year
from tests.bench.common import Measured, say

ROWS: dict[str, Callable[[], list[Measured]]] = {
    "burst": burst.measure,
    "steady": steady.measure,
    "idle": idle.measure,
    "desk": desk.measure,
    "slots": slots.measure,
    "scale": scale.measure,
    "last": last.measure,
    "year": year.measure,
}
LONG = ("year",)  # only if asked for by name
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure what was asked for, print it, keep it."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=ROWS, help="one row; may be repeated")
    wanted = parser.parse_args().only or [name for name in ROWS if name not in LONG]
    began = time.monotonic()
    rows: list[Measured] = []
    for name in wanted:
        say(f"{name} ...")
        rows += ROWS[name]()
    took = time.monotonic() - began
    show(rows)
    keep(rows, took)
    missed = [row for row in rows if row.ok is False]
    print(f"{len(rows) - len(missed)} of {len(rows)} goals hold; {took:.0f} s")
    return 1 if missed else 0


def show(rows: list[Measured]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("work", "measured", "goal", "peer", "ratio", "ok")
    for row in rows:
        ok = {True: "yes", False: "NO", None: "-"}[row.ok]
        table.add_row(row.work, row.measured, row.goal, row.peer, row.ratio, ok)
    width = None if sys.stdout.isatty() else 160
    Console(width=width).print(table)


def keep(rows: list[Measured], took: float) -> None:
    """Write the figures for whoever compares runs."""
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()],  # of others too, if it was above 1
    }
    kept = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(took, 1),
        "machine": machine,
        "rows": [asdict(row) for row in rows],
    }
    (RESULTS / "latest.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def processor() -> str:
    """Return what the machine calls its processor."""
    told = Path("/proc/cpuinfo")
    if not told.exists():
        return platform.processor()
    lines = told.read_text("utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    sys.exit(main())
