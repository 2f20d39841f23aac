"""`tasks.*`: runs of jobs under the name newer clients know them by (protocol.md §10.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.newer import STATUS, task_of
from gateway.protocol.admin_params import TaskCancelParams, TaskRef, TasksListParams
from gateway.protocol.errors import Code, Refusal, WireError
from gateway.rpc.desk import Call, Desk
from jobs.errors import EngineError
from jobs.ledger import RunStatus

_OPEN: Final = frozenset({RunStatus.CLAIMED, RunStatus.RUNNING, RunStatus.DEFERRED})


def counted(runs: Mapping[str, int]) -> dict[str, Any]:
    """`tasks` of the `status` object: runs of a day by stored status, under newer names."""
    by_status: dict[str, int] = {}
    for status, count in runs.items():
        ended = "failed" if status == RunStatus.FAILED else STATUS.get(status, "cancelled")
        name = "running" if status in _OPEN else ended
        by_status[name] = by_status.get(name, 0) + count
    total, active = sum(by_status.values()), by_status.get("running", 0)
    return {
        "total": total,
        "active": active,
        "terminal": total - active,
        "failures": by_status.get("failed", 0),
        "byStatus": by_status,
    }


async def listing(desk: Desk, _: Call, params: TasksListParams) -> object:
    """`tasks.list`, newest first."""
    offset = int(params.cursor) if params.cursor and params.cursor.isdecimal() else 0
    asked: dict[str, Any] = {
        "scope": "all",
        "limit": min(params.limit, 200),
        "offset": offset,
    }
    if params.agent_id:
        asked["agentId"] = params.agent_id
    page = await desk.core.scheduling.runs(asked)
    tasks = [task_of(entry) for entry in page["entries"]]
    wanted = {params.status} if isinstance(params.status, str) else set(params.status or ())
    shown = [task for task in tasks if not wanted or task["status"] in wanted]
    answer: dict[str, Any] = {"tasks": shown}
    if page.get("hasMore"):
        answer["nextCursor"] = str(offset + len(tasks))
    return answer


async def get(desk: Desk, _: Call, params: TaskRef) -> object:
    """`tasks.get`."""
    return {"task": await _found(desk, params.task_id)}


async def cancel(desk: Desk, call: Call, params: TaskCancelParams) -> object:
    """`tasks.cancel`."""
    try:
        task = await _found(desk, params.task_id)
    except Refusal:
        return {"found": False, "cancelled": False, "reason": "no such task"}
    try:
        done = await desk.core.control.cancel(params.task_id, by=call.by)
    except EngineError as error:
        return {"found": True, "cancelled": False, "reason": str(error), "task": task}
    cancelled = bool(done.get("cancelled"))
    return {"found": True, "cancelled": cancelled, "task": await _found(desk, params.task_id)}


async def _found(desk: Desk, run_id: str) -> dict[str, Any]:
    page = await desk.core.scheduling.runs({"scope": "all", "runId": run_id, "limit": 1})
    if not page["entries"]:
        raise Refusal(
            WireError(Code.INVALID_REQUEST, f"task not found: {run_id}", {"code": "TASK_NOT_FOUND"})
        )
    return task_of(page["entries"][0])
