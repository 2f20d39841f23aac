"""Tools of agents, listed and used by hand (protocol.md §10.4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from engine.agents.base import use_tool, used
from engine.core import Engine
from engine.store import audit


class FrontTools:
    """Keeps the promises of `gateway.rpc.core_admin.Tools`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def catalog(self, agent_id: str) -> list[dict[str, Any]]:
        """The tools of an agent's chat; those a rule withholds are not among them."""
        return [
            {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
                "sideEffects": tool.side_effects,
            }
            for tool in self._tools(agent_id, f"agent:{agent_id}:main", "catalog")
        ]

    async def invoke(
        self, name: str, arguments: Mapping[str, Any], *, agent_id: str, session_key: str, by: str
    ) -> dict[str, Any]:
        """Use one as a turn of this session would; the audit keeps who did."""
        run_id = f"invoke-{uuid4().hex}"
        tools = self._tools(agent_id, session_key, run_id)
        if name not in {tool.name for tool in tools}:
            error = {"code": "not_found", "message": f"tool not available: {name}"}
            return {"ok": False, "toolName": name, "error": error}
        call = await use_tool(tools, name, arguments)
        await self._engine.database.write(
            lambda tx: audit.note(
                tx,
                now=self._engine.clock.now(),
                actor=by,
                action="tool.invoked",
                subject=name,
                detail={**used([call])[0], "agentId": agent_id, "sessionKey": session_key},
            )
        )
        if call.failed:
            error = {"code": "tool_refused", "message": call.result}
            return {"ok": False, "toolName": name, "error": error}
        return {"ok": True, "toolName": name, "output": _plain(call.result)}

    def _tools(self, agent_id: str, session_key: str, run_id: str) -> Any:
        agent = self._engine.roster.agent(agent_id)
        return self._engine.toolbox.for_turn(
            agent, run_id=run_id, session_key=session_key, kind="chat", model=agent.model
        )


def _plain(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
