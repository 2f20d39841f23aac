"""What the record tells of the last turns, runs and messages, for `engine.decisions.troubles`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from engine.core import Engine
from engine.decisions import heartbeat
from engine.decisions.troubles import ALL, Facts, Failure, LastRun, Trouble, amiss, found
from engine.store import outbox
from engine.store.holds import switched_on
from jobs.errors import InvalidJob
from jobs.ledger import RunStatus, SkipReason
from jobs.model import StoredJob
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.db import Tx

_LOOKED_AT: Final = 200  # newest runs of jobs
_NEWS: Final = timedelta(days=7)  # of whom did not get a message: longer ago is none


async def troubles(engine: Engine) -> tuple[Trouble, ...]:
    """What does not work now, as far as the record tells."""
    now = engine.clock.now()
    agents = [one.agent_id for one in engine.roster.agents.values() if one.beat.period is not None]
    stored = await engine.database.read(lambda tx: _stored(tx, agents, now))
    turns = {
        agent: Failure(kind=failure.failure.value, message=failure.message)
        for agent, failure in engine.turns.failing.items()
        if engine.roster.knows(agent)
    }
    stuck = tuple(await engine.stuck_lanes.found())
    waiting = (await engine.approvals.listing())["approvals"]
    asked = tuple((one["id"], one["agentId"], one["name"]) for one in waiting)
    return found(replace(stored, turns=turns, stuck=stuck, asked=asked))


def _stored(tx: Tx, agents: Sequence[str], now: datetime) -> Facts:
    return Facts(
        beats=dict(_beats(tx, agents)),
        undelivered=tuple(outbox.undelivered(tx, now - _NEWS)),
        jobs=tuple(_jobs(tx)),
        aside=tuple(job_rows.quarantined(tx)),
        off=_off(tx, agents),
    )


def _beats(tx: Tx, agents: Sequence[str]) -> Iterator[tuple[str, Failure]]:
    for agent in agents:
        stored = _readable(tx, heartbeat.job_id(agent))
        state = stored.state if stored is not None else None
        if state is None or not state.consecutive_errors:
            continue
        if state.last_reason is not SkipReason.INTERRUPTED:  # a crash says nothing of the model
            message = state.last_error or "no reason on record"
            yield agent, Failure(kind="", message=message, count=state.consecutive_errors)


def _off(tx: Tx, agents: Sequence[str]) -> tuple[str, ...]:
    if not switched_on(tx):
        return (ALL,) if agents else ()
    return tuple(agent for agent in agents if not switched_on(tx, agent))


def _readable(tx: Tx, job_id: str) -> StoredJob | None:
    """The job, if there is one that can be read: one bad row hides no other trouble."""
    try:
        return job_rows.get(tx, job_id)
    except InvalidJob:
        return None


def _jobs(tx: Tx) -> Iterator[LastRun]:
    """The newest run of each job that ran lately and is still there to be mended."""
    seen: set[str] = set()
    for run in run_rows.newest(tx, "cron", _LOOKED_AT):
        if run.job_id in seen or run.status not in (RunStatus.OK, RunStatus.FAILED):
            continue
        seen.add(run.job_id)
        stored = _readable(tx, run.job_id) if amiss(run) else None
        if stored is None or not (stored.job.enabled or stored.state.auto_disabled):
            continue  # removed, or switched off on purpose
        failures = stored.state.consecutive_errors
        yield LastRun(job_id=run.job_id, name=stored.job.name, run=run, failures=failures)
