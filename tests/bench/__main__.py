"""`make bench`: how fast the scheduler is, next to its peers in the same run (design.md §6).

Every figure is taken in a fresh process. Prints a table, and what the machine was like, and
writes both to `results/latest.json`; ends with 1 if a goal does not hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import burst, crowd, desk, idle, last, rpc, scale, slots, steady, year
from tests.bench.common import Measured, say
from tests.bench.machine import Machine

ROWS: dict[str, Callable[[], list[Measured]]] = {
    "burst": burst.measure,
    "steady": steady.measure,
    "idle": idle.measure,
    "desk": desk.measure,
    "slots": slots.measure,
    "scale": scale.measure,
    "last": last.measure,
    "rpc": rpc.measure,
    "crowd": crowd.measure,
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
    machine = Machine()
    machine.look()
    for name in wanted:
        say(f"{name} ...")
        rows += ROWS[name]()
    machine.look()
    took = time.monotonic() - began
    show(rows, machine)
    keep(rows, machine, took)
    missed = [row for row in rows if row.ok is False]
    print(f"{len(rows) - len(missed)} of {len(rows)} goals hold; {took:.0f} s")
    return 1 if missed else 0


def show(rows: list[Measured], machine: Machine) -> None:
    """Print the table, and by what machine its figures are to be read."""
    from rich.console import Console
    from rich.table import Table

    table = Table("work", "measured", "goal", "peer", "ratio", "ok", caption=machine.words())
    for row in rows:
        ok = {True: "yes", False: "NO", None: "-"}[row.ok]
        table.add_row(row.work, row.measured, row.goal, row.peer, row.ratio, ok)
    width = None if sys.stdout.isatty() else 160
    Console(width=width).print(table)


def keep(rows: list[Measured], machine: Machine, took: float) -> None:
    """Write the figures for whoever compares runs."""
    RESULTS.mkdir(exist_ok=True)
    kept = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(took, 1),
        "machine": machine.figures(),
        "rows": [asdict(row) for row in rows],
    }
    (RESULTS / "latest.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
