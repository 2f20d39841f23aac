"""Which tools a turn gets: what its kind allows, and of that what its agent may use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from engine.agents.base import Tool
from engine.agents.tools.cron import Grant, Holds, JobsDesk, cron_tool
from engine.agents.tools.files import file_tools
from engine.agents.tools.heartbeat import heartbeat_tool
from engine.agents.tools.message import Outlet, message_tool
from engine.roster import AgentProfile, Roster


class Toolbox:
    """Hands out the tools of one turn each."""

    def __init__(
        self,
        *,
        jobs: JobsDesk,
        holds: Holds,
        outlet: Outlet,
        roster: Callable[[], Roster],
        commands: Callable[[], bool],
    ) -> None:
        self._jobs = jobs
        self._holds = holds
        self._commands = commands
        self._outlet = outlet
        self._roster = roster

    def for_turn(
        self,
        agent: AgentProfile,
        *,
        run_id: str,
        session_key: str,
        kind: str,
        allow: Collection[str] | None = None,
        job_id: str | None = None,
    ) -> Sequence[Tool]:
        """Return the tools of a turn; a beat answers, it does not send (heartbeat.md §22).

        ``allow`` is what the beat or the job restricts its turns to; None: nothing. ``job_id``
        is the job whose run it is.
        """
        grant = Grant(
            agent_id=agent.agent_id,
            session_key=session_key,
            default_agent=self._roster().default_id,
            job_id=job_id,
            tools=None if allow is None else frozenset(allow),
            commands=self._commands(),
        )
        tools = [
            *file_tools(agent.workspace),
            cron_tool(self._jobs, self._holds, grant),
            heartbeat_tool()
            if kind == "heartbeat"
            else message_tool(self._outlet, agent_id=agent.agent_id, run_id=run_id),
        ]
        wanted = [names for names in (agent.tools_allow, allow) if names is not None]
        return [
            tool
            for tool in tools
            if all(tool.name in names for names in wanted) and tool.name not in agent.tools_deny
        ]
