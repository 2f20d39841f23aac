"""The tool `cron`: an agent schedules, looks at and ends its own jobs (cron.md §18).

It sees and changes jobs of its own agent only, and never one that runs a command: whether
the rest is allowed is decided by whoever keeps the jobs.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from engine.agents.base import Tool, ToolRefused
from jobs.errors import EngineError
from jobs.pages import LIMIT_MOST

_FORBIDDEN_PAYLOADS: Final = frozenset({"command", "script", "heartbeat"})
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
        "action": {"type": "string", "enum": ["add", "list", "get", "update", "remove", "run"]},
        "job": {
            **_JOB,
            "description": "For add. Example: "
            '{"name": "stand-up", "schedule": {"kind": "cron", "expr": "0 9 * * 1-5", '
            '"tz": "Europe/London"}, "payload": {"kind": "agentTurn", "message": "..."}}',
        },
        "jobId": {"type": "string", "description": "For get, update, remove and run."},
        "patch": {**_JOB, "description": "For update: only what changes."},
    },
    "required": ["action"],
}


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


def cron_tool(
    desk: JobsDesk, *, agent_id: str, session_key: str, default_agent: str | None = None
) -> Tool:
    """Return the tool for one turn of one agent; a job without an agent is the default one's."""
    own = _OwnJobs(desk, agent_id, session_key, default_agent)
    actions: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]] = {
        "add": own.add,
        "list": own.listing,
        "get": own.one,
        "update": own.update,
        "remove": own.remove,
        "run": own.run,
    }

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
        parameters=_PARAMETERS,
        call=cron,
        side_effects=True,
    )


class _OwnJobs:
    def __init__(
        self, desk: JobsDesk, agent_id: str, session_key: str, default_agent: str | None
    ) -> None:
        self._desk = desk
        self._agent_id = agent_id
        self._session_key = session_key
        self._default_agent = default_agent
        self._by = f"agent:{agent_id}"

    async def add(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        job = _object(arguments.get("job"))
        # Small models put the fields beside `action` instead of under `job`.
        wish = dict(job) if isinstance(job, Mapping) else {**arguments}
        wish.pop("action", None)
        _refuse_payload(wish)
        for name in _FIXED:
            wish.pop(name, None)
        wish["agentId"] = self._agent_id
        wish["sessionKey"] = self._session_key
        return await self._desk.add(wish, by=self._by)

    async def listing(self, _arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._desk.list(
            {"agentId": self._agent_id, "includeDisabled": True, "limit": LIMIT_MOST}
        )

    async def one(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._owned(arguments)

    async def update(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        patch = _object(arguments.get("patch"))
        if not isinstance(patch, Mapping) or not patch:
            raise ToolRefused("patch must hold the fields to change")
        _refuse_payload(patch)
        if refused := [name for name in (*_FIXED, "sessionKey") if name in patch]:
            raise ToolRefused(f"{', '.join(refused)} cannot be changed by an agent")
        job = await self._owned(arguments)
        return await self._desk.update(str(job["id"]), dict(patch), by=self._by)

    async def remove(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        job = await self._owned(arguments)
        return await self._desk.remove(str(job["id"]), by=self._by)

    async def run(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        job = await self._owned(arguments)
        return await self._desk.run(str(job["id"]), by=self._by)

    async def _owned(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        wish = arguments.get("jobId") or arguments.get("id")
        if not isinstance(wish, str) or not wish.strip():
            raise ToolRefused("jobId must name the job; see action list")
        job = await self._desk.get(wish.strip())
        if (job.get("agentId") or self._default_agent) != self._agent_id:
            # The same words as for a job that does not exist: other agents' jobs are not shown.
            raise ToolRefused(f"you have no job {wish!r}; see action list")
        payload = job.get("payload")
        if isinstance(payload, Mapping) and payload.get("kind") in _FORBIDDEN_PAYLOADS:
            raise ToolRefused(f"job {wish!r} runs a command or belongs to the system")
        return job


def _object(value: object) -> object:
    """What a model wrote; some write an object as text that holds one."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _refuse_payload(wish: Mapping[str, Any]) -> None:
    payload = wish.get("payload")
    kind = payload.get("kind") if isinstance(payload, Mapping) else None
    hidden = "command" in wish or (isinstance(payload, Mapping) and "argv" in payload)
    # cron.md §18: a command runs as the gateway's user and needs an admin.
    if hidden or (isinstance(kind, str) and kind.strip().lower() in _FORBIDDEN_PAYLOADS):
        raise ToolRefused("an agent cannot schedule commands; use an agentTurn or systemEvent")
