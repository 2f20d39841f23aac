"""Tools as clients see and use them (protocol.md §10.4, §11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.protocol.admin_params import ToolInvokeParams, ToolsParams
from gateway.protocol.errors import Code, Refusal, WireError
from gateway.protocol.methods import Scope, allows
from gateway.rpc.desk import Call, Desk

# What changes the machine or the schedule is the owner's, whoever may write.
OWNERS: Final = frozenset({"exec", "process", "write", "cron"})
_GROUPS: Final[Mapping[str, str]] = {
    "read": "fs",
    "write": "fs",
    "exec": "runtime",
    "process": "runtime",
    "cron": "automation",
    "message": "messaging",
}


async def catalog(desk: Desk, _: Call, params: ToolsParams) -> object:
    """`tools.catalog`: all there are, with the rule that withholds one."""
    agent_id, _key = desk.core.sessions.resolve(params.agent_id, params.session_key)
    return {"agentId": agent_id, "profiles": [], "groups": _grouped(desk, agent_id, every=True)}


async def effective(desk: Desk, _: Call, params: ToolsParams) -> object:
    """`tools.effective`: those a turn of this session would get."""
    agent_id, key = desk.core.sessions.resolve(params.agent_id, params.session_key)
    groups = _grouped(desk, agent_id, every=False)
    return {"agentId": agent_id, "sessionKey": key, "groups": groups}


def _grouped(desk: Desk, agent_id: str, *, every: bool) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for tool in desk.core.tools.catalog(agent_id):
        if every or not tool.get("withheld"):
            name = _GROUPS.get(str(tool["name"]), "other")
            shown = {"id": tool["name"], "label": tool["name"], "source": "core", **tool}
            groups.setdefault(name, []).append(shown)
    return [
        {"id": name, "label": name, "source": "core", "tools": tools}
        for name, tools in groups.items()
    ]


async def invoke(desk: Desk, call: Call, params: ToolInvokeParams) -> object:
    """`tools.invoke`."""
    if params.name in OWNERS and not allows(call.session.scopes, Scope.ADMIN):
        words = f"missing scope: {Scope.ADMIN} ({params.name} changes this machine)"
        raise Refusal(WireError(Code.FORBIDDEN, words, {"code": "MISSING_SCOPE"}))
    agent_id, key = desk.core.sessions.resolve(params.agent_id, params.session_key)
    if params.dry_run:
        known = {str(one["name"]): one for one in desk.core.tools.catalog(agent_id)}
        found = known.get(params.name)
        ok = found is not None and not found.get("withheld")
        return {"ok": ok, "toolName": params.name, "dryRun": True}
    return await desk.core.tools.invoke(
        params.name, params.args, agent_id=agent_id, session_key=key, by=call.by
    )
