"""The tools `exec` and `process`: commands under policy, in the foreground or behind it.

operations.md §13.1. Whether a command may run, and what became of it, is known by whoever
runs programs; here a model's words become an order, and the end of it words again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from engine.agents.base import Tool, ToolRefused
from engine.messages.address import Route

LOOKING: Final = ("list", "poll", "log")  # actions that change nothing
ACTING: Final = ("write", "submit", "paste", "kill", "clear", "remove")
_LONGEST: Final = 86_400  # seconds: a day
_INPUT_MOST: Final = 65_536  # characters of one write

_EXEC: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "description": "The command line."},
        "workdir": {"type": "string", "description": "Relative to your workspace."},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
        "timeout": {"type": "number", "description": "Seconds; 0: none. It is ended after that."},
        "yieldMs": {
            "type": "integer",
            "description": "How long to wait before it goes on in the background.",
        },
        "background": {"type": "boolean", "description": "Do not wait; you are told of its end."},
    },
    "required": ["command"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose turn it is that runs something."""

    agent_id: str
    session_key: str
    run_id: str
    workspace: Path
    sandbox: str = "off"
    route: Route | None = None  # where the conversation came from: its end is told there


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecOrder:
    """One command to be run."""

    caller: Caller
    command: str
    workdir: str | None = None
    env: Mapping[str, str]
    timeout: timedelta | None = None  # None: as the config says; zero: no limit
    yield_after: timedelta | None = None  # None: as the config says
    outside: bool = False  # words from outside stand before the agent: a person is asked first


class Programs(Protocol):
    """Runs programs: `engine.programs.room.Room`. Refuses with `ToolRefused`."""

    async def execute(self, order: ExecOrder) -> Mapping[str, Any]:
        """Run a command; returns when it has ended, or has gone to the background."""

    async def act(
        self, caller: Caller, action: str, ident: str, arguments: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Do one action of `process` with a program of the caller's agent."""


def exec_tool(
    programs: Programs, caller: Caller, *, asks: bool = False, outside: bool = False
) -> Tool:
    """Return the tool `exec` for one turn; ``asks``: where nothing may be changed it asks first."""

    async def call(arguments: Mapping[str, Any]) -> str:
        order = _order(caller, arguments)
        return _told(await programs.execute(replace(order, outside=outside)))

    first = " A person is asked first; you are told what comes of it." if outside else ""
    return Tool(
        name="exec",
        description="Run a command on this host. What takes long goes on in the background:"
        f" you get its sessionId, and are told when it ends.{first}",
        parameters=_EXEC,
        call=call,
        side_effects=True,
        asking=exec_tool(programs, caller, outside=True) if asks and not outside else None,
    )


def process_tool(programs: Programs, caller: Caller, *, looking_only: bool = False) -> Tool:
    """Return the tool `process` for one turn; ``looking_only``: it changes nothing."""
    actions = LOOKING if looking_only else (*LOOKING, *ACTING)

    async def call(arguments: Mapping[str, Any]) -> str:
        action = arguments.get("action")
        if action not in actions:
            raise ToolRefused(f"action {action!r} is not offered; there are: {', '.join(actions)}")
        ident = arguments.get("sessionId", "")
        if not isinstance(ident, str) or (not ident and action != "list"):
            raise ToolRefused("sessionId must name the program; see action list")
        return _told(await programs.act(caller, str(action), ident, _checked(arguments)))

    return Tool(
        name="process",
        description="Look at, talk to and end commands you have in the background.",
        parameters={
            "type": "object",
            "properties": {
                "action": {"type": "string", "enum": list(actions)},
                "sessionId": {"type": "string", "description": "Of all actions but list."},
                "data": {"type": "string", "description": "For write, submit and paste."},
                "eof": {"type": "boolean", "description": "For write: no more comes after it."},
                "offset": {"type": "integer", "description": "For log: first line, from 0."},
                "limit": {"type": "integer", "description": "For log: how many lines."},
            },
            "required": ["action"],
        },
        call=call,
        side_effects=not looking_only,
        harmless=None if looking_only else process_tool(programs, caller, looking_only=True),
    )


def _order(caller: Caller, arguments: Mapping[str, Any]) -> ExecOrder:
    command = arguments.get("command")
    if not isinstance(command, str):
        raise ToolRefused("command must be text: the command line")
    for name in ("elevated", "pty"):
        if arguments.get(name):
            raise ToolRefused(f"{name} is not offered here; leave it out")
    workdir = arguments.get("workdir")
    if workdir is not None and not isinstance(workdir, str):
        raise ToolRefused("workdir must be text: a folder of your workspace")
    env = arguments.get("env") or {}
    if not isinstance(env, Mapping) or not all(isinstance(value, str) for value in env.values()):
        raise ToolRefused("env must be an object of texts")
    limit = _number(arguments, "timeout", _LONGEST)
    waits = _number(arguments, "yieldMs", _LONGEST * 1000)
    background = _flag(arguments, "background")
    return ExecOrder(
        caller=caller,
        command=command,
        workdir=workdir or None,
        env=dict(env),
        timeout=None if limit is None else timedelta(seconds=limit),
        yield_after=timedelta()
        if background
        else None
        if waits is None
        else timedelta(milliseconds=waits),
    )


def _checked(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    data = arguments.get("data", "")
    if not isinstance(data, str) or len(data) > _INPUT_MOST:
        raise ToolRefused(f"data must be text of at most {_INPUT_MOST} characters")
    pages = {name: _number(arguments, name, 1_000_000) for name in ("offset", "limit")}
    whole = {name: None if value is None else int(value) for name, value in pages.items()}
    return {"data": data, "eof": _flag(arguments, "eof"), **whole}


def _number(arguments: Mapping[str, Any], name: str, most: int) -> float | None:
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ToolRefused(f"{name} must be a number from 0 to {most}, not {value!r}")
    return float(value)


def _flag(arguments: Mapping[str, Any], name: str) -> bool:
    value = arguments.get(name, False)
    if not isinstance(value, bool):
        raise ToolRefused(f"{name} must be true or false, not {value!r}")
    return value


def _told(words: Mapping[str, Any]) -> str:
    return json.dumps(words, ensure_ascii=False)
