"""What only clients of wire 4 know: runs as tasks, and events beside the older ones (§7.1, §13).

Each is said of something that is told already, under the name newer clients look for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from engine.events import Event
from engine.sessions import agent_of

STATUS: Final[Mapping[str, str]] = {
    "running": "running",
    "ok": "succeeded",
    "error": "failed",
    "skipped": "cancelled",
}


def further(event: Event) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return what an event of the bus is besides, for newer clients."""
    told = event.payload
    if event.name == "config":
        yield "config.changed", {"paths": list(told.get("paths") or ())}
    elif event.name == "cron" and told.get("runId"):
        yield "task", {"action": str(told.get("action")), "task": task_of(told)}


def chat_words(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a `chat` event with whose it is."""
    key = payload.get("sessionKey")
    if not isinstance(key, str) or not key.startswith("agent:"):
        return payload
    return {**payload, "agentId": agent_of(key, default_agent="main")}


def task_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row of the run log as a task."""
    task = {
        "id": entry.get("runId"),
        "taskId": entry.get("runId"),
        "runtime": "cron",
        "kind": "cron",
        "status": STATUS.get(str(entry.get("status")), "running"),
        "sourceId": entry.get("jobId"),
        "title": entry.get("jobName") or entry.get("name") or entry.get("jobId"),
        "agentId": entry.get("agentId"),
        "createdAt": entry.get("runAtMs") or entry.get("ts"),
        "endedAt": entry.get("ts") if entry.get("status") in STATUS else None,
        "error": entry.get("error"),
        "terminalSummary": entry.get("summary"),
    }
    return {name: value for name, value in task.items() if value is not None}
