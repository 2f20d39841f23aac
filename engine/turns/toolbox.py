"""Which tools a turn gets: what its kind allows, and of that what its agent may use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.agents.base import Tool
from engine.agents.tools.cron import Grant, Holds, JobsDesk, cron_tool
from engine.agents.tools.exec import Caller, Programs, exec_tool, process_tool
from engine.agents.tools.files import file_tools
from engine.agents.tools.heartbeat import heartbeat_tool
from engine.agents.tools.message import Outlet, message_tool
from engine.decisions.tool_policy import meant
from engine.messages.address import Route
from engine.roster.roster import AgentProfile, Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """What the config allows every agent, beside what it says about single tools."""

    commands: bool = False  # to schedule commands
    programs: bool = False  # to run them
    asks: bool = False  # a person can be asked whether one may run
    anywhere: bool = False  # files outside the workspace


class Toolbox:
    """Hands out the tools of one turn each."""

    def __init__(
        self,
        *,
        jobs: JobsDesk,
        holds: Holds,
        outlet: Outlet,
        programs: Programs,
        roster: Callable[[], Roster],
        leave: Callable[[], Leave],
        received: Callable[[str], Path] | None = None,
    ) -> None:
        self._received = received  # where files lie that people sent to an agent
        self._jobs = jobs
        self._holds = holds
        self._outlet = outlet
        self._programs = programs
        self._roster = roster
        self._leave = leave

    def for_turn(
        self,
        agent: AgentProfile,
        *,
        run_id: str,
        session_key: str,
        kind: str,
        allow: Collection[str] | None = None,
        job_id: str | None = None,
        model: str | None = None,
        route: Route | None = None,
    ) -> Sequence[Tool]:
        """Return the tools of a turn; a beat answers, it does not send (heartbeat.md §22).

        ``allow`` is what the beat or the job restricts its turns to; None: nothing. ``job_id``
        is the job whose run it is, ``model`` the ref that is asked, ``route`` where the person
        wrote from.
        """
        leave = self._leave()
        most = None if allow is None else meant(allow)
        grant = Grant(
            agent_id=agent.agent_id,
            session_key=session_key,
            default_agent=self._roster().default_id,
            job_id=job_id,
            tools=most,
            commands=leave.commands,
        )
        tools = [
            *file_tools(
                agent.workspace,
                anywhere=leave.anywhere,
                received=None if self._received is None else self._received(agent.agent_id),
            ),
            cron_tool(self._jobs, self._holds, grant),
            heartbeat_tool()
            if kind == "heartbeat"
            else message_tool(self._outlet, agent_id=agent.agent_id, run_id=run_id),
        ]
        if leave.programs:
            caller = Caller(
                agent_id=agent.agent_id,
                session_key=session_key,
                run_id=run_id,
                workspace=agent.workspace,
                sandbox=agent.sandbox,
                route=route,
            )
            tools += [
                exec_tool(self._programs, caller, asks=leave.asks),
                process_tool(self._programs, caller),
            ]
        provider = (model or "").partition("/")[0]
        return [
            tool
            for tool in tools
            if (most is None or tool.name in most) and not agent.tools.objects(tool.name, provider)
        ]


def narrowed(
    tools: Sequence[Tool], *, rehearsed: bool = False
) -> tuple[Sequence[Tool], tuple[str, ...]]:
    """Return what is left of tools where nothing may be changed, and what is withheld.

    heartbeat.md §15, §25 row 20: words from outside are in the prompt. What they make an agent
    do needs a person's yes: of tools that can ask for it those are left that do, unless it is
    all but ``rehearsed``.
    """
    kept = [
        tool if not tool.side_effects else tool.harmless or (None if rehearsed else tool.asking)
        for tool in tools
    ]
    withheld = tuple(tool.name for tool in tools if tool.side_effects)
    return [tool for tool in kept if tool is not None], withheld
