"""What the rows of the bench share: fresh processes, jobs, a performer that ends at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from engine.clock import Clock
from engine.decisions.claiming import LoopSettings
from engine.events import Bus
from engine.loop import Loop
from engine.record import Recorder
from engine.running import Performer, Running
from gateway.runtime import settle
from jobs.ledger import Outcome, Run, RunStatus
from jobs.model import AgentTurn, Job
from jobs.schedule import Schedule
from jobs.store import jobs as job_rows
from jobs.store.db import Database, Tx

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One line of the table; ``figures`` are the same in numbers."""

    work: str
    measured: str
    goal: str
    peer: str = ""
    ratio: str = ""
    ok: bool | None = None  # None: no goal, for scale only
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Took:
    """What some works took, in seconds: on the clock, and of the processor."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def by(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do one and note what it took; the other threads of the process count as well."""
        began, spent = time.perf_counter(), time.process_time()
        done = await work()
        self.wall.append(time.perf_counter() - began)
        self.cpu.append(time.process_time() - spent)
        return done


def say(words: str) -> None:
    """Show progress without getting into the results."""
    print(f"  {words}", file=sys.stderr, flush=True)


def probe(module: str, *arguments: object, most: float = 150) -> dict[str, Any]:
    """Run one measurement in a fresh process; it prints its figures as JSON on its last line.

    What a peer complains about when it is stopped is shown only if there are no figures.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{module}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=most,
        env=plain_environ(),
    )
    if done.returncode != 0:
        raise SystemExit(f"{module} {arguments} failed:\n{done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def plain_environ() -> dict[str, str]:
    """Return the environment as a user has it: modules are compiled once and kept."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def job(number: int, schedule: Schedule) -> Job:
    """Return an ordinary job with a prompt."""
    return Job(
        id=f"job-{number:07}",
        name=f"Report {number}",
        schedule=schedule,
        payload=AgentTurn(message="Summarise what happened since the last report."),
        agent_id="main",
    )


async def store(database: Database, jobs: Sequence[tuple[Job, datetime]], now: datetime) -> None:
    """Persist jobs with their next slots, in one transaction."""

    def work(tx: Tx) -> None:
        for stored, due in jobs:
            job_rows.insert(tx, stored, next_run_at=due, now=now)

    await database.write(work)


def ended(run: Run, now: datetime) -> Run:
    """Return a claimed run as ended well, at once."""
    return run.ended(RunStatus.OK, now, started_at=now, outcome=Outcome.ACKNOWLEDGED)


def loop_of(database: Database, clock: Clock, performer: Performer) -> Loop:
    """Return the engine's own loop with one performer for everything, as a gateway has it."""
    settle()
    recorder = Recorder(database, Bus())
    performers = {"cron": performer, "heartbeat": performer}
    return Loop(
        database=database,
        clock=clock,
        recorder=recorder,
        running=Running(database=database, clock=clock, recorder=recorder, performers=performers),
        settings=LoopSettings,
        boot_id="bench",
    )
