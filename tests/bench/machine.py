"""What the machine was like while it was measured: a slow one shows here, and not as our doing.

A durable commit is the least any change can cost, an interpreter that does nothing the least
any command can; both are taken before the first row and after the last, for a machine that
others use changes under the bench.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bench.common import percentile, plain_environ
from tests.bench.last import TIMES, started

COMMITS = 300
ROW = "x" * 600  # about what a job is


class BareCommits:
    """One durable row after another on a disk, by SQLite alone, without any of us."""

    def __init__(self, folder: Path) -> None:
        self.took: list[float] = []  # seconds
        self._raw = sqlite3.connect(folder / "bare.db", isolation_level=None)
        self._raw.execute("PRAGMA journal_mode=WAL")
        self._raw.execute("PRAGMA synchronous=FULL")
        self._raw.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._raw.close()

    def one(self) -> None:
        """Write and commit a row."""
        began = time.perf_counter()
        self._raw.execute("INSERT INTO rows (text) VALUES (?)", (ROW,))
        self.took.append(time.perf_counter() - began)


class Machine:
    """The figures of this machine; `look` as often as wanted."""

    def __init__(self) -> None:
        self._commits: list[float] = []
        self._starts: list[float] = []

    def look(self) -> None:
        """Take some commits and some starts."""
        with tempfile.TemporaryDirectory() as place, BareCommits(Path(place)) as bare:
            for _ in range(COMMITS):
                bare.one()
            self._commits += bare.took
        self._starts += started([sys.executable, "-c", "pass"], plain_environ())

    def figures(self) -> dict[str, Any]:
        """Return what the results keep."""
        return {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "interpreter_ms": round(percentile(self._starts, 0.5), 1),
            "commit_p50_ms": round(1000 * percentile(self._commits, 0.5), 2),
            "commit_p99_ms": round(1000 * percentile(self._commits, 0.99), 2),
            "load": [round(one, 2) for one in os.getloadavg()],  # of others too, if it was above 1
        }

    def words(self) -> str:
        """Return it for below the table."""
        told = self.figures()
        return (
            f"{told['processor']}, {told['cores']} cores, load {told['load'][0]:.1f};"
            f" Python {told['python']}, SQLite {told['sqlite']}, {told['system']}.\n"
            f"Bare interpreter {told['interpreter_ms']:.0f} ms (median of {2 * TIMES});"
            f" a bare durable commit {told['commit_p50_ms']:.2f} ms,"
            f" p99 {told['commit_p99_ms']:.2f} ms."
        )


def processor() -> str:
    """Return what the machine calls its processor."""
    told = Path("/proc/cpuinfo")
    if not told.exists():
        return platform.processor()
    lines = told.read_text("utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
