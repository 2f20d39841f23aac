"""The tool `cron`: an agent schedules, looks at, holds and ends its own jobs (cron.md §18).

It sees and changes jobs of its own agent only, makes none that may more than the turn that
makes it, and none that runs a command unless the config allows that: whether the rest is
allowed is decided by whoever keeps the jobs. In a run of a job that job need not be named.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from engine.agents.base import Tool, ToolRefused
from jobs.errors import EngineError
from jobs.pages import LIMIT_MOST

_COMMANDS: Final = frozenset({"command", "script"})
_RUNS_SHOWN: Final = 20
_STATUS: Final = ("enabled", "jobs", "nextWakeAtMs", "tz", "running", "queued")
_FIXED: Final = ("agentId", "source", "declarationKey", "id")  # never the agent's to choose

# Every object is said to be open: a server that lets its model write only what the schema
# lists would close what is not listed, and a job has more fields than a model needs to know.
_SCHEDULE: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "When: at (once), every (an interval) or cron (an expression in a zone).",
    "properties": {
        "kind": {"type": "string", "enum": ["at", "every", "cron"]},
        "at": {"type": "string", "description": "2026-01-31T09:00:00Z, or from now: 20m."},
        "everyMs": {"type": "integer"},
        "expr": {"type": "string", "description": "E.g. 0 9 * * 1-5"},
        "tz": {"type": "string", "description": "E.g. Europe/London"},
    },
    "required": ["kind"],
    "additionalProperties": True,
}
_PAYLOAD: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "What: agentTurn is answered in a session of its own, systemEvent reminds you"
    " in the main session.",
    "properties": {
        "kind": {"type": "string", "enum": ["agentTurn", "systemEvent"]},
        "message": {"type": "string", "description": "Of an agentTurn."},
        "text": {"type": "string", "description": "Of a systemEvent."},
    },
    "required": ["kind"],
    "additionalProperties": True,
}
_JOB: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "schedule": _SCHEDULE, "payload": _PAYLOAD},
    "additionalProperties": True,
}
_PARAMETERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "action": {
            "type": "string",
            "enum": [
                *("add", "list", "get", "update", "remove", "run"),
                *("pause", "resume", "runs", "status"),
            ],
        },
        "job": {
            **_JOB,
            "description": "For add. Example: "
            '{"name": "stand-up", "schedule": {"kind": "cron", "expr": "0 9 * * 1-5", '
            '"tz": "Europe/London"}, "payload": {"kind": "agentTurn", "message": "..."}}',
        },
        "jobId": {
            "type": "string",
            "description": "Of every action but add, list and status; in a run of a job it is"
            " that job if you leave it out.",
        },
        "note": {"type": "string", "description": "For pause: why."},
        "until": {"type": "string", "description": "For pause: an instant, or 3d. Else for good."},
        "patch": {**_JOB, "description": "For update: only what changes."},
    },
    "required": ["action"],
}


_LOOKING: Final = ("list", "get", "runs", "status")  # actions that change nothing
_LOOKING_PARAMETERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "action": {"type": "string", "enum": list(_LOOKING)},
        "jobId": {"type": "string", "description": "Of get and runs."},
    },
    "required": ["action"],
}
_Action = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class JobsDesk(Protocol):
    """Keeps the jobs: `engine.scheduling.Scheduling`. Wire shapes (cron.md §14) in and out.

    Refuses with `EngineError`. ``ref`` is an id, a config key or an exact unique name.
    """

    async def list(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """One page of jobs."""

    async def get(self, ref: str) -> Mapping[str, Any]:
        """One job."""

    async def add(self, params: Mapping[str, Any], *, by: str) -> Mapping[str, Any]:
        """Create a job."""

    async def update(self, ref: str, patch: Mapping[str, Any], *, by: str) -> Mapping[str, Any]:
        """Change a job."""

    async def remove(self, ref: str, *, by: str) -> Mapping[str, Any]:
        """Delete a job."""

    async def run(self, ref: str, *, by: str) -> Mapping[str, Any]:
        """Run a job now; returns before it has run."""

    async def runs(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """One page of a job's runs."""

    async def status(self) -> Mapping[str, Any]:
        """The scheduler as a whole."""


class Holds(Protocol):
    """Holds jobs and lets them go on: `engine.scheduling.Control`."""

    async def pause_one(
        self, ref: str, *, by: str, note: str, until: str | None
    ) -> Mapping[str, Any]:
        """Hold a job until somebody resumes it, or until then."""

    async def resume_one(self, ref: str, *, by: str) -> Mapping[str, Any]:
        """Let a job go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Whose turn the tool is for, and what it may."""

    agent_id: str
    session_key: str
    default_agent: str | None = None  # a job without an agent is its
    job_id: str | None = None  # the job whose run this is
    tools: frozenset[str] | None = None  # all the turn has, where somebody restricted them
    commands: bool = False  # cron.allowAgentCommands


def cron_tool(desk: JobsDesk, holds: Holds, grant: Grant) -> Tool:
    """Return the tool for one turn of one agent."""
    own = _OwnJobs(desk, holds, grant)
    actions: Mapping[str, _Action] = {
        "add": own.add,
        "list": own.listing,
        "get": own.one,
        "update": own.update,
        "remove": own.remove,
        "run": own.run,
        "pause": own.pause,
        "resume": own.resume,
        "runs": own.runs,
        "status": own.status,
    }
    looking = {name: actions[name] for name in _LOOKING}
    return replace(
        _offering(actions, _PARAMETERS, side_effects=True),
        harmless=_offering(looking, _LOOKING_PARAMETERS, side_effects=False),
    )


def _offering(
    actions: Mapping[str, _Action], parameters: Mapping[str, Any], *, side_effects: bool
) -> Tool:
    async def cron(arguments: Mapping[str, Any]) -> str:
        action = arguments.get("action")
        if not isinstance(action, str) or action not in actions:
            raise ToolRefused(f"action must be one of {', '.join(actions)}; it was {action!r}")
        try:
            return json.dumps(await actions[action](arguments), ensure_ascii=False, default=str)
        except EngineError as error:
            raise ToolRefused(str(error)) from error

    return Tool(
        name="cron",
        description="Schedule work and reminders for later, and manage those you scheduled.",
        parameters=parameters,
        call=cron,
        side_effects=side_effects,
    )


class _OwnJobs:
    def __init__(self, desk: JobsDesk, holds: Holds, grant: Grant) -> None:
        self._desk = desk
        self._holds = holds
        self._grant = grant
        self._by = f"agent:{grant.agent_id}"

    async def add(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        job = _object(arguments.get("job"))
        # Small models put the fields beside `action` instead of under `job`.
        wish = dict(job) if isinstance(job, Mapping) else {**arguments}
        wish.pop("action", None)
        self._refuse(wish)
        for name in _FIXED:
            wish.pop(name, None)
        wish["agentId"] = self._grant.agent_id
        wish["sessionKey"] = self._grant.session_key
        self._cap(wish, {})
        return await self._desk.add(wish, by=self._by)

    async def listing(self, _arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._desk.list(
            {"agentId": self._grant.agent_id, "includeDisabled": True, "limit": LIMIT_MOST}
        )

    async def one(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._owned(arguments)

    async def update(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        patch = _object(arguments.get("patch"))
        if not isinstance(patch, Mapping) or not patch:
            raise ToolRefused("patch must hold the fields to change")
        self._refuse(patch)
        if refused := [name for name in (*_FIXED, "sessionKey") if name in patch]:
            raise ToolRefused(f"{', '.join(refused)} cannot be changed by an agent")
        job = await self._owned(arguments)
        changes = dict(patch)
        self._cap(changes, job)
        return await self._desk.update(str(job["id"]), changes, by=self._by)

    async def remove(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        job = await self._owned(arguments)
        return await self._desk.remove(str(job["id"]), by=self._by)

    async def run(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        job = await self._owned(arguments)
        return await self._desk.run(str(job["id"]), by=self._by)

    async def pause(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        job = await self._owned(arguments)
        note, until = str(arguments.get("note") or ""), arguments.get("until")
        return await self._holds.pause_one(
            str(job["id"]), by=self._by, note=note, until=str(until) if until else None
        )

    async def resume(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        job = await self._owned(arguments)
        return await self._holds.resume_one(str(job["id"]), by=self._by)

    async def runs(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        job = await self._owned(arguments)
        return await self._desk.runs({"id": str(job["id"]), "limit": _RUNS_SHOWN})

    async def status(self, _arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        told = await self._desk.status()
        return {key: told[key] for key in _STATUS if key in told} | {"jobId": self._grant.job_id}

    # -- what it may ---------------------------------------------------------------------

    async def _owned(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        wish = arguments.get("jobId") or arguments.get("id") or self._grant.job_id
        if not isinstance(wish, str) or not wish.strip():
            raise ToolRefused("jobId must name the job; see action list")
        job = await self._desk.get(wish.strip())
        if (job.get("agentId") or self._grant.default_agent) != self._grant.agent_id:
            # The same words as for a job that does not exist: other agents' jobs are not shown.
            raise ToolRefused(f"you have no job {wish!r}; see action list")
        payload = job.get("payload")
        if isinstance(payload, Mapping) and payload.get("kind") in self._forbidden:
            raise ToolRefused(f"job {wish!r} runs a command or belongs to the system")
        return job

    @property
    def _forbidden(self) -> frozenset[str]:
        return frozenset({"heartbeat"}) if self._grant.commands else _COMMANDS | {"heartbeat"}

    def _refuse(self, wish: Mapping[str, Any]) -> None:
        """Refuse what would run a program, or speak in somebody else's conversation."""
        payload = wish.get("payload")
        inside: Mapping[str, Any] = payload if isinstance(payload, Mapping) else {}
        program = "command" in wish or {"argv", "command"} & inside.keys() or wish.get("gate")
        kind = str(inside.get("kind") or "").strip().lower()
        # cron.md §18: a command runs as the gateway's user and needs an admin.
        if (program and not self._grant.commands) or kind in self._forbidden:
            raise ToolRefused("an agent cannot schedule commands; use an agentTurn or systemEvent")
        target = str(wish.get("sessionTarget") or "").strip()
        named = target.lower().startswith("session:")
        if named and target.partition(":")[2] != self._grant.session_key:
            raise ToolRefused(f"{target} is not your session; use main, isolated or current")

    def _cap(self, wish: dict[str, Any], before: Mapping[str, Any]) -> None:
        """Give a turn no more tools than the turn that writes it has; ``before`` is its job."""
        most = self._grant.tools
        payload = wish.get("payload")
        held = dict(payload) if isinstance(payload, Mapping) else wish
        if most is None or {"message", "toolsAllow"}.isdisjoint((*held, *wish)):
            return
        now = (before.get("payload") or {}).get("toolsAllow")
        asked = held.get("toolsAllow", wish.get("toolsAllow"))
        wanted = most if now is None else most & frozenset(now)
        if asked is not None:
            wanted = frozenset(map(str, asked))
        if more := sorted(wanted - most):
            raise ToolRefused(f"you cannot hand on tools you do not have: {', '.join(more)}")
        wish.pop("toolsAllow", None)
        held["toolsAllow"] = sorted(wanted)
        if held is not wish:
            wish["payload"] = held


def _object(value: object) -> object:
    """What a model wrote; some write an object as text that holds one."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value
