"""Tasks of HEARTBEAT.md: those that are jobs of their own, and what is told of all (§25-14).

heartbeat.md §11, §20 (`tasks`). A task that asks for nothing of its own is asked for by its
agent's beats; the others are jobs of the one store, with its history, budgets and retries.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from engine.beats.look import TASK_REASON, ReadFile, read_checklist
from engine.beats.waking import Waking
from engine.clock import Clock
from engine.decisions import heartbeat
from engine.decisions.wake import Intent, Wake
from engine.messages.target import WORDS, channel_fault, split_target
from engine.roster.roster import AgentProfile, Roster
from engine.scheduling import Control, Scheduling
from engine.sessions import main_key
from engine.store import audit, holds, tasks as task_rows
from engine.store.tasks import TaskState
from engine.workspace import checklist
from engine.workspace.checklist import Checklist
from engine.workspace.tasks import Task, task_at
from jobs.dayparts import Dayparts, Part
from jobs.duration import format_duration
from jobs.errors import InvalidInput, NotFound
from jobs.model import AgentTurn, DeliverySpec, Job, Source, StoredJob
from jobs.policies import Policies, Retries
from jobs.schedule import Cron, Schedule
from jobs.store import jobs as job_rows
from jobs.store.base import JobQuery
from jobs.store.db import Database, Tx
from jobs.wallclock import EPOCH, ms

log = logging.getLogger(__name__)

SOONEST: Final = timedelta(minutes=1)  # between two turns of a task that is a job of its own
_NO_ID: Final = re.compile(r"[^A-Za-z0-9._-]+")
_SYSTEM: Final = JobQuery(source=Source.SYSTEM.value, enabled=None)


def job_id(agent_id: str, name: str) -> str:
    """Return the id of a task among the jobs: no two names have one.

    What an id cannot be spelt with, such as Chinese, is told apart by a few digits of its hash.
    """
    spelt = _NO_ID.sub("-", name).strip("-")[:80]
    if spelt != name:
        spelt = f"{spelt or 'task'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return f"task:{agent_id}:{spelt}"


def job_of(task: Task, agent: AgentProfile, roster: Roster, *, seed: str, on: bool) -> Job:
    """Return a task that is a job of its own.

    Raises `InvalidInput` for a target there is not, and for one that comes too often.

    In the hours of its agent, unless it names its own, or fixed times.
    """
    schedule = _schedule(task, agent, seed)
    _refuse_rush(schedule)
    hours = agent.beat.active_hours
    freely = hours is None or task.cron is not None or task.window(agent.zone) is not None
    return Job(
        id=job_id(agent.agent_id, task.name),
        name=f"task {agent.agent_id} {task.name}",
        schedule=schedule,
        payload=AgentTurn(message=task.prompt, model=task.model or agent.beat.model),
        agent_id=agent.agent_id,
        delivery=_delivery(task, agent, roster),
        enabled=on and task.enabled,
        policies=Policies(
            budget=task.budget,
            retry=None if task.retries is None else Retries(max_attempts=task.retries),
            active_hours=None if freely else "skip",
            tags=(heartbeat.TASK_TAG,),
        ),
        source=Source.SYSTEM,
    )


def _schedule(task: Task, agent: AgentProfile, seed: str) -> Schedule:
    if task.cron is not None:
        name = job_id(agent.agent_id, task.name)
        return Cron(task.cron, task.tz or agent.zone.key, hash_id=name)
    period = task.interval or agent.beat.period or heartbeat.DEFAULT_EVERY
    grid = heartbeat.grid(seed, f"{agent.agent_id}/{task.name}", period)
    window = task.window(agent.zone)
    if window is None:
        return grid
    return Dayparts(None, (Part(window.hours, window.weekdays, grid),))


def _refuse_rush(schedule: Schedule) -> None:
    """An agent may write its own checklist: it does not ask itself ten times a second."""
    first = schedule.next_after(EPOCH)
    second = None if first is None else schedule.next_after(first)
    if first is not None and second is not None and second - first < SOONEST:
        raise InvalidInput(
            "it comes too often",
            why=f"a task of its own comes once in {format_duration(SOONEST)} at most",
            fix="give it a longer interval",
        )


def _delivery(task: Task, agent: AgentProfile, roster: Roster) -> DeliverySpec:
    wish = agent.beat.wish
    if task.target is None:
        target, to, account = wish.target, wish.to, wish.account_id
    else:
        channel, behind = split_target(task.target)
        target, to, account = channel or behind.lower(), behind if channel else None, None
    if target == "owner":
        if not roster.owners:
            return DeliverySpec()
        owner = roster.owners[0]
        target, to, account = owner.channel, owner.to, owner.account_id or None
    if target not in WORDS and (fault := channel_fault(target)):
        raise InvalidInput(f"target {task.target!r} cannot be used", why=fault, fix="use last")
    if target == "none":
        return DeliverySpec()
    return DeliverySpec(mode="announce", channel=target, to=to, account_id=account)


class TaskJobs:
    """Keeps the stored tasks those of the checklists, tells of them, and runs one on demand."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        roster: Callable[[], Roster],
        scheduling: Scheduling,
        control: Control,
        waking: Waking,
        seed: str,
        read_file: ReadFile | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._roster = roster
        self._scheduling = scheduling
        self._control = control
        self._waking = waking
        self._seed = seed
        self._read_file = read_file or read_checklist
        self._planned: dict[str, str] = {}  # agent → the file its jobs were made from

    async def plan(self) -> None:
        """Make the stored jobs those of the checklists as they stand now."""
        jobs: dict[str, Job] = {}
        for agent in self._roster().agents.values():
            file = await self._file(agent)
            on = agent.beat.enrolled and await self._switched_on(agent)
            made, warnings = _jobs(agent, file, self._roster(), seed=self._seed, on=on)
            jobs |= {job.id: job for job in made}
            if self._planned.get(agent.agent_id) != file.sha256:
                self._planned[agent.agent_id] = file.sha256
                for warning in warnings:
                    log.warning(
                        "a task was left out", extra={"agent": agent.agent_id, "because": warning}
                    )
        await self._scheduling.sync_tasks(list(jobs.values()))

    async def follow(self) -> None:
        """Plan anew if a checklist was changed: a chore."""
        for agent in self._roster().agents.values():
            if (await self._file(agent)).sha256 != self._planned.get(agent.agent_id):
                await self.plan()
                return

    async def listing(self, agent_id: str | None = None) -> dict[str, Any]:
        """`heartbeat.tasks`: every task, when it comes next, how it went, what is wrong."""
        if agent_id is not None:
            self._roster().refuse_stranger(agent_id, "no tasks were listed")
        await self.plan()
        return await told_of(
            self._database,
            self._roster(),
            agent_id,
            seed=self._seed,
            now=self._clock.now(),
            read_file=self._read_file,
        )

    async def run(self, name: str, *, agent_id: str | None = None, by: str) -> dict[str, Any]:
        """Run one task now: a job of its own as such, another in a beat for it alone."""
        agent, task = await self._find(name, agent_id, "no task was run")
        if task.own:
            ident = job_id(agent.agent_id, task.name)
            return {"task": task.name, **await self._scheduling.run(ident, by=by)}
        wake = Wake(
            agent_id=agent.agent_id,
            session_key=main_key(agent.agent_id, main=self._roster().main_key),
            source="cli",
            intent=Intent.MANUAL,
            reason=f"{TASK_REASON}{task.name}",
            requested_at=self._clock.now(),
            by=by,
        )
        await self._waking.wake(wake)
        return {"ok": True, "enqueued": True, "task": task.name}

    async def skip(self, name: str, *, agent_id: str | None = None, by: str) -> dict[str, Any]:
        """Leave one task out once: its next slot, or as if a beat had asked for it now."""
        agent, task = await self._find(name, agent_id, "no task was skipped")
        if task.own:
            ident = job_id(agent.agent_id, task.name)
            return {"task": task.name, **await self._control.skip(ident, by=by)}
        now = self._clock.now()

        def work(tx: Tx) -> None:
            served = [(task.name, task.interval)]
            task_rows.served(tx, agent.agent_id, served, now, status="skipped")
            detail = {"agent": agent.agent_id, "task": task.name}
            audit.note(tx, now=now, actor=by, action="heartbeat.task.skip", detail=detail)

        await self._database.write(work)
        return {"ok": True, "task": task.name, "skipped": [ms(now)]}

    # -- parts ---------------------------------------------------------------------------

    async def _file(self, agent: AgentProfile) -> Checklist:
        raw, _ = await self._read_file(agent.workspace)
        return checklist.parse(raw)

    async def _switched_on(self, agent: AgentProfile) -> bool:
        return await self._database.read(lambda tx: holds.switched_on(tx, agent.agent_id))

    async def _find(self, name: str, agent_id: str | None, what: str) -> tuple[AgentProfile, Task]:
        """Return the task of a name. Raises `NotFound` with those there are."""
        roster = self._roster()
        if agent_id is not None:
            roster.refuse_stranger(agent_id, what)
        await self.plan()
        agent = roster.agent(agent_id)
        file = await self._file(agent)
        tasks = {task.name: task for task in (*file.tasks, *file.own)}
        if name not in tasks:
            have = ", ".join(sorted(tasks)) or "none"
            raise NotFound(
                what,
                why=f"HEARTBEAT.md of {agent.agent_id} has no task {name!r} (have: {have})",
                fix="engine heartbeat tasks",
            )
        return agent, tasks[name]


async def told_of(
    database: Database,
    roster: Roster,
    agent_id: str | None,
    *,
    seed: str,
    now: datetime,
    read_file: ReadFile = read_checklist,
) -> dict[str, Any]:
    """Return the tasks of an agent, or of all; raises `NotFound` for one nobody knows."""
    if agent_id is not None:
        roster.refuse_stranger(agent_id, "no tasks were listed")
    chosen = [roster.agent(agent_id)] if agent_id else list(roster.agents.values())
    stored = await database.read(lambda tx: job_rows.select(tx, _SYSTEM).jobs)
    rows = {one.job.id: one for one in stored}
    told = []
    for agent in chosen:
        raw, fault = await read_file(agent.workspace)
        file = checklist.parse(raw)
        _, warnings = _jobs(agent, file, roster, seed=seed, on=True)
        states = await database.read(lambda tx, one=agent.agent_id: task_rows.states(tx, one))  # type: ignore[misc]  # bound now
        own = [_own(task, agent, rows.get(job_id(agent.agent_id, task.name))) for task in file.own]
        riding = [_riding(task, states.get(task.name), agent, now) for task in file.tasks]
        told.append(
            {
                "agentId": agent.agent_id,
                "file": str(agent.workspace / "HEARTBEAT.md"),
                "missing": file.missing,
                "warnings": [*([fault] if fault else []), *file.warnings, *warnings],
                "tasks": [*riding, *own],
            }
        )
    return {"agents": told}


def _jobs(
    agent: AgentProfile, file: Checklist, roster: Roster, *, seed: str, on: bool
) -> tuple[list[Job], list[str]]:
    jobs, warnings = [], []
    for task in file.own:
        try:
            jobs.append(job_of(task, agent, roster, seed=seed, on=on))
        except InvalidInput as error:
            warnings.append(f"task {task.name!r} is left out: {error.what} ({error.why})")
    return jobs, warnings


def _riding(
    task: Task, state: TaskState | None, agent: AgentProfile, now: datetime
) -> dict[str, Any]:
    window = task.window(agent.zone)
    last = state.last_slot if state else None
    return {
        "name": task.name,
        "kind": "beat",
        "enabled": True,
        "schedule": f"every {format_duration(task.interval)}" if task.interval else "every beat",
        "window": window.describe() if window else None,
        "priority": task.priority,
        "nextAtMs": ms(task_at(task, last, now, agent.zone)),
        "lastAtMs": ms(last),
        "lastStatus": state.status if state else None,
        "runs": state.runs if state else 0,
    }


def _own(task: Task, agent: AgentProfile, stored: StoredJob | None) -> dict[str, Any]:
    window = task.window(agent.zone)
    state = stored.state if stored else None
    return {
        "name": task.name,
        "kind": "job",
        "jobId": stored.job.id if stored else None,
        "enabled": stored is not None and stored.job.enabled,
        "schedule": stored.job.schedule.describe() if stored else None,
        "window": window.describe() if window else None,
        "priority": task.priority,
        "model": task.model,
        "target": task.target,
        "retry": task.retries,
        "nextAtMs": ms(state.runs_next_at) if state else None,
        "lastAtMs": ms(state.last_run_at) if state else None,
        "lastStatus": state.last_status if state else None,
        "runs": state.run_count if state else 0,
    }
