"""What would be: the file on disk against the jobs in force, and the coming days.

A simulation is a process of its own: it computes for seconds, and nobody's beat waits for it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from engine.config.load import Loaded
from engine.config.paths import Paths
from engine.core import Engine
from engine.process import run
from engine.scheduling.planning import planned
from jobs.errors import InvalidInput, TimedOut
from jobs.wallclock import at

PATIENCE: Final = timedelta(minutes=1)
_OUTPUT_MOST: Final = 64_000_000
_ROWS_MOST: Final = 1000  # of a timeline in one answer


class Foresight:
    """Answers `cron.plan` and `cron.simulate`."""

    def __init__(
        self,
        engine: Engine,
        *,
        paths: Paths,
        environ: Mapping[str, str],
        read_config: Callable[[], Loaded],
        host_zone: str,
    ) -> None:
        self._engine = engine
        self._paths = paths
        self._environ = environ
        self._read_config = read_config
        self._host_zone = host_zone
        self._one_at_a_time = asyncio.Lock()

    async def plan(self) -> dict[str, Any]:
        """`cron.plan`: what the file as it lies on the disk would change (cron.md §13)."""
        loaded = await asyncio.to_thread(self._read_config)
        now = self._engine.clock.now()
        told = await self._engine.database.read(
            lambda tx: planned(tx, loaded.config, now=now, host_zone=self._host_zone)
        )
        return {"file": str(loaded.path), **told}

    async def simulate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`cron.simulate`: ``{days, fromMs, expect}``; the first thousand rows (§22 row 9)."""
        argv = [sys.executable, "-m", "engine", "simulate", "--json"]
        argv += ["--days", str(params.get("days") or 7)]
        if (begin := params.get("fromMs")) is not None:
            argv += ["--from", at(begin).isoformat()]
        for job, count in (params.get("expect") or {}).items():
            argv += ["--expect", f"{job}={count}"]
        home = {
            "ENGINE_STATE_DIR": str(self._paths.state),
            "ENGINE_CONFIG_PATH": str(self._paths.config),
        }
        try:
            async with self._one_at_a_time, asyncio.timeout(PATIENCE.total_seconds()):
                end = await run(argv, env={**self._environ, **home}, output_most=_OUTPUT_MOST)
        except TimeoutError:
            raise TimedOut(
                "the simulation was given up",
                why=f"it took longer than {PATIENCE.seconds} s",
                fix="ask for fewer days",
            ) from None
        try:
            told: dict[str, Any] = json.loads(end.out)
        except ValueError:
            said = end.err.decode(errors="replace").strip()
            raise InvalidInput(
                "nothing was simulated",
                why=said[-500:] or f"exit status {end.code}",
                fix="engine simulate, on the gateway's machine, says more",
            ) from None
        rows = told.get("timeline") or []
        return {**told, "timeline": rows[:_ROWS_MOST], "truncated": len(rows) > _ROWS_MOST}
